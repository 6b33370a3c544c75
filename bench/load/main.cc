// turnpike_load: sets calls up on a relay through NG, plays media through them, and prints one JSON
// line: loss, delay, and what the relay's process spent. bench/run calls it for each relay in turn.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include <unistd.h>

#include "bench/load/packets.h"
#include "bench/load/traffic.h"

namespace turnpike::bench {
namespace {

constexpr const char* kUsage =
    "usage: turnpike_load --ng PORT --pid PID [--mode rtp-rtp|srtp-rtp|srtp-srtp|gcm-gcm]\n"
    "                     [--calls N] [--bytes N] [--seconds N] [--warm-up N]\n"
    "                     [--local IP,IP] [--relay IP,IP]\n"
    "Addresses are for side A and side B. Loopback or a network namespace of your own only.\n";

struct Options {
  std::uint16_t ng = 0;
  int pid = 0;
  Mode mode = Mode::kSrtpRtp;
  std::string mode_name = "srtp-rtp";
  std::uint32_t calls = 100;
  TrafficPlan plan{{"127.0.0.1", "127.0.0.1"}};
  std::array<std::string, 2> local{"127.0.0.1", "127.0.0.1"};
};

[[noreturn]] void refuse(const std::string& why) {
  std::fprintf(stderr, "turnpike_load: %s\n%s", why.c_str(), kUsage);
  std::exit(2);
}

std::array<std::string, 2> pair_of(const std::string& text) {
  const auto comma = text.find(',');
  if (comma == std::string::npos) return {text, text};
  return {text.substr(0, comma), text.substr(comma + 1)};
}

Options parse(int argc, char** argv) {
  static const std::map<std::string, Mode> modes = {{"rtp-rtp", Mode::kRtpRtp},
                                                    {"srtp-rtp", Mode::kSrtpRtp},
                                                    {"srtp-srtp", Mode::kSrtpSrtp},
                                                    {"gcm-gcm", Mode::kGcmGcm}};
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--help" || name == "-h") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (i + 1 == argc) refuse(name + " needs a value");
    const std::string value = argv[i + 1];
    const auto number = static_cast<std::uint32_t>(std::strtoul(value.c_str(), nullptr, 10));
    if (name == "--ng")
      options.ng = static_cast<std::uint16_t>(number);
    else if (name == "--pid")
      options.pid = static_cast<int>(number);
    else if (name == "--calls")
      options.calls = number;
    else if (name == "--bytes")
      options.plan.packet_bytes = number;
    else if (name == "--seconds")
      options.plan.seconds = number;
    else if (name == "--warm-up")
      options.plan.warm_up_seconds = number;
    else if (name == "--local")
      options.local = pair_of(value);
    else if (name == "--relay")
      options.plan.relay_address = pair_of(value);
    else if (name == "--mode" && modes.contains(value)) {
      options.mode = modes.at(value);
      options.mode_name = value;
    } else
      refuse("unknown option or value: " + name + " " + value);
  }
  if (options.ng == 0 || options.pid == 0) refuse("--ng and --pid are needed");
  return options;
}

// CPU time of a process in nanoseconds, from its scheduler statistics: finer than clock ticks.
std::uint64_t cpu_ns(int pid) {
  std::uint64_t total = 0;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  std::string listing;
  if (FILE* list = popen(("ls " + tasks).c_str(), "r"); list != nullptr) {
    char line[64];
    while (std::fgets(line, sizeof line, list) != nullptr) {
      std::ifstream stat(tasks + "/" + std::to_string(std::atoi(line)) + "/schedstat");
      std::uint64_t on_cpu = 0;
      stat >> on_cpu;
      total += on_cpu;
    }
    pclose(list);
  }
  return total;
}

std::uint64_t resident_kib(int pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::strtoull(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

int run(const Options& options) {
  start_srtp();
  NgSession ng(options.ng);
  const Ends ends(options.local);
  std::vector<Call> calls(options.calls);
  const std::uint64_t memory_before = resident_kib(options.pid);
  const auto set_up_start = std::chrono::steady_clock::now();
  for (std::uint32_t i = 0; i < calls.size(); ++i) {
    calls[i].id = "bench-" + std::to_string(getpid()) + "-" + std::to_string(i);
    std::string error;
    if (!ng.set_up(calls[i], options.mode, options.local, ends.port, error)) {
      std::fprintf(stderr, "turnpike_load: call %u refused: %s\n", i, error.c_str());
      return 1;
    }
  }
  const std::chrono::duration<double> set_up = std::chrono::steady_clock::now() - set_up_start;
  std::uint64_t cpu_before = 0;
  const TrafficResult result =
      play(options.plan, ends, calls, [&] { cpu_before = cpu_ns(options.pid); });
  const std::uint64_t cpu = cpu_ns(options.pid) - cpu_before;
  const std::uint64_t memory = resident_kib(options.pid) - memory_before;
  for (const Call& call : calls) ng.tear_down(call);
  const double sent = static_cast<double>(result.sent);
  std::printf(
      "{\"mode\":\"%s\",\"calls\":%u,\"bytes\":%u,\"sent\":%llu,\"received\":%llu,"
      "\"lost_percent\":%.4f,\"too_late\":%llu,\"checked\":%llu,\"bad\":%llu,"
      "\"cpu_ns_per_packet\":%.0f,\"delay_p50_us\":%.0f,\"delay_p99_us\":%.0f,"
      "\"delay_p999_us\":%.0f,\"memory_kib_per_call\":%.2f,\"set_ups_per_second\":%.0f,"
      "\"generator_behind_percent\":%.2f}\n",
      options.mode_name.c_str(), options.calls, options.plan.packet_bytes,
      static_cast<unsigned long long>(result.sent),
      static_cast<unsigned long long>(result.received),
      100.0 * (sent - static_cast<double>(result.received)) / sent,
      static_cast<unsigned long long>(result.too_late),
      static_cast<unsigned long long>(result.checked), static_cast<unsigned long long>(result.bad),
      static_cast<double>(cpu) / static_cast<double>(std::max<std::uint64_t>(result.received, 1)),
      result.delay_p50_us, result.delay_p99_us, result.delay_p999_us,
      static_cast<double>(memory) / options.calls, options.calls / set_up.count(),
      100.0 * result.behind_share);
  return 0;
}

}  // namespace
}  // namespace turnpike::bench

int main(int argc, char** argv) {
  return turnpike::bench::run(turnpike::bench::parse(argc, argv));
}
