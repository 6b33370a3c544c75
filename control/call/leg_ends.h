// Where a leg's RTP really goes.
#pragma once

#include "control/call/call_service.h"
#include "turnpike/address.h"
#include "turnpike/stats.h"

namespace turnpike::call {

struct LegEnds {
  SocketAddress local;
  SocketAddress remote;  ///< unset: nowhere
};

/// Of the selected pair where ICE found one, else as signalled.
inline LegEnds ends_of(const LegSummary& summary, const LegStats& leg) {
  // With ICE the first pair reported is the selected one of RTP, if there is one.
  const IcePairReport& pair = leg.transport.pairs[0];
  const bool selected = leg.transport.pair_count != 0 && pair.selected;
  return {selected && pair.local.is_set() ? pair.local : summary.local,
          selected ? pair.remote : summary.remote};
}

}  // namespace turnpike::call
