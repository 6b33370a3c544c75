#include "control/config/read_file.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace turnpike::config {
namespace {

std::string reason_to_refuse(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return std::strerror(errno);
  if (S_ISDIR(status.st_mode)) return "it is a directory";
  return S_ISREG(status.st_mode) ? "" : "it is no regular file";
}

std::string read_up_to(int fd, std::size_t bytes_max, std::string& text) {
  std::array<char, 65536> chunk{};
  for (;;) {
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::strerror(errno);
    if (got == 0) return "";
    text.append(chunk.data(), static_cast<std::size_t>(got));
    if (text.size() > bytes_max) {
      return "it is larger than " + std::to_string(bytes_max >> 20) + " MiB";
    }
  }
}

}  // namespace

bool read_regular_file(const std::string& path, std::size_t bytes_max, std::string& text,
                       UnreadableFile& unreadable) {
  text.clear();
  unreadable = {};
  // Opening a FIFO would wait for somebody who writes.
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) {
    unreadable = {errno == ENOENT || errno == EACCES, std::strerror(errno)};
    return false;
  }
  unreadable.reason = reason_to_refuse(fd);
  if (unreadable.reason.empty()) unreadable.reason = read_up_to(fd, bytes_max, text);
  ::close(fd);
  if (!unreadable.reason.empty()) text.clear();
  return unreadable.reason.empty();
}

}  // namespace turnpike::config
