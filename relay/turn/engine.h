// A TURN and STUN server without I/O (RFC 8656, RFC 8489): requests and data in, responses and
// relayed data out. Hides: authentication, nonces, allocations, permissions, channels, the peer
// policy. Is not: sockets; whoever drives it says by tag where a packet came from, and opens
// relayed transport addresses when asked.
//
//   client 5-tuple --- Allocate, ChannelData ---> engine --- UDP ---> peer
//
// A 5-tuple is the tag of the listener and the client's address; other than with UDP, it is the tag
// of the client's own stream or DTLS association.
// One engine a shard: the kernel brings all packets of a 5-tuple to the same one.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "relay/core/icmp_error.h"
#include "relay/core/packet.h"
#include "relay/turn/source_limits.h"
#include "relay/turn/tcp_ports.h"
#include "turnpike/time.h"
#include "turnpike/turn.h"

namespace turnpike::turn {

/// The relayed transport addresses of an engine: the seam to the sockets.
class RelayedPorts {
 public:
  virtual ~RelayedPorts() = default;

  /// EVEN-PORT (RFC 8656 section 18.4).
  enum class Parity : std::uint8_t { kAny, kEven, kEvenAndReserveNext };
  struct Opened {
    SocketAddress advertised;  ///< as XOR-RELAYED-ADDRESS tells it
    /// Of kEvenAndReserveNext: names the next higher port, kept until it is taken or let go.
    std::uint32_t reservation = 0;
  };

  /// Binds a random port of the family; its datagrams come with `tag`, and what is sent with `tag`
  /// leaves from it. Nothing when none is left.
  virtual std::optional<Opened> open(const SocketTag& tag, AddressFamily family, Parity parity) = 0;
  /// Binds nothing new: gives a reserved port to `tag`. The shard that asks may be another than the
  /// one that reserved it.
  virtual std::optional<Opened> take(const SocketTag& tag, std::uint32_t reservation) = 0;
  virtual void release(std::uint32_t reservation) = 0;
  /// Into quarantine.
  virtual void close(const SocketTag& tag) = 0;
  /// Takes the port from `tag` and reserves it, for another shard; 0: there is no room, and it
  /// stays.
  virtual std::uint32_t hand_over(const SocketTag& tag) = 0;
};

class Credentials;
struct Shared;

/// Sockets of two addresses with two ports each, all of this shard (RFC 5780 section 6). Bit 1 of
/// the place says the other address, bit 0 the other port.
struct DiscoveryPlace {
  SocketTag tag;
  SocketAddress advertised;
};
using DiscoveryPlaces = std::array<DiscoveryPlace, 4>;

struct EngineSetup {
  std::uint16_t shard = 0;
  std::uint32_t allocations_max = 4000;  ///< of this engine
  std::uint32_t permissions_max = 32;    ///< of one allocation
  bool ipv4 = true;                      ///< there are relay addresses of the family
  bool ipv6 = false;
  /// Of every shard alike: nonces are good on each. Random, never logged.
  std::array<std::uint8_t, 32> nonce_key{};
  /// Makes another shard's engine look, soon (on_moves()); with one shard it is not called.
  std::function<void(std::uint16_t shard)> wake;
  /// Bytes that nobody can guess (tokens, hash keys).
  std::function<void(void*, std::size_t)> random;
  /// Addresses that are ours: never a peer (T6, T8), but for relayed transport addresses and our
  /// media ports.
  std::vector<IpAddress> own_addresses;
  /// Where relayed transport addresses are, and what is advertised for them; ours as well.
  std::vector<IpAddress> relay_addresses;
  /// The ports of relayed transport addresses, at `relay_addresses`.
  std::uint16_t relay_port_min = 0;
  std::uint16_t relay_port_max = 0;
  /// The media ports at `relay_addresses`. 0: none.
  std::uint16_t media_port_min = 0;
  std::uint16_t media_port_max = 0;
  /// Of every shard alike (relay/turn/shared.h); none: the engine is the only one.
  std::shared_ptr<Shared> shared;
  /// Of a source, in this engine, by SourceLimits::Kind. What is over a limit gets no answer.
  std::array<SourceLimit, SourceLimits::kKinds> source_limits = {
      SourceLimit{100, 500}, SourceLimit{20, 200}, SourceLimit{5, 50}, SourceLimit{20, 200},
      SourceLimit{10, 50}};
  /// Where the behaviour of NATs can be discovered; none: nowhere.
  std::vector<DiscoveryPlaces> discovery;
  /// TCP allocations' (RFC 6062); outlives the engine. Null: there are none, and
  /// Shared::connection_ids is not used.
  TcpPorts* tcp = nullptr;
  std::uint32_t tcp_connections_per_allocation_max = 32;
};

/// An allocation's sockets: side A is its first relayed address, side B that of the other family.
constexpr SocketTag relayed_tag(std::uint32_t slot, std::uint32_t generation, Side side) {
  return {slot, generation, side, Component::kRtp};
}

/// What one allocation takes, besides its sockets and the user's name.
std::size_t allocation_bytes(std::uint32_t permissions_max);

/// What settings say, worked out: to be done once for all shards, and not by one of them.
std::shared_ptr<const Credentials> prepare(std::shared_ptr<const Settings> settings,
                                           const std::array<std::uint8_t, 32>& nonce_key);

class Engine {
 public:
  Engine(const EngineSetup& setup, RelayedPorts& ports, Counters& counters);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// From now on; ends allocations of users and realms that are no more.
  void configure(std::shared_ptr<const Credentials> prepared);

  /// While the shard has too much to do no allocation is made; those that there are go on.
  void set_busy(bool busy);

  /// One datagram or stream message of a client: STUN or ChannelData. `listener` says by which
  /// transport and at which local address; `wall` is Unix time, for credentials. Data that is
  /// relayed is sent from the packet's own memory, moved within it: up to kHeadroomBytes in front.
  void from_client(Packet& packet, const Listener& listener, Instant now, Seconds wall,
                   Outbox& out);
  /// One datagram that came to a relayed transport address.
  void from_peer(Packet& packet, Instant now, Outbox& out);
  /// What came back of a datagram that was relayed (RFC 8656 section 11.5).
  void from_icmp(const IcmpError& error, Instant now, Outbox& out);
  /// Of a TCP allocation. What is in `out` is sent before the next call.
  void from_tcp(const TcpEvent& event, Instant now, Outbox& out);
  /// What the outbox held could not be sent.
  void send_failed(const Send& send, Drop reason);
  /// The client's stream is gone, and its allocation with it.
  void stream_closed(const SocketTag& stream);
  bool stream_has_allocation(const SocketTag& stream) const;

  /// Gives allocations to other shards and takes those that it has asked for. What is in `out` is
  /// sent before the next call.
  void on_moves(Instant now, Seconds wall, Outbox& out);

  Instant next_deadline() const;
  void on_deadline(Instant now, Outbox& out);

  /// Allocations in use, for reports; `sink` is called for each.
  void list(const std::function<void(const AllocationReport&)>& sink, Instant now) const;
  /// Ends one; false when there is none of that name.
  bool end(const AllocationId& id, Instant now);
  std::uint32_t allocations() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::turn
