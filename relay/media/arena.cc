#include "relay/media/arena.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/media/session_seal.h"

namespace turnpike::media {
namespace {

constexpr std::uint64_t kMagic = 0x31414e5255544b50;  // "PKTURNA1"

struct Header {
  std::uint64_t magic = 0;
  std::uint32_t version = 0;
  std::uint32_t session_bytes = 0;
  std::uint32_t stream_bytes = 0;
  ArenaShape shape;
  std::uint64_t checksum = 0;  // over all of the above
};

std::size_t align_up(std::size_t bytes) {
  return (bytes + 63) & ~std::size_t{63};
}

std::size_t streams_offset(const ArenaShape& shape) {
  return align_up(sizeof(Header)) + align_up(shape.sessions * sizeof(SessionState));
}

std::size_t tombstones_offset(const ArenaShape& shape) {
  return streams_offset(shape) + align_up(shape.streams * sizeof(StreamState));
}

std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * 0x100000001b3ULL;
  return hash ^ (hash >> 29);
}

// Over fields, not over bytes: padding has no defined value.
std::uint64_t checksum_of(const Header& header) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const std::uint64_t word :
       {header.magic, std::uint64_t{header.version}, std::uint64_t{header.session_bytes},
        std::uint64_t{header.stream_bytes}, std::uint64_t{header.shape.sessions},
        std::uint64_t{header.shape.streams}, std::uint64_t{header.shape.shard},
        std::uint64_t{header.shape.shards}, std::uint64_t{header.shape.port_min},
        std::uint64_t{header.shape.port_max}, std::uint64_t{header.shape.tombstones_shared}}) {
    hash = mix(hash, word);
  }
  return hash;
}

Header header_for(const ArenaShape& shape) {
  Header header;
  header.magic = kMagic;
  header.version = kStateVersion;
  header.session_bytes = sizeof(SessionState);
  header.stream_bytes = sizeof(StreamState);
  header.shape = shape;
  header.checksum = checksum_of(header);
  return header;
}

bool is_blank(const SessionState& session) {
  static constexpr std::array<std::uint8_t, sizeof(SessionState)> kBlank{};
  return std::memcmp(&session, kBlank.data(), sizeof session) == 0;
}

}  // namespace

std::size_t Arena::bytes_for(const ArenaShape& shape) {
  return tombstones_offset(shape) + Tombstones::bytes_for(shape.sessions, shape.tombstones_shared);
}

Arena::Arena(std::uint8_t* memory, const ArenaShape& shape)
    // Both tables start on cache lines behind the header; adoption checks what is in them.
    : sessions_(reinterpret_cast<SessionState*>(memory + align_up(sizeof(Header)))),
      streams_(reinterpret_cast<StreamState*>(memory + streams_offset(shape))),
      session_capacity_(shape.sessions),
      stream_capacity_(shape.streams),
      tombstones_(memory + tombstones_offset(shape), shape.sessions, shape.tombstones_shared) {
  free_streams_.reserve(shape.streams);
}

Arena Arena::format(std::uint8_t* memory, const ArenaShape& shape) {
  const Header header = header_for(shape);
  std::memcpy(memory, &header, sizeof header);
  Arena arena(memory, shape);
  for (std::uint32_t i = shape.streams; i-- > 0;) arena.free_streams_.push_back(i);
  return arena;
}

Result<ArenaShape> Arena::read_shape(std::span<const std::uint8_t> memory) {
  Header found;
  if (memory.size() < sizeof found) return Error{"session memory has another size"};
  std::memcpy(&found, memory.data(), sizeof found);
  if (found.magic != kMagic) return Error{"session memory is not one of ours"};
  if (found.version != kStateVersion || found.session_bytes != sizeof(SessionState) ||
      found.stream_bytes != sizeof(StreamState)) {
    return Error{"session memory was written by another version of the program"};
  }
  if (found.checksum != checksum_of(found)) return Error{"session memory has a damaged header"};
  return found.shape;
}

Result<Arena> Arena::adopt(std::uint8_t* memory, std::size_t bytes, const ArenaShape& shape,
                           ArenaReport& report) {
  if (bytes < bytes_for(shape)) return Error{"session memory has another size"};
  const auto found = read_shape({memory, bytes});
  if (!found) return found.error();
  if (!(*found == shape)) {
    return Error{"session memory belongs to another configuration (shards, ports or limits)"};
  }
  Arena arena(memory, shape);
  std::vector<bool> taken(shape.streams, false);
  for (std::uint32_t i = 0; i < shape.sessions; ++i) {
    SessionState& session = arena.sessions_[i];
    if (is_blank(session)) continue;
    if (arena.adopt_session(session, taken)) {
      ++report.sessions;
    } else {
      // Also what died while it was closed: its keys would lie there until the slot is used again.
      report.dropped += session.generation != 0 ? 1 : 0;
      secure_wipe(&session, sizeof session);
    }
  }
  for (std::uint32_t i = shape.streams; i-- > 0;) {
    if (taken[i]) continue;
    secure_wipe(&arena.streams_[i], sizeof(StreamState));
    arena.free_streams_.push_back(i);
  }
  arena.tombstones_.adopt([&](std::uint32_t owner) -> TombstoneList* {
    const std::uint32_t slot = (owner - 1) / 2;
    if (slot >= shape.sessions || arena.sessions_[slot].generation == 0) return nullptr;
    return &arena.sessions_[slot].legs[(owner - 1) % 2].tombstones;
  });
  return arena;
}

bool Arena::adopt_session(SessionState& session, std::vector<bool>& taken) {
  if (!holds_together(session)) return false;
  std::vector<std::uint32_t> mine;
  const bool whole = std::all_of(session.legs.begin(), session.legs.end(),
                                 [&](LegState& leg) { return adopt_streams(leg, taken, mine); });
  if (!whole) {
    for (const std::uint32_t index : mine) taken[index] = false;
  }
  return whole;
}

bool Arena::adopt_streams(LegState& leg, std::vector<bool>& taken,
                          std::vector<std::uint32_t>& mine) {
  leg.stream_count = 0;
  leg.tombstones = TombstoneList{};  // its tombstones know whose they are
  for (std::uint32_t i = leg.first_stream; i != kNoStream; i = streams_[i].next) {
    if (i >= stream_capacity_ || taken[i] || leg.stream_count == kStreamsPerTransportMax)
      return false;
    if (!holds_together(streams_[i])) return false;
    close_windows(streams_[i]);
    taken[i] = true;
    mine.push_back(i);
    ++leg.stream_count;
  }
  return true;
}

void Arena::discard(std::uint32_t slot) {
  SessionState& session = sessions_[slot];
  for (LegState& leg : session.legs) {
    while (leg.first_stream != kNoStream) {
      const std::uint32_t index = leg.first_stream;
      leg.first_stream = streams_[index].next;
      give_stream(index);
    }
    tombstones_.drop_all(leg.tombstones);
  }
  secure_wipe(&session, sizeof session);
}

std::uint32_t Arena::take_stream() {
  if (free_streams_.empty()) return kNoStream;
  const std::uint32_t index = free_streams_.back();
  free_streams_.pop_back();
  streams_[index] = StreamState{};
  return index;
}

void Arena::give_stream(std::uint32_t index) {
  DCHECK(index < stream_capacity_);
  secure_wipe(&streams_[index], sizeof(StreamState));
  free_streams_.push_back(index);
}

}  // namespace turnpike::media
