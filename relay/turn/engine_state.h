// The inside of the TURN engine, for the files that make it up: engine.cc (clients and peers,
// data), requests.cc (authentication, responses), discovery.cc (Binding), allocate.cc and
// bindings.cc (what other requests do), tcp_allocations.cc (TCP connections with peers),
// mobility.cc (clients that move), lifetime.cc (ends and settings).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "relay/core/timer_wheel.h"
#include "relay/turn/allocations.h"
#include "relay/turn/credentials.h"
#include "relay/turn/engine.h"
#include "relay/turn/nonce.h"
#include "relay/turn/peer_policy.h"
#include "relay/turn/shared.h"
#include "relay/turn/source_limits.h"
#include "relay/turn/tickets.h"
#include "relay/wire/stun.h"

namespace turnpike::turn {

constexpr Seconds kReservationLifetime{30};  ///< RFC 8656 section 7.2
constexpr std::uint32_t kReservationsMax = 64;

/// Header, XOR-PEER-ADDRESS of IPv6, ICMP.
constexpr std::size_t kIcmpIndicationBytes =
    stun::kHeaderBytes + stun::kAttributeHeaderBytes + 20 + stun::kAttributeHeaderBytes + 8;

/// One request on its way through the engine.
struct Request {
  const stun::Message& message;
  Allocations::Tuple tuple;
  SocketAddress server;
  Instant now{};
  Seconds wall{0};
  const Packet* packet = nullptr;
  const Listener* listener = nullptr;
  // Whence the response leaves, and where it goes.
  SocketTag from{};
  SocketAddress to{};
  /// What the shard that has the allocation says; unset: it was not asked.
  std::optional<Refusal> verdict{};
  const Identity* identity = nullptr;       ///< null before authentication, and for Binding
  const DiscoveryPlaces* places = nullptr;  ///< RFC 5780: those of the socket; null: it has none
  bool takes_tokens = false;                ///< the realm does (RFC 7635)
  bool deferred = false;                    ///< the answer comes when the allocation has
};

/// A request whose allocation is on its way from another shard.
struct Deferred {
  Move* move = nullptr;
  Allocations::Tuple tuple;
  Listener listener;
  std::vector<std::uint8_t> request;  ///< with room for the response
  std::size_t length = 0;
  bool gone = false;  ///< its connection is
};

/// A TCP connection of an allocation with a peer.
struct PeerConnection {
  std::uint32_t id = 0;
  SocketAddress peer;
  /// To its Connect request, while that waits: whole responses.
  std::vector<std::uint8_t> success;
  std::vector<std::uint8_t> failure;
};

/// What a TCP allocation has besides.
struct TcpState {
  std::shared_ptr<TcpTraffic> traffic;
  std::vector<PeerConnection> connections;
};

/// Nothing: done, and the response is written. Otherwise why not.
using Refused = std::optional<Refusal>;

struct Engine::State {
  State(const EngineSetup& given, RelayedPorts& relayed_ports, Counters& shard_counters);

  // engine.cc: data.
  void on_channel_data(Packet& packet, const Allocations::Tuple& tuple, Instant now, Outbox& out);
  void on_send(const stun::Message& message, const Allocations::Tuple& tuple, Instant now,
               Outbox& out);
  void to_peer(Allocation& allocation, const Peer& peer, std::uint16_t port, stun::Bytes data,
               Instant now, Outbox& out);
  void to_client(Allocation& allocation, Packet& packet, Channel* channel, Outbox& out);
  /// A message of the server's own.
  bool send_to_client(const Allocation& allocation, stun::Bytes message, Outbox& out);
  bool within_rate(const Allocation& allocation, Traffic& traffic, std::size_t bytes, Instant now);
  void drop(Drop reason) { counters.drops[static_cast<std::size_t>(reason)].add(); }
  stun::TransactionId next_transaction();

  // requests.cc.
  void on_request(Packet& packet, const stun::Message& message, const Allocations::Tuple& tuple,
                  const Listener& listener, Instant now, Seconds wall, Outbox& out,
                  std::optional<Refusal> verdict = std::nullopt);
  Refused dispatch(Request& request, stun::Writer& response);
  Refused on_allocation(Request& request, stun::Writer& response);
  /// Of the allocation that a token has made; nothing when none has.
  std::optional<TokenSession> session_of(const Allocation* allocation) const;
  /// A token that was good: its key, and its time, are the allocation's from now on.
  void take_token(Allocation& allocation, const Request& request);
  bool belongs_to(const Allocation& allocation, const Identity& identity) const;
  bool names_owner(const stun::Message& message, const Allocation* allocation) const;
  /// How long the answer may be to who has shown no credentials that are good.
  std::size_t answer_bytes_max(const Credentials::Outcome& outcome, const Packet& request,
                               Instant now);
  /// Nothing for who has shown no code and cannot have an allocation to ask about.
  Refused refuse_plain(const Request& request);
  void count(Refusal refusal) { counters.refusals[static_cast<std::size_t>(refusal)].add(); }
  void write_refusal(const Request& request, Refusal refusal, std::uint32_t realm,
                     stun::Writer& response);

  // discovery.cc.
  Refused bind(Request& request, stun::Writer& response);
  const DiscoveryPlaces* places_of(const Allocations::Tuple& tuple) const;

  // allocate.cc: RFC 8656 section 7.
  struct Wish;
  Refused allocate(const Request& request, stun::Writer& response);
  Refused read_wish(const Request& request, Wish& wish) const;
  bool open_ports(const Wish& wish, Allocation& allocation);
  Allocation* open_allocation(const Request& request, const Wish& wish);
  std::optional<SocketAddress> open_port(Allocation& allocation, Side side, const Wish& wish);
  void write_allocated(const Request& request, const Allocation& allocation,
                       stun::Writer& response);
  bool count_owner(const Owner& owner, const Quotas& quotas);
  void uncount_owner(const Owner& owner);
  std::optional<std::uint32_t> take_reservation(std::uint64_t token, const Owner& owner);
  void reserve(Allocation& allocation, std::uint32_t reservation);

  // bindings.cc: RFC 8656 sections 8, 10, 12.
  Refused refresh(const Request& request, Allocation& allocation, stun::Writer& response);
  Refused create_permission(const Request& request, Allocation& allocation);
  Refused channel_bind(const Request& request, Allocation& allocation);
  Refused judge_peer(const Allocation& allocation, const IpAddress& ip) const;
  /// Permits all of `ips` or none.
  Refused permit(Allocation& allocation, std::span<const IpAddress> ips, Instant now);

  /// Takes so many new peers from what the allocation and its user may have.
  bool may_add_peers(Allocation& allocation, std::uint32_t count, Instant now);

  // tcp_allocations.cc: RFC 6062.
  bool listen(AddressFamily family, Allocation& allocation);
  Refused connect(Request& request, Allocation& allocation);
  Refused connection_bind(Request& request);
  bool may_connect(const Allocation& allocation, const SocketAddress& peer) const;
  /// `id`: 0: a new one. Nothing when there are too many.
  std::optional<std::uint32_t> add_connection(Allocation& allocation, const SocketAddress& peer,
                                              std::uint32_t id);
  void remove_connection(const Allocation& allocation, std::uint32_t id);
  /// A sealed response to Connect: with the CONNECTION-ID, or that it has failed.
  std::vector<std::uint8_t> write_answer(const Request& request,
                                         std::optional<std::uint32_t> id) const;
  std::optional<PeerClose> admit(Allocation& allocation, const TcpEvent& event, Instant now);
  void tell_of_attempt(const Allocation& allocation, const TcpEvent& event, Outbox& out);
  void close_tcp(const Allocation& allocation);
  void adapt_tcp(const Allocation& allocation);
  void take_connections(Allocation& allocation, std::uint64_t owner);

  // mobility.cc: RFC 8016.
  /// The allocation that a Refresh with a ticket is about, from wherever it comes now.
  Refused resume(Request& request, stun::Bytes ticket, Allocation*& allocation);
  Refused judge_move(const Allocation* allocation, const TicketName& name, std::string_view realm,
                     std::string_view user, Instant now) const;
  Refused move_here(const Request& request, const TicketName& name, Allocation*& allocation);
  Refused ask_for(Request& request, const TicketName& name);
  void give_away(Move& move, Instant now);
  std::unique_ptr<MovedAllocation> pack(Allocation& allocation);
  Refused unpack(const MovedAllocation& moved, const Allocations::Tuple& tuple,
                 const Listener& listener);
  void finish(Deferred& waits, Instant now, Seconds wall, Outbox& out);
  void write_ticket(const Allocation& allocation, stun::Writer& response) const;
  /// It is another transport's, or another shard's, now.
  void count_moved(const Allocation& allocation, bool arrives);
  bool has_room() const { return allocations.size() + deferred.size() < allocations.capacity(); }

  // lifetime.cc.
  /// What is granted for LIFETIME, or its absence; 0: nothing any more.
  Seconds lifetime(const Request& request, const Allocation& allocation) const;
  void close(Allocation& allocation);
  void close_side(Allocation& allocation, Side side);
  /// The one of this 5-tuple, unless its time is over.
  Allocation* find(const Allocations::Tuple& tuple, Instant now);
  void set_timer(const Allocation& allocation) { timers.set(allocation.slot, allocation.expires); }
  void end_reservation(std::uint32_t index, Instant now);
  void adapt(std::shared_ptr<const Credentials> prepared);
  void apply_rules(const Allocation& allocation);

  const PeerRules& rules(const Allocation& allocation) const {
    return credentials->realm(allocation.realm).peers;
  }
  // What all allocations of a user may take together; nothing he gets back by allocating anew.
  static bool within_owner_rate(OwnerRates& rates, const Owner& owner, std::uint32_t per_minute,
                                std::uint32_t count, Instant now);
  OwnAddresses own() const {
    return {setup.own_addresses,  setup.relay_addresses, setup.relay_port_min,
            setup.relay_port_max, setup.media_port_min,  setup.media_port_max};
  }
  bool has_port(const Peer& peer, std::uint16_t port) const {
    return (port >= peer.port_min && port <= peer.port_max) ||
           (peer.own_media && own().is_media_port(port));
  }
  /// As the rules are now.
  void set_ports(Peer& peer, const PeerRules& now_rules) const {
    const PeerPorts ports_now = peer_ports(peer.ip, now_rules, own());
    peer.port_min = ports_now.min;
    peer.port_max = ports_now.max;
    peer.own_media = ports_now.own_media;
  }
  std::uint64_t random_u64() const;

  struct Reserved {
    std::uint64_t token = 0;  // 0: none
    Owner owner;
  };

  EngineSetup setup;
  RelayedPorts& ports;
  Counters& counters;
  std::shared_ptr<Shared> shared;
  SipHashKey transaction_key;  // of this engine
  std::uint64_t transactions = 0;
  Nonces nonces;
  Tickets tickets;
  SourceLimits limits;
  Allocations allocations;
  TimerWheel timers;  // allocations by slot, then reservations
  std::array<Reserved, kReservationsMax> reserved{};
  std::vector<std::unique_ptr<Deferred>> deferred;
  std::vector<std::unique_ptr<Deferred>> answered;  // whose memory the outbox uses
  // Of indications that hold no data of a peer; as many as fit an outbox.
  std::array<std::array<std::uint8_t, kIcmpIndicationBytes>, kBatchPacketsMax> notes{};
  std::size_t next_note = 0;
  std::shared_ptr<const Credentials> credentials;
  std::vector<TcpState> tcp;             // by slot; none without TCP allocations
  std::vector<std::uint8_t> tcp_answer;  // whose memory the outbox uses
  bool busy = false;
};

}  // namespace turnpike::turn
