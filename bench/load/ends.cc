#include "bench/load/ends.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <arpa/inet.h>
#include <linux/sock_diag.h>
#include <unistd.h>

namespace turnpike::bench {
namespace {

std::int64_t ns_of(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "turnpike_load: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

sockaddr_in address_of(const std::string& ip, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, ip.c_str(), &address.sin_addr) != 1) {
    errno = EINVAL;
    give_up(ip.c_str());
  }
  return address;
}

std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return ns_of(now);
}

void sleep_until(std::int64_t end_ns) {
  const timespec end{end_ns / 1'000'000'000, end_ns % 1'000'000'000};
  clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &end, nullptr);
}

Ends::Ends(const std::array<std::string, 2>& address) {
  for (unsigned side = 0; side < 2; ++side) {
    fd[side] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int bytes = 16 << 20;
    const int on = 1;
    setsockopt(fd[side], SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    setsockopt(fd[side], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    setsockopt(fd[side], SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    sockaddr_in local = address_of(address[side], 0);
    socklen_t length = sizeof local;
    if (bind(fd[side], reinterpret_cast<sockaddr*>(&local), length) != 0 ||
        getsockname(fd[side], reinterpret_cast<sockaddr*>(&local), &length) != 0) {
      give_up(address[side].c_str());
    }
    port[side] = ntohs(local.sin_port);
    if (local.sin_addr.s_addr == INADDR_ANY) tell_destinations(fd[side]);
  }
}

Ends::~Ends() {
  for (const int one : fd) close(one);
}

std::uint64_t Ends::unread() const {
  std::uint64_t drops = 0;
  for (const int one : fd) {
    std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
    socklen_t size = sizeof memory;
    if (getsockopt(one, SOL_SOCKET, SO_MEMINFO, memory.data(), &size) != 0) give_up("SO_MEMINFO");
    drops += memory[SK_MEMINFO_DROPS];
  }
  return drops;
}

Listener::Listener() {
  for (std::size_t i = 0; i < kBurst; ++i) {
    vector_[i] = {data_[i].data(), data_[i].size()};
    message_[i].msg_hdr.msg_iov = &vector_[i];
    message_[i].msg_hdr.msg_iovlen = 1;
    message_[i].msg_hdr.msg_control = control_[i].data();
  }
}

std::int64_t Listener::arrival(msghdr& header) {
  const cmsghdr* control = CMSG_FIRSTHDR(&header);
  if (control == nullptr || control->cmsg_type != SCM_TIMESTAMPNS) return now_ns();
  timespec stamp{};
  std::memcpy(&stamp, CMSG_DATA(control), sizeof stamp);
  return ns_of(stamp);
}

}  // namespace turnpike::bench
