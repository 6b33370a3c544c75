// The taps of one shard: copies what its captured legs receive and send into a ring that control
// reads. Hides: what of a datagram may be copied. Shard thread only, but for TapRing.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "relay/core/byte_ring.h"
#include "relay/core/packet.h"
#include "relay/media/engine.h"
#include "turnpike/capture.h"

namespace turnpike {

/// Between a shard and control. Its memory is taken with the first capture.
struct TapRing {
  static constexpr std::size_t kBytes = std::size_t{1} << 20;
  ByteRing bytes{kBytes};
  std::array<std::atomic<std::uint64_t>, kTapsMax> missed{};  ///< by tap number
};

/// Before the bytes of each record in the ring.
struct TapRecord {
  CapturedPacket packet;  ///< its `bytes` say nothing
  std::uint32_t captured = 0;
};

class Taps {
 public:
  /// Of datagrams from elsewhere than the leg's remote end, by tap: whoever floods a port fills
  /// neither the ring nor the file. More are missing.
  static constexpr std::uint32_t kStrangersASecond = 200;

  /// `engine` knows the legs; it outlives this.
  Taps(std::uint16_t shard, media::Engine& engine) : shard_(shard), engine_(engine) {}

  void add(const CaptureTap& tap, TapRing& ring);
  void remove(const CaptureTap& tap);
  /// The session is over.
  void forget(const SocketTag& session);

  bool empty() const { return count_ == 0; }
  /// A batch as it came, before the engine rewrites it.
  void received(const Batch& batch, Instant now);
  void sent(const Send& send, Instant now);

 private:
  struct Strangers {
    Instant since{};
    std::uint32_t count = 0;
  };

  bool is_one_too_many(const CaptureTap& tap, const media::LegState& leg, const Packet& packet,
                       Instant now);
  void copy(const CaptureTap& tap, TapRecord& record, const std::uint8_t* data,
            const media::LegState& leg);
  static std::uint32_t copied_bytes(const CaptureTap& tap, bool is_protected,
                                    const std::uint8_t* data, std::uint32_t length);

  std::uint16_t shard_;
  media::Engine& engine_;
  TapRing* ring_ = nullptr;
  std::array<CaptureTap, kTapsMax> taps_{};
  std::array<Strangers, kTapsMax> strangers_{};  // by tap number
  std::size_t count_ = 0;
};

}  // namespace turnpike
