#include "relay/mux/header.h"

#include <array>
#include <cstring>

#include "relay/core/bytes.h"
#include "relay/core/check.h"

namespace turnpike::mux {
namespace {

constexpr std::size_t kTaggedBytes = 12;
constexpr std::uint8_t kComponentBit = 1;
constexpr std::uint8_t kSideBit = 2;

std::uint32_t read_be24(const std::uint8_t* p) {
  return (std::uint32_t{p[0]} << 16) | (std::uint32_t{p[1]} << 8) | p[2];
}

void write_be24(std::uint8_t* p, std::uint32_t value) {
  p[0] = static_cast<std::uint8_t>(value >> 16);
  write_be16(p + 1, static_cast<std::uint16_t>(value));
}

std::array<std::uint8_t, 8> tag_of(const SipHashKey& key, const std::uint8_t* header,
                                   std::size_t datagram_bytes) {
  std::array<std::uint8_t, kTaggedBytes + 4> covered{};
  std::memcpy(covered.data(), header, kTaggedBytes);
  write_be32(covered.data() + kTaggedBytes, static_cast<std::uint32_t>(datagram_bytes));
  const std::uint64_t tag = siphash_2_4(key, covered);
  std::array<std::uint8_t, 8> bytes{};
  write_be32(bytes.data(), static_cast<std::uint32_t>(tag >> 32));
  write_be32(bytes.data() + 4, static_cast<std::uint32_t>(tag));
  return bytes;
}

}  // namespace

HeaderFault read_header(std::span<const std::uint8_t> datagram, Header& header) {
  if (datagram.size() < kHeaderBytes) return HeaderFault::kTooShort;
  const std::uint8_t* p = datagram.data();
  if (p[0] != (0xc0 | kHeaderVersion)) return HeaderFault::kVersion;
  if ((p[4] & ~(kComponentBit | kSideBit)) != 0) return HeaderFault::kKind;
  header.shard = p[kShardOffset];
  header.flow = read_be16(p + 2);
  header.component = (p[4] & kComponentBit) != 0 ? Component::kRtcp : Component::kRtp;
  header.side = (p[4] & kSideBit) != 0 ? Side::kB : Side::kA;
  header.source = p[5];
  header.slot = read_be24(p + 6);
  header.generation = read_be24(p + 9);
  return HeaderFault::kNone;
}

bool tag_is_right(const SipHashKey& key, std::span<const std::uint8_t> datagram) {
  if (datagram.size() < kHeaderBytes) return false;
  const auto right = tag_of(key, datagram.data(), datagram.size());
  return equal_constant_time(right.data(), datagram.data() + kTaggedBytes, right.size());
}

void write_header(const SipHashKey& key, const Header& header, std::size_t payload_bytes,
                  std::uint8_t* out) {
  CHECK(header.slot < kSlotsMax);
  out[0] = 0xc0 | kHeaderVersion;
  out[kShardOffset] = header.shard;
  write_be16(out + 2, header.flow);
  out[4] = static_cast<std::uint8_t>((header.component == Component::kRtcp ? kComponentBit : 0) |
                                     (header.side == Side::kB ? kSideBit : 0));
  out[5] = header.source;
  write_be24(out + 6, header.slot);
  write_be24(out + 9, short_generation(header.generation));
  const auto tag = tag_of(key, out, kHeaderBytes + payload_bytes);
  std::memcpy(out + kTaggedBytes, tag.data(), tag.size());
}

}  // namespace turnpike::mux
