// A memfd mapped into this process: shared with the holder, left out of core dumps, never on disk.
// Destruction unmaps and closes; it does not wipe, because the holder may keep the same pages for
// the next process. Whoever ends a record's life wipes that record.
#pragma once

#include <cstddef>
#include <cstdint>

#include "turnpike/result.h"

namespace turnpike {

class SharedMemory {
 public:
  /// Creates `bytes` (more than 0) of zeroed memory, sparse, sealed against resizing, so that no
  /// process that has the descriptor can make our accesses fault.
  static Result<SharedMemory> create(const char* name, std::size_t bytes);
  /// Maps a memfd received from the holder; refuses one that is not sealed or not `bytes` long.
  /// Takes ownership of `fd` on success only.
  static Result<SharedMemory> adopt(int fd, std::size_t bytes);

  SharedMemory() = default;
  SharedMemory(SharedMemory&& from) noexcept;
  SharedMemory& operator=(SharedMemory&& from) noexcept;
  ~SharedMemory();

  std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }
  int fd() const { return fd_; }

 private:
  SharedMemory(std::uint8_t* data, std::size_t size, int fd) : data_(data), size_(size), fd_(fd) {}

  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
  int fd_ = -1;
};

}  // namespace turnpike
