// The seam between SRTP's rules and the ciphers: batches of independent operations over packets
// whose places, initialisation vector and authenticated bytes are worked out already.
// Hides: the cipher library, key schedules, saved HMAC states, the cache of both per slot.
// Is not: aware of indices, replay or packet formats.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "relay/crypto/srtp.h"

namespace turnpike {

constexpr bool is_gcm(SrtpSuite suite) {
  return info_of(suite).salt_bytes == 12;
}

/// One packet for the ciphers. Bytes [0, clear_bytes) are authenticated only, the next
/// cipher_bytes are encrypted and authenticated, then `tail` is authenticated although it stands
/// elsewhere or nowhere in the packet: roll-over counter (CM, SRTP) or E flag and SRTCP index.
struct SrtpOperation {
  const SrtpContext* context = nullptr;
  std::uint8_t* packet = nullptr;
  std::uint8_t* tag = nullptr;  ///< seal writes it, open compares with it
  std::uint32_t clear_bytes = 0;
  std::uint32_t cipher_bytes = 0;
  std::uint32_t cache_slot = 0;
  bool rtcp = false;
  bool ok = false;  ///< out, open and verify: the tag is right
  std::uint8_t tail_bytes = 0;
  std::array<std::uint8_t, 4> tail{};
  std::array<std::uint8_t, 16> iv{};  ///< CM: first counter block; GCM: 12 bytes
};

inline std::size_t tag_bytes_of(const SrtpOperation& op) {
  const SrtpSuiteInfo& info = info_of(op.context->suite);
  return op.rtcp ? info.rtcp_tag_bytes : info.rtp_tag_bytes;
}

/// Most operations of one call of seal() or open().
constexpr std::size_t kOperationsMax = 64;

class SrtpBackend {
 public:
  virtual ~SrtpBackend() = default;

  /// Encrypts in place and writes the tags. At least 4 bytes behind the authenticated ones belong
  /// to the packet (tag, SRTCP index or MKI) and may be used meanwhile.
  virtual void seal(std::span<SrtpOperation> operations) = 0;
  /// Compares the tags and decrypts in place; where the tag is wrong the bytes are undefined.
  virtual void open(std::span<SrtpOperation> operations) = 0;
  /// Compares the tag only; the packet keeps its bytes.
  virtual void verify(SrtpOperation& operation) = 0;
  /// Starts fetching what the next operation with this context and slot reads.
  virtual void prefetch(const SrtpContext& context, std::uint32_t cache_slot) const = 0;
  /// Wipes what the slot holds, and any SRTCP key left from the last packet.
  virtual void forget(std::uint32_t cache_slot) = 0;
};

/// OpenSSL's EVP, one packet after the other.
std::unique_ptr<SrtpBackend> make_evp_backend(std::size_t cache_slots);
/// Intel's multi-buffer library; null where the build or the processor does not have what it
/// needs. `level` is for measurements and tests of what other processors would do.
enum class IpsecMbLevel : std::uint8_t { kBest, kAvx512, kAvx2, kAvx, kSse };
std::unique_ptr<SrtpBackend> make_ipsec_mb_backend(std::size_t cache_slots,
                                                   IpsecMbLevel level = IpsecMbLevel::kBest);
/// The ciphers of libsrtp2; null where the build does not have it.
std::unique_ptr<SrtpBackend> make_libsrtp2_backend(std::size_t cache_slots);
/// The one of `library`; null where it is not available.
std::unique_ptr<SrtpBackend> make_srtp_backend(SrtpLibrary library, std::size_t cache_slots);

}  // namespace turnpike
