// Where media may be sent because a description says so. A client names its own address; without
// these rules it could name another host's and have the relay send there from inside its walls.
// Is not: where packets are accepted from (the leg's source policy).
#pragma once

#include <cstdint>
#include <string_view>

#include "control/call/call_service.h"
#include "turnpike/address.h"

namespace turnpike::call {

class Destinations {
 public:
  /// `config` outlives this.
  explicit Destinations(const CallServiceConfig& config) : config_(config) {}

  /// Why an end on this interface cannot have this address, for the error's text; empty when it
  /// can. Of an interface that itself has a loopback or link-local address, such ends are welcome.
  std::string_view refusal(std::uint16_t interface_index, const SocketAddress& address) const;

  /// True when the address lies in a network of another interface, or is one of ours: on an
  /// interface that requires SRTP, nothing is sent there until an authentic packet came from
  /// there. A phone behind NAT may rightly name such an address; its packets tell the real one.
  bool needs_proof(std::uint16_t interface_index, const SocketAddress& address) const;

  /// Where that is from here: of relayed addresses of our own TURN server that are advertised
  /// otherwise, the local ones. Others as they are.
  SocketAddress route(const SocketAddress& address) const;

  /// Whether others share its IP address: those of all clients of our TURN server are alike.
  bool is_shared(const SocketAddress& address) const { return relay_of(address) != nullptr; }

  /// Whether ICE may send checks to a candidate: neither of the above speaks against it. An end
  /// whose candidates all fall away may still be found by the checks that it sends.
  bool allows_candidate(std::uint16_t interface_index, const SocketAddress& address) const {
    return refusal(interface_index, address).empty() &&
           (relay_of(address) != nullptr || !needs_proof(interface_index, address));
  }

 private:
  bool requires_srtp(std::uint16_t interface_index) const;
  bool is_own(const IpAddress& ip) const;
  /// The address of our TURN server that is meant; null: it is none of its relayed ones.
  const InterfaceAddress* relay_of(const SocketAddress& address) const;

  const CallServiceConfig& config_;
};

}  // namespace turnpike::call
