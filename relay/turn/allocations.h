// The allocations of one engine: by 5-tuple, by slot; with permissions and channels (RFC 8656
// sections 3, 9, 12). Hides: the tables, of fixed size and committed when first used. Is not: who
// may have what; the engine judges before it asks here.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "relay/core/packet.h"
#include "relay/crypto/secret_array.h"
#include "relay/crypto/siphash.h"
#include "relay/turn/access_token.h"
#include "relay/turn/bucket.h"
#include "relay/turn/tickets.h"
#include "relay/wire/stun.h"
#include "turnpike/turn.h"

namespace turnpike::turn {

/// Of permissions and channels: tenths of a second, to keep entries small.
using Tick = std::uint32_t;
inline Tick tick_of(Instant at) {
  return static_cast<Tick>(at.time_since_epoch() / Milliseconds(100));
}

constexpr Seconds kPermissionLifetime{300};  ///< RFC 8656 section 9
constexpr Seconds kChannelLifetime{600};     ///< RFC 8656 section 12

/// An address that the client has named, with what its ports may be.
struct Peer {
  IpAddress ip;              ///< none: the place is free
  std::uint8_t channel = 0;  ///< index of the channel that was looked up last
  bool own_media = false;    ///< besides these our media ports
  std::uint16_t port_min = 0;
  std::uint16_t port_max = 0;
  Tick permitted_until = 0;
};

struct Channel {
  std::uint16_t number = 0;  ///< 0: the place is free
  std::uint16_t port = 0;
  std::uint8_t peer = 0;  ///< index in the allocation's peers
  Tick until = 0;
};

struct Traffic {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  Bucket rate;
};

/// Whom something counts for: keyed hashes.
struct Owner {
  std::uint64_t user = 0;  ///< of realm and user
  std::uint64_t realm = 0;
};

struct Allocation {
  std::uint32_t serial = 0;  ///< generation while it is open; 0: the slot is free
  std::uint32_t slot = 0;
  std::uint32_t last_serial = 0;
  std::uint32_t realm = 0;  ///< index in Settings::realms
  std::uint64_t tuple_hash = 0;
  Owner owner;
  std::uint64_t vouched_by = 0;  ///< `owner.user`, or that of the present token
  std::uint64_t credential = 0;  ///< keyed hash of what vouched for the user
  /// Of the token that vouched (RFC 7635), its first `session_key_bytes`. Secret.
  std::array<std::uint8_t, SessionKey::kBytesMax> session_key{};
  std::uint8_t session_key_bytes = 0;  ///< 0: it was no token
  SocketTag client_tag;
  SocketAddress client;
  SocketAddress server;
  std::array<SocketAddress, 2> relayed{};  ///< by index_of(Side); unset: not open
  Instant created{};
  Instant expires{};
  Instant credential_until{};  ///< Instant::max(): for ever
  Bucket new_peers;
  Bucket moves;
  Bucket icmp_errors;
  Traffic to_peers;
  Traffic to_clients;
  std::uint64_t reservation_token = 0;  ///< told in the Allocate response; 0: none
  stun::TransactionId transaction{};    ///< of the Allocate request
  std::uint32_t granted_s = 0;          ///< LIFETIME of the Allocate response
  ListenerTransport transport = ListenerTransport::kUdp;
  std::uint8_t figures = 0;        ///< of the realm
  bool mobile = false;             ///< its client has a ticket (RFC 8016)
  bool away = false;               ///< its client's connection is gone: it has no 5-tuple
  std::uint16_t move = 0;          ///< how often it has moved, in this engine
  TicketName came_from;            ///< of the ticket that brought it where it is
  bool additional_failed = false;  ///< the Allocate response had ADDRESS-ERROR-CODE
  bool tcp = false;                ///< relays TCP connections (RFC 6062), no datagrams
};

class Allocations {
 public:
  /// `key` is secret: nobody may choose 5-tuples that collide.
  Allocations(std::uint32_t allocations_max, std::uint32_t permissions_max, const SipHashKey& key);

  struct Tuple {
    ListenerTransport transport = ListenerTransport::kUdp;
    SocketTag tag;
    SocketAddress client;
  };
  Allocation* find(const Tuple& tuple);
  Allocation* at(std::uint32_t slot, std::uint32_t serial);
  Allocation* at_slot(std::uint32_t slot);
  /// A new one, all else unset; null when there are allocations_max.
  Allocation* open(const Tuple& tuple);
  void close(Allocation& allocation);
  /// From now on it is that of `tuple`, which has none.
  void rebind(Allocation& allocation, const Tuple& tuple);
  /// Its 5-tuple is no more, or another allocation's; rebind() gives it another.
  void unbind(Allocation& allocation);
  std::uint32_t size() const { return size_; }
  std::uint32_t capacity() const { return static_cast<std::uint32_t>(allocations_.size()); }
  /// Calls `visit(allocation)` for all; it may close the one that it is given.
  template <typename Visit>
  void for_each(Visit visit) {
    for (std::uint32_t slot = 0; slot < used_slots_; ++slot) {
      if (allocations_[slot].serial != 0) visit(allocations_[slot]);
    }
  }
  template <typename Visit>
  void for_each(Visit visit) const {
    for (std::uint32_t slot = 0; slot < used_slots_; ++slot) {
      if (allocations_[slot].serial != 0) visit(allocations_[slot]);
    }
  }

  std::string& user(const Allocation& allocation) { return users_[allocation.slot]; }
  const std::string& user(const Allocation& allocation) const { return users_[allocation.slot]; }

  std::span<Peer> peers(const Allocation& allocation) {
    return {&peers_[std::size_t{allocation.slot} * permissions_max_], permissions_max_};
  }
  std::span<Channel> channels(const Allocation& allocation) {
    return {&channels_[std::size_t{allocation.slot} * permissions_max_], permissions_max_};
  }
  struct Counts {
    std::uint32_t permissions = 0;
    std::uint32_t channels = 0;
  };
  Counts counts(const Allocation& allocation, Tick now) const;

  // By address and number, whether in time or not; null when there is none.
  Peer* find_peer(const Allocation& allocation, const IpAddress& ip);
  Channel* find_channel(const Allocation& allocation, std::uint16_t number);
  /// The channel to a port at `peer`.
  Channel* channel_to(const Allocation& allocation, Peer& peer, std::uint16_t port);

  /// Frees the places of what is over; returns how many peers fit.
  std::uint32_t reclaim(const Allocation& allocation, Tick now);
  /// A place for a peer or channel that is not there yet; null when there is none.
  Peer* add_peer(const Allocation& allocation, const IpAddress& ip);
  Channel* add_channel(const Allocation& allocation, std::uint16_t number);
  bool has_channel_room(const Allocation& allocation);
  /// Ends the permission and all channels to it.
  void remove_peer(const Allocation& allocation, Peer& peer);

  /// Of one allocation, without its sockets and the user's name.
  static std::size_t bytes_each(std::uint32_t permissions_max);

 private:
  std::uint64_t hash_of(const Tuple& tuple) const;
  void link(Allocation& allocation, const Tuple& tuple);
  std::size_t home(std::uint64_t hash) const { return hash & (by_tuple_.size() - 1); }

  SipHashKey key_;
  std::uint32_t permissions_max_;
  SecretArray<Allocation> allocations_;
  SecretArray<Peer> peers_;
  SecretArray<Channel> channels_;
  std::vector<std::string> users_;
  std::vector<std::uint32_t> by_tuple_;  // slot + 1, at the hash or behind it; 0: nothing
  std::vector<std::uint32_t> free_slots_;
  std::uint32_t used_slots_ = 0;  // slots from here on were never open
  std::uint32_t size_ = 0;
};

}  // namespace turnpike::turn
