// The seam between SRTP's rules and the ciphers: batches of independent operations over packets
// whose places, initialisation vector and authenticated bytes are worked out already.
// Hides: the cipher library, key schedules, saved HMAC states, the cache of both per slot.
// Is not: aware of indices, replay or packet formats. Another implementation (several packets at
// a time) takes the place of this class; its callers stay as they are.
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

class SrtpBackend {
 public:
  explicit SrtpBackend(std::size_t cache_slots);
  ~SrtpBackend();
  SrtpBackend(const SrtpBackend&) = delete;
  SrtpBackend& operator=(const SrtpBackend&) = delete;

  /// Encrypts in place and writes the tags.
  void seal(std::span<SrtpOperation> operations);
  /// Compares the tags and decrypts in place; where the tag is wrong the bytes are undefined.
  void open(std::span<SrtpOperation> operations);
  /// Compares the tag only; the packet keeps its bytes.
  void verify(SrtpOperation& operation);
  /// Starts fetching what the slot's next operation reads.
  void prefetch(std::uint32_t cache_slot) const;
  /// Wipes what the slot holds, and any SRTCP key left from the last packet.
  void forget(std::uint32_t cache_slot);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace turnpike
