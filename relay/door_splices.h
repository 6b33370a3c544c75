// Connections that the front door carries to a target on loopback, because a descriptor cannot be
// given to another process: bytes both ways through two buffers of fixed size, each side read no
// faster than the other takes it, each end told for itself.
// Is not: what is said there; it is TLS and stays closed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "relay/core/byte_stream.h"
#include "relay/crypto/siphash.h"
#include "relay/io/stream_poll.h"
#include "turnpike/address.h"
#include "turnpike/front_door.h"
#include "turnpike/time.h"

namespace turnpike {

/// The address of 127.0.0.0/8 that stands for a client towards a target that sees loopback only:
/// the same for all connections of an IPv4 address or IPv6 /64, in one /24 for all of an IPv4 /24
/// or IPv6 /48. Never in 127.0.0.0/16.
IpAddress stand_in_for(const IpAddress& client, const SipHashKey& key);

class DoorSplices {
 public:
  /// Until the target has sent something: TLS answers at once.
  static constexpr Seconds kAnswerMax{10};
  /// Once one end has said good-bye.
  static constexpr Seconds kHalfOpenMax{60};
  /// Set in what StreamPoll calls them.
  static constexpr std::uint32_t kItem = 0x40000000;
  static constexpr bool is_item(std::uint32_t item) { return (item & kItem) != 0; }

  struct Handlers {
    /// What became of it: once for each that begin() took.
    std::function<void(door::Outcome)> decided;
    /// It is closed.
    std::function<void(const IpAddress& client)> ended;
  };
  DoorSplices(StreamPoll& poll, const SocketAddress& target, const SipHashKey& key,
              Handlers handlers);
  ~DoorSplices();

  /// Owns `fd` when it gives nothing; else why not: the target cannot be reached, or no descriptor
  /// is left.
  std::optional<door::Outcome> begin(int fd, const SocketAddress& client, Instant now);
  void on_ready(std::uint32_t item, Instant now);
  /// Those that had more than their turn. True when there are still such.
  bool go_on(Instant now);
  void end_late(Instant now);

 private:
  struct Splice;
  void carry(std::uint32_t place, Instant now);
  void end(std::uint32_t place);

  StreamPoll& poll_;
  const SocketAddress target_;
  const SipHashKey key_;
  const Handlers handlers_;
  std::vector<std::unique_ptr<Splice>> splices_;  // by place
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> waiting_;  // places: had more than their turn
};

}  // namespace turnpike
