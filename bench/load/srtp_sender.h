// Protects the generator's packets, by OpenSSL: RFC 3711 (AES-CM and HMAC-SHA1) and 7714 (GCM), RTP
// of one SSRC whose sequence begins near zero. Fast, so that thousands of streams are ready within
// seconds. Is not: the judge of anything; libsrtp2 is (packets.h), of what is made here as well.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "bench/load/call.h"

namespace turnpike::bench {

constexpr std::uint32_t kRtpHeaderBytes = 12;  ///< of every packet here: no CSRC, no extension

class SrtpSender {
 public:
  explicit SrtpSender(const Key& key);
  ~SrtpSender();
  SrtpSender(const SrtpSender&) = delete;
  SrtpSender& operator=(const SrtpSender&) = delete;

  std::uint32_t tag_bytes() const;
  /// Encrypts in place and writes the tag: `packet` ends with tag_bytes() of room for it.
  /// `index`: RFC 3711's packet index, its last 16 bits are the packet's sequence number.
  void protect(std::span<std::uint8_t> packet, std::uint64_t index);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::bench
