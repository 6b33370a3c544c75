// RTP and SRTP packets made before the run, so that making them costs nothing while the clock runs;
// and the check of what comes out at the far end, by libsrtp2.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "bench/load/call.h"

namespace turnpike::bench {

constexpr std::uint16_t kFirstSequence = 1000;

/// Every packet of one direction of one call, in one block.
class PacketTrain {
 public:
  /// `bytes`: RTP packet with header; SRTP adds its tag. `ssrc` names call and direction.
  PacketTrain(std::uint32_t ssrc, std::uint32_t count, std::uint32_t bytes,
              const std::optional<Key>& key);
  std::span<const std::uint8_t> packet(std::uint32_t i) const {
    return {data_.data() + std::size_t{i} * stride_, stride_};
  }

  /// Whether libsrtp2 accepts the first of them under `key`, the one they were made with.
  bool library_agrees(const std::optional<Key>& key) const;

 private:
  std::uint32_t count_;
  std::uint32_t stride_;
  std::vector<std::uint8_t> data_;
};

/// Whether received packets of one stream verify under `key` and carry what was sent.
/// Gives the number that do not.
std::uint32_t count_bad(const std::vector<std::vector<std::uint8_t>>& received,
                        const std::optional<Key>& key);

void start_srtp();

}  // namespace turnpike::bench
