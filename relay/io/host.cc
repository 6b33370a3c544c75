// Implements include/turnpike/host.h: limits and kernel settings.
#include "turnpike/host.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <sstream>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "relay/io/reserved_ports.h"

namespace turnpike {
namespace {

constexpr const char* kReservedPath = "/proc/sys/net/ipv4/ip_local_reserved_ports";
constexpr const char* kEphemeralPath = "/proc/sys/net/ipv4/ip_local_port_range";

std::optional<std::string> read_setting(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = read(fd, buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  close(fd);
  if (got < 0) return std::nullopt;
  return text;
}

bool write_setting(const char* path, const std::string& text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const auto written = write(fd, text.data(), text.size());
  close(fd);
  return written == static_cast<ssize_t>(text.size());
}

// True when the kernel may hand out none or some of these ports by itself.
bool is_ephemeral(std::uint16_t port_min, std::uint16_t port_max) {
  std::uint32_t first = 32768;
  std::uint32_t last = 60999;
  if (const auto text = read_setting(kEphemeralPath)) std::istringstream(*text) >> first >> last;
  return port_min <= last && first <= port_max;
}

std::string advice(const std::string& list) {
  return "the kernel may give media ports to other programs; set sysctl "
         "net.ipv4.ip_local_reserved_ports=" +
         list;
}

}  // namespace

std::uint64_t raise_descriptor_limit(std::uint64_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur >= wanted) return limit.rlim_cur;
  const rlimit raised{wanted, std::max<rlim_t>(limit.rlim_max, wanted)};
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return wanted;
  const rlimit allowed{std::min<rlim_t>(limit.rlim_max, wanted), limit.rlim_max};
  return setrlimit(RLIMIT_NOFILE, &allowed) == 0 ? allowed.rlim_cur : limit.rlim_cur;
}

std::string port_range_advice(std::uint16_t port_min, std::uint16_t port_max) {
  const std::string present = read_setting(kReservedPath).value_or("");
  if (!is_ephemeral(port_min, port_max) || covers(present, port_min, port_max)) return {};
  return advice(with_ports(present, port_min, port_max));
}

Result<void> reserve_port_range(std::uint16_t port_min, std::uint16_t port_max) {
  if (port_range_advice(port_min, port_max).empty()) return {};
  const std::string present = read_setting(kReservedPath).value_or("");
  const std::string wanted = with_ports(present, port_min, port_max);
  if (!write_setting(kReservedPath, wanted)) {
    return Error{advice(wanted) + " (we may not: " + std::strerror(errno) + ")"};
  }
  return {};
}

}  // namespace turnpike
