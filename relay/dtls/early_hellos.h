// ClientHellos that come before signalling has told who may send them: kept for a while, in few
// places. Judges nobody: that is for who takes them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>

#include "relay/core/packet.h"
#include "turnpike/time.h"

namespace turnpike {

/// ClientHellos that come before signalling has told who may send them. Who answers a call begins
/// the handshake at once, and the answer takes longer through the SIP servers than the datagram:
/// without this it would be heard no sooner than it is sent again, a second later (RFC 6347 section
/// 4.2.4.1). What is kept is judged when it is taken, as if it had come then. Bounded: strangers
/// who fill the places take no more than that second from others.
class EarlyHellos {
 public:
  static constexpr std::size_t kPlaces = 32;
  static constexpr std::size_t kPlacesOfLegMax = 2;
  static constexpr std::size_t kBytesMax = 1024;
  static constexpr Seconds kAgeMax{2};

  /// False: it is no ClientHello, or too long.
  bool keep(const Packet& packet, Instant now);
  bool has(const SocketTag& leg) const;
  /// Gives what was kept for a leg and is not too old to `hear`, oldest first.
  void each(const SocketTag& leg, Instant now, const std::function<void(const Packet&)>& hear);
  void forget(const SocketTag& leg);

 private:
  struct Place {
    Instant kept{};
    SocketAddress source;
    SocketTag tag;
    std::uint32_t length = 0;  // 0: free
    std::array<std::uint8_t, kBytesMax> bytes;
  };
  Place& place_for(const Packet& packet, Instant now);

  std::size_t used_ = 0;
  std::array<Place, kPlaces> places_;
};

}  // namespace turnpike
