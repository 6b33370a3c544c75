// turnpike_load: sets calls up on a relay through NG, plays media through them, and prints one JSON
// line: loss, delay, and what the relay's process spent. bench/run calls it for each relay in turn.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <unistd.h>

#include "bench/load/observed_process.h"
#include "bench/load/packets.h"
#include "bench/load/traffic.h"

namespace turnpike::bench {
namespace {

constexpr const char* kUsage =
    "usage: turnpike_load --ng PORT --pid PID [--mode rtp-rtp|srtp-rtp|srtp-srtp|gcm-gcm]\n"
    "                     [--calls N] [--bytes N] [--seconds N] [--warm-up N]\n"
    "                     [--rate PACKETS_PER_SECOND | --phases RATE:SECONDS,...]\n"
    "                     [--local IP,IP] [--relay IP,IP]\n"
    "       turnpike_load --direct yes [--calls N] ...   to itself, without a relay\n"
    "       turnpike_load --set-up-only yes --ng PORT --pid PID [--calls N] [--mode MODE]\n"
    "                     sets calls up, plays nothing, leaves them to the relay\n"
    "The rate is that of all streams together; 50 packets a second each if nothing is said. "
    "Phases\n"
    "follow one another without a pause. Addresses are for side A and side B. Loopback or a\n"
    "network namespace of your own only.\n";

constexpr std::uint32_t kFirstCalls = 10;
constexpr std::uint32_t kUsualRate = 50;  // packets a second of one stream

struct Options {
  std::uint16_t ng = 0;
  int pid = 0;
  Mode mode = Mode::kSrtpRtp;
  std::string mode_name = "srtp-rtp";
  std::uint32_t calls = 100;
  bool direct = false;
  bool set_up_only = false;
  std::uint32_t seconds = 10;
  std::uint32_t rate = 0;  // 0: as calls do
  TrafficPlan plan{{"127.0.0.1", "127.0.0.1"}, 172, {}};
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

// "RATE:SECONDS,RATE:SECONDS,…"; empty when it is not that.
std::vector<Phase> phases_of(const std::string& text) {
  std::vector<Phase> phases;
  for (const char* at = text.c_str();;) {
    char* end = nullptr;
    Phase phase;
    phase.packets_per_second = static_cast<std::uint32_t>(std::strtoul(at, &end, 10));
    if (*end != ':') return {};
    phase.seconds = static_cast<std::uint32_t>(std::strtoul(end + 1, &end, 10));
    if (phase.packets_per_second == 0 || phase.seconds == 0) return {};
    phases.push_back(phase);
    if (*end == '\0') return phases;
    if (*end != ',') return {};
    at = end + 1;
  }
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
      options.seconds = number;
    else if (name == "--rate")
      options.rate = number;
    else if (name == "--phases") {
      options.plan.phases = phases_of(value);
      if (options.plan.phases.empty()) refuse("--phases: not a list of RATE:SECONDS: " + value);
    } else if (name == "--warm-up")
      options.plan.warm_up_seconds = number;
    else if (name == "--local")
      options.local = pair_of(value);
    else if (name == "--relay")
      options.plan.relay_address = pair_of(value);
    else if (name == "--direct" && value == "yes")
      options.direct = true;
    else if (name == "--set-up-only" && value == "yes")
      options.set_up_only = true;
    else if (name == "--mode" && modes.contains(value)) {
      options.mode = modes.at(value);
      options.mode_name = value;
    } else
      refuse("unknown option or value: " + name + " " + value);
  }
  if (!options.direct && (options.ng == 0 || options.pid == 0)) {
    refuse("--ng and --pid are needed");
  }
  TrafficPlan& plan = options.plan;
  if (plan.phases.empty()) {
    const std::uint32_t usual = options.calls * 2 * kUsualRate;
    plan.phases = {{options.rate != 0 ? options.rate : usual, options.seconds}};
  }
  if (options.calls == 0 || options.seconds == 0 || plan.packet_bytes < 12 ||
      plan.packet_bytes > 1400) {
    refuse("calls and seconds begin at 1, bytes go from 12 to 1400");
  }
  return options;
}

struct RelayCost {
  double set_up_seconds = 0;  // all calls, one after another
  std::uint64_t set_up_cpu_ns = 0;
  std::uint64_t cpu_ns = 0;  // while traffic was measured
  std::uint64_t waited_ns = 0;
  double measured_ns = 1;  // longer than planned when the generator could not keep up
  std::uint64_t idle_kib = 0;
  double calls_kib = 0;
};

class JsonLine {
 public:
  JsonLine& word(const char* name, const std::string& value) {
    return raw(name, "\"" + value + "\"");
  }
  JsonLine& count(const char* name, std::uint64_t value) {
    return raw(name, std::to_string(value));
  }
  JsonLine& number(const char* name, double value) {
    std::array<char, 64> digits{};
    std::snprintf(digits.data(), digits.size(), "%.4f", value);
    return raw(name, digits.data());
  }
  JsonLine& list(const char* name, const std::vector<JsonLine>& values) {
    std::string text;
    for (const JsonLine& value : values) text += (text.empty() ? "{" : ",{") + value.line_ + "}";
    return raw(name, "[" + text + "]");
  }
  void print() const { std::printf("{%s}\n", line_.c_str()); }

 private:
  JsonLine& raw(const char* name, const std::string& value) {
    line_ += std::string(line_.empty() ? "" : ",") + "\"" + name + "\":" + value;
    return *this;
  }

  std::string line_;
};

JsonLine of_phase(const Phase& planned, const PhaseResult& phase) {
  JsonLine line;
  line.count("rate", planned.packets_per_second)
      .count("seconds", planned.seconds)
      .count("sent", phase.sent)
      .count("received", phase.received)
      .count("late", phase.late)
      .count("first_second_sent", phase.first_second_sent)
      .count("first_second_received", phase.first_second_received)
      .count("first_second_late", phase.first_second_late)
      .number("sent_per_second", phase.sent_per_second)
      .number("delay_p50_us", phase.delay_p50_us)
      .number("delay_p99_us", phase.delay_p99_us)
      .number("generator_late_percent", 100.0 * phase.sent_late_share);
  return line;
}

void print(const Options& options, const TrafficResult& traffic, const RelayCost& cost) {
  const auto sent = static_cast<double>(std::max<std::uint64_t>(traffic.sent, 1));
  const auto received = static_cast<double>(std::max<std::uint64_t>(traffic.received, 1));
  const double calls = options.calls;
  JsonLine line;
  line.word("mode", options.direct ? "direct" : options.mode_name)
      .count("calls", options.calls)
      .count("bytes", options.plan.packet_bytes)
      .count("sent", traffic.sent)
      .count("received", traffic.received)
      .number("lost_percent", 100.0 * (sent - static_cast<double>(traffic.received)) / sent)
      .count("duplicates", traffic.duplicates)
      .count("foreign", traffic.foreign)
      .count("too_late", traffic.too_late)
      .count("late", traffic.late)
      .count("checked", traffic.checked)
      .count("bad", traffic.bad)
      .number("delay_p50_us", traffic.delay_p50_us)
      .number("delay_p99_us", traffic.delay_p99_us)
      .number("delay_p999_us", traffic.delay_p999_us)
      .count("generator_unread", traffic.unread)
      .number("generator_late_percent", 100.0 * traffic.sent_late_share)
      .number("generator_waited_seconds", static_cast<double>(observe(getpid()).waited_ns) / 1e9);
  if (!options.direct) {
    line.number("cpu_ns_per_packet", static_cast<double>(cost.cpu_ns) / received)
        .number("cpu_percent", 100.0 * static_cast<double>(cost.cpu_ns) / cost.measured_ns)
        .number("waited_percent", 100.0 * static_cast<double>(cost.waited_ns) / cost.measured_ns)
        .number("memory_kib_per_call", cost.calls_kib / calls)
        .count("memory_idle_kib", cost.idle_kib)
        .number("set_ups_per_second", calls / cost.set_up_seconds)
        .number("cpu_us_per_set_up", static_cast<double>(cost.set_up_cpu_ns) / 1000.0 / calls);
  }
  std::vector<JsonLine> phases;
  for (std::size_t i = 0; i < traffic.phases.size(); ++i) {
    phases.push_back(of_phase(options.plan.phases[i], traffic.phases[i]));
  }
  line.list("phases", phases).print();
}

std::vector<Call> new_calls(const std::string& name, std::uint32_t count, Mode mode) {
  std::vector<Call> calls;
  for (std::uint32_t i = 0; i < count; ++i) {
    calls.push_back(
        new_call(name + "-" + std::to_string(getpid()) + "-" + std::to_string(i), mode));
  }
  return calls;
}

// Sets all calls up; gives the seconds that it took, or nothing after saying why.
std::optional<double> set_up(NgSession& ng, const Options& options, const Ends& ends,
                             std::vector<Call>& calls) {
  const auto start = std::chrono::steady_clock::now();
  for (std::uint32_t i = 0; i < calls.size(); ++i) {
    std::string error;
    if (!ng.set_up(calls[i], options.local, ends.port, error)) {
      std::fprintf(stderr, "turnpike_load: call %u refused: %s\n", i, error.c_str());
      return std::nullopt;
    }
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A burst of calls without media; the relay keeps them.
int run_set_up(const Options& options) {
  const Ends ends(options.local);
  std::vector<Call> calls = new_calls("burst", options.calls, options.mode);
  NgSession ng(options.ng);
  std::vector<Call> first = new_calls("first", std::min(options.calls, kFirstCalls), options.mode);
  if (!set_up(ng, options, ends, first)) return 1;
  for (const Call& call : first) ng.tear_down(call.id);

  const ProcessFigures before = observe(options.pid);
  const auto seconds = set_up(ng, options, ends, calls);
  if (!seconds) return 1;
  const ProcessFigures after = observe(options.pid);
  const double count = options.calls;
  JsonLine line;
  line.word("mode", options.mode_name)
      .count("calls", options.calls)
      .number("set_ups_per_second", count / *seconds)
      .number("cpu_us_per_set_up", static_cast<double>(after.cpu_ns - before.cpu_ns) / 1e3 / count)
      .print();
  return 0;
}

int run_direct(Options options) {
  const Ends ends(options.local);
  std::vector<Call> calls = new_calls("direct", options.calls, Mode::kRtpRtp);
  options.plan.relay_address = {options.local[1], options.local[0]};
  Traffic traffic(options.plan, ends, calls);
  for (Call& call : calls) {
    call.leg[0].relay_port = ends.port[1];
    call.leg[1].relay_port = ends.port[0];
  }
  print(options, traffic.play([](std::size_t) {}, [] {}), {});
  return 0;
}

int run(const Options& options) {
  const Ends ends(options.local);
  std::vector<Call> calls = new_calls("bench", options.calls, options.mode);
  Traffic traffic(options.plan, ends, calls);
  NgSession ng(options.ng);
  // What a relay allocates once, with its first calls, is not memory per call.
  std::vector<Call> first = new_calls("first", std::min(options.calls, kFirstCalls), options.mode);
  if (!set_up(ng, options, ends, first)) return 1;
  for (const Call& call : first) ng.tear_down(call.id);

  RelayCost cost;
  const ProcessFigures idle = observe(options.pid);
  const auto seconds = set_up(ng, options, ends, calls);
  if (!seconds) return 1;
  cost.set_up_seconds = *seconds;
  cost.set_up_cpu_ns = observe(options.pid).cpu_ns - idle.cpu_ns;
  ProcessFigures before;
  ProcessFigures after;
  std::chrono::steady_clock::time_point begin;
  const auto on_phase = [&](std::size_t phase) {
    // For who wants to do something to the relay meanwhile.
    if (options.plan.phases.size() > 1) std::fprintf(stderr, "phase %zu\n", phase);
    if (phase > 0) return;
    before = observe(options.pid);
    begin = std::chrono::steady_clock::now();
  };
  const auto on_end = [&] {
    after = observe(options.pid);
    const std::chrono::duration<double, std::nano> lasted =
        std::chrono::steady_clock::now() - begin;
    cost.measured_ns = lasted.count();
  };
  const TrafficResult result = traffic.play(on_phase, on_end);
  if (after.cpu_ns < before.cpu_ns || after.resident_kib == 0) {
    std::fprintf(stderr, "turnpike_load: the relay (process %d) ended\n", options.pid);
    return 1;
  }
  cost.cpu_ns = after.cpu_ns - before.cpu_ns;
  cost.waited_ns = after.waited_ns - before.waited_ns;
  cost.idle_kib = idle.resident_kib;
  cost.calls_kib = static_cast<double>(after.resident_kib) - static_cast<double>(idle.resident_kib);
  for (const Call& call : calls) ng.tear_down(call.id);
  print(options, result, cost);
  return 0;
}

}  // namespace
}  // namespace turnpike::bench

int main(int argc, char** argv) {
  const auto options = turnpike::bench::parse(argc, argv);
  turnpike::bench::start_srtp();
  if (options.set_up_only) return turnpike::bench::run_set_up(options);
  return options.direct ? turnpike::bench::run_direct(options) : turnpike::bench::run(options);
}
