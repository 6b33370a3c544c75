// turnpike_load: sets calls up on a relay through NG, or as TURN clients on a TURN server, plays
// media through them, and prints one JSON line: loss, delay, and what the relay's process spent.
// bench/run calls it for each relay in turn.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <unistd.h>

#include "bench/load/figures.h"
#include "bench/load/observed_process.h"
#include "bench/load/options.h"
#include "bench/load/packets.h"
#include "bench/load/traffic.h"
#include "bench/load/turn_session.h"

namespace turnpike::bench {
namespace {

constexpr std::uint32_t kFirstCalls = 10;
constexpr std::uint16_t kTurnPort = 3478;
constexpr std::uint16_t kTurnTlsPort = 5349;

class NgSignalling final : public Signalling {
 public:
  NgSignalling(const Options& options, const Ends& ends)
      : options_(options), ends_(ends), ng_(options.ng) {}

  bool set_up(std::vector<Call>& calls, std::string& error) override {
    return std::all_of(calls.begin(), calls.end(), [&](Call& call) {
      return ng_.set_up(call, options_.local, ends_.port, error);
    });
  }
  void tear_down(const std::vector<Call>& calls) override {
    for (const Call& call : calls) ng_.tear_down(call.id);
  }

 private:
  const Options& options_;
  const Ends& ends_;
  NgSession ng_;
};

std::array<std::string, 2> bound_to(const Options& options) {
  if (!options.turn()) return options.local;
  return {"0.0.0.0", options.local[1]};  // a client has one of many addresses
}

std::unique_ptr<Signalling> signalling_of(const Options& options, Ends& ends) {
  if (!options.turn()) return std::make_unique<NgSignalling>(options, ends);
  const Transport transport = options.plan.transport;
  const std::uint16_t port = transport == Transport::kTls ? kTurnTlsPort : kTurnPort;
  TurnSession::Server server{address_of(options.plan.relay_address[0], port), {}};
  if (transport != Transport::kUdp) {
    ends.streams = std::make_unique<ClientStreams>(server.address, transport);
  }
  std::ifstream(options.secret_file) >> server.secret;
  return std::make_unique<TurnSession>(ends, std::move(server),
                                       address_of(options.local[1], ends.port[1]),
                                       options.plan.framing, options.plan.packet_bytes);
}

// `place`: behind how many other calls, which have addresses of their own.
std::vector<Call> new_calls(const Options& options, const std::string& name, std::uint32_t count,
                            std::uint32_t place = 0) {
  std::vector<Call> calls;
  const std::uint32_t first = ntohl(address_of(options.local[0], 0).sin_addr.s_addr) + place;
  for (std::uint32_t i = 0; i < count; ++i) {
    calls.push_back(
        new_call(name + "-" + std::to_string(getpid()) + "-" + std::to_string(i), options.mode));
    if (options.turn()) calls.back().leg[0].own_ip = htonl(first + i);
  }
  return calls;
}

// Sets all calls up; gives the seconds that it took, or nothing after saying why.
std::optional<double> set_up(Signalling& signalling, std::vector<Call>& calls) {
  const auto start = std::chrono::steady_clock::now();
  std::string error;
  if (!signalling.set_up(calls, error)) {
    std::fprintf(stderr, "turnpike_load: a call is refused: %s\n", error.c_str());
    return std::nullopt;
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// What a relay allocates once, with its first calls, is not memory per call.
bool try_some(Signalling& signalling, const Options& options) {
  std::vector<Call> first =
      new_calls(options, "first", std::min(options.calls, kFirstCalls), options.calls);
  if (!set_up(signalling, first)) return false;
  signalling.tear_down(first);
  return true;
}

// A burst of calls without media; the relay keeps them.
int run_set_up(const Options& options) {
  Ends ends(bound_to(options));
  std::vector<Call> calls = new_calls(options, "burst", options.calls);
  const auto signalling = signalling_of(options, ends);
  if (!try_some(*signalling, options)) return 1;

  const ProcessFigures before = observe(options.pid);
  const auto seconds = set_up(*signalling, calls);
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
  const Ends ends(bound_to(options));
  options.mode = Mode::kRtpRtp;
  std::vector<Call> calls = new_calls(options, "direct", options.calls);
  options.plan.framing = Framing::kNone;
  options.plan.transport = Transport::kUdp;
  options.plan.relay_address = {options.local[1], options.local[0]};
  Traffic traffic(options.plan, ends, calls);
  for (Call& call : calls) {
    call.leg[0].relay_port = ends.port[1];
    call.leg[1].relay_port = ends.port[0];
    call.leg[1].relay_ip = call.leg[0].own_ip;
  }
  print_figures(options, traffic.play([](std::size_t) {}, [] {}), nullptr);
  return 0;
}

int run(const Options& options) {
  Ends ends(bound_to(options));
  std::vector<Call> calls = new_calls(options, "bench", options.calls);
  Traffic traffic(options.plan, ends, calls);
  const auto signalling = signalling_of(options, ends);
  if (!try_some(*signalling, options)) return 1;

  RelayCost cost(options.pid);
  const auto seconds = set_up(*signalling, calls);
  if (!seconds) return 1;
  cost.set_up(*seconds);
  const auto on_phase = [&](std::size_t phase) {
    // For who wants to do something to the relay meanwhile.
    if (options.plan.phases.size() > 1) std::fprintf(stderr, "phase %zu\n", phase);
    if (phase == 0) cost.traffic_begins();
  };
  const TrafficResult result = traffic.play(on_phase, [&cost] { cost.traffic_ends(); });
  if (!cost.is_whole()) {
    std::fprintf(stderr, "turnpike_load: the relay (process %d) ended\n", options.pid);
    return 1;
  }
  signalling->tear_down(calls);
  print_figures(options, result, &cost);
  return 0;
}

}  // namespace
}  // namespace turnpike::bench

int main(int argc, char** argv) {
  const auto options = turnpike::bench::parse_options(argc, argv);
  turnpike::bench::start_srtp();
  if (options.set_up_only) return turnpike::bench::run_set_up(options);
  return options.direct ? turnpike::bench::run_direct(options) : turnpike::bench::run(options);
}
