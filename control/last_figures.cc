#include "control/last_figures.h"

#include <poll.h>

#include "control/loop/event_loop.h"

namespace turnpike {

void await_last_figures(Relay& relay, call::CallService& calls,
                        const std::function<void()>& on_events) {
  constexpr Milliseconds kRound{50};
  const Instant until = loop::EventLoop::now() + kLastFigures;
  relay.flush();
  while (calls.calls_ending() > 0 && loop::EventLoop::now() < until) {
    pollfd events{relay.event_fd(), POLLIN, 0};
    static_cast<void>(::poll(&events, 1, static_cast<int>(kRound.count())));
    on_events();
    calls.on_tick();  // gives up what does not come
  }
}

}  // namespace turnpike
