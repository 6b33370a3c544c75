// Both ends prove that they know the zone's password, over a TLS channel that both have checked,
// and tell each other who they are. An engine: bytes in, bytes out.
//
//   dialler  -> hello
//   listener -> hello          (or a refusal)
//   dialler  -> proof          HMAC(password, label | channel binding | hello | hello)
//   listener -> proof          (or a refusal)
//
// The listener proves last, so who does not know the password gets nothing to guess with. The
// binding is TLS's exporter (RFC 5705): a proof is worth nothing on any other connection.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "control/config/secret.h"
#include "control/tls/session.h"
#include "control/zone/message.h"

namespace turnpike::zone {

class Challenge {
 public:
  enum class State : std::uint8_t { kRunning, kPassed, kRefused };

  /// `ours`: with a fresh nonce; a listener's purpose is taken from the dialler's hello.
  Challenge(bool dials, Hello ours, std::shared_ptr<const Secret> password,
            const tls::Session::ChannelBinding& binding);

  /// Takes what belongs to it off the front of `bytes`, and gives how much that is: not what
  /// follows, nor what is not a whole message yet.
  std::size_t receive(std::string_view bytes);
  std::string take_output() { return std::exchange(output_, {}); }

  State state() const { return state_; }
  Reason reason() const { return reason_; }
  /// The other end's hello; unset before it came.
  const std::optional<Hello>& peer() const { return peer_; }

 private:
  void take(const Frame& frame);
  void take_hello(const Frame& frame);
  void take_proof(const Frame& frame);
  void refuse(Reason reason, bool tell);
  Reason judge(const Hello& hello) const;
  tls::Sha256Tag tag_of(bool dialler) const;

  bool dials_;
  Hello ours_;
  std::shared_ptr<const Secret> password_;
  tls::Session::ChannelBinding binding_;
  std::string our_hello_;  // as it went over the wire
  std::string their_hello_;
  std::optional<Hello> peer_;
  std::string output_;
  State state_ = State::kRunning;
  Reason reason_ = Reason::kNone;
};

}  // namespace turnpike::zone
