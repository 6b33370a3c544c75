#include "control/homer_service.h"

#include <algorithm>

#include "control/call/leg_ends.h"
#include "control/config/secret_file.h"
#include "control/homer/hep.h"

namespace turnpike {
namespace {

constexpr std::size_t kAskedMax = 1024;
constexpr Seconds kPatience{5};

std::size_t streams_of(const LegStats& leg) {
  return std::min<std::size_t>(leg.stream_count, leg.streams.size());
}

}  // namespace

std::unique_ptr<HomerService> HomerService::start(loop::EventLoop& loop,
                                                  const config::Settings& settings, Relay& relay,
                                                  const call::CallService& calls, log::Log& log) {
  const config::HomerSection& section = settings.homer;
  if (!section.address.is_set()) return nullptr;
  const auto closed = [&](const std::string& reason) {
    log.error("homer_closed", {{"address", section.address},
                               {"reason", reason},
                               {"hint", "going on without reports; mend it and restart"}});
    return nullptr;
  };
  Secret key;
  if (!section.key_file.empty()) {
    Result<Secret> read = config::read_secret_file(section.key_file);
    if (!read) return closed("homer.key_file: " + read.error().message);
    key = std::move(*read);
  }
  SocketAddress any;
  any.ip.family = section.address.ip.family;
  auto socket = loop::UdpSocket::bind(loop, any, [](std::string_view, const SocketAddress&) {});
  if (!socket) return closed(socket.error().message);
  std::unique_ptr<HomerService> service(
      new HomerService(settings, std::move(key), std::move(*socket), relay, calls));
  service->budget_ = section.reports_per_second_max;
  log.info("homer", {{"address", section.address}, {"capture_id", section.capture_id}});
  return service;
}

void HomerService::on_tick(Instant now) {
  budget_ = section_.reports_per_second_max;
  regular_budget_ = std::max(1U, budget_ / 2);
  const auto late = std::erase_if(
      asked_by_token_, [now](const auto& entry) { return entry.second.give_up_at <= now; });
  counters_.lost += late;
  if (section_.interval.count() > 0) ask(now);
}

// So many sessions a second that each has its turn once in an interval.
void HomerService::ask(Instant now) {
  const auto interval = static_cast<std::size_t>(section_.interval.count());
  const std::size_t due = (calls_.session_count() + interval - 1) / interval;
  // A session has two reports and more, and half of a second's are kept for those at the end.
  const std::size_t affordable = std::max(1U, section_.reports_per_second_max / 4);
  const std::size_t most = std::min<std::size_t>({due, affordable, kAskedMax});
  if (most == 0) return begin_round();
  const auto turn = calls_.sessions_after(last_, most);
  for (const call::CallSummary& call : turn) {
    const call::SessionSummary& session = call.sessions.front();
    last_ = session.id;
    told_[session.id].round = round_;
    if (asked_by_token_.size() >= kAskedMax || !relay_.query_session(session.id, next_token_)) {
      ++counters_.lost;
      continue;
    }
    asked_by_token_.emplace(next_token_++, Asked{now + kPatience, call.call_id, session.legs});
  }
  if (turn.size() < most) begin_round();
}

void HomerService::begin_round() {
  // Sessions end with their call, or when their m-line goes.
  std::erase_if(told_, [this](const auto& entry) { return entry.second.round != round_; });
  ++round_;
  last_ = {};
}

bool HomerService::on_event(const Event& event) {
  const auto found = asked_by_token_.find(event.token);
  if (found == asked_by_token_.end()) {
    // An answer may come after it was given up.
    return event.token >= kFirstToken && event.token < next_token_;
  }
  const Asked asked = std::move(found->second);
  asked_by_token_.erase(found);
  report(asked, event.session, event.stats);
  return true;
}

void HomerService::report(const Asked& asked, SessionId id, const SessionStats& stats) {
  const std::string_view call_id = homer::sip_call_id(asked.call_id);
  // What is not among the figures any more is forgotten, whatever an end sends.
  const auto before_all = std::exchange(told_[id].streams, {});
  for (const Side side : {Side::kA, Side::kB}) {
    const LegStats& leg = stats.legs[index_of(side)];
    const call::LegEnds ends = call::ends_of(asked.legs[index_of(side)], leg);
    for (std::size_t i = 0; i < streams_of(leg); ++i) {
      const StreamStats& stream = leg.streams[i];
      homer::Reported& before = told_[id].streams[{index_of(side), stream.ssrc}];
      const auto known = before_all.find({index_of(side), stream.ssrc});
      if (known != before_all.end()) before = known->second;
      if (stream.packets == before.packets) continue;  // nothing has come since
      if (regular_budget_ == 0) {
        ++counters_.lost;
        continue;
      }
      --regular_budget_;
      send(homer::HepPayload::kRtcp, ends.local, ends.remote, call_id,
           homer::receiver_report(stream, before));
      before = {stream.packets, stream.packets_lost};
    }
  }
}

void HomerService::end(const call::CallSummary& call, const std::string& why,
                       const std::map<SessionId, SessionStats>& stats,
                       const std::array<diagnosis::Verdict, 2>& verdicts) {
  const std::string_view call_id = homer::sip_call_id(call.call_id);
  for (const call::SessionSummary& session : call.sessions) {
    told_.erase(session.id);
    const auto found = stats.find(session.id);
    if (found == stats.end()) continue;
    for (const Side side : {Side::kA, Side::kB}) {
      const LegStats& leg = found->second.legs[index_of(side)];
      homer::StreamEnd end{.call_id = call_id,
                           .side = side,
                           .ends = call::ends_of(session.legs[index_of(side)], leg),
                           .clock_rate_hz = leg.clock_rate_hz,
                           .verdict = verdicts[index_of(side)].info().id,
                           .why = why,
                           .when = std::chrono::system_clock::now()};
      for (std::size_t i = 0; i < streams_of(leg); ++i) {
        send(homer::HepPayload::kQuality, end.ends.remote, end.ends.local, call_id,
             homer::final_report(leg.streams[i], end));
      }
    }
  }
}

void HomerService::send(homer::HepPayload type, const SocketAddress& source,
                        const SocketAddress& destination, std::string_view call_id,
                        std::string_view payload) {
  if (budget_ == 0) {
    ++counters_.lost;
    return;
  }
  --budget_;
  std::string packet = homer::to_hep({.type = type,
                                      .source = source,
                                      .destination = destination,
                                      .when = std::chrono::system_clock::now(),
                                      .capture_id = section_.capture_id,
                                      .node_name = node_,
                                      .key = key_.reveal(),
                                      .correlation_id = call_id,
                                      .payload = payload});
  const bool sent = !packet.empty() && socket_.send(std::move(packet), section_.address);
  ++(sent ? counters_.sent : counters_.lost);
}

}  // namespace turnpike
