#include "control/call_log.h"

#include <chrono>

#include "control/api/endpoints.h"

namespace turnpike {
namespace {

/// One leg's figures over all sessions of a call, for its last line in the log.
struct LegTotals {
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  std::uint64_t lost = 0;
  std::array<std::uint64_t, kDropReasonCount> drops{};

  void add(const LegStats& leg) {
    received += leg.packets_received;
    sent += leg.packets_sent;
    for (std::size_t i = 0; i < leg.stream_count; ++i) lost += leg.streams.at(i).packets_lost;
    for (std::size_t i = 0; i < drops.size(); ++i) drops[i] += leg.drops[i];
  }

  /// "auth_failed:3,wrong_source:1"; "none".
  std::string drops_text() const {
    std::string text;
    for (std::size_t i = 0; i < drops.size(); ++i) {
      if (drops[i] == 0) continue;
      if (!text.empty()) text += ',';
      text += std::string(kDropReasons[i].label) + ':' + std::to_string(drops[i]);
    }
    return text.empty() ? "none" : text;
  }
};

}  // namespace

void CallLog::what(log::Level level, const call::CallSummary& call, const std::string& what) {
  log_.write(level, "call",
             {{"what", what},
              {"call_id", call.call_id},
              {"from_tag", call.from_tag},
              {"to_tag", call.to_tag}});
}

void CallLog::end(const call::CallSummary& call, const std::string& why,
                  const std::map<SessionId, SessionStats>& stats,
                  const std::array<diagnosis::Verdict, 2>& verdicts) {
  const auto seconds = std::chrono::duration_cast<Seconds>(call.ended_at - call.created);
  std::array<LegTotals, 2> legs;
  for (const auto& [id, session] : stats) {
    for (std::size_t i = 0; i < legs.size(); ++i) legs[i].add(session.legs[i]);
  }
  log_.info("call_end", {{"call_id", call.call_id},
                         {"from_tag", call.from_tag},
                         {"to_tag", call.to_tag},
                         {"why", why},
                         {"answered", call.answered},
                         {"seconds", seconds.count()},
                         {"a_received", legs[0].received},
                         {"a_lost", legs[0].lost},
                         {"a_sent", legs[0].sent},
                         {"a_drops", legs[0].drops_text()},
                         {"b_received", legs[1].received},
                         {"b_lost", legs[1].lost},
                         {"b_sent", legs[1].sent},
                         {"b_drops", legs[1].drops_text()},
                         {"verdict_a", std::string(verdicts[0].info().id)},
                         {"verdict_b", std::string(verdicts[1].info().id)}});
}

void CallLog::silence(const call::CallSummary& call, const call::SessionSummary& session, Side side,
                      const diagnosis::Verdict& verdict) {
  log_.warning("no_media", {{"call_id", call.call_id},
                            {"session", api::to_string(session.id)},
                            {"kind", session.kind},
                            {"from_leg", side == Side::kA ? "a" : "b"},
                            {"seconds", kSilenceTold.count()},
                            {"verdict", std::string(verdict.info().id)},
                            {"evidence", verdict.evidence},
                            {"hint", std::string(verdict.info().remedy)}});
}

}  // namespace turnpike
