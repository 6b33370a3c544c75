// To whom a connection at the front door goes, by the first bytes that it brings: STUN in the clear
// (RFC 7983), or TLS with the names and protocols of its ClientHello. Is not: I/O, nor a limit.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "relay/wire/client_hello.h"
#include "turnpike/front_door.h"

namespace turnpike::door {

class Rules {
 public:
  /// `takes_stun`: STUN in the clear is served as well.
  Rules(std::array<TargetRule, kTargetCount> targets, bool takes_stun)
      : targets_(std::move(targets)), takes_stun_(takes_stun) {}

  struct Verdict {
    bool decided = false;  ///< false: look again when more has come
    Outcome outcome = Outcome::kUnknownProtocol;
    std::size_t wanted = 1;  ///< when not decided: with fewer bytes nobody is passed on
  };
  /// `bytes`: what has come so far; at least one.
  Verdict judge(std::span<const std::uint8_t> bytes, ClientHelloReader& reader) const;

 private:
  Outcome target_of(const ClientHello& hello) const;

  std::array<TargetRule, kTargetCount> targets_;
  bool takes_stun_;
};

}  // namespace turnpike::door
