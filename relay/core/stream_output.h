// What waits to be written to one connection: whole messages, in a room that is bounded. Who does
// not read loses data and, for longer, answers to requests; nobody else's memory.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace turnpike {

class StreamOutput {
 public:
  static constexpr std::size_t kBytes = 16384;
  /// The last part is for answers alone.
  static constexpr std::size_t kReserve = 2048;

  /// Takes all of `message` or, when there is no room for it, nothing.
  bool add(std::span<const std::uint8_t> message, bool is_data) {
    const std::size_t limit = is_data ? kBytes - kReserve : kBytes;
    if (size() + message.size() > limit) return false;
    if (end_ + message.size() > kBytes) {
      std::memmove(bytes_.data(), bytes_.data() + begin_, size());
      end_ -= begin_;
      begin_ = 0;
    }
    std::copy(message.begin(), message.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(end_));
    end_ += message.size();
    return true;
  }
  /// What to write first, all in one piece.
  std::span<const std::uint8_t> waiting() const { return {bytes_.data() + begin_, size()}; }
  /// So much of it was written.
  void written(std::size_t bytes) {
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  bool empty() const { return begin_ == end_; }
  std::size_t size() const { return end_ - begin_; }

 private:
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::array<std::uint8_t, kBytes> bytes_;  // only what was written is ever read
};

}  // namespace turnpike
