// One connection: bytes to requests, replies to bytes, and its times.
#include "control/ng/stream_session.h"

#include <utility>

#include "control/ng/request.h"

namespace turnpike::ng {

StreamSession::StreamSession(std::unique_ptr<loop::StreamConnection> connection,
                             MessageLimits message_limits, StreamLimits limits,
                             Dispatcher& dispatcher, std::function<void()> on_closed)
    : connection_(std::move(connection)),
      message_limits_(message_limits),
      limits_(limits),
      dispatcher_(dispatcher),
      on_closed_(std::move(on_closed)),
      reader_(message_limits),
      since_(loop::EventLoop::now()) {}

void StreamSession::start() {
  connection_->start({.on_data = [this](std::string_view bytes) { receive(bytes); },
                      .on_end = [this] { peer_ended(); },
                      .on_drained = [this] { drained(); },
                      .on_broken = [this] { close(); }});
}

void StreamSession::close() {
  const auto self = shared_from_this();  // the owner lets go of us in on_closed_
  if (std::exchange(closed_, true)) return;
  if (working_ || connection_->bytes_unsent() > 0) ++dispatcher_.counters().replies_unsent;
  on_closed_();
}

bool StreamSession::backlogged() const {
  return connection_->bytes_unsent() > limits_.unsent_bytes_max;
}

void StreamSession::receive(std::string_view bytes) {
  const auto self = shared_from_this();
  if (closed_ || closing_) return;
  if (input_.empty() && !working_) since_ = loop::EventLoop::now();
  input_ += bytes;
  process();
}

void StreamSession::process() {
  // A reply that comes at once calls this again; the loop below goes on instead.
  if (std::exchange(processing_, true)) return;
  while (!working_ && !closing_ && !closed_ && !backlogged()) {
    if (read_frame() == Step::kWait || read_message() == Step::kWait) break;
  }
  processing_ = false;
  if (closed_ || closing_) return;
  // What came already is worked off before more is read: the buffer stays small.
  if (working_ || backlogged()) {
    connection_->pause_reading();
  } else if (!ended_) {
    connection_->resume_reading();
  } else if (connection_->bytes_unsent() == 0) {
    if (!input_.empty()) {
      ++dispatcher_.counters().parse_faults[static_cast<std::size_t>(ParseFault::kIncomplete)];
    }
    close();
  }
}

StreamSession::Step StreamSession::read_frame() {
  if (in_frame_) return Step::kGoOn;
  input_.erase(0, input_.find_first_not_of("\r\n"));  // a line end after a dictionary is no fault
  if (input_.empty()) return Step::kWait;
  if (encoding_of(input_.front())) {
    cookie_.clear();
    body_at_ = 0;
    in_frame_ = true;
    return Step::kGoOn;
  }
  const Frame frame = parse_frame(input_);
  const bool too_short = frame.fault == ParseFault::kNoCookie && input_.front() != ' ';
  if (too_short || (!frame.cookie.empty() && frame.body.empty())) return Step::kWait;
  if (frame.fault != ParseFault::kNone) {
    cookie_ = frame.cookie;
    return refuse(frame.fault, std::string(info_of(frame.fault).words));
  }
  cookie_ = frame.cookie;
  body_at_ = frame.cookie.size() + 1;
  in_frame_ = true;
  return Step::kGoOn;
}

StreamSession::Step StreamSession::read_message() {
  const auto progress = reader_.read(std::string_view(input_).substr(body_at_));
  if (progress == ReadProgress::kNeedsMore) return Step::kWait;
  if (progress == ReadProgress::kFailed) {
    return refuse(reader_.fault(), reader_.error_text());
  }
  const Value::Dict message = reader_.take();
  const Encoding encoding = reader_.encoding();
  input_.erase(0, body_at_ + reader_.offset());
  reader_ = MessageReader(message_limits_);
  in_frame_ = false;
  execute(message, encoding, std::move(cookie_));
  return Step::kGoOn;
}

// After a fault nobody knows where the next request begins.
StreamSession::Step StreamSession::refuse(ParseFault fault, const std::string& reason) {
  ++dispatcher_.counters().parse_faults[static_cast<std::size_t>(fault)];
  closing_ = true;
  connection_->pause_reading();
  send(cookie_, reader_.encoding(), error_reply(reason));
  return Step::kWait;
}

void StreamSession::execute(const Value::Dict& message, Encoding encoding, std::string cookie) {
  working_ = true;
  since_ = loop::EventLoop::now();
  dispatcher_.handle(message, [weak = weak_from_this(), encoding,
                               cookie = std::move(cookie)](const Value::Dict& reply) {
    const auto self = weak.lock();
    if (!self || self->closed_) return;
    self->working_ = false;
    self->send(cookie, encoding, reply);
    self->process();
  });
}

// One write: some clients read once and take what they got for the whole reply.
void StreamSession::send(const std::string& cookie, Encoding encoding, const Value::Dict& reply) {
  since_ = loop::EventLoop::now();
  std::string bytes = cookie;
  if (!cookie.empty()) bytes += ' ';
  append_message(encoding, reply, bytes);
  connection_->write(std::move(bytes));
}

void StreamSession::peer_ended() {
  const auto self = shared_from_this();
  ended_ = true;
  process();
}

void StreamSession::drained() {
  const auto self = shared_from_this();
  if (closing_) return close();
  process();
}

void StreamSession::sweep(Instant now) {
  Milliseconds limit = limits_.idle_timeout;
  if (working_ || closing_ || connection_->bytes_unsent() > 0) {
    limit = limits_.reply_timeout;
  } else if (!input_.empty()) {
    limit = limits_.request_timeout;
  }
  if (closed_ || now - since_ < limit) return;
  ++dispatcher_.counters().connections_timed_out;
  close();
}

}  // namespace turnpike::ng
