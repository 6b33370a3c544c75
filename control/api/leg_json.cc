#include "control/api/leg_json.h"

#include "control/api/json.h"

namespace turnpike::api {

Json leg_figures(const call::LegSummary& summary, const LegStats& leg) {
  // What DTLS agreed on only the relay knows; what SDES did, signalling knows before the relay.
  const SrtpSuite suite =
      leg.transport.suite != SrtpSuite::kNone ? leg.transport.suite : summary.suite;
  // With ICE the first pair reported is the selected one of RTP, if there is one.
  const bool selected = leg.transport.pair_count != 0 && leg.transport.pairs[0].selected;
  const IcePairReport& pair = leg.transport.pairs[0];
  const SocketAddress& remote = selected ? pair.remote : summary.remote;
  const SocketAddress& local = selected && pair.local.is_set() ? pair.local : summary.local;
  return {{"interface", summary.interface},       {"local", address_json(local)},
          {"remote", address_json(remote)},       {"keying", summary.keying},
          {"suite", info_of(suite).name},         {"packets_received", leg.packets_received},
          {"bytes_received", leg.bytes_received}, {"rtcp_received", leg.rtcp_received},
          {"packets_sent", leg.packets_sent},     {"bytes_sent", leg.bytes_sent},
          {"rtcp_sent", leg.rtcp_sent},           {"source_moves", leg.source_moves}};
}

}  // namespace turnpike::api
