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
constexpr Milliseconds kAcceptPause{500};
// Of one listening socket, before handshakes go on.
constexpr int kAcceptsMax = 8;
constexpr std::size_t kReadyMax = 64;
constexpr std::uint32_t kListenerItem = 0x80000000;

}  // namespace

std::unique_ptr<TurnTlsThread> TurnTlsThread::start(const std::vector<Listener>& listeners,
                                                    turn::SourceGate gate, turn::Counters& counters,
                                                    std::function<bool(const TlsNewcomer&)> give) {
  auto poll = StreamPoll::make();
  bool made = poll != nullptr;
  for (std::uint32_t i = 0; i < listeners.size(); ++i) {
    made = made && poll->add(listeners[i].fd, kListenerItem | i);
  }
  if (!made) {
    for (const Listener& listener : listeners) close(listener.fd);
    return nullptr;
  }
  std::unique_ptr<TurnTlsThread> thread(
      new TurnTlsThread(std::move(poll), std::move(gate), counters, std::move(give)));
  thread->listeners_ = listeners;
  thread->paused_.resize(listeners.size());
  thread->thread_ = std::thread([own = thread.get()] { own->run(); });
  return thread;
}

TurnTlsThread::TurnTlsThread(std::unique_ptr<StreamPoll> poll, turn::SourceGate gate,
                             turn::Counters& counters, std::function<bool(const TlsNewcomer&)> give)
    : poll_(std::move(poll)),
      gate_(std::move(gate)),
      counters_(counters),
      give_(std::move(give)),
      clients_(kHandshakesMax) {
  for (std::size_t place = kHandshakesMax; place > 0; --place) free_.push_back(place - 1);
}

TurnTlsThread::~TurnTlsThread() {
  stop();
  for (const Listener& listener : listeners_) close(listener.fd);
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
    const std::size_t count = poll_->wait(ready, more ? Milliseconds{0} : kLongestSleep);
    more = false;
    take_contexts();
    const Instant now = monotonic_now();
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t item = ready[i].item;
      if ((item & kListenerItem) == 0) {
        go_on(item);
        continue;
      }
      int accepts = 0;
      while (accepts < kAcceptsMax && accept_one(item & ~kListenerItem, now)) ++accepts;
      more = more || accepts == kAcceptsMax;
    }
    end_late(now);
  }
}

void TurnTlsThread::take_contexts() {
  while (const auto* context = contexts_.front()) {
    context_ = *context;
    contexts_.pop();
  }
}

// False when nobody waits, or nobody can be taken now.
bool TurnTlsThread::accept_one(std::size_t index, Instant now) {
  const Accepted accepted = accept_stream(listeners_[index].fd);
  if (accepted.state == AcceptState::kNobody) return false;
  if (accepted.state == AcceptState::kNoLongerThere) return true;
  if (accepted.state == AcceptState::kExhausted) {
    count(StreamClose::kNoDescriptor);
    poll_->remove(listeners_[index].fd);
    paused_[index] = now + kAcceptPause;
    return false;
  }
  const std::uint64_t source = gate_.name_of(accepted.source.ip);
  if (context_ == nullptr || !gate_.enter(source)) {
    count(context_ == nullptr ? StreamClose::kNoCertificate : StreamClose::kSourceFull);
    close(accepted.fd);
    return true;
  }
  auto stream = TlsStream::make(context_, accepted.fd);
  if (free_.empty()) make_room();
  const std::size_t place = free_.back();
  if (stream == nullptr || !poll_->add(accepted.fd, static_cast<std::uint32_t>(place))) {
    gate_.leave(source);
    count(StreamClose::kNoDescriptor);
    return true;
  }
  free_.pop_back();
  clients_[place] = {std::move(stream),          accepted.source,     source,
                     listeners_[index].listener, now + kHandshakeMax, false};
  return true;
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
  const TlsNewcomer newcomer{client.stream.get(), client.address, client.source, client.listener};
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
  for (std::uint32_t i = 0; i < paused_.size(); ++i) {
    if (paused_[i] == Instant{} || paused_[i] > now) continue;
    const bool added = poll_->add(listeners_[i].fd, kListenerItem | i);
    paused_[i] = added ? Instant{} : now + kAcceptPause;
  }
}

}  // namespace turnpike
