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

/// Of the file that was opened: the path may name another one by now.
std::string reason_why_public(int fd, std::string_view what) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return std::strerror(errno);
  const bool read = (status.st_mode & S_IROTH) != 0;
  const bool written = (status.st_mode & S_IWOTH) != 0;
  if (!read && !written) return "";
  return std::string("every account of this host may ") + (read ? "read " : "write ") +
         std::string(what) + "; chmod 0640";
}

/// `private_what` not empty: see read_private_file.
bool read_file(const std::string& path, std::size_t bytes_max, std::string_view private_what,
               std::string& text, UnreadableFile& unreadable) {
  text.clear();
  unreadable = {};
  // Opening a FIFO would wait for somebody who writes.
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) {
    unreadable = {errno == ENOENT || errno == EACCES, std::strerror(errno)};
    return false;
  }
  unreadable.reason = reason_to_refuse(fd);
  if (unreadable.reason.empty() && !private_what.empty()) {
    unreadable.reason = reason_why_public(fd, private_what);
  }
  if (unreadable.reason.empty()) unreadable.reason = read_up_to(fd, bytes_max, text);
  ::close(fd);
  if (!unreadable.reason.empty()) text.clear();
  return unreadable.reason.empty();
}

}  // namespace

bool read_regular_file(const std::string& path, std::size_t bytes_max, std::string& text,
                       UnreadableFile& unreadable) {
  return read_file(path, bytes_max, {}, text, unreadable);
}

bool read_private_file(const std::string& path, std::size_t bytes_max, std::string_view what,
                       std::string& text, UnreadableFile& unreadable) {
  return read_file(path, bytes_max, what, text, unreadable);
}

}  // namespace turnpike::config
