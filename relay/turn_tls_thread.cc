#include "relay/turn_tls_thread.h"

#include <algorithm>
#include <array>

#include <unistd.h>

#include "relay/io/loop.h"
#include "relay/io/tcp_stream.h"

namespace turnpike {
namespace {

using turn::StreamClose;

// Sleeps end by themselves, to look for late clients, other certificates and the end.
constexpr Milliseconds kLongestSleep{200};
constexpr std::size_t kReadyMax = 64;
constexpr std::uint32_t kDoorbellItem = 0x40000000;

}  // namespace

std::unique_ptr<TurnTlsThread> TurnTlsThread::start(const std::vector<Listener>& listeners,
                                                    turn::SourceGate gate, turn::Counters& counters,
                                                    std::function<bool(const TurnNewcomer&)> give) {
  auto poll = StreamPoll::make();
  if (poll == nullptr) {
    for (const Listener& listener : listeners) close(listener.fd);
    return nullptr;
  }
  std::unique_ptr<TurnTlsThread> thread(
      new TurnTlsThread(std::move(poll), std::move(gate), counters, std::move(give)));
  bool added = thread->poll_->add(thread->doorbell_.fd(), kDoorbellItem);
  for (const Listener& listener : listeners) {
    added = thread->listeners_.add(listener.fd) && added;
    thread->numbers_.push_back(listener.listener);
  }
  if (!added) return nullptr;
  thread->thread_ = std::thread([own = thread.get()] { own->run(); });
  return thread;
}

TurnTlsThread::TurnTlsThread(std::unique_ptr<StreamPoll> poll, turn::SourceGate gate,
                             turn::Counters& counters,
                             std::function<bool(const TurnNewcomer&)> give)
    : poll_(std::move(poll)),
      gate_(std::move(gate)),
      counters_(counters),
      give_(std::move(give)),
      listeners_(*poll_),
      clients_(kHandshakesMax) {
  for (std::size_t place = kHandshakesMax; place > 0; --place) free_.push_back(place - 1);
}

TurnTlsThread::~TurnTlsThread() {
  stop();
  for (; arrivals_.front() != nullptr; arrivals_.pop()) close(arrivals_.front()->fd);
}

void TurnTlsThread::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  thread_.join();
}

void TurnTlsThread::run() {
  yield_to_media();
  bool more = false;
  while (!stopping_.load()) {
    std::array<StreamPoll::Ready, kReadyMax> ready;
    const std::size_t woken = poll_->wait(ready, more ? Milliseconds{0} : kLongestSleep);
    more = false;
    take_contexts();
    const Instant now = monotonic_now();
    for (std::size_t i = 0; i < woken; ++i) {
      const std::uint32_t item = ready[i].item;
      if (StreamListeners::is_item(item)) {
        more |= listeners_.accept(item, now, [this, now](auto number, const auto& accepted) {
          if (accepted.fd < 0) return count(StreamClose::kNoDescriptor);
          begin({accepted.fd, accepted.source, numbers_[number]}, now);
        });
      } else if (item == kDoorbellItem) {
        take_arrivals(now);
      } else {
        go_on(item);
      }
    }
    end_late(now);
    listeners_.end_pauses(now);
  }
}

void TurnTlsThread::take_contexts() {
  while (const auto* context = contexts_.front()) {
    context_ = *context;
    contexts_.pop();
  }
}

void TurnTlsThread::take_arrivals(Instant now) {
  doorbell_.answer();
  for (; arrivals_.front() != nullptr; arrivals_.pop()) {
    const TurnArrival& one = *arrivals_.front();
    if (one.transport == turn::ListenerTransport::kTls) {
      begin(one, now);
    } else {
      take_plain(one);
    }
  }
}

void TurnTlsThread::take_plain(const TurnArrival& one) {
  auto stream = make_tcp_stream(one.fd);
  const std::uint64_t source = gate_.name_of(one.client.ip);
  if (!gate_.enter(source)) return count(StreamClose::kSourceFull);
  if (give_({stream.get(), one.client, source, one.listener, one.transport})) {
    static_cast<void>(stream.release());  // it is the shard's now, and counted there
    return;
  }
  gate_.leave(source);
  count(StreamClose::kFull);
}

void TurnTlsThread::begin(const TurnArrival& one, Instant now) {
  const std::uint64_t source = gate_.name_of(one.client.ip);
  if (context_ == nullptr || !gate_.enter(source)) {
    count(context_ == nullptr ? StreamClose::kNoCertificate : StreamClose::kSourceFull);
    close(one.fd);
    return;
  }
  auto stream = TlsStream::make(context_, one.fd);
  if (free_.empty()) make_room();
  const std::size_t place = free_.back();
  if (stream == nullptr || !poll_->add(one.fd, static_cast<std::uint32_t>(place))) {
    gate_.leave(source);
    return count(StreamClose::kNoDescriptor);
  }
  free_.pop_back();
  clients_[place] = {std::move(stream), one.client,          source,
                     one.listener,      now + kHandshakeMax, false};
}

// Who has taken longest goes: to keep others out takes more than to begin and to wait.
void TurnTlsThread::make_room() {
  const auto oldest =
      std::min_element(clients_.begin(), clients_.end(),
                       [](const Client& a, const Client& b) { return a.due < b.due; });
  end(static_cast<std::size_t>(oldest - clients_.begin()), StreamClose::kTlsTimeout);
}

void TurnTlsThread::go_on(std::size_t place) {
  Client& client = clients_[place];
  if (client.stream == nullptr) return;  // made room in this turn
  const TlsStream::Handshake state = client.stream->shake_hands();
  if (state == TlsStream::Handshake::kDone) return hand_over(place);
  if (state == TlsStream::Handshake::kFailed) return end(place, StreamClose::kTlsFailed);
  const bool wants_to_write = state == TlsStream::Handshake::kWaitsToWrite;
  if (wants_to_write == client.wants_to_write) return;
  client.wants_to_write = wants_to_write;
  poll_->watch_writing(client.stream->fd(), static_cast<std::uint32_t>(place), wants_to_write);
}

void TurnTlsThread::hand_over(std::size_t place) {
  Client& client = clients_[place];
  poll_->remove(client.stream->fd());
  const TurnNewcomer newcomer{client.stream.get(), client.address, client.source, client.listener};
  if (!give_(newcomer)) return end(place, StreamClose::kFull);
  static_cast<void>(client.stream.release());  // it is the shard's now, and counted there
  free_.push_back(place);
}

void TurnTlsThread::end(std::size_t place, StreamClose why) {
  Client& client = clients_[place];
  poll_->remove(client.stream->fd());
  client.stream.reset();
  gate_.leave(client.source);
  free_.push_back(place);
  count(why);
}

void TurnTlsThread::end_late(Instant now) {
  for (std::size_t place = 0; place < clients_.size(); ++place) {
    if (clients_[place].stream != nullptr && clients_[place].due <= now) {
      end(place, StreamClose::kTlsTimeout);
    }
  }
}

}  // namespace turnpike
