#include "control/zone/link.h"

#include <utility>

#include "control/zone/config.h"

namespace turnpike::zone {
namespace {

constexpr std::size_t kUnsentBytesMax = 262144;  // in the socket's queue; then the engine waits
constexpr std::size_t kOutputBlockBytes = 65536;
constexpr std::size_t kStreamUnsentBytesMax = 131072;  // then the local end is not read
constexpr std::size_t kChannelLengthBytes = 4;
constexpr unsigned kStatusNotFound = 404;
constexpr unsigned kStatusBadGateway = 502;

}  // namespace

struct Link::Bridge {
  std::unique_ptr<loop::TcpConnection> local;
  std::size_t unconsumed = 0;  // written to `local` and not taken by the kernel yet
  bool dialling = false;       // the stream is accepted once the local end has answered
  bool paused = false;
  bool local_ended = false;
  bool stream_ended = false;
};

Link::Link(loop::EventLoop& loop, std::unique_ptr<loop::TcpConnection> tcp,
           ConnectionOptions options, const Credentials& credentials, Handlers handlers)
    : loop_(loop),
      handlers_(std::move(handlers)),
      tcp_(std::move(tcp)),
      remote_(tcp_->remote_address()),
      connection_(std::move(options), credentials, loop::EventLoop::now()),
      timer_(loop, [this] { on_timer(); }) {}

Link::~Link() {
  *alive_ = false;
}

void Link::start() {
  tcp_->start({.on_connected =
                   [this] {
                     was_connected_ = true;
                     pump();
                   },
               .on_data = [this](std::string_view bytes) { on_bytes(bytes); },
               .on_end =
                   [this] {
                     done_ = true;
                     connection_.on_transport_end(loop::EventLoop::now());
                     pump();
                   },
               .on_drained = [this] { pump(); },
               .on_broken =
                   [this](const std::string& why) {
                     done_ = true;
                     tcp_trouble_ = why;
                     connection_.on_transport_end(loop::EventLoop::now());
                     pump();
                   }});
  pump();
}

void Link::on_bytes(std::string_view bytes) {
  was_connected_ = true;
  connection_.receive(bytes, loop::EventLoop::now());
  pump();
}

void Link::on_timer() {
  connection_.on_deadline(loop::EventLoop::now());
  pump();
}

void Link::close(Reason reason) {
  connection_.close(reason);
  pump();
}

// Everything that may have changed the engine ends here. Handlers may come back: then once more.
void Link::pump() {
  pump_again_ = true;
  if (pumping_) return;
  pumping_ = true;
  const auto alive = alive_;
  while (std::exchange(pump_again_, false)) {
    if (is_open() && !std::exchange(was_open_, true)) {
      if (is_bulk()) tcp_->yield_to_others();
      handlers_.on_open(*this);
    }
    if (!*alive) return;
    take_events();
    while (tcp_->bytes_unsent() < kUnsentBytesMax) {
      const std::string output = connection_.take_output(kOutputBlockBytes);
      if (output.empty()) break;
      tcp_->write(output);
    }
    // What the engine has taken over may let local ends be read again.
    if (take_events()) pump_again_ = true;
  }
  pumping_ = false;
  if (connection_.phase() == Connection::Phase::kClosed) return finish();
  const Nanoseconds wait = connection_.next_deadline() - loop::EventLoop::now();
  timer_.start(std::chrono::duration_cast<Milliseconds>(wait) + Milliseconds{1});
}

void Link::finish() {
  timer_.stop();
  for (auto& [stream, bridge] : bridges_) bridge->local->reset_on_close();
  bridges_.clear();
  tcp_->end();
  if (!std::exchange(told_closed_, true)) handlers_.on_closed(*this);
}

Link::Bridge* Link::find(StreamId stream) {
  const auto found = bridges_.find(stream);
  return found == bridges_.end() ? nullptr : found->second.get();
}

bool Link::take_events() {
  std::vector<StreamEvent> events = connection_.take_events();
  for (StreamEvent& event : events) {
    if (!is_open()) break;
    take(event);
  }
  return !events.empty();
}

void Link::take(StreamEvent& event) {
  if (is_bulk()) return handlers_.on_bulk_event(*this, event);
  if (channel_ != 0 && event.stream == channel_) return take_of_channel(event);
  if (event.kind == StreamEvent::Kind::kOpened) return accept(event.stream, event.text);
  Bridge* bridge = find(event.stream);
  if (bridge == nullptr) return;
  switch (event.kind) {
    case StreamEvent::Kind::kData:
      bridge->local->write(event.text);
      bridge->unconsumed += event.text.size();
      if (bridge->local->bytes_unsent() == 0) on_local_drained(event.stream);
      break;
    case StreamEvent::Kind::kEnded:
      bridge->stream_ended = true;
      bridge->local->end();
      drop_when_done(event.stream);
      break;
    case StreamEvent::Kind::kDrained:
      if (std::exchange(bridge->paused, false)) bridge->local->resume_reading();
      break;
    case StreamEvent::Kind::kRefused:
    case StreamEvent::Kind::kReset:
      drop(event.stream, true);
      break;
    case StreamEvent::Kind::kOpened:
    case StreamEvent::Kind::kAccepted:
    case StreamEvent::Kind::kPong:
      break;
  }
}

void Link::use_streams(const std::function<void(Http2&)>& use) {
  use(connection_.streams());
  pump();
}

void Link::ask_round_trip() {
  connection_.ask_round_trip(loop::EventLoop::now());
  pump();
}

void Link::open_channel() {
  channel_ = connection_.streams().open(kChannelTarget);
  if (channel_ == 0) return handlers_.on_no_channel(*this);
  pump();
}

bool Link::send(std::string_view message) {
  if (!channel_open_ || !is_open() || message.size() > kChannelMessageBytesMax) return false;
  // Who does not read what is answered gets no more answers.
  if (connection_.streams().unsent(channel_) > kChannelMessageBytesMax) {
    connection_.close(Reason::kSilent);
    pump();
    return false;
  }
  tls::WipedText framed;
  for (unsigned shift = 32; shift > 0; shift -= 8) {
    framed += static_cast<char>(message.size() >> (shift - 8) & 0xff);
  }
  framed += message;
  connection_.streams().write(channel_, framed);
  pump();
  return true;
}

// Without the channel the two ends would disagree about what they do; the next connection has a
// new one. An end that does not know it carries streams all the same.
void Link::take_of_channel(StreamEvent& event) {
  switch (event.kind) {
    case StreamEvent::Kind::kAccepted:
      channel_open_ = true;
      return handlers_.on_channel(*this);
    case StreamEvent::Kind::kData:
      connection_.streams().consumed(channel_, event.text.size());
      channel_received_ += event.text;
      return take_messages();
    case StreamEvent::Kind::kRefused:
      channel_ = 0;
      return handlers_.on_no_channel(*this);
    case StreamEvent::Kind::kEnded:
    case StreamEvent::Kind::kReset:
      channel_open_ = false;
      return connection_.close(Reason::kClosedThere);
    case StreamEvent::Kind::kOpened:
    case StreamEvent::Kind::kDrained:
    case StreamEvent::Kind::kPong:
      return;
  }
}

void Link::take_messages() {
  const auto alive = alive_;
  const tls::WipedText received = std::exchange(channel_received_, {});
  std::string_view rest = received;
  while (*alive && is_open() && rest.size() >= kChannelLengthBytes) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < kChannelLengthBytes; ++i) {
      size = size << 8 | static_cast<unsigned char>(rest[i]);
    }
    if (size <= kChannelMessageBytesMax && rest.size() < kChannelLengthBytes + size) break;
    const bool good = size <= kChannelMessageBytesMax && may_take_message() &&
                      handlers_.on_message(*this, rest.substr(kChannelLengthBytes, size));
    if (*alive && !good) connection_.close(Reason::kBadMessage);
    if (!good) break;
    rest.remove_prefix(kChannelLengthBytes + size);
  }
  if (*alive && is_open()) channel_received_ = rest;
}

bool Link::may_take_message() {
  const Instant at = loop::EventLoop::now();
  while (channel_messages_ > 0 && at - channel_counted_ >= kChannelMessageInterval) {
    channel_counted_ += kChannelMessageInterval;
    --channel_messages_;
  }
  if (channel_messages_ == 0) channel_counted_ = at;
  return channel_messages_++ < kChannelMessagesBurst;
}

void Link::accept(StreamId stream, std::string_view target) {
  const bool has_channel = connection_.peer_hello().purpose == Purpose::kSignallingByCore;
  if (target == kChannelTarget && has_channel && channel_ == 0 && handlers_.on_channel) {
    channel_ = stream;
    channel_open_ = true;
    connection_.streams().accept(stream);
    return handlers_.on_channel(*this);
  }
  const SocketAddress to = handlers_.find_target(*this, target);
  if (!to.is_set()) {
    handlers_.on_unknown_target();
    connection_.streams().refuse(stream, kStatusNotFound);
    return;
  }
  auto local = loop::TcpConnection::dial(loop_, to);
  if (!local) {
    handlers_.on_not_connected();
    connection_.streams().refuse(stream, kStatusBadGateway);
    return;
  }
  join(stream, std::move(*local), true);
}

bool Link::carry(std::unique_ptr<loop::TcpConnection> local, const char* target) {
  const StreamId stream = is_open() ? connection_.streams().open(target) : 0;
  if (stream == 0) {
    local->reset_on_close();
    return false;
  }
  join(stream, std::move(local), false);
  pump();
  return true;
}

void Link::join(StreamId stream, std::unique_ptr<loop::TcpConnection> local, bool dialled) {
  auto& bridge = *(bridges_[stream] = std::make_unique<Bridge>());
  bridge.local = std::move(local);
  bridge.dialling = dialled;
  bridge.local->start(
      {.on_connected =
           [this, stream] {
             if (Bridge* found = find(stream)) found->dialling = false;
             connection_.streams().accept(stream);
             pump();
           },
       .on_data = [this, stream](std::string_view bytes) { on_local_data(stream, bytes); },
       .on_end = [this, stream] { on_local_end(stream); },
       .on_drained =
           [this, stream] {
             on_local_drained(stream);
             pump();
           },
       .on_broken = [this, stream](const std::string&) { on_local_broken(stream); }});
}

void Link::on_local_data(StreamId stream, std::string_view bytes) {
  connection_.streams().write(stream, bytes);
  Bridge* bridge = find(stream);
  if (bridge != nullptr && connection_.streams().unsent(stream) > kStreamUnsentBytesMax) {
    bridge->paused = true;
    bridge->local->pause_reading();
  }
  pump();
}

void Link::on_local_end(StreamId stream) {
  Bridge* bridge = find(stream);
  if (bridge == nullptr) return;
  bridge->local_ended = true;
  connection_.streams().end(stream);
  drop_when_done(stream);
  pump();
}

// What the kernel has taken, the other end may send anew.
void Link::on_local_drained(StreamId stream) {
  Bridge* bridge = find(stream);
  if (bridge == nullptr) return;
  connection_.streams().consumed(stream, std::exchange(bridge->unconsumed, 0));
  drop_when_done(stream);
}

void Link::on_local_broken(StreamId stream) {
  const Bridge* bridge = find(stream);
  if (bridge == nullptr) return;
  if (bridge->dialling) {
    handlers_.on_not_connected();
    connection_.streams().refuse(stream, kStatusBadGateway);
  } else {
    connection_.streams().reset(stream);
  }
  drop(stream, false);
  pump();
}

void Link::drop(StreamId stream, bool reset_local) {
  const auto found = bridges_.find(stream);
  if (found == bridges_.end()) return;
  if (reset_local) found->second->local->reset_on_close();
  bridges_.erase(found);
}

void Link::drop_when_done(StreamId stream) {
  const Bridge* bridge = find(stream);
  const bool done = bridge != nullptr && bridge->local_ended && bridge->stream_ended &&
                    bridge->local->bytes_unsent() == 0;
  if (done) drop(stream, false);
}

}  // namespace turnpike::zone
