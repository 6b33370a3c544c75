#include "control/doctor/look.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/loop/socket_address.h"

namespace turnpike::doctor {
namespace {

/// Becomes `account` for good, unless this process is it already. Gives errno.
int become(const std::string& account) {
  const passwd* const entry = ::getpwnam(account.c_str());
  if (entry == nullptr || entry->pw_uid == ::geteuid()) return 0;
  if (::geteuid() != 0) return 0;  // cannot become another one: what it sees itself has to do
  const bool done = ::initgroups(account.c_str(), entry->pw_gid) == 0 &&
                    ::setgid(entry->pw_gid) == 0 && ::setuid(entry->pw_uid) == 0;
  return done ? 0 : errno;
}

int try_open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return errno;
  ::close(fd);
  return 0;
}

/// In a child, so that this process stays what it is.
[[noreturn]] void report_opens(int to, const std::string& account,
                               const std::vector<FileFacts>& files) {
  const int refused = become(account);
  bool told = true;
  for (const FileFacts& file : files) {
    const int error = refused != 0 ? refused : try_open(file.path);
    told = told && ::write(to, &error, sizeof error) == static_cast<ssize_t>(sizeof error);
  }
  ::_exit(told ? 0 : 1);
}

int bind_error(const SocketAddress& address, bool is_udp) {
  const sockaddr_storage place = loop::to_sockaddr(address);
  const int fd = ::socket(place.ss_family, (is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const int on = 1;
  if (!is_udp) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const int error = ::bind(fd, loop::as_sockaddr(place), loop::length_of(place)) == 0 ? 0 : errno;
  ::close(fd);
  return error;
}

bool is_of_relay(const Process& process) {
  return process.name == "turnpiked" || process.name == "turnpike-holder";
}

std::uint64_t open_files_max_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/limits");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string max;
    std::string open;
    std::string files;
    std::string soft;
    std::string hard;
    words >> max >> open >> files >> soft >> hard;
    std::uint64_t value = 0;
    if (open != "open") continue;
    const auto [end, error] = std::from_chars(hard.data(), hard.data() + hard.size(), value);
    return error == std::errc{} && end != hard.data() ? value : 0;
  }
  return 0;
}

/// What a socket gets of the receive buffer that it asks for. The kernel says it doubled.
std::uint32_t buffer_given(std::uint32_t wanted) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  const int size = static_cast<int>(std::min<std::uint32_t>(wanted, 1U << 30));
  int doubled = 0;
  socklen_t length = sizeof doubled;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  ::getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &doubled, &length);
  ::close(fd);
  return static_cast<std::uint32_t>(std::max(doubled, 0)) / 2;
}

}  // namespace

ClockFacts look_at_clock(const std::vector<FileFacts>& files) {
  ClockFacts clock;
  clock.now = std::chrono::system_clock::now();
  timex state{};
  const int answer = ::adjtimex(&state);
  clock.kernel_asked = answer >= 0;
  clock.synchronized = answer != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
  clock.error_max = std::chrono::microseconds{state.maxerror};
  for (const FileFacts& file : files) {
    struct stat status {};
    if (::stat(file.path.c_str(), &status) != 0) continue;
    const auto time = std::chrono::system_clock::from_time_t(status.st_mtime);
    if (!clock.newest_file.empty() && time <= clock.newest_file_time) continue;
    clock.newest_file = file.path;
    clock.newest_file_time = time;
  }
  return clock;
}

void try_files(const std::string& account, std::vector<FileFacts>& files) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return;
  const pid_t child = ::fork();
  if (child == 0) report_opens(ends[1], account, files);
  ::close(ends[1]);
  for (FileFacts& file : files) {
    int error = EIO;
    if (child < 0 || ::read(ends[0], &error, sizeof error) != static_cast<ssize_t>(sizeof error)) {
      error = EIO;
    }
    file.error = error;
  }
  ::close(ends[0]);
  if (child > 0) ::waitpid(child, nullptr, 0);
}

void look_at_listener(const std::vector<BoundSocket>& sockets, ListenerFacts& listener) {
  const BoundSocket* const found = find_bound(sockets, listener.address, listener.is_udp);
  listener.held = found != nullptr;
  if (found == nullptr) {
    listener.bind_error = bind_error(listener.address, listener.is_udp);
    return;
  }
  const auto holders = holders_of({found->inode});
  if (!holders.empty()) listener.holder = holders.begin()->second;
}

MediaPortFacts look_at_media_ports(const config::Settings& settings, const config::Host& host,
                                   const std::vector<BoundSocket>& sockets) {
  MediaPortFacts facts;
  facts.port_min = settings.media.port_min;
  facts.port_max = settings.media.port_max;
  facts.reservation_advice = host.port_advice;
  std::vector<std::uint64_t> inodes;
  for (const BoundSocket& one : sockets) inodes.push_back(one.inode);
  const auto holders = holders_of(inodes);
  const auto look = [&](const IpAddress& ip) {
    for (const BoundSocket& one : sockets) {
      const std::uint16_t port = one.address.port;
      if (!one.is_udp || port < facts.port_min || port > facts.port_max) continue;
      if (one.address.ip != ip && !one.address.ip.is_unspecified()) continue;
      const auto holder = holders.find(one.inode);
      const Process process = holder == holders.end() ? Process{} : holder->second;
      if (process.pid != 0 && !is_of_relay(process)) {
        facts.strangers.push_back({one.address, process});
      }
    }
    const auto& known = host.addresses;
    if (std::find(known.begin(), known.end(), ip) == known.end()) return;  // told elsewhere
    for (const std::uint16_t port : {facts.port_min, facts.port_max}) {
      const SocketAddress place{ip, port};
      if (find_bound(sockets, place, true) != nullptr) continue;
      if (const int error = bind_error(place, true); error != 0) {
        facts.unbindable.push_back(to_string(place) + ": " + std::strerror(error));
      }
    }
  };
  for (const config::InterfaceSection& interface : settings.interfaces) {
    for (const IpAddress& ip : interface.addresses) look(ip);
  }
  return facts;
}

LimitFacts look_at_limits(const config::Settings& settings, const config::Host& host,
                          pid_t daemon) {
  LimitFacts facts;
  facts.files_needed = config::open_files_needed(settings);
  facts.files_max = daemon == 0 ? 0 : open_files_max_of(daemon);
  facts.of_daemon = facts.files_max != 0;
  if (!facts.of_daemon) facts.files_max = host.open_files_max;
  facts.buffer_wanted_bytes = settings.media.socket_buffer_bytes;
  facts.buffer_given_bytes = buffer_given(facts.buffer_wanted_bytes);
  return facts;
}

std::string resolve_trouble(const std::string& name) {
  // The resolver's own patience is longer than an operator's.
  ::setenv("RES_OPTIONS", "timeout:2 attempts:2", 0);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int code = ::getaddrinfo(name.c_str(), nullptr, &hints, &list);
  if (code != 0) return ::gai_strerror(code);
  ::freeaddrinfo(list);
  return {};
}

}  // namespace turnpike::doctor
