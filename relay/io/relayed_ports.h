// The relayed transport addresses (RFC 8656 section 2.1): ports of a range of their own at each
// relay address. Hides: which ports are taken, rest or could not be bound, the random choice (RFC
// 6056), parity, reserved ports, sockets and the limit of descriptors. Unlike media ports they are
// bound when they are asked for: who asks waits for that himself.
//
// Each shard opens ports of its own slice. A reserved port may be taken by another shard, to which
// the kernel brings the client's second 5-tuple; so what a port's state is, all shards see.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "relay/io/media_socket.h"
#include "relay/io/secure_random.h"
#include "turnpike/address.h"
#include "turnpike/time.h"

namespace turnpike {

enum class RelayedKind : std::uint8_t { kDatagrams, kStreams };

/// A bound socket. Belongs to whoever opened or took it, until it is given back.
struct RelayedPort {
  int fd = -1;
  std::uint32_t handle = 0;  ///< for give_back()
  SocketAddress local;
  IpAddress advertised;
};

/// Of all shards; every call may come from any of them.
class RelayedPortTable {
 public:
  struct Place {
    IpAddress local;
    IpAddress advertised;
  };
  /// Each holds a descriptor.
  static constexpr std::size_t kReservationsMax = 256;

  RelayedPortTable(std::vector<Place> places, std::uint16_t port_min, std::uint16_t port_max,
                   Seconds quarantine);
  ~RelayedPortTable();
  RelayedPortTable(const RelayedPortTable&) = delete;
  RelayedPortTable& operator=(const RelayedPortTable&) = delete;

  /// Closes it; it rests for the quarantine.
  void give_back(const RelayedPort& port, Instant now);

  /// Keeps a port for somebody else; 0: there is no room for one more, and the caller has it still.
  std::uint32_t reserve(const RelayedPort& port);
  /// Takes it out again; nothing when it is gone.
  std::optional<RelayedPort> take(std::uint32_t reservation);
  /// Whether somebody has it for streams.
  bool is_of_streams(const SocketAddress& local) const;

 private:
  friend class RelayedPortSlice;
  static constexpr std::uint32_t kTaken = 0xffffffff;
  static constexpr std::uint32_t kTakenForStreams = 0xfffffffe;
  struct Reservation {
    std::atomic<std::uint32_t> name{0};  // 0: free
    RelayedPort port;
  };

  std::uint32_t count() const { return port_max_ - port_min_ + 1U; }
  std::atomic<std::uint32_t>& state(std::uint32_t handle) const { return free_at_[handle]; }

  std::vector<Place> places_;
  std::uint16_t port_min_;
  std::uint16_t port_max_;
  Seconds quarantine_;
  // By place and port: the second of the clock from which it is free, or kTaken.., which is later.
  std::unique_ptr<std::atomic<std::uint32_t>[]> free_at_;
  std::atomic<std::uint32_t> last_name_{0};
  std::array<Reservation, kReservationsMax> reservations_;
};

/// Of one shard, on its thread.
class RelayedPortSlice {
 public:
  /// How long a port that another program has is left alone.
  static constexpr Seconds kSetAside{30};

  RelayedPortSlice(RelayedPortTable& table, std::size_t shard, std::size_t shards);

  /// A random port of the family; `even`: an even one. With `next` the port above is bound too,
  /// and `even` is implied. Nothing when none is free or no descriptor is left.
  std::optional<RelayedPort> open(AddressFamily family, bool even, RelayedPort* next, Instant now,
                                  RelayedKind kind = RelayedKind::kDatagrams);

  /// The last port is lower than the first when the slice is empty.
  std::uint16_t first() const { return first_; }
  std::uint16_t last() const { return last_; }

 private:
  bool fits(std::uint32_t handle, bool even, bool with_next, Instant now) const;
  std::optional<std::uint32_t> choose(AddressFamily family, bool even, bool with_next, Instant now);
  bool bind(std::uint32_t handle, RelayedPort& port, RelayedKind kind, Instant now);

  RelayedPortTable& table_;
  std::uint16_t first_ = 1;
  std::uint16_t last_ = 0;
  int descriptor_max_;
  bool out_of_descriptors_ = false;  // met by the last bind()
  SecureRandom random_;
  MediaSocketOptions options_;
};

}  // namespace turnpike
