// Classification, RTP headers, their extensions and RTCP compounds under libFuzzer, against naive
// readings of the same bytes.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "relay/wire/classify.h"
#include "relay/wire/rtcp.h"
#include "relay/wire/rtp.h"
#include "relay/wire/rtp_extension.h"

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

// RFC 8285 section 4, element by element from the front; -1: no such element.
std::ptrdiff_t place_of_element(const std::uint8_t* data, std::size_t at, std::size_t end,
                                bool two_bytes, std::uint8_t id) {
  if (at >= end) return -1;
  if (data[at] == 0) return place_of_element(data, at + 1, end, two_bytes, id);
  const unsigned found = two_bytes ? data[at] : data[at] / 16U;
  if (!two_bytes && found == 15) return -1;
  const std::size_t head = two_bytes ? 2 : 1;
  if (at + head > end) return -1;
  const std::size_t length = two_bytes ? data[at + 1] : data[at] % 16U + 1;
  if (at + head + length > end) return -1;
  if (found == id) return static_cast<std::ptrdiff_t>(at + head);
  return place_of_element(data, at + head + length, end, two_bytes, id);
}

void check_extensions(const std::uint8_t* data, std::size_t size) {
  turnpike::RtpHeader header;
  if (!turnpike::parse_rtp(data, size, header)) return;
  const std::size_t begin = 12U + 4U * (data[0] % 16U);
  const bool has_one = data[0] / 16 % 2 == 1;
  const std::size_t form = has_one ? word16(data + begin) : 0;
  const bool two_bytes = form / 16 == 0x100;
  const std::vector<std::uint8_t> exact(data, data + header.header_bytes);
  for (unsigned id = 0; id < 256; ++id) {
    const auto element =
        turnpike::find_rtp_extension(exact.data(), header, static_cast<std::uint8_t>(id));
    std::ptrdiff_t place = -1;
    if (has_one && id != 0 && (two_bytes || form == 0xbede)) {
      place = place_of_element(data, begin + 4, header.header_bytes, two_bytes,
                               static_cast<std::uint8_t>(id));
    }
    must(element.empty() || element.data() - exact.data() == place);
    must(!element.empty() || place < 0 || (two_bytes && data[place - 1] == 0));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const turnpike::PacketKind kind = turnpike::classify(data, size);
  const bool media = kind == turnpike::PacketKind::kRtp || kind == turnpike::PacketKind::kRtcp;
  must(media == (size >= 2 && data[0] / 64 == 2));
  check_rtp(data, size);
  check_extensions(data, size);
  if (turnpike::rtcp_compound_is_valid(data, size)) {
    const std::vector<std::uint8_t> exact(data, data + size);
    turnpike::visit_rtcp_targets(exact.data(), size, [](std::uint32_t) { return false; });
  }
  must(turnpike::rtcp_compound_is_valid(data, size) == (size >= 8 && compound_adds_up(data, size)));
  return 0;
}
