#include "control/capture_service.h"

#include <chrono>

#include "control/loop/event_loop.h"

namespace turnpike {

std::unique_ptr<capture::Service> make_captures(Relay& relay, const call::CallService& calls,
                                                log::Log& log) {
  capture::Service::Environment environment;
  environment.clock = [] { return loop::EventLoop::now(); };
  environment.date = [] { return std::chrono::system_clock::now(); };
  environment.calls = [&calls](const auto& call_id) { return calls.calls_named(call_id); };
  environment.ended = [&log](const capture::End& end) {
    log.info("capture_end", {{"call_id", end.call_id},
                             {"why", end.why},
                             {"packets", end.packets},
                             {"missing", end.missing}});
  };
  return std::make_unique<capture::Service>(captures_of(relay), std::move(environment));
}

}  // namespace turnpike
