// SRTP and SRTCP transform (RFC 3711, 6188, 7714) over plain data, in place, in batches.
// Hides: key derivation, counter modes, tags, index estimation, replay windows.
// Is not: a session store. Contexts and streams lie in the caller's memory (the shard's arena), are
// trivially copyable and hold no pointer; library contexts are a cache inside SrtpTransform that is
// rebuilt from them at any time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "turnpike/keying.h"

namespace turnpike {

/// Most bytes that protect() adds to a packet: tag, SRTCP index, MKI.
constexpr std::size_t kSrtpTrailerBytesMax = 16 + 4 + kMkiBytesMax;

/// Session keys of one direction of one leg (RFC 3711 section 4.3), derived from a master key.
/// The members that every packet reads come first and fill one cache line.
struct SrtpContext {
  SrtpSuite suite = SrtpSuite::kNone;
  std::uint8_t mki_bytes = 0;
  std::array<std::uint8_t, kMkiBytesMax> mki{};
  std::array<std::uint8_t, 14> rtp_salt{};
  /// Unique per derive_srtp_context: tells the cache that its entry is stale. Counts from a random
  /// start in each process, so that contexts adopted from a dead process do not collide with
  /// those derived since. 0 = not keyed.
  std::uint64_t serial = 0;
  /// Most SRTP, and most SRTCP packets, each (RFC 4568 section 6.1); 0 = the suite's limit.
  std::uint64_t lifetime_packets = 0;
  std::uint64_t packets_used = 0;       ///< SRTP packets protected with this master key
  std::uint64_t rtcp_packets_used = 0;  ///< SRTCP packets protected with this master key
  std::array<std::uint8_t, 32> rtp_key{};
  std::array<std::uint8_t, 32> rtcp_key{};
  std::array<std::uint8_t, 20> rtp_auth_key{};
  std::array<std::uint8_t, 20> rtcp_auth_key{};
  std::array<std::uint8_t, 14> rtcp_salt{};
  std::array<std::uint8_t, 2> reserved{};  ///< in place of padding: compared and copied bytewise
};

/// What a receiver remembers of one SSRC under one context. All zero = nothing received yet.
/// Window bit i = index (highest - i) was accepted.
struct SrtpReceiveStream {
  std::uint64_t rtp_highest = 0;  ///< 48-bit packet index: ROC << 16 | SEQ
  std::array<std::uint64_t, 2> rtp_window{};
  std::uint32_t rtcp_highest = 0;  ///< 31-bit SRTCP index
  std::uint8_t rtp_started = 0;
  std::uint8_t rtcp_started = 0;
  std::array<std::uint8_t, 2> reserved{};
  std::array<std::uint64_t, 2> rtcp_window{};
};

/// What a sender remembers of one SSRC under one context. An index is marked used before the
/// packet is encrypted and is never used for a second packet (security ID M9).
struct SrtpSendStream {
  std::uint64_t rtp_highest = 0;
  std::array<std::uint64_t, 2> rtp_window{};
  std::uint32_t rtcp_next = 0;  ///< next SRTCP index, 31 bit
  std::uint8_t rtp_started = 0;
  std::array<std::uint8_t, 3> reserved{};
};

enum class SrtpStatus : std::uint8_t {
  kOk = 0,
  kMalformed,     ///< too short for header, tag, MKI; header extension or CSRCs beyond the end;
                  ///< more than 65,535 bytes
  kAuthFailed,    ///< nothing was changed, the packet's bytes may be
  kWrongMki,      ///< nothing was changed
  kReplayed,      ///< index seen before; nothing was changed, tag NOT verified (see verify_tag)
  kTooOld,        ///< behind the window; as kReplayed
  kIndexUsed,     ///< protect: index used before or behind the window
  kKeyExhausted,  ///< lifetime of the master key (RFC 3711 section 9.2) or of the stream's
                  ///< roll-over counter is over
  kNoRoom,        ///< protect: capacity too small
};

/// One packet to transform. The caller owns all that is pointed at.
struct SrtpJob {
  std::uint8_t* data = nullptr;  ///< in place; RTP or RTCP packet, unaligned
  std::uint32_t length = 0;      ///< in: bytes; out (kOk): bytes of the transformed packet
  std::uint32_t capacity = 0;    ///< bytes that may be written from `data`
  bool rtcp = false;
  SrtpStatus status = SrtpStatus::kOk;  ///< out
  /// Where the transform may cache library state, below the constructor's cache_slots; one per
  /// context.
  std::uint32_t cache_slot = 0;
  SrtpContext* context = nullptr;        ///< keyed (derive_srtp_context returned true)
  SrtpReceiveStream* receive = nullptr;  ///< unprotect
  SrtpSendStream* send = nullptr;        ///< protect
  std::uint64_t index = 0;               ///< out (kOk): packet index (RTP: 48 bit, RTCP: 31 bit)
};

/// Derives session keys (RFC 3711 section 4.3.1, key derivation rate 0; RFC 6188; RFC 7714
/// section 11). Counters and stream states of an earlier key do not belong to the new context.
/// False, and an unkeyed context, for suite kNone, an unknown suite or an MKI that is too long.
bool derive_srtp_context(const SrtpKeying& keying, SrtpContext& context);
/// Zeroes every byte; the context is not keyed any more.
void wipe_srtp_context(SrtpContext& context);

class SrtpBackend;

/// One per shard; not thread-safe. Allocates only when a cache slot is first used with a context
/// (never per packet after that).
class SrtpTransform {
 public:
  /// `library` must be available (srtp_library_available); kAuto always is.
  explicit SrtpTransform(std::size_t cache_slots, SrtpLibrary library = SrtpLibrary::kAuto);
  SrtpTransform(std::size_t cache_slots, std::unique_ptr<SrtpBackend> backend);
  ~SrtpTransform();
  SrtpTransform(const SrtpTransform&) = delete;
  SrtpTransform& operator=(const SrtpTransform&) = delete;

  /// Verifies and decrypts each job; jobs of one stream are handled in order. State of a stream
  /// changes only for kOk.
  void unprotect(std::span<SrtpJob> jobs);
  /// Encrypts and tags each job.
  void protect(std::span<SrtpJob> jobs);
  /// Whether the tag is right for the job's packet at the index it would have, replayed or not.
  /// Changes nothing, not even the bytes.
  bool verify_tag(const SrtpJob& job);

  /// Drops and wipes what is cached for a slot (leg closed, keys changed).
  void forget(std::uint32_t cache_slot);

 private:
  struct Cache;
  std::unique_ptr<Cache> cache_;
};

}  // namespace turnpike
