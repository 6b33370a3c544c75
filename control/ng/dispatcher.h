// Carries out a decoded NG message: finds the command, asks the call service, shapes the reply.
// Is not: a transport. It knows neither cookies nor sockets.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "control/call/call_service.h"
#include "control/ng/counters.h"
#include "control/ng/ignored_names.h"
#include "control/ng/value.h"

namespace turnpike::ng {

class Dispatcher {
 public:
  using Clock = std::function<Instant()>;
  using Log = std::function<void(const std::string& line)>;
  /// Called once, at once or later, on the control thread.
  using ReplyFunction = std::function<void(Value::Dict)>;

  /// `calls` outlives this. `log` may be empty.
  Dispatcher(call::CallService& calls, Clock clock, Log log);

  /// Replies that come after the dispatcher is gone are dropped.
  void handle(const Value::Dict& message, ReplyFunction reply);

  ServerCounters& counters() { return state_->counters; }
  const ServerCounters& counters() const { return state_->counters; }
  const IgnoredNames& ignored() const { return state_->ignored; }

 private:
  struct State {
    ServerCounters counters;
    IgnoredNames ignored;
    Clock clock;
  };
  call::ReplyFunction finish_with(Command command, ReplyFunction reply);

  call::CallService& calls_;
  std::shared_ptr<State> state_;
};

/// {"result": "error", "error-reason": reason}
Value::Dict error_reply(std::string_view reason);

}  // namespace turnpike::ng
