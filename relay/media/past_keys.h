// Keys that DTLS gave to a leg and then took away: a fork that was answered first and is answered
// again has the same ones. What was sent and received under them is remembered, so that no index
// is used for two packets and none is accepted twice (RFC 3711 section 9.1, docs/security.md M9).
// Lives in the process: no association, and so none of these keys, comes back in another one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "relay/crypto/srtp.h"
#include "turnpike/keying.h"

namespace turnpike::media {

/// One SSRC under such keys, in one direction: of a stream, or of what was left behind of one.
struct PastStream {
  std::uint32_t ssrc = 0;
  SrtpReceiveStream receive;
  SrtpSendStream send;
};

struct PastKeys {
  SrtpKeying receive;
  SrtpKeying send;
  std::vector<PastStream> received;  ///< SSRCs of the leg: their receiving part counts
  std::vector<PastStream> sent;      ///< SSRCs that go to the leg: their sending part counts
  std::uint64_t packets_used = 0;
  std::uint64_t rtcp_packets_used = 0;
  /// Not all could be remembered: the keys must not be used again.
  bool spent = false;

  PastKeys() = default;
  ~PastKeys();
  PastKeys(PastKeys&&) = default;
  PastKeys& operator=(PastKeys&&) = default;
};

/// As many as forks that can be gone back to, and more.
constexpr std::size_t kPastKeysMax = 8;
/// SSRCs that are remembered of such keys, in each direction.
constexpr std::size_t kPastStreamsMax = 256;
/// By number of the leg.
using PastKeysByLeg = std::map<std::uint32_t, std::vector<PastKeys>>;

}  // namespace turnpike::media
