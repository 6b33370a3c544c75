#include "control/api/leg_json.h"

#include "control/api/json.h"
#include "control/call/leg_ends.h"

namespace turnpike::api {

Json leg_figures(const call::LegSummary& summary, const LegStats& leg) {
  // What DTLS agreed on only the relay knows; what SDES did, signalling knows before the relay.
  const SrtpSuite suite =
      leg.transport.suite != SrtpSuite::kNone ? leg.transport.suite : summary.suite;
  const call::LegEnds ends = call::ends_of(summary, leg);
  return {{"interface", summary.interface},       {"local", address_json(ends.local)},
          {"remote", address_json(ends.remote)},  {"keying", summary.keying},
          {"suite", info_of(suite).name},         {"packets_received", leg.packets_received},
          {"bytes_received", leg.bytes_received}, {"rtcp_received", leg.rtcp_received},
          {"packets_sent", leg.packets_sent},     {"bytes_sent", leg.bytes_sent},
          {"rtcp_sent", leg.rtcp_sent},           {"source_moves", leg.source_moves}};
}

}  // namespace turnpike::api
