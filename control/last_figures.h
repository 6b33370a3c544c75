// What a daemon that ends still waits for: the last figures of calls that are over, which their
// records tell. Requests are not served meanwhile, so it is a matter of milliseconds.
#pragma once

#include <functional>

#include "control/call/call_service.h"
#include "turnpike/relay.h"
#include "turnpike/time.h"

namespace turnpike {

/// Longer than `calls` waits for figures by itself.
constexpr Milliseconds kLastFigures{3000};

/// Gives `on_events` what the relay tells until nothing is awaited, for kLastFigures at most.
void await_last_figures(Relay& relay, call::CallService& calls,
                        const std::function<void()>& on_events);

}  // namespace turnpike
