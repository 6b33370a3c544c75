#include "relay/turn_streams.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <unistd.h>

#include "relay/core/check.h"
#include "relay/io/tcp_stream.h"
#include "relay/wire/channel_data.h"
#include "relay/wire/stream_framer.h"
#include "relay/wire/stun.h"

namespace turnpike {
namespace {

using turn::StreamClose;

constexpr std::uint32_t kListenersMax = 64;
constexpr std::size_t kReadyMax = 64;
// What fits a packet of the batch, padding included.
constexpr std::size_t kMessageBytesMax = kPayloadBytesMax & ~std::size_t{3};
static_assert(TurnStreams::kInputBytes >= 2 * kMessageBytesMax);

// Relayed data, as opposed to the answer to a request.
bool is_data(const Send& send) {
  return is_channel_data(send.data[0]) || send.data[1] == (stun::kData | 0x10);
}

// ConnectionBind, in one of the messages that are cut.
bool is_connection_bind(std::span<const std::uint8_t> message) {
  return message[0] == 0 && message[1] == stun::kConnectionBind;
}

}  // namespace

struct TurnStreams::Connection {
  std::unique_ptr<ByteStream> stream;
  SocketAddress client;
  std::uint64_t source = 0;
  std::uint32_t listener = 0;
  turn::ListenerTransport transport = turn::ListenerTransport::kTcp;
  Instant accepted{};
  Instant alone_since{};    // seen without an allocation, in a row
  Instant stalled_since{};  // of what waits in `output`: the last that left
  bool proven = false;      // has sent a STUN message
  bool blocked = false;     // the kernel says when there is room again
  bool doomed = false;
  bool unread = false;
  bool unwritten = false;
  bool held = false;      // in `held_`
  std::size_t begin = 0;  // of what is in `input` and was not cut yet
  std::size_t end = 0;
  std::array<std::uint8_t, kInputBytes> input;  // only what was received is read
  StreamOutput output;
};

std::unique_ptr<TurnStreams> TurnStreams::make(std::uint32_t connections_max, turn::SourceGate gate,
                                               turn::Counters& counters, Handlers handlers) {
  auto poll = StreamPoll::make();
  if (poll == nullptr) return nullptr;
  return std::unique_ptr<TurnStreams>(new TurnStreams(
      std::move(poll), connections_max, std::move(gate), counters, std::move(handlers)));
}

TurnStreams::TurnStreams(std::unique_ptr<StreamPoll> poll, std::uint32_t connections_max,
                         turn::SourceGate gate, turn::Counters& counters, Handlers handlers)
    : poll_(std::move(poll)),
      gate_(std::move(gate)),
      counters_(counters),
      handlers_(std::move(handlers)),
      connections_(connections_max),
      generations_(connections_max),
      lonely_(connections_max),
      timers_(connections_max + kListenersMax) {
  for (auto* list : {&free_, &unread_, &reading_, &unwritten_, &doomed_, &held_}) {
    list->reserve(connections_max);
  }
  for (std::uint32_t slot = connections_max; slot > 0; --slot) free_.push_back(slot - 1);
}

TurnStreams::~TurnStreams() {
  for (const Listener& listener : listeners_) ::close(listener.fd);
}

SocketTag TurnStreams::tag_of(std::uint32_t slot) const {
  return {kStreamSlot | slot, generations_[slot], Side::kA, Component::kRtp};
}

TurnStreams::Connection* TurnStreams::find(const SocketTag& tag) const {
  const std::uint32_t slot = tag.slot & ~kStreamSlot;
  if (!is_stream(tag) || slot >= connections_.size()) return nullptr;
  return generations_[slot] == tag.generation ? connections_[slot].get() : nullptr;
}

std::uint32_t TurnStreams::listener_of(const SocketTag& tag) const {
  const Connection* const connection = find(tag);
  CHECK(connection != nullptr);
  return connection->listener;
}

// ---- Connections that come

bool TurnStreams::add_listener(int fd, std::uint32_t listener, turn::ListenerTransport transport) {
  const auto index = static_cast<std::uint32_t>(listeners_.size());
  listeners_.push_back({fd, listener, transport});
  return index < kListenersMax && poll_->add(fd, kStreamSlot | index);
}

bool TurnStreams::adopt(std::unique_ptr<ByteStream> stream, const SocketAddress& client,
                        std::uint64_t source, std::uint32_t listener,
                        turn::ListenerTransport transport, Instant now) {
  if (free_.size() < connections_.size() / kSpareShare || gate_.is_nearly_full(kSpareShare)) {
    make_room();
  }
  const bool full = free_.empty() || !gate_.take_place();
  if (full || !poll_->add(stream->fd(), free_.back())) {
    if (!full) gate_.leave_place();
    count(full ? StreamClose::kFull : StreamClose::kNoDescriptor);
    gate_.leave(source);
    return false;
  }
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  connections_[slot] = std::make_unique_for_overwrite<Connection>();
  Connection& connection = *connections_[slot];
  connection.stream = std::move(stream);
  connection.client = client;
  connection.source = source;
  connection.listener = listener;
  connection.transport = transport;
  connection.accepted = now;
  connection.alone_since = now;
  ++size_;
  lonely_.join(slot);
  counters_.of(transport).connections_opened.add();
  timers_.set(slot, now + kLook);
  return true;
}

// Strangers who hold connections keep nobody out who has come to stay: reap() ends the oldest.
void TurnStreams::make_room() {
  while (const auto slot = lonely_.oldest()) {
    lonely_.leave(*slot);
    if (handlers_.has_allocation(tag_of(*slot))) continue;
    return doom(*slot, StreamClose::kEvicted);
  }
}

// True when more may wait.
bool TurnStreams::accept_some(std::uint32_t index, Instant now) {
  const Listener& listener = listeners_[index];
  for (int i = 0; i < kAcceptsMax; ++i) {
    const Accepted accepted = accept_stream(listener.fd);
    switch (accepted.state) {
      case AcceptState::kNobody:
        return false;
      case AcceptState::kNoLongerThere:
        continue;
      case AcceptState::kExhausted:
        count(StreamClose::kNoDescriptor);
        pause(index, now);
        return false;
      case AcceptState::kAccepted:
        break;
    }
    const std::uint64_t source = gate_.name_of(accepted.source.ip);
    auto stream = make_tcp_stream(accepted.fd);
    if (!gate_.enter(source)) {
      count(StreamClose::kSourceFull);
      continue;
    }
    adopt(std::move(stream), accepted.source, source, listener.listener, listener.transport, now);
  }
  return true;
}

// The socket stays readable while nobody can be accepted: asking on and on would be a busy loop.
void TurnStreams::pause(std::uint32_t index, Instant now) {
  poll_->remove(listeners_[index].fd);
  timers_.set(static_cast<std::uint32_t>(connections_.size()) + index, now + kAcceptPause);
}

// ---- Bytes that come

bool TurnStreams::receive(Batch& batch, Instant now) {
  bool more = false;
  reading_.swap(unread_);
  auto next = reading_.begin();
  for (; next != reading_.end() && !batch.full(); ++next) {
    connections_[*next]->unread = false;
    more |= read(*next, batch);
  }
  // Whose turn did not come is first in the next one, before those who had theirs.
  more |= next != reading_.end();
  unread_.insert(unread_.begin(), next, reading_.end());
  reading_.clear();
  std::array<StreamPoll::Ready, kReadyMax> ready;
  const std::size_t count = poll_->wait(ready);
  more |= count == ready.size();
  for (std::size_t i = 0; i < count; ++i) {
    const StreamPoll::Ready& one = ready[i];
    if ((one.item & kStreamSlot) != 0) {
      more |= accept_some(one.item & ~kStreamSlot, now);
      continue;
    }
    if (one.writable) write(one.item, now);
    const Connection& from = *connections_[one.item];
    if (one.readable && !from.unread && !from.held) more |= read(one.item, batch);
  }
  tell_whether_unread();
  return more;
}

void TurnStreams::tell_whether_unread() {
  if (has_unread() == stays_ready_) return;
  stays_ready_ = has_unread();
  poll_->stay_ready(stays_ready_);
}

// True when it was left with messages that wait.
bool TurnStreams::read(std::uint32_t slot, Batch& batch) {
  Connection& from = *connections_[slot];
  std::size_t left = kMessagesMax;
  for (bool all_read = false; !from.doomed;) {
    switch (cut(slot, batch, left)) {
      case Cut::kBroken:
        doom(slot, StreamClose::kMalformed);
        return false;
      case Cut::kEnough:
        from.unread = true;
        unread_.push_back(slot);
        return true;
      case Cut::kHeld:
        return false;
      case Cut::kAll:
        break;
    }
    if (all_read) return false;
    std::memmove(from.input.data(), from.input.data() + from.begin, from.end - from.begin);
    from.end -= std::exchange(from.begin, 0);
    const std::span<std::uint8_t> room = std::span(from.input).subspan(from.end);
    const StreamMoved moved = from.stream->read(room);
    if (moved.state == StreamState::kWait) return false;
    if (moved.state != StreamState::kMoved) {
      doom(slot, moved.state == StreamState::kEnded ? StreamClose::kClient : StreamClose::kFailed);
      return false;
    }
    from.end += moved.bytes;
    all_read = moved.bytes < room.size() && !from.stream->has_read_ahead();
  }
  return false;
}

// Whole messages out of the input, into the batch.
TurnStreams::Cut TurnStreams::cut(std::uint32_t slot, Batch& batch, std::size_t& left) {
  Connection& from = *connections_[slot];
  while (from.begin < from.end) {
    const std::span<const std::uint8_t> bytes(from.input.data() + from.begin,
                                              from.end - from.begin);
    const StreamFrame frame = frame_stream(bytes, kMessageBytesMax);
    if (frame.kind == StreamFrame::Kind::kBroken) return Cut::kBroken;
    if (frame.kind == StreamFrame::Kind::kIncomplete) return Cut::kAll;
    const auto message = bytes.first(frame.message_bytes);
    from.proven = from.proven || stun::Message::parse(message).has_value();
    if (!from.proven) return Cut::kBroken;
    if (batch.full() || left == 0) return Cut::kEnough;
    --left;
    Packet* const packet = batch.next();
    std::memcpy(packet->data, message.data(), message.size());
    packet->length = static_cast<std::uint32_t>(message.size());
    packet->source = from.client;
    packet->tag = tag_of(slot);
    packet->shed_behind = 0;
    packet->overflowed = 0;
    batch.commit();
    from.begin += frame.bytes;
    if (is_connection_bind(message)) {
      from.held = true;
      held_.push_back(slot);
      return Cut::kHeld;
    }
  }
  return Cut::kAll;
}

// ---- Bytes that go

SendResult TurnStreams::post(const Send& send, Instant now) {
  Connection* const to = find(send.tag);
  if (to == nullptr) return SendResult::kFailed;
  const std::uint32_t slot = send.tag.slot & ~kStreamSlot;
  const std::span<const std::uint8_t> message(send.data, send.length);
  bool taken = to->output.add(message, is_data(send));
  if (!taken && !to->blocked) {
    write(slot, now);
    taken = to->output.add(message, is_data(send));
  }
  if (!taken) return SendResult::kBlocked;
  if (!to->unwritten) {
    to->unwritten = true;
    unwritten_.push_back(slot);
  }
  return SendResult::kWaiting;
}

void TurnStreams::write_out(Instant now) {
  for (const std::uint32_t slot : unwritten_) {
    connections_[slot]->unwritten = false;
    if (!connections_[slot]->blocked) write(slot, now);
  }
  unwritten_.clear();
}

// As much as the kernel takes.
void TurnStreams::write(std::uint32_t slot, Instant now) {
  Connection& to = *connections_[slot];
  while (!to.output.empty()) {
    const StreamMoved moved = to.stream->write(to.output.waiting());
    if (moved.state == StreamState::kMoved) {
      to.output.written(moved.bytes);
      to.stalled_since = now;
      continue;
    }
    if (moved.state != StreamState::kWait) {
      to.output.written(to.output.size());
      doom(slot, StreamClose::kFailed);
    }
    break;
  }
  const bool blocked = !to.output.empty();
  if (blocked == to.blocked) return;
  to.blocked = blocked;
  to.stalled_since = now;
  poll_->watch_writing(to.stream->fd(), slot, blocked);
}

// ---- Ends

void TurnStreams::doom(std::uint32_t slot, StreamClose why) {
  Connection& connection = *connections_[slot];
  if (connection.doomed) return;
  connection.doomed = true;
  lonely_.leave(slot);
  count(why);
  doomed_.push_back(slot);
}

void TurnStreams::reap() {
  // Ending an allocation sends what others still have to get, and may find more that are broken.
  for (std::size_t i = 0; i < doomed_.size(); ++i) close(doomed_[i]);
  doomed_.clear();
}

void TurnStreams::close(std::uint32_t slot) {
  handlers_.closed(tag_of(slot));
  const Connection& connection = *connections_[slot];
  poll_->remove(connection.stream->fd());
  gate_.leave(connection.source);
  gate_.leave_place();
  counters_.of(connection.transport).connections_closed.add();
  forget(slot);
}

std::unique_ptr<TurnTcpClient> TurnStreams::release(const SocketTag& tag) {
  Connection* const from = find(tag);
  if (from == nullptr || from->doomed) return nullptr;
  auto client = std::make_unique<TurnTcpClient>();
  const std::span<const std::uint8_t> input(from->input.data() + from->begin,
                                            from->end - from->begin);
  const std::span<const std::uint8_t> output = from->output.waiting();
  client->input.assign(input.begin(), input.end());
  client->output.assign(output.begin(), output.end());
  client->source = from->source;
  client->transport = from->transport;
  client->stream = std::move(from->stream);
  poll_->remove(client->stream->fd());
  forget(tag.slot & ~kStreamSlot);
  return client;
}

void TurnStreams::go_on_after_binds() {
  for (const std::uint32_t slot : held_) {
    Connection& connection = *connections_[slot];
    connection.held = false;
    if (connection.unread || connection.doomed) continue;
    connection.unread = true;
    unread_.push_back(slot);
  }
  held_.clear();
  tell_whether_unread();
}

void TurnStreams::forget(std::uint32_t slot) {
  const Connection& connection = *connections_[slot];
  if (connection.unread) std::erase(unread_, slot);
  if (connection.unwritten) std::erase(unwritten_, slot);
  if (connection.held) std::erase(held_, slot);
  timers_.cancel(slot);
  lonely_.leave(slot);
  connections_[slot].reset();
  ++generations_[slot];
  free_.push_back(slot);
  --size_;
}

void TurnStreams::on_deadline(Instant now) {
  const auto first_listener = static_cast<std::uint32_t>(connections_.size());
  for (std::uint32_t item = 0; timers_.pop_due(now, item);) {
    if (item < first_listener) {
      look_at(item, now);
    } else if (!poll_->add(listeners_[item - first_listener].fd,
                           kStreamSlot | (item - first_listener))) {
      timers_.set(item, now + kAcceptPause);
    }
  }
  reap();
}

void TurnStreams::look_at(std::uint32_t slot, Instant now) {
  Connection& connection = *connections_[slot];
  if (handlers_.has_allocation(tag_of(slot))) {
    connection.alone_since = now;
    lonely_.leave(slot);
  } else if (!lonely_.has(slot)) {
    lonely_.join(slot);
  }
  timers_.set(slot, now + kLook);
  if (!connection.proven && now - connection.accepted >= kFirstMessage) {
    doom(slot, StreamClose::kSilent);
  } else if (connection.blocked && now - connection.stalled_since >= kStalled) {
    doom(slot, StreamClose::kStalled);
  } else if (now - connection.alone_since >= kAlone) {
    doom(slot, StreamClose::kIdle);
  }
}

}  // namespace turnpike
