// TURN and STUN (RFC 8656, RFC 8489) as control sees it: what the server may do, for whom, and what
// it has done. Plain values; control makes them from the configuration.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "turnpike/address.h"
#include "turnpike/stats.h"
#include "turnpike/time.h"

namespace turnpike::turn {

/// A prefix of addresses. `length`: 0-32 of IPv4, 0-128 of IPv6.
struct Prefix {
  IpAddress ip;
  std::uint8_t length = 0;
  bool operator==(const Prefix&) const = default;
};

/// Which peers a client may be relayed to (docs/security.md, T1-T9). Special-purpose addresses and
/// our own are refused unless `allowed` names them; loopback, unspecified and multicast always are.
struct PeerRules {
  std::vector<Prefix> allowed;    ///< opened although special-purpose
  std::vector<Prefix> denied;     ///< closed although public; wins over `allowed`
  bool only_allowed = false;      ///< allow-list mode: nothing but `allowed`
  std::uint16_t port_min = 1024;  ///< lower peer ports are refused
  bool own_media = true;          ///< our own media ports are open, whatever else is not
  bool operator==(const PeerRules&) const = default;
};

/// What one user, and one allocation, may take. 0 = no limit of ours.
struct Quotas {
  std::uint32_t allocations_per_user = 10;
  std::uint32_t allocations = 0;  ///< of the whole realm
  /// Permissions to new addresses, per allocation; ten times that for all of a user together.
  std::uint32_t new_peers_per_minute = 60;
  std::uint64_t bytes_per_second = 0;           ///< per allocation and direction
  std::uint32_t tcp_connections_per_user = 64;  ///< of TCP allocations, with peers
  bool operator==(const Quotas&) const = default;
};

/// Long-term keys of one user (RFC 8489 section 9.2.2, 18.5.1). Secret.
struct UserKeys {
  std::array<std::uint8_t, 16> md5{};
  std::array<std::uint8_t, 32> sha256{};
  bool operator==(const UserKeys&) const = default;
};

/// A secret shared with who hands out time-limited credentials: the username is
/// "EXPIRY[:anything]" in Unix seconds, the password base64(HMAC(secret, username)).
struct SharedSecret {
  std::string id;       ///< for people and metrics; not secret
  std::string secret;   ///< 16-256 bytes
  bool sha256 = false;  ///< HMAC-SHA-256 instead of HMAC-SHA1
  bool operator==(const SharedSecret&) const = default;
};

/// A key that an authorization server has as well: what opens the tokens that it gives to clients
/// (RFC 7635 section 6.2).
struct TokenKey {
  std::string kid;        ///< by which clients name it, as USERNAME; not secret
  std::string key;        ///< 16 bytes for AEAD_AES_128_GCM, 32 for AEAD_AES_256_GCM. Secret
  Seconds not_before{0};  ///< Unix time
  Seconds not_after{0};   ///< Unix time; 0: for ever
  bool operator==(const TokenKey&) const = default;
};

/// One tenant: who may ask, for what.
struct Realm {
  std::string name;  ///< 1-127 bytes of UTF-8 (RFC 8489 section 14.9)
  std::unordered_map<std::string, UserKeys> users;
  std::vector<SharedSecret> secrets;  ///< any of them; the first is the newest
  std::vector<TokenKey> token_keys;   ///< of different kids; none: no tokens are taken
  std::string token_server;           ///< as clients and authorization server call this server
  PeerRules peers;
  Quotas quotas;
  std::uint8_t figures = 0;  ///< index in Counters::realms; stays while the relay runs
  bool operator==(const Realm&) const = default;
};

/// Immutable once given to the relay; a reload gives another one.
struct Settings {
  std::vector<Realm> realms;  ///< the first is told at listeners that have none of their own
  Seconds lifetime_default{600};
  Seconds lifetime_max{3600};
  Seconds allocation_age_max{0};  ///< Refresh beyond it is refused; 0 = never
  Seconds nonce_lifetime{1800};
  bool strict_expiry = false;  ///< an allocation ends with its time-limited credential
  bool mobility = false;       ///< an allocation may follow its client (RFC 8016)
  SocketAddress alternate;     ///< ALTERNATE-SERVER while draining; unset: none
  std::string certificate;     ///< of listeners with TLS or DTLS: PEM, the chain behind it
  std::string private_key;     ///< PEM. Secret
  bool operator==(const Settings&) const = default;
};

/// A local address at which relayed transport addresses are made, and what peers see instead.
struct RelayAddress {
  IpAddress local;
  IpAddress advertised;
};

enum class ListenerTransport : std::uint8_t { kUdp, kTcp, kTls, kDtls };
constexpr std::array<std::string_view, 4> kTransportNames = {"udp", "tcp", "tls", "dtls"};
constexpr std::size_t kTransportCount = kTransportNames.size();
/// Whether its listeners are UDP sockets.
constexpr bool over_datagrams(ListenerTransport transport) {
  return transport == ListenerTransport::kUdp || transport == ListenerTransport::kDtls;
}

struct Listener {
  ListenerTransport transport = ListenerTransport::kUdp;
  SocketAddress local;
  /// That all its clients are of; empty: they are told the first of Settings::realms, and may be of
  /// any that they name.
  std::string realm{};
  /// Not opened here: its clients come by the front door (turnpike/front_door.h).
  bool at_door = false;
};

/// What does not change while the relay runs. No listeners: no TURN.
struct Config {
  std::vector<Listener> listeners;
  /// Of `listeners`, those of NAT behaviour discovery (RFC 5780): two addresses with two UDP ports
  /// each. Bit 1 of the place says the other address, bit 0 the other port.
  std::vector<std::array<std::uint32_t, 4>> discovery;
  std::vector<RelayAddress> relay_addresses;
  /// Of this host, and what stands for them outside: no peer may have one, but for relayed ports
  /// and media ports.
  std::vector<IpAddress> own_addresses;
  std::uint16_t port_min = 24000;
  std::uint16_t port_max = 29999;
  /// Where calls have their media at `relay_addresses`. 0: nowhere.
  std::uint16_t media_port_min = 0;
  std::uint16_t media_port_max = 0;
  Seconds port_quarantine{5};
  std::uint32_t allocations_max = 4000;  ///< of the whole relay
  std::uint32_t permissions_max = 32;    ///< of one allocation; channels count as well
  /// Of clients over TCP and TLS, and DTLS associations; of the whole relay.
  std::uint32_t connections_max = 4000;
  /// Of these, of one IPv4 address or IPv6 /64. 0: no limit.
  std::uint32_t connections_per_source_max = 100;
  bool tcp_allocations = false;              ///< RFC 6062
  std::uint32_t tcp_connections_max = 1000;  ///< with peers, of the whole relay
  std::uint32_t tcp_connections_per_allocation_max = 32;
};

// name, metric label, meaning: why a request was refused, with the error code that says so
#define TURNPIKE_TURN_REFUSALS(X)                                                              \
  X(kUnauthenticated, "unauthenticated", "no credentials: 401 with realm and nonce")           \
  X(kBadCredentials, "bad_credentials", "unknown user, or MESSAGE-INTEGRITY is wrong: 401")    \
  X(kExpiredCredentials, "expired_credentials", "time-limited username is over: 401")          \
  X(kStaleNonce, "stale_nonce", "nonce is old, or of another address: 438")                    \
  X(kBidDown, "bid_down", "password algorithms were tampered with: 400")                       \
  X(kBadRequest, "bad_request", "an attribute is missing or malformed: 400")                   \
  X(kUnknownAttribute, "unknown_attribute", "an attribute must be understood and is not: 420") \
  X(kWrongCredentials, "wrong_credentials", "allocation belongs to another user: 441")         \
  X(kMismatch, "allocation_mismatch", "5-tuple has an allocation, or has none: 437")           \
  X(kMobilityForbidden, "mobility_forbidden", "a mobility ticket, but mobility is off: 405")   \
  X(kMoveRate, "move_rate", "the allocation moved too often: 508")                             \
  X(kUnsupportedTransport, "unsupported_transport", "REQUESTED-TRANSPORT is not ours: 442")    \
  X(kFamily, "address_family", "address family not supported: 440")                            \
  X(kFamilyMismatch, "family_mismatch", "peer is of another address family: 443")              \
  X(kPeerDenied, "peer_denied", "peer address is forbidden: 403")                              \
  X(kPeerRate, "peer_rate", "too many new peers: 508")                                         \
  X(kQuota, "quota", "the user or the realm has its maximum of allocations: 486")              \
  X(kCapacity, "capacity", "no relayed address, slot or permission is left: 508")              \
  X(kBusy, "busy", "the shard is too busy for more allocations: 508")                          \
  X(kDraining, "draining", "server drains: 300 or 486")                                        \
  X(kConnectionExists, "connection_exists", "there is a TCP connection with the peer: 446")    \
  X(kConnectionFailed, "connection_failed", "the peer could not be connected to: 447")         \
  X(kConnectionQuota, "connection_quota", "too many TCP connections with peers: 508")          \
  X(kConnectionUnknown, "connection_unknown", "CONNECTION-ID names none that waits: 400")      \
  X(kTcpAllocation, "tcp_allocation", "ChannelBind in a TCP allocation: 403")                  \
  X(kSourceRate, "source_rate", "too many unauthenticated requests of one source: no answer")

enum class Refusal : std::uint8_t {
#define X(name, label, help) name,
  TURNPIKE_TURN_REFUSALS(X)
#undef X
      kCount
};
constexpr std::size_t kRefusalCount = static_cast<std::size_t>(Refusal::kCount);

// name, metric label, meaning: why data was not relayed
#define TURNPIKE_TURN_DROPS(X)                                                              \
  X(kMalformed, "malformed", "no STUN message and no ChannelData")                          \
  X(kNoAllocation, "no_allocation", "data or indication on a 5-tuple without allocation")   \
  X(kNoPermission, "no_permission", "peer without permission, in either direction")         \
  X(kNoClient, "no_client", "the client of a mobile allocation is away")                    \
  X(kNoChannel, "no_channel", "channel number that is not bound")                           \
  X(kPeerForbidden, "peer_forbidden", "peer address that the rules forbid")                 \
  X(kRate, "rate", "allocation is over its byte rate")                                      \
  X(kTooLong, "too_long", "does not fit a datagram with its header")                        \
  X(kBlocked, "send_blocked", "socket buffer full")                                         \
  X(kFailed, "send_failed", "kernel refused the send")                                      \
  X(kOverload, "overload", "thrown away because the shard has fallen behind")               \
  X(kUnknownMessage, "unknown_message", "STUN class or method that a server does not take") \
  X(kNoAssociation, "no_association", "DTLS of a source without association or cookie")     \
  X(kHandshakeRate, "handshake_rate", "more DTLS handshakes, or more of one, than allowed") \
  X(kBadRecord, "bad_record", "DTLS that the keys of the association do not open")          \
  X(kTcpAllocation, "tcp_allocation", "Send indication in a TCP allocation")

enum class Drop : std::uint8_t {
#define X(name, label, help) name,
  TURNPIKE_TURN_DROPS(X)
#undef X
      kCount
};
constexpr std::size_t kDropCount = static_cast<std::size_t>(Drop::kCount);

// name, metric label, meaning: how a client's connection ended, or why it was refused
#define TURNPIKE_TURN_CLOSES(X)                                                          \
  X(kClient, "client", "the client closed it")                                           \
  X(kFailed, "failed", "the client reset it, or the network lost it")                    \
  X(kMalformed, "malformed", "bytes that are neither STUN nor ChannelData, or too long") \
  X(kSilent, "silent", "no STUN message came in time")                                   \
  X(kIdle, "idle", "it had no allocation for too long")                                  \
  X(kStalled, "stalled", "the client did not read what was sent to it")                  \
  X(kFull, "full", "refused: turn.connections_max is reached")                           \
  X(kEvicted, "evicted", "nearly all places were taken, and it had no allocation")       \
  X(kSourceFull, "source_full", "refused: turn.connections_per_source_max is reached")   \
  X(kNoDescriptor, "no_descriptor", "waits: no descriptor or memory is left for it")     \
  X(kTlsFailed, "tls_failed", "no (D)TLS of a version and cipher that is taken")         \
  X(kTlsTimeout, "tls_timeout", "the (D)TLS handshake took too long")                    \
  X(kNoCertificate, "no_certificate", "refused: there is no certificate to show")

enum class StreamClose : std::uint8_t {
#define X(name, label, help) name,
  TURNPIKE_TURN_CLOSES(X)
#undef X
      kCount
};
constexpr std::size_t kStreamCloseCount = static_cast<std::size_t>(StreamClose::kCount);

// name, metric label, meaning: how a TCP connection with a peer ended, or why there was none
#define TURNPIKE_TURN_PEER_CLOSES(X)                                                         \
  X(kDone, "done", "both ends have said good-bye")                                           \
  X(kPeerFailed, "peer_failed", "the peer reset it, or the network lost it")                 \
  X(kClientFailed, "client_failed", "the client reset its own, or the network lost it")      \
  X(kHalfOpen, "half_open", "one end said good-bye, and for long nothing came of the other") \
  X(kUnreachable, "unreachable", "Connect: refused, or no answer in time")                   \
  X(kNotBound, "not_bound", "no ConnectionBind came in time")                                \
  X(kAllocation, "allocation", "its allocation has ended")                                   \
  X(kRules, "rules", "the peer is forbidden since new rules came")                           \
  X(kNoPermission, "no_permission", "came without permission, or from a forbidden port")     \
  X(kFull, "full", "came when there were too many")                                          \
  X(kNoDescriptor, "no_descriptor", "no descriptor or memory is left for it")

enum class PeerClose : std::uint8_t {
#define X(name, label, help) name,
  TURNPIKE_TURN_PEER_CLOSES(X)
#undef X
      kCount
};
constexpr std::size_t kPeerCloseCount = static_cast<std::size_t>(PeerClose::kCount);

struct ReasonInfo {
  std::string_view label;
  std::string_view help;
};
constexpr std::array<ReasonInfo, kRefusalCount> kRefusals = {{
#define X(name, label, help) {label, help},
    TURNPIKE_TURN_REFUSALS(X)
#undef X
}};
constexpr std::array<ReasonInfo, kDropCount> kDrops = {{
#define X(name, label, help) {label, help},
    TURNPIKE_TURN_DROPS(X)
#undef X
}};
constexpr std::array<ReasonInfo, kStreamCloseCount> kStreamCloses = {{
#define X(name, label, help) {label, help},
    TURNPIKE_TURN_CLOSES(X)
#undef X
}};

constexpr std::array<ReasonInfo, kPeerCloseCount> kPeerCloses = {{
#define X(name, label, help) {label, help},
    TURNPIKE_TURN_PEER_CLOSES(X)
#undef X
}};

/// What was done for clients of one transport.
struct ClientCounters {
  Counter connections_opened;  ///< not of UDP
  Counter connections_closed;  ///< of those that were opened
  Counter allocations_opened;
  Counter allocations_closed;
  Counter packets_to_peers;
  Counter bytes_to_peers;  ///< application data
  Counter packets_to_clients;
  Counter bytes_to_clients;
};

/// What was done for clients of one realm.
struct RealmCounters {
  Counter allocations_opened;
  Counter allocations_closed;
  Counter refused;  ///< requests of clients that were at the address that they came from
  Counter bytes_to_peers;
  Counter bytes_to_clients;
};
/// Realms beyond this share the last place.
constexpr std::size_t kRealmFiguresMax = 16;

/// Upper bounds of what RelayLatency is counted in; the last bucket has none.
constexpr std::array<Nanoseconds, 10> kRelayLatencies = {
    std::chrono::microseconds{50},  std::chrono::microseconds{100}, std::chrono::microseconds{250},
    std::chrono::microseconds{500}, std::chrono::milliseconds{1},   std::chrono::microseconds{2500},
    std::chrono::milliseconds{10},  std::chrono::milliseconds{50},  std::chrono::milliseconds{250},
    std::chrono::seconds{1}};

/// How long datagrams of clients are on the host, from the kernel's receiving them until they have
/// left for the peer. Of each batch the datagram that came first, when it was data.
struct RelayLatency {
  std::array<Counter, kRelayLatencies.size() + 1> buckets;  ///< not cumulative
  Counter sum_ns;

  /// A clock that was set meanwhile makes it negative or long: that is no time of ours.
  void add(Nanoseconds took) {
    took = std::clamp<Nanoseconds>(took, Nanoseconds{0}, std::chrono::seconds{10});
    const auto at = std::lower_bound(kRelayLatencies.begin(), kRelayLatencies.end(), took);
    buckets[static_cast<std::size_t>(at - kRelayLatencies.begin())].add();
    sum_ns.add(static_cast<std::uint64_t>(took.count()));
  }
};

/// What the TURN part of one shard has done since it started. Read from any thread.
struct Counters {
  Counter bindings;  ///< Binding requests answered
  Counter cookies;   ///< DTLS clients asked to prove their address
  std::array<ClientCounters, kTransportCount> clients;  ///< by ListenerTransport
  Counter allocations_expired;                          ///< of those that were closed
  Counter refreshes;
  Counter moves;  ///< allocations that followed their client
  Counter permissions;
  Counter channel_binds;
  Counter icmp_errors;  ///< told to clients (RFC 8656 section 11.5)
  std::array<Counter, kRefusalCount> refusals;
  std::array<Counter, kDropCount> drops;
  std::array<Counter, kStreamCloseCount> closes;
  Counter peer_connections_opened;  ///< TCP, connected to or accepted
  Counter peer_connections_closed;  ///< of these
  std::array<Counter, kPeerCloseCount> peer_closes;
  std::array<RealmCounters, kRealmFiguresMax> realms;  ///< by Realm::figures
  RelayLatency latency;                                ///< clients over UDP

  ClientCounters& of(ListenerTransport transport) {
    return clients[static_cast<std::size_t>(transport)];
  }
  /// Of all transports.
  std::uint64_t total(Counter ClientCounters::*counter) const {
    std::uint64_t sum = 0;
    for (const ClientCounters& one : clients) sum += (one.*counter).value();
    return sum;
  }
};

/// Names an allocation while it lives.
struct AllocationId {
  std::uint16_t shard = 0;
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  auto operator<=>(const AllocationId&) const = default;
};

/// One allocation as operators see it.
struct AllocationReport {
  AllocationId id;
  ListenerTransport transport = ListenerTransport::kUdp;
  SocketAddress client;
  SocketAddress server;
  std::array<SocketAddress, 2> relayed{};  ///< advertised; the second of a dual allocation
  std::string realm;
  std::string user;
  bool away = false;  ///< mobile, and its client's connection is gone
  Instant created{};
  Instant expires{};
  std::uint32_t permissions = 0;
  std::uint32_t channels = 0;
  bool is_tcp = false;                 ///< RFC 6062
  std::uint32_t peer_connections = 0;  ///< of a TCP allocation, with those that are on their way
  std::uint64_t packets_to_peers = 0;
  std::uint64_t bytes_to_peers = 0;
  std::uint64_t packets_to_clients = 0;
  std::uint64_t bytes_to_clients = 0;
};

}  // namespace turnpike::turn
