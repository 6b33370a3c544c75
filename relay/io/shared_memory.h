// A memfd mapped into this process: shared with the holder, left out of core dumps, never on disk.
#pragma once

#include <cstddef>
#include <cstdint>

#include "turnpike/result.h"

namespace turnpike {

class SharedMemory {
 public:
  /// Creates `bytes` of zeroed memory (sparse), sealed against resizing.
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
  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
  int fd_ = -1;
};

}  // namespace turnpike
