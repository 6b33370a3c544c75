// Service: what an operator sees of calls.
#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "control/call/bundle.h"
#include "control/call/dict.h"
#include "control/call/service.h"
#include "control/call/signalling.h"

namespace turnpike::call {
namespace {

// With what is around it, this fits into a datagram.
constexpr std::size_t kListBytesMax = 48 * 1024;

/// Of a text in JSON or bencode, whatever is in it.
std::size_t encoded_bytes_max(const std::string& text) {
  constexpr std::size_t kAround = 8;
  const auto of_byte = [](std::size_t sum, char c) {
    const auto byte = static_cast<unsigned char>(c);
    const bool escaped = byte < 0x20 || byte >= 0x7f;
    return sum + (escaped ? 6 : c == '"' || c == '\\' ? 2 : 1);
  };
  return std::accumulate(text.begin(), text.end(), kAround, of_byte);
}

}  // namespace

CallSummary Service::summary_of(const Call& call) const {
  CallSummary summary{call.id,          call.side(Side::kA).tag, call.side(Side::kB).tag,
                      call.created,     call.answered,           {},
                      call.answered_at, call.created_unix_us};
  summary.record_key = call.record_key;
  const auto add = [&](const CallMedia& media, const std::string& kind) {
    if (!media.has_session()) return;
    SessionSummary session{media.session, kind, {}, signalling_of(call, media)};
    for (const Side side : {Side::kA, Side::kB}) {
      const CallMedia& transport = transport_of_line(call, media, side);
      const MediaSide& own = transport.sides[index_of(side)];
      LegSummary& leg = session.legs[index_of(side)];
      leg.interface = config_.interfaces[call.side(side).interface_index].name;
      leg.local = transport.ports.local[index_of(side)][index_of(Component::kRtp)];
      const bool is_told = !own.remote.held && !own.ice.in_use;
      if (is_told || own.bridge.is_set()) leg.remote = own.goes_to().rtp;
      leg.suite = own.suite;
      const bool no_rtcp = own.keying == Keying::kDtls && transport.answered && !own.rtcp_mux;
      leg.keying = no_rtcp ? "DTLS, no RTCP" : name_of(own.keying);
      leg.ice = own.ice.in_use;
    }
    summary.sessions.push_back(std::move(session));
  };
  for (const CallMedia& media : call.media) add(media, media.kind);
  // What only has the transport of others.
  for (const CallMedia& media : call.carriers) add(media, kCarrierKind);
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

std::vector<CallSummary> Service::sessions_after(SessionId after, std::size_t limit) const {
  std::vector<CallSummary> found;
  for (auto at = call_id_by_session_.upper_bound(after);
       at != call_id_by_session_.end() && found.size() < limit; ++at) {
    CallSummary call = summary_of(call_by_id_.at(at->second));
    std::erase_if(call.sessions, [&](const SessionSummary& one) { return one.id != at->first; });
    found.push_back(std::move(call));
  }
  return found;
}

void Service::list(const CallRequest& request, ReplyFunction reply) {
  ng::Value::List ids;
  std::size_t bytes = 0;
  for (const auto& [id, call] : call_by_id_) {
    if (ids.size() == request.limit) break;
    if (call.form == CallForm::kSubscribed) continue;
    bytes += encoded_bytes_max(id);
    if (bytes > kListBytesMax) break;
    ids.emplace_back(id);
  }
  ng::Value::Dict dict;
  put_text(dict, "result", "ok");
  if (bytes > kListBytesMax) put_text(dict, "warning", "There are more than fit into a datagram");
  put_list(dict, "calls", std::move(ids));
  reply(std::move(dict));
}

Relayed Service::relayed() const {
  Relayed sum;
  for (std::size_t i = 0; i < relay_.shard_count(); ++i) {
    const ShardCounters& shard = relay_.shard_counters(i);
    sum.packets += shard.packets_forwarded.value();
    sum.bytes += shard.bytes_forwarded.value();
    for (const Counter& drops : shard.drops) sum.errors += drops.value();
  }
  return sum;
}

std::vector<PortsInUse> Service::ports_in_use() const {
  std::vector<PortsInUse> all;
  std::map<IpAddress, std::size_t> index_by_address;
  for (std::uint16_t i = 0; i < config_.interfaces.size() && !config_.is_zone_peer(i); ++i) {
    for (const InterfaceAddress& address : config_.interfaces[i].addresses) {
      // Several interfaces may be the same address: its ports are those of all of them.
      index_by_address.try_emplace(address.local, all.size());
      all.push_back({config_.interfaces[i].name, turnpike::to_string(address.local),
                     config_.media_port_min, config_.media_port_max, 0});
    }
  }
  const auto count = [&](const SocketAddress& port) {
    const auto found = index_by_address.find(port.ip);
    if (port.is_set() && found != index_by_address.end()) ++all[found->second].used;
  };
  for (const auto& [id, call] : call_by_id_) {
    for (const auto* of_call : {&call.media, &call.carriers}) {
      for (const CallMedia& media : *of_call) {
        if (!media.has_session()) continue;
        for (const auto* ports : {&media.ports.local, &media.ports.other_local}) {
          for (const auto& side : *ports) std::for_each(side.begin(), side.end(), count);
        }
      }
    }
  }
  return all;
}

ng::Value::Dict Service::node_statistics() const {
  return tally_.tree(relayed(), call_by_id_.size(), relay_.usage().sessions, ports_in_use(),
                     environment_.clock());
}

namespace {

// Of the m-lines of a call only those of the highest rank are judged at its end: people miss audio,
// a camera may be off all the time, and what was refused was to have no media.
int rank_of(const SessionSummary& session) {
  const bool taken = session.signalled.answered && session.signalled.accepted;
  const int audio = session.kind == "audio" ? 1 : 0;
  return taken ? 2 + audio : audio;
}

}  // namespace

std::array<diagnosis::Verdict, 2> Service::verdicts_at_end(const CallSummary& summary,
                                                           const StatsBySession& stats,
                                                           bool said_goodbye) const {
  std::array<diagnosis::Verdict, 2> worst;
  worst.fill({diagnosis::Finding::kNoFigures, {}});
  int rank = -1;
  for (const SessionSummary& session : summary.sessions) {
    const auto found = stats.find(session.id);
    if (found == stats.end() || rank_of(session) < rank) continue;
    if (rides_unseen(session.signalled)) continue;
    const bool first = rank_of(session) > rank;
    rank = rank_of(session);
    const auto judge = said_goodbye ? diagnosis::judge_after_goodbye : diagnosis::judge;
    const auto verdicts = judge(session.signalled, found->second, environment_.clock());
    for (std::size_t side = 0; side < worst.size(); ++side) {
      const diagnosis::Verdict& verdict = verdicts[side].worse();
      const bool worse = verdict.info().weight > worst[side].info().weight;
      if (first || worse) worst[side] = verdict;
    }
  }
  return worst;
}

namespace {

// An edge sees no m-lines: its transport may have another one's audio.
bool has_audio(const CallSummary& call, const SessionSummary& session) {
  if (session.kind == "audio") return true;
  return session.signalled.legs[0].protection == diagnosis::Protection::kPassed &&
         std::any_of(call.sessions.begin(), call.sessions.end(), [](const SessionSummary& other) {
           return other.kind == "audio" && rides_unseen(other.signalled);
         });
}

}  // namespace

void Service::on_silence(const Event& event) {
  const auto index = call_id_by_session_.find(event.session);
  if (index == call_id_by_session_.end() || !environment_.silent) return;
  const auto tell = [this, id = index->second, session = event.session,
                     side = event.side](const StatsBySession& stats) {
    const auto call = call_by_id_.find(id);
    const auto found = stats.find(session);
    if (call == call_by_id_.end() || !call->second.answered || found == stats.end()) return;
    const CallSummary summary = summary_of(call->second);
    for (const SessionSummary& one : summary.sessions) {
      if (one.id != session || !has_audio(summary, one)) continue;  // a camera may be off
      const auto verdicts = diagnosis::judge(one.signalled, found->second, environment_.clock());
      const diagnosis::LegVerdicts& leg = verdicts[index_of(side)];
      const diagnosis::LegVerdicts& opposite = verdicts[index_of(other(side))];
      // What arrives and goes nowhere is a matter of the leg that it would leave by.
      const bool heard = leg.received.info().weight == diagnosis::Weight::kFine;
      const diagnosis::Verdict& verdict = heard ? opposite.sent : leg.received;
      // It may have come back while the figures were on their way.
      if (verdict.info().weight == diagnosis::Weight::kFine) continue;
      environment_.silent(summary, one, side, verdict);
    }
  };
  gatherer_.query({event.session}, environment_.clock(), tell);
}

}  // namespace turnpike::call
