// turnpike-holder: command line, descriptor limit, signals. What it does is in holder_server.h.
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "relay/holder/holder_server.h"
#include "turnpike/host.h"
#include "turnpike/standard_descriptors.h"

namespace turnpike {
namespace {

constexpr std::string_view kUsage =
    "turnpike-holder --socket PATH [--max N]\n"
    "Keeps the media sockets and the call state of turnpiked alive while it restarts.\n"
    "  --socket PATH  unix socket to listen on (mode 0600; serves this user only)\n"
    "  --max N        descriptors kept at most, default: what the descriptor limit allows\n"
    "  --help, --version\n"
    "Ends on SIGTERM and SIGINT, and then closes everything that it keeps.\n";
// A message's worth on its way in, and what the process itself needs.
constexpr std::uint64_t kDescriptorReserve = 512;

enum ExitCode : int { kOk = 0, kFailed = 1, kUsageError = 2 };

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto written = write(fd, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void log(const std::string& line) {
  write_all(STDERR_FILENO, "turnpike-holder: " + line + "\n");
}

struct Options {
  std::string socket_path;
  std::uint64_t held_max = 0;  // 0: as many as the limit of descriptors allows
};

int usage_error(const std::string& what) {
  log(what + "; see --help");
  return kUsageError;
}

// The exit code when there is nothing more to do, or -1.
int parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--help") return write_all(STDOUT_FILENO, kUsage), kOk;
    if (name == "--version") {
      return write_all(STDOUT_FILENO, "turnpike-holder " TURNPIKE_VERSION "\n"), kOk;
    }
    if (name != "--socket" && name != "--max") {
      return usage_error("unknown argument '" + std::string(name) + "'");
    }
    if (i + 1 == argc) return usage_error(std::string(name) + " needs a value");
    const std::string_view value = argv[++i];
    if (name == "--socket") {
      options.socket_path = value;
      continue;
    }
    const auto [end, failure] =
        std::from_chars(value.data(), value.data() + value.size(), options.held_max);
    if (failure != std::errc{} || end != value.data() + value.size() || options.held_max == 0 ||
        options.held_max > UINT32_MAX) {
      return usage_error("--max must be a number from 1 to 4294967295");
    }
  }
  return options.socket_path.empty() ? usage_error("--socket is missing") : -1;
}

// As many as the descriptor limit allows.
std::uint64_t affordable(std::uint64_t held_max) {
  const std::uint64_t wanted = held_max == 0 ? UINT64_MAX : held_max + kDescriptorReserve;
  const std::uint64_t limit = raise_descriptor_limit(wanted);
  if (limit >= wanted) return held_max;
  const std::uint64_t affordable =
      limit > 2 * kDescriptorReserve ? limit - kDescriptorReserve : limit / 2;
  if (held_max == 0) return affordable;
  log("the descriptor limit of " + std::to_string(limit) + " leaves room for " +
      std::to_string(affordable) + " instead of " + std::to_string(held_max) +
      "; raise it (LimitNOFILE) if that is too few");
  return affordable;
}

int run(const Options& options) {
  // Descriptors of live calls are no business of a debugger or a core dump.
  prctl(PR_SET_DUMPABLE, 0);
  // Meant for the daemon, or for a terminal that is gone: no reason to end calls.
  for (const int number : {SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE}) std::signal(number, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  auto server = HolderServer::listen(options.socket_path, affordable(options.held_max), log);
  if (!server) {
    log(server.error().message);
    return kFailed;
  }
  log("listening on " + options.socket_path);
  const bool stopped = (*server)->run(signal_fd);
  log("stopping with " + std::to_string((*server)->held()) + " descriptors kept");
  return stopped ? kOk : kFailed;
}

}  // namespace
}  // namespace turnpike

int main(int argc, char** argv) {
  turnpike::open_standard_descriptors();
  turnpike::Options options;
  const int code = turnpike::parse(argc, argv, options);
  return code >= 0 ? code : turnpike::run(options);
}
