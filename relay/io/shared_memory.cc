// The system calls of shared_memory.h: memfd_create(2), sealing, mapping.
#include "relay/io/shared_memory.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace turnpike {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Error system_error(const std::string& what) {
  return Error{"shared memory: " + what + ": " + std::strerror(errno)};
}

Result<std::uint8_t*> map(int fd, std::size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return system_error("cannot map " + std::to_string(bytes) + " bytes");
  if (madvise(data, bytes, MADV_DONTDUMP) != 0) {
    const Error error = system_error("cannot keep it out of core dumps");
    munmap(data, bytes);
    return error;
  }
  return static_cast<std::uint8_t*>(data);
}

}  // namespace

Result<SharedMemory> SharedMemory::create(const char* name, std::size_t bytes) {
  if (bytes == 0) return Error{"shared memory: a size of 0 makes no sense"};
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return system_error("memfd_create");
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0 || fcntl(fd, F_ADD_SEALS, kSeals) != 0) {
    const Error error = system_error("cannot size and seal " + std::to_string(bytes) + " bytes");
    close(fd);
    return error;
  }
  auto data = map(fd, bytes);
  if (!data) {
    close(fd);
    return data.error();
  }
  return SharedMemory(*data, bytes, fd);
}

Result<SharedMemory> SharedMemory::adopt(int fd, std::size_t bytes) {
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0) return system_error("not a memfd");
  // Without all three, another holder of the descriptor could cut the file under our mapping.
  if ((seals & kSeals) != kSeals) return Error{"shared memory: the memfd is not sealed"};
  if ((seals & F_SEAL_WRITE) != 0) return Error{"shared memory: the memfd is sealed for writing"};
  struct stat status {};
  if (fstat(fd, &status) != 0) return system_error("fstat");
  if (bytes == 0 || static_cast<std::size_t>(status.st_size) != bytes) {
    return Error{"shared memory: the memfd has " + std::to_string(status.st_size) +
                 " bytes, expected " + std::to_string(bytes)};
  }
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  auto data = map(fd, bytes);
  if (!data) return data.error();
  return SharedMemory(*data, bytes, fd);
}

SharedMemory::SharedMemory(SharedMemory&& from) noexcept {
  *this = std::move(from);
}

SharedMemory& SharedMemory::operator=(SharedMemory&& from) noexcept {
  std::swap(data_, from.data_);
  std::swap(size_, from.size_);
  std::swap(fd_, from.fd_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, size_);
  if (fd_ >= 0) close(fd_);
}

}  // namespace turnpike
