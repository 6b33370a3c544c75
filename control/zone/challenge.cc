#include "control/zone/challenge.h"

#include <utility>

namespace turnpike::zone {
namespace {

constexpr std::string_view kDiallerLabel = "turnpike zone 1 dialler";
constexpr std::string_view kListenerLabel = "turnpike zone 1 listener";

}  // namespace

Challenge::Challenge(bool dials, Hello ours, std::shared_ptr<const Secret> password,
                     const tls::Session::ChannelBinding& binding)
    : dials_(dials), ours_(std::move(ours)), password_(std::move(password)), binding_(binding) {
  if (!dials_) return;
  our_hello_ = write(ours_);
  output_ = our_hello_;
}

std::size_t Challenge::receive(std::string_view bytes) {
  std::size_t taken = 0;
  while (state_ == State::kRunning) {
    bool bad = false;
    const auto frame = first_message(bytes.substr(taken), bad);
    if (bad) refuse(Reason::kBadMessage, false);
    if (!frame) break;
    take(*frame);
    taken += frame->size;
  }
  return taken;
}

void Challenge::take(const Frame& frame) {
  switch (frame.type) {
    case MessageType::kHello:
      return take_hello(frame);
    case MessageType::kProof:
      return take_proof(frame);
    case MessageType::kRefusal:
      break;
  }
  const auto refusal = read_refusal(frame.body);
  refuse(refusal && dials_ ? refusal->reason : Reason::kBadMessage, false);
}

Reason Challenge::judge(const Hello& hello) const {
  if (hello.version != kProtocolVersion) return Reason::kOtherVersion;
  if (hello.role == ours_.role) return Reason::kWrongRole;
  if (hello.zone != ours_.zone) return Reason::kWrongZone;
  if (dials_ && hello.purpose != ours_.purpose) return Reason::kBadMessage;
  return Reason::kNone;
}

void Challenge::take_hello(const Frame& frame) {
  auto hello = read_hello(frame.body);
  if (!hello || peer_) return refuse(Reason::kBadMessage, false);
  const Reason reason = judge(*hello);
  peer_ = std::move(hello);
  if (reason != Reason::kNone) return refuse(reason, true);
  their_hello_ = write(*peer_);
  if (dials_) {
    output_ += write(Proof{tag_of(true)});
    return;
  }
  ours_.purpose = peer_->purpose;
  our_hello_ = write(ours_);
  output_ += our_hello_;
}

void Challenge::take_proof(const Frame& frame) {
  const auto proof = read_proof(frame.body);
  if (!proof || !peer_) return refuse(Reason::kBadMessage, false);
  const bool right = tls::equal_in_constant_time(proof->tag, tag_of(!dials_));
  if (dials_) {
    if (!right) return refuse(Reason::kWrongProof, false);
  } else {
    if (!right || peer_->user != ours_.user) return refuse(Reason::kWrongPassword, true);
    output_ += write(Proof{tag_of(false)});
  }
  state_ = State::kPassed;
}

void Challenge::refuse(Reason reason, bool tell) {
  state_ = State::kRefused;
  reason_ = reason;
  if (tell && !dials_) output_ += write(Refused{reason});
}

tls::Sha256Tag Challenge::tag_of(bool dialler) const {
  std::string message(dialler ? kDiallerLabel : kListenerLabel);
  message.append(binding_.begin(), binding_.end());
  message += dials_ ? our_hello_ : their_hello_;
  message += dials_ ? their_hello_ : our_hello_;
  return tls::hmac_sha256(password_->reveal(), message);
}

}  // namespace turnpike::zone
