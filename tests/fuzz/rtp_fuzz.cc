// Classification, RTP headers and RTCP compounds under libFuzzer, against naive readings of the
// same bytes.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "relay/wire/classify.h"
#include "relay/wire/rtp.h"

namespace {

void must(bool holds) {
  if (!holds) __builtin_trap();
}

std::size_t word16(const std::uint8_t* at) {
  return static_cast<std::size_t>(at[0]) * 256U + at[1];
}

// RFC 3550 appendix A.2, packet by packet from the front.
bool compound_adds_up(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return true;
  if (size < 4) return false;
  const std::size_t bytes = 4 * (word16(data + 2) + 1);
  const bool last = bytes == size;
  const bool known = data[1] >= 192 && data[1] <= 223;
  const bool padded = (data[0] / 32) % 2 == 1;
  return data[0] / 64 == 2 && known && bytes <= size && (!padded || last) &&
         compound_adds_up(data + bytes, size - bytes);
}

void check_rtp(const std::uint8_t* data, std::size_t size) {
  turnpike::RtpHeader header;
  if (!turnpike::parse_rtp(data, size, header)) return;
  must(data[0] / 64 == 2 && header.header_bytes <= size && header.header_bytes % 4 == 0);
  must(header.header_bytes >= 12U + 4U * (data[0] % 16U));
  must(header.sequence == word16(data + 2) && header.payload_type == data[1] % 128);
  std::vector<std::uint8_t> copy(data, data + size);
  turnpike::write_rtp_sequence(copy.data(), static_cast<std::uint16_t>(header.sequence + 1));
  turnpike::RtpHeader again;
  must(turnpike::parse_rtp(copy.data(), copy.size(), again));
  must(again.sequence == static_cast<std::uint16_t>(header.sequence + 1));
  must(again.ssrc == header.ssrc && again.header_bytes == header.header_bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const turnpike::PacketKind kind = turnpike::classify(data, size);
  const bool media = kind == turnpike::PacketKind::kRtp || kind == turnpike::PacketKind::kRtcp;
  must(media == (size >= 2 && data[0] / 64 == 2));
  check_rtp(data, size);
  must(turnpike::rtcp_compound_is_valid(data, size) == (size >= 8 && compound_adds_up(data, size)));
  return 0;
}
