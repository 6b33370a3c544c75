// One connection: bytes to requests, replies to bytes, and its times.
#include "control/ng/stream_session.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "control/ng/request.h"

namespace turnpike::ng {

namespace {

constexpr std::size_t kTokenLineBytesMax = 1100;
constexpr std::string_view kTokenHeader = "authorization:";

}  // namespace

StreamSession::StreamSession(std::unique_ptr<StreamLink> link, Guard guard,
                             MessageLimits message_limits, StreamLimits limits,
                             Dispatcher& dispatcher, std::function<void()> on_closed)
    : link_(std::move(link)),
      guard_(guard),
      message_limits_(message_limits),
      limits_(limits),
      dispatcher_(dispatcher),
      on_closed_(std::move(on_closed)),
      reader_(message_limits),
      is_let_in_(guard.gate == nullptr),
      since_(loop::EventLoop::now()) {}

void StreamSession::start() {
  link_->start({.on_data = [this](std::string_view bytes) { receive(bytes); },
                .on_end = [this] { peer_ended(); },
                .on_drained = [this] { drained(); },
                .on_broken = [this] { close(); }});
}

void StreamSession::close() {
  const auto self = shared_from_this();  // the owner lets go of us in on_closed_
  if (std::exchange(closed_, true)) return;
  if (working_ || link_->bytes_unsent() > 0) ++dispatcher_.counters().replies_unsent;
  on_closed_();
}

bool StreamSession::backlogged() const {
  return link_->bytes_unsent() > limits_.unsent_bytes_max;
}

void StreamSession::receive(std::string_view bytes) {
  const auto self = shared_from_this();
  if (closed_ || closing_) return;
  if (input_.empty() && !working_ && is_let_in_) since_ = loop::EventLoop::now();
  input_ += bytes;
  process();
}

void StreamSession::process() {
  // A reply that comes at once calls this again; the loop below goes on instead.
  if (std::exchange(processing_, true)) return;
  while (!working_ && !closing_ && !closed_ && !backlogged()) {
    if (read_token() == Step::kWait || end_withdrawn()) break;
    if (read_frame() == Step::kWait || read_message() == Step::kWait) break;
  }
  processing_ = false;
  if (closed_ || closing_) return;
  // What came already is worked off before more is read: the buffer stays small.
  if (working_ || backlogged()) {
    link_->pause_reading();
  } else if (!ended_) {
    link_->resume_reading();
  } else if (link_->bytes_unsent() == 0) {
    if (!input_.empty()) {
      ++dispatcher_.counters().parse_faults[static_cast<std::size_t>(ParseFault::kIncomplete)];
    }
    close();
  }
}

StreamSession::Step StreamSession::read_token() {
  if (is_let_in_) return Step::kGoOn;
  if (input_.empty()) return Step::kWait;
  const std::size_t end = input_.find('\n');
  const auto head = std::string_view(input_).substr(0, kTokenHeader.size());
  // Who begins with something else is told at once: it may wait for an answer to that.
  const bool may_come = !ended_ && kTokenHeader.starts_with(normalised(head));
  if (may_come && end == std::string::npos && input_.size() <= kTokenLineBytesMax) {
    return Step::kWait;
  }
  std::string_view line = std::string_view(input_).substr(0, std::min(end, kTokenLineBytesMax));
  if (line.ends_with('\r')) line.remove_suffix(1);
  is_let_in_ =
      end != std::string::npos && normalised(line.substr(0, kTokenHeader.size())) == kTokenHeader;
  line.remove_prefix(std::min(line.size(), kTokenHeader.size()));
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  is_let_in_ = is_let_in_ && guard_.gate->is_authorised(line);
  if (!is_let_in_) {
    guard_.gate->count(Refusal::kToken);
    return send_last("the first line must be \"Authorization: Bearer TOKEN\"");
  }
  token_number_ = guard_.gate->token_number();
  explicit_bzero(input_.data(), end);
  input_.erase(0, end + 1);
  since_ = loop::EventLoop::now();
  return Step::kGoOn;
}

bool StreamSession::end_withdrawn() {
  if (guard_.gate == nullptr || !is_let_in_) return false;
  const Refusal refusal = guard_.gate->judge_again(guard_.client, token_number_);
  if (refusal == Refusal::kNone) return false;
  guard_.gate->count(refusal);
  send_last(std::string(info_of(refusal).words) + "; connect anew");
  return true;
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
  return send_last(reason);
}

StreamSession::Step StreamSession::send_last(const std::string& reason) {
  closing_ = true;
  link_->pause_reading();
  send(cookie_, reader_.encoding(), error_reply(reason));
  lingers_ = link_->end();
  input_.clear();
  if (lingers_) link_->resume_reading();
  return Step::kWait;
}

void StreamSession::execute(const Value::Dict& message, Encoding encoding, std::string cookie) {
  since_ = loop::EventLoop::now();
  Gate::Entry entry;
  if (guard_.gate != nullptr) {
    entry = guard_.gate->enter(guard_.client, since_);
    if (entry.place == nullptr) {
      return send(cookie, encoding, error_reply(info_of(entry.refusal).words));
    }
  }
  working_ = true;
  dispatcher_.handle(message, [weak = weak_from_this(), encoding, place = entry.place,
                               cookie = std::move(cookie)](const Value::Dict& reply) mutable {
    place.reset();
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
  link_->write(std::move(bytes));
}

void StreamSession::peer_ended() {
  const auto self = shared_from_this();
  ended_ = true;
  if (lingers_ && link_->bytes_unsent() == 0) return close();
  process();
}

void StreamSession::drained() {
  const auto self = shared_from_this();
  if (closing_ && (ended_ || !lingers_)) return close();
  process();
}

void StreamSession::sweep(Instant now) {
  const auto self = shared_from_this();
  Milliseconds limit = limits_.idle_timeout;
  if (working_ || closing_ || link_->bytes_unsent() > 0) {
    limit = limits_.reply_timeout;
  } else if (!input_.empty() || !is_let_in_) {
    limit = limits_.request_timeout;
  }
  if (!closed_ && !closing_ && !working_ && end_withdrawn()) return;
  if (closed_ || now - since_ < limit) return;
  ++dispatcher_.counters().connections_timed_out;
  close();
}

}  // namespace turnpike::ng
