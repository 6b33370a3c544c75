// The SDP parser and writer under libFuzzer: no crash, and what was written once is stable.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "control/sdp/carriage.h"
#include "control/sdp/crypto.h"
#include "control/sdp/media.h"
#include "control/sdp/sdp.h"
#include "control/sdp/transport.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace turnpike;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = sdp::parse(text);
  if (!parsed) return 0;
  for (const sdp::Media& media : parsed->media) {
    const auto addresses = sdp::addresses_of(*parsed, media);
    if (addresses && addresses->rtp.ip.is_multicast()) __builtin_trap();
    const auto ice = sdp::ice_of(*parsed, media);
    const bool has_ufrag =
        sdp::has(media.attributes, "ice-ufrag") || sdp::has(parsed->attributes, "ice-ufrag");
    if (ice && ice->is_set() != has_ufrag) __builtin_trap();
    if (ice && ice->candidates.size() > sdp::kCandidatesReadMax) __builtin_trap();
    const auto dtls = sdp::dtls_of(*parsed, media);
    if (dtls && !dtls->fingerprint.is_set()) __builtin_trap();
    if (const auto carriage = sdp::carriage_of(media); carriage && carriage->generation == 0) {
      __builtin_trap();
    }
    for (const sdp::Attribute& attribute : media.attributes) {
      if (attribute.name != "crypto") continue;
      const sdp::CryptoLine line = sdp::parse_crypto(attribute.value);
      if (line.usable() != line.keying.is_set()) __builtin_trap();
    }
  }
  const std::string once = sdp::write(*parsed);
  const auto again = sdp::parse(once, {.bytes_max = once.size() + 1, .media_max = 16});
  if (!again || sdp::write(*again) != once) __builtin_trap();
  return 0;
}
