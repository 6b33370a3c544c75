// The shard's memory: a checksummed header, then tables of sessions and streams. Views memory that
// somebody else owns (a memfd in the daemon, a vector in tests). Offsets and indices only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "relay/media/state.h"
#include "relay/media/tombstones.h"
#include "turnpike/result.h"

namespace turnpike::media {

/// What fixes the layout. An arena is adopted only by a shard that would have made the same one.
struct ArenaShape {
  std::uint32_t sessions = 0;
  std::uint32_t streams = 0;
  std::uint16_t shard = 0;
  std::uint16_t shards = 0;
  std::uint16_t port_min = 0;
  std::uint16_t port_max = 0;
  std::uint32_t tombstones_shared = 65536;  ///< beyond what every leg is sure of

  bool operator==(const ArenaShape&) const = default;
};

/// What adoption found.
struct ArenaReport {
  std::uint32_t sessions = 0;
  std::uint32_t dropped = 0;  ///< sessions caught in the middle of an edit, or damaged: wiped
};

class Arena {
 public:
  static std::size_t bytes_for(const ArenaShape& shape);

  /// What the arena that begins with these bytes was made for. Refuses a damaged header, too few
  /// bytes for one, and another version; whether the memory is as large as that is not looked at.
  static Result<ArenaShape> read_shape(std::span<const std::uint8_t> memory);

  /// Starts an empty arena in zeroed memory of at least bytes_for(shape).
  static Arena format(std::uint8_t* memory, const ArenaShape& shape);
  /// Takes over what another process left. Refuses a damaged header and another version or shape;
  /// drops and wipes single sessions that do not hold together. Whatever the memory holds, what
  /// was adopted can be gone on with.
  static Result<Arena> adopt(std::uint8_t* memory, std::size_t bytes, const ArenaShape& shape,
                             ArenaReport& report);

  std::uint32_t session_capacity() const { return session_capacity_; }
  SessionState& session(std::uint32_t slot) { return sessions_[slot]; }
  /// The session, or null when the slot holds another generation.
  SessionState* find(std::uint32_t slot, std::uint32_t generation) {
    if (slot >= session_capacity_ || generation == 0) return nullptr;
    SessionState& session = sessions_[slot];
    return session.generation == generation ? &session : nullptr;
  }

  StreamState& stream(std::uint32_t index) { return streams_[index]; }
  /// A zeroed stream, or kNoStream when all are taken.
  std::uint32_t take_stream();
  /// Wipes the stream and gives it back.
  void give_stream(std::uint32_t index);
  Tombstones& tombstones() { return tombstones_; }
  /// Wipes a session and gives back its streams and tombstones.
  void discard(std::uint32_t slot);
  std::uint32_t streams_in_use() const {
    return stream_capacity_ - static_cast<std::uint32_t>(free_streams_.size());
  }

 private:
  Arena(std::uint8_t* memory, const ArenaShape& shape);
  bool adopt_session(SessionState& session, std::vector<bool>& taken);
  bool adopt_streams(LegState& leg, std::vector<bool>& taken, std::vector<std::uint32_t>& mine);

  SessionState* sessions_ = nullptr;
  StreamState* streams_ = nullptr;
  std::uint32_t session_capacity_ = 0;
  std::uint32_t stream_capacity_ = 0;
  Tombstones tombstones_;
  std::vector<std::uint32_t> free_streams_;  // process-local; rebuilt at adoption
};

}  // namespace turnpike::media
