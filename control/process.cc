// Thin wrappers around prctl, limits, getrandom and sd_notify.
#include "control/process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

namespace turnpike {
namespace {

void fill_from_kernel(std::uint8_t* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t got = getrandom(bytes, size, 0);
    if (got < 0 && errno != EINTR) {
      std::fprintf(stderr, "turnpiked: getrandom: %s\n", std::strerror(errno));
      std::abort();
    }
    if (got <= 0) continue;
    bytes += got;
    size -= static_cast<std::size_t>(got);
  }
}

}  // namespace

Result<void> harden_process() {
  const rlimit no_core{0, 0};
  if (setrlimit(RLIMIT_CORE, &no_core) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0) {
    return Error{std::string("core dumps cannot be switched off (") + std::strerror(errno) +
                 "); they would hold keys, so the daemon does not start"};
  }
  umask(0077);
  std::signal(SIGPIPE, SIG_IGN);
  return {};
}

void hold_stop_signals(bool held) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&signals, number);
  pthread_sigmask(held ? SIG_BLOCK : SIG_UNBLOCK, &signals, nullptr);
}

bool runs_as_root() {
  return geteuid() == 0;
}

void notify_service_manager(const std::string& state) {
  sd_notify(0, state.c_str());
}

// A call takes some fifteen small pieces; asking the kernel for each costs more than the pieces.
void random_bytes(void* buffer, std::size_t size) {
  thread_local std::array<std::uint8_t, 512> block;
  thread_local std::size_t left = 0;  // at the end of the block
  thread_local time_t filled_at = 0;
  auto* bytes = static_cast<std::uint8_t*>(buffer);
  if (size > block.size()) return fill_from_kernel(bytes, size);
  // Not for long: a virtual machine that is cloned takes it along, and keys must differ then.
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (size > left || now.tv_sec != filled_at) {
    filled_at = now.tv_sec;
    fill_from_kernel(block.data(), block.size());
    left = block.size();
  }
  std::uint8_t* piece = block.data() + block.size() - left;
  std::memcpy(bytes, piece, size);
  explicit_bzero(piece, size);  // what is handed out lies nowhere else
  left -= size;
}

}  // namespace turnpike
