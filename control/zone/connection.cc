#include "control/zone/connection.h"

#include <utility>

namespace turnpike::zone {
namespace {

constexpr const char* kExporterLabel = "Turnpike-zone-1";
constexpr int kKeepalivesMissedMax = 2;
// The other end may send at once what follows the handshake, but not much before it is known.
constexpr std::size_t kEarlyBytesMax = 65536;
// A wide window, as what is measured is the path; and hardly any streams.
constexpr Http2Limits kBulkLimits{.streams_max = 2,
                                  .stream_window_bytes = 1 << 20,
                                  .opens_burst = 4,
                                  .opens_per_second = 1,
                                  .header_bytes_max = 1024};

}  // namespace

Connection::Connection(ConnectionOptions options, const Credentials& credentials, Instant now)
    : options_(std::move(options)),
      password_(credentials.password),
      tls_(credentials.tls, options_.dials ? tls::Role::kClient : tls::Role::kServer,
           options_.peer_rule, options_.server_name),
      deadline_(now + options_.handshake_timeout) {}

bool Connection::opens_streams() const {
  const bool by_core =
      challenge_ && challenge_->peer() && challenge_->peer()->purpose != Purpose::kSignallingByEdge;
  return by_core == (options_.hello.role == Role::kCore);
}

void Connection::receive(std::string_view bytes, Instant now) {
  if (phase_ == Phase::kClosed) return;
  bytes_received_ += bytes.size();
  last_heard_ = now;
  tls_.receive(bytes, plaintext_);
  advance(now);
  if (phase_ == Phase::kClosed) return;
  if (tls_.state() == tls::Session::State::kRefused) {
    end(of(tls_.refusal()), tls_.detail());
  } else if (tls_.state() == tls::Session::State::kEnded) {
    end(Reason::kClosedThere, "");
  }
}

void Connection::advance(Instant now) {
  const bool tls_is_up = tls_.state() == tls::Session::State::kOpen ||
                         (tls_.state() == tls::Session::State::kEnded && challenge_);
  if (phase_ == Phase::kTls && tls_is_up) begin_challenge();
  if (phase_ == Phase::kChallenge) take_challenge(now);
  if (phase_ == Phase::kOpen) take_streams(now);
}

void Connection::begin_challenge() {
  if (options_.may_try_password) {
    const Reason reason = options_.may_try_password(tls_.peer_name());
    if (reason != Reason::kNone) {
      tls_.send(write(Refused{reason}));
      return end(reason, "");
    }
  }
  challenge_ = std::make_unique<Challenge>(options_.dials, options_.hello, password_,
                                           tls_.channel_binding(kExporterLabel));
  phase_ = Phase::kChallenge;
  flush_challenge();
}

void Connection::flush_challenge() {
  const std::string output = challenge_->take_output();
  if (tls_.state() == tls::Session::State::kOpen) tls_.send(output);
}

void Connection::take_challenge(Instant now) {
  plaintext_.erase(0, challenge_->receive(plaintext_));
  flush_challenge();
  if (challenge_->state() == Challenge::State::kRefused) return end(challenge_->reason(), "");
  if (plaintext_.size() > kEarlyBytesMax) return end(Reason::kBadMessage, "too much at once");
  if (challenge_->state() != Challenge::State::kPassed) return;
  phase_ = Phase::kOpen;
  const auto side = opens_streams() ? Http2::Side::kOpens : Http2::Side::kAccepts;
  const bool is_bulk = challenge_->peer()->purpose == Purpose::kBulk;
  http2_ = std::make_unique<Http2>(side, is_bulk ? kBulkLimits : options_.http2);
  ping(now);
}

void Connection::take_streams(Instant now) {
  const tls::WipedText bytes = std::exchange(plaintext_, {});
  const bool sound = http2_->receive(bytes, now);
  for (StreamEvent& event : http2_->take_events()) {
    if (event.kind != StreamEvent::Kind::kPong) {
      events_.push_back(std::move(event));
    } else if (event.number == pings_) {
      round_trip_ = now - pinged_;
      ++round_trips_;
      answer_is_due_ = false;
    }
  }
  if (!sound) end(http2_->reason(), http2_->detail());
}

void Connection::ping(Instant now) {
  http2_->ping(++pings_);
  pinged_ = now;
  answer_is_due_ = true;
  deadline_ = now + options_.keepalive;
}

void Connection::ask_round_trip(Instant now) {
  if (phase_ == Phase::kOpen && !answer_is_due_) ping(now);
}

void Connection::on_deadline(Instant now) {
  if (phase_ == Phase::kClosed || now < deadline_) return;
  if (phase_ == Phase::kTls) return end(Reason::kTooSlow, "in the TLS handshake");
  if (phase_ == Phase::kChallenge) return end(Reason::kTooSlow, "in the zone handshake");
  if (now - last_heard_ > options_.keepalive * kKeepalivesMissedMax) {
    const auto silent = std::chrono::duration_cast<Seconds>(now - last_heard_);
    return end(Reason::kSilent, "nothing came for " + std::to_string(silent.count()) + " s");
  }
  ping(now);
}

void Connection::on_transport_end(Instant) {
  if (phase_ == Phase::kClosed) return;
  if (phase_ != Phase::kTls) return end(Reason::kBroken, "");
  tls_.on_transport_end();
  end(of(tls_.refusal()), tls_.detail());
}

void Connection::close(Reason reason) {
  end(reason, "");
}

void Connection::end(Reason reason, std::string detail) {
  if (phase_ == Phase::kClosed) return;
  if (phase_ == Phase::kOpen) {
    if (reason != Reason::kBadHttp2) http2_->shut_down(reason);
    tls::WipedText last;
    http2_->produce(last, std::size_t{1} << 20);
    tls_.send(last);
  }
  tls_.close();
  phase_ = Phase::kClosed;
  reason_ = reason;
  detail_ = std::move(detail);
  deadline_ = {};
  events_.clear();
  tls::wipe(plaintext_);
}

std::string Connection::take_output(std::size_t enough) {
  if (phase_ == Phase::kOpen && tls_.output_bytes() < enough) {
    tls::WipedText bytes;
    const bool sound = http2_->produce(bytes, enough - tls_.output_bytes());
    tls_.send(bytes);
    for (StreamEvent& event : http2_->take_events()) events_.push_back(std::move(event));
    if (!sound) end(http2_->reason(), http2_->detail());
  }
  std::string output = tls_.take_output();
  bytes_sent_ += output.size();
  return output;
}

std::vector<StreamEvent> Connection::take_events() {
  return std::exchange(events_, {});
}

std::string Connection::tls_description() const {
  return challenge_ ? tls_.version() + " " + tls_.cipher() : "";
}

}  // namespace turnpike::zone
