#include "relay/turn_tcp_thread.h"

#include <algorithm>
#include <array>

#include <unistd.h>

#include "relay/io/loop.h"

namespace turnpike {
namespace {

constexpr Milliseconds kLongestSleep{200};
constexpr Milliseconds kShortSleep{1};  // a shard is to have taken what it was told
constexpr std::size_t kReadyMax = 64;
constexpr std::uint32_t kDoorbellItem = 0x40000000;

}  // namespace

std::unique_ptr<TurnTcpThread> TurnTcpThread::make(std::size_t shards, TurnTcpRelay::Setup setup,
                                                   std::function<void(std::size_t)> wake_shard) {
  auto poll = StreamPoll::make();
  if (poll == nullptr) return nullptr;
  std::unique_ptr<TurnTcpThread> thread(
      new TurnTcpThread(shards, std::move(poll), std::move(setup), std::move(wake_shard)));
  if (!thread->poll_->add(thread->doorbell_.fd(), kDoorbellItem)) return nullptr;
  return thread;
}

TurnTcpThread::TurnTcpThread(std::size_t shards, std::unique_ptr<StreamPoll> poll,
                             TurnTcpRelay::Setup setup, std::function<void(std::size_t)> wake_shard)
    : wake_shard_(std::move(wake_shard)),
      poll_(std::move(poll)),
      relay_(*poll_, std::move(setup), counters_,
             [this](std::uint16_t shard, const turn::TcpEvent& event) {
               lanes_[shard]->unsent.push_back(event);
             }) {
  for (std::size_t i = 0; i < shards; ++i) lanes_.push_back(std::make_unique<Lane>());
}

TurnTcpThread::~TurnTcpThread() {
  stop();
  for (const auto& lane : lanes_) {
    for (; lane->orders.front() != nullptr; lane->orders.pop()) {
      delete lane->orders.front()->client;
      if (lane->orders.front()->port.fd >= 0) close(lane->orders.front()->port.fd);
    }
  }
}

void TurnTcpThread::start() {
  thread_ = std::thread([this] { run(); });
}

void TurnTcpThread::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  doorbell_.ring();
  thread_.join();
}

bool TurnTcpThread::push(std::size_t shard, const TurnTcpOrder& order) {
  if (!lanes_[shard]->orders.push(order)) return false;
  doorbell_.ring();
  return true;
}

void TurnTcpThread::run() {
  yield_to_media();
  while (!stopping_.load()) {
    const Instant before = monotonic_now();
    // Rounded up: whoever waits for his rate is not asked for again and again.
    const bool is_behind = std::any_of(lanes_.begin(), lanes_.end(),
                                       [](const auto& lane) { return !lane->unsent.empty(); });
    const auto left = std::clamp<Nanoseconds>(relay_.next_turn() - before, Nanoseconds{0},
                                              is_behind ? kShortSleep : kLongestSleep);
    std::array<StreamPoll::Ready, kReadyMax> ready;
    const std::size_t woken = poll_->wait(ready, std::chrono::ceil<Milliseconds>(left));
    const Instant now = monotonic_now();
    for (std::size_t i = 0; i < woken; ++i) {
      if (ready[i].item == kDoorbellItem) {
        doorbell_.answer();
      } else {
        relay_.on_ready(ready[i].item, now);
      }
    }
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
      serve(*lanes_[i], static_cast<std::uint16_t>(i), now);
    }
    relay_.go_on(now);
    relay_.end_late(now);
    deliver();
  }
}

void TurnTcpThread::serve(Lane& lane, std::uint16_t shard, Instant now) {
  std::size_t handled = 0;
  for (; handled < kOrdersMax && lane.orders.front() != nullptr; ++handled) {
    handle(*lane.orders.front(), shard, now);
    lane.orders.pop();
  }
  // A shard that has found no room is told that there is some again: all that was there then is
  // handled in this call and the next, half of it in one of them.
  lane.has_news = lane.has_news || handled >= kOrdersMax / 2;
}

void TurnTcpThread::handle(const TurnTcpOrder& order, std::uint16_t shard, Instant now) {
  switch (order.kind) {
    case TurnTcpOrder::Kind::kListen:
      return relay_.listen(shard, order.tag, order.port, order.traffic);
    case TurnTcpOrder::Kind::kClose:
      return relay_.close(shard, order.tag, now);
    case TurnTcpOrder::Kind::kConnect:
      return relay_.connect(shard, order.tag, order.id, order.peer, now);
    case TurnTcpOrder::Kind::kAdmit:
      return relay_.judged(order.id, std::nullopt, now);
    case TurnTcpOrder::Kind::kRefuse:
      return relay_.judged(order.id, order.why, now);
    case TurnTcpOrder::Kind::kEnd:
      return relay_.end(order.id, order.why);
    case TurnTcpOrder::Kind::kBind:
      return relay_.bind(order.id, std::unique_ptr<TurnTcpClient>(order.client), now);
    case TurnTcpOrder::Kind::kNone:
      break;
  }
}

void TurnTcpThread::deliver() {
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    Lane& lane = *lanes_[i];
    for (; !lane.unsent.empty() && lane.events.push(lane.unsent.front()); lane.unsent.pop_front()) {
      lane.has_news = true;
    }
    if (std::exchange(lane.has_news, false)) wake_shard_(i);
  }
}

}  // namespace turnpike
