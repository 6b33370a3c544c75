// What turnpiked and turnpike-holder say to each other: one request, one reply, over a unix
// SOCK_SEQPACKET socket on one host, so numbers are in host order. The first request is hello.
//
//   request:  | magic 4 | version 2 | op 1 | 0 | count 4 | from 4 | count entries    + count fds
//   reply:    | magic 4 | version 2 | op 1 | status | count 4 | total 4 | count entries + fds
//   entry:    | key 8 | kind 1 | 0 x 7 |
//
// keep and forget carry entries and their descriptors; fetch answers with those from position
// `from` on. A message that does not add up ends the connection and changes nothing.
#pragma once

#include <cstdint>

namespace turnpike {

constexpr std::uint32_t kHolderMagic = 0x68545031;
constexpr std::uint16_t kHolderVersion = 1;

enum class HolderOp : std::uint8_t { kHello = 1, kKeep = 2, kForget = 3, kFetch = 4, kReset = 5 };
/// kBusy comes unasked, as the only message of a connection: the holder has a client that lives.
enum class HolderStatus : std::uint8_t { kOk = 0, kFull = 1, kBusy = 2 };

struct HolderRequest {
  std::uint32_t magic = kHolderMagic;
  std::uint16_t version = kHolderVersion;
  HolderOp op = HolderOp::kHello;
  std::uint8_t reserved = 0;
  std::uint32_t count = 0;  ///< entries and descriptors that follow
  std::uint32_t from = 0;   ///< fetch: position of the first one wanted
};

struct HolderReply {
  std::uint32_t magic = kHolderMagic;
  std::uint16_t version = kHolderVersion;
  HolderOp op = HolderOp::kHello;
  HolderStatus status = HolderStatus::kOk;
  std::uint32_t count = 0;  ///< entries and descriptors that follow
  std::uint32_t total = 0;  ///< kept at the moment
};

struct HolderEntry {
  std::uint64_t key = 0;
  std::uint8_t kind = 0;
  std::uint8_t reserved[7] = {};
};

static_assert(sizeof(HolderRequest) == 16 && sizeof(HolderReply) == 16);
static_assert(sizeof(HolderEntry) == 16);

/// Header and 253 entries.
constexpr std::size_t kHolderMessageBytesMax = 16 + 253 * sizeof(HolderEntry);

}  // namespace turnpike
