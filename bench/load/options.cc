#include "bench/load/options.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <vector>

namespace turnpike::bench {
namespace {

constexpr const char* kUsage =
    "usage: turnpike_load --ng PORT --pid PID [--mode rtp-rtp|srtp-rtp|srtp-srtp|gcm-gcm]\n"
    "                     [--calls N] [--bytes N] [--seconds N] [--warm-up N]\n"
    "                     [--rate PACKETS_PER_SECOND | --phases RATE:SECONDS,...]\n"
    "                     [--local IP,IP] [--relay IP,IP] [--shares-core yes]\n"
    "       turnpike_load --direct yes [--calls N] ...   to itself, without a relay\n"
    "       turnpike_load --set-up-only yes --ng PORT --pid PID [--calls N] [--mode MODE]\n"
    "                     sets calls up, plays nothing, leaves them to the relay\n"
    "       turnpike_load --mode turn-channels|turn-indications|turn-channels-tcp|\n"
    "                            turn-channels-tls --secret-file FILE --pid PID ...\n"
    "                     side A are clients of the TURN server at the first --relay, port 3478\n"
    "                     (with TLS 5349, certificates are not checked),\n"
    "                     from as many addresses as there are calls, the first --local and the\n"
    "                     following ones; side B are their peers. FILE holds the secret that\n"
    "                     time-limited credentials are made from\n"
    "The rate is that of all streams together; 50 packets a second each if nothing is said. "
    "Phases\n"
    "follow one another without a pause. With --shares-core the generator sleeps where it would\n"
    "otherwise spin. Addresses are for side A and side B. Loopback or a network namespace of your\n"
    "own only.\n";

constexpr std::uint32_t kUsualRate = 50;  // packets a second of one stream

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

struct Way {
  Mode mode = Mode::kRtpRtp;
  Framing framing = Framing::kNone;
  Transport transport = Transport::kUdp;
};
const std::map<std::string, Way> kModes = {
    {"rtp-rtp", {Mode::kRtpRtp}},
    {"srtp-rtp", {Mode::kSrtpRtp}},
    {"srtp-srtp", {Mode::kSrtpSrtp}},
    {"gcm-gcm", {Mode::kGcmGcm}},
    {"turn-channels", {Mode::kRtpRtp, Framing::kChannelData}},
    {"turn-indications", {Mode::kRtpRtp, Framing::kIndication}},
    {"turn-channels-tcp", {Mode::kRtpRtp, Framing::kChannelData, Transport::kTcp}},
    {"turn-channels-tls", {Mode::kRtpRtp, Framing::kChannelData, Transport::kTls}}};

}  // namespace

Options parse_options(int argc, char** argv) {
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
    else if (name == "--shares-core" && value == "yes")
      options.plan.shares_core = true;
    else if (name == "--secret-file")
      options.secret_file = value;
    else if (name == "--set-up-only" && value == "yes")
      options.set_up_only = true;
    else if (name == "--mode" && kModes.contains(value)) {
      options.mode = kModes.at(value).mode;
      options.plan.framing = kModes.at(value).framing;
      options.plan.transport = kModes.at(value).transport;
      options.mode_name = value;
    } else
      refuse("unknown option or value: " + name + " " + value);
  }
  const bool has_way_in = options.turn() ? !options.secret_file.empty() : options.ng != 0;
  if (!options.direct && (!has_way_in || options.pid == 0)) {
    refuse("--pid and --ng are needed, and with TURN --pid and --secret-file");
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

}  // namespace turnpike::bench
