#include "control/capture_service.h"

#include <chrono>

namespace turnpike {
namespace {

constexpr int kLastTurns = 50;

}  // namespace

capture::Allowed allowed_captures(const std::string& word) {
  if (word == "off") return capture::Allowed::kNothing;
  return word == "headers" ? capture::Allowed::kHeaders : capture::Allowed::kAll;
}

std::unique_ptr<capture::Service> make_captures(Relay& relay, const call::CallService& calls,
                                                log::Log& log, const std::string& allowed) {
  capture::Service::Environment environment;
  environment.clock = [] { return loop::EventLoop::now(); };
  environment.date = [] { return std::chrono::system_clock::now(); };
  environment.calls = [&calls](const auto& call_id) { return calls.calls_named(call_id); };
  environment.ended = [&log](const capture::End& end) {
    log.audit("capture_end", {{"call_id", end.call_id},
                              {"why", end.why},
                              {"packets", end.packets},
                              {"missing", end.missing},
                              {"legs_left_out", end.legs_left_out}});
  };
  auto captures = std::make_unique<capture::Service>(captures_of(relay), std::move(environment));
  captures->allow(allowed_captures(allowed));
  return captures;
}

void end_captures(capture::Service& captures, loop::EventLoop& loop) {
  if (captures.running() == 0) return;
  captures.end_all("the daemon ends");
  for (int turn = 0; turn < kLastTurns; ++turn) {
    loop.post([] {});
    loop.run_once();
  }
}

}  // namespace turnpike
