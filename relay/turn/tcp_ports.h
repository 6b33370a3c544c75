// TCP allocations (RFC 6062) as the engine sees them: the seam to whoever has their sockets, and
// what that tells. Is not: sockets, nor the bytes; the engine judges who may connect to whom.
//
//   client control connection --- Connect, ConnectionBind ---> engine --- TcpPorts ---> sockets
//                                 ConnectionAttempt       <---        <--- TcpEvent ---
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "relay/core/packet.h"
#include "turnpike/address.h"
#include "turnpike/turn.h"

namespace turnpike::turn {

/// What one TCP allocation has relayed, and may: read and written by both sides of the seam.
struct TcpTraffic {
  std::atomic<std::uint64_t> bytes_to_peers{0};
  std::atomic<std::uint64_t> bytes_to_clients{0};
  std::atomic<std::uint64_t> bytes_per_second{0};  ///< in each direction; 0: no limit
  std::uint8_t figures = 0;                        ///< of the realm
};

/// What became of a connection with a peer.
struct TcpEvent {
  enum class Kind : std::uint8_t {
    kConnected,  ///< as Connect has asked
    kComes,      ///< from a peer, to the relayed transport address: waits for judged()
    kEnded,      ///< it is no more, or was never there
  };
  Kind kind = Kind::kEnded;
  SocketTag tag;  ///< of the relayed transport address
  std::uint32_t id = 0;
  SocketAddress peer;  ///< kComes: as advertised
};

class TcpPorts {
 public:
  virtual ~TcpPorts() = default;

  /// Listens at a random port of the family, which is named `tag` from now on. Nothing when none is
  /// left.
  virtual std::optional<SocketAddress> listen(const SocketTag& tag, AddressFamily family,
                                              std::shared_ptr<TcpTraffic> traffic) = 0;
  /// It and all its connections end; no events come of it any more.
  virtual void close(const SocketTag& tag) = 0;

  enum class Begun : std::uint8_t {
    kYes,        ///< an event comes
    kForbidden,  ///< an address of this host that is no TCP allocation's
    kNo,         ///< there is no room
  };
  /// Connects from the relayed transport address; `id` is the connection's CONNECTION-ID.
  virtual Begun connect(const SocketTag& tag, std::uint32_t id, const SocketAddress& peer) = 0;
  /// Of one that came: it waits for its ConnectionBind, or ends, for that reason.
  virtual void judged(std::uint32_t id, std::optional<PeerClose> refused) = 0;
  /// It ends.
  virtual void end(std::uint32_t id, PeerClose why) = 0;
  /// The client's stream becomes the other half of it, once the response has been sent.
  virtual void bind(const SocketTag& stream, std::uint32_t id) = 0;
};

}  // namespace turnpike::turn
