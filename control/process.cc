// Thin wrappers around prctl, limits, getrandom and sd_notify.
#include "control/process.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

namespace turnpike {

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

void random_bytes(void* buffer, std::size_t size) {
  auto* bytes = static_cast<std::uint8_t*>(buffer);
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

}  // namespace turnpike
