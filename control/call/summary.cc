// Service: what an operator sees of calls.
#include <utility>

#include "control/call/bundle.h"
#include "control/call/service.h"

namespace turnpike::call {

CallSummary Service::summary_of(const Call& call) const {
  CallSummary summary{call.id,      call.side(Side::kA).tag, call.side(Side::kB).tag,
                      call.created, call.answered,           {}};
  const auto add = [&](const CallMedia& media, const std::string& kind) {
    if (!media.has_session()) return;
    SessionSummary session{media.session, kind, {}};
    for (const Side side : {Side::kA, Side::kB}) {
      const CallMedia& transport = transport_of_line(call, media, side);
      const MediaSide& own = transport.sides[index_of(side)];
      LegSummary& leg = session.legs[index_of(side)];
      leg.interface = config_.interfaces[call.side(side).interface_index].name;
      leg.local = transport.ports.local[index_of(side)][index_of(Component::kRtp)];
      if (!own.remote.held && !own.ice.in_use) leg.remote = own.remote.address.rtp;
      leg.suite = own.suite;
      const bool no_rtcp = own.keying == Keying::kDtls && transport.answered && !own.rtcp_mux;
      leg.keying = no_rtcp ? "DTLS, no RTCP" : name_of(own.keying);
      leg.ice = own.ice.in_use;
    }
    summary.sessions.push_back(std::move(session));
  };
  for (const CallMedia& media : call.media) add(media, media.kind);
  // What only has the transport of others.
  for (const CallMedia& media : call.carriers) add(media, "bundle");
  return summary;
}

void Service::log(const Call& call, const std::string& what) const {
  if (environment_.log) environment_.log(summary_of(call), what);
}

void Service::log_detail(const Call& call, const std::string& what) const {
  if (environment_.log_detail) environment_.log_detail(summary_of(call), what);
}

std::vector<CallSummary> Service::calls() const {
  std::vector<CallSummary> summaries;
  summaries.reserve(call_by_id_.size());
  for (const auto& [id, call] : call_by_id_) summaries.push_back(summary_of(call));
  return summaries;
}

}  // namespace turnpike::call
