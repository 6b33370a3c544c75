// What NG "statistics" says of NG itself. Is not: figures of calls and media
// (control/call/tally.h).
#pragma once

#include "control/ng/counters.h"
#include "control/ng/value.h"

namespace turnpike::ng {

/// controlstatistics: how often each command was carried out and how long that took, as the one
/// entry "all" of `proxies` and in `total…count`. Clients are not told apart.
Value::Dict control_statistics(const ServerCounters& counters);

}  // namespace turnpike::ng
