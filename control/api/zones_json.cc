#include "control/api/zones_json.h"

#include <chrono>

#include <nlohmann/json.hpp>

#include "control/api/certificate_json.h"

namespace turnpike::api {
namespace {

using Json = nlohmann::ordered_json;

double seconds(auto duration) {
  return static_cast<double>(std::chrono::duration_cast<Milliseconds>(duration).count()) / 1000.0;
}

class Writer {
 public:
  Writer(Instant now, pki::WallTime wall_now) : now_(now), wall_now_(wall_now) {}

  Json zone(const zone::ZoneReport& zone) const {
    const bool is_edge = zone.role == zone::Role::kEdge;
    bool up = true;
    Json peers = Json::array();
    for (const zone::PeerReport& one : zone.peers) {
      up = up && one.up;
      peers.push_back(peer(one));
    }
    const zone::StreamRefusals& refused = zone.stream_refusals;
    return {{"name", zone.name},
            {"kind", zone.kind},
            {"role", is_edge ? "edge" : "core"},
            {"state", up ? "up" : "down"},
            {"listen", text(zone.listen)},
            {"domains", zone.domains},
            {"certificate", certificate(zone.certificate)},
            {"files_trouble", text(zone.files_trouble)},
            {"handshakes_waiting", zone.waiting},
            {"streams_opened", zone.streams_opened},
            {"streams_refused",
             {{"peer_down", refused.peer_down},
              {"wrong_account", refused.wrong_account},
              {"too_many", refused.too_many},
              {"unknown_target", refused.unknown_target},
              {"not_connected", refused.not_connected}}},
            {"refused", reasons(zone.refused)},
            {"ended", reasons(zone.ended)},
            {"last_refusal", trouble(zone.last_refusal)},
            {"peers", std::move(peers)}};
  }

 private:
  static Json text(const std::string& value) { return value.empty() ? Json() : Json(value); }

  Json certificate(const pki::CertificateFacts& facts) const {
    return certificate_json(facts, wall_now_);
  }

  static Json reasons(const auto& counters) {
    Json list = Json::array();
    for (std::size_t i = 0; i < counters.size(); ++i) {
      if (counters[i] == 0) continue;
      list.push_back({{"reason", zone::info_of(i).label},
                      {"count", counters[i]},
                      {"meaning", zone::info_of(i).text}});
    }
    return list;
  }

  Json trouble(const zone::Trouble& trouble) const {
    if (trouble.reason == zone::Reason::kNone) return Json();
    const auto& info = zone::info_of(trouble.reason);
    return {{"reason", info.label},
            {"meaning", info.text},
            {"detail", trouble.detail},
            {"address", text(trouble.address)},
            {"age_seconds", seconds(now_ - trouble.at)}};
  }

  Json connection(const zone::ConnectionReport& one) const {
    return {{"purpose", words_of(one.purpose)},
            {"state", one.up           ? "up"
                      : one.connecting ? "connecting"
                                       : "down"},
            {"since_seconds", seconds(now_ - one.since)},
            {"address", text(one.address)},
            {"tls", text(one.tls)},
            {"round_trip_ms", one.round_trip.count() > 0
                                  ? Json(static_cast<double>(one.round_trip.count()) / 1e6)
                                  : Json()},
            {"streams", one.streams},
            {"bytes_received", one.bytes_received},
            {"bytes_sent", one.bytes_sent},
            {"connected", one.connected},
            {"last_error", trouble(one.last_trouble)}};
  }

  static Json flow(const zone::FlowState& flow) {
    return {{"core_shard", flow.shard},
            {"number", flow.number},
            {"state", flow.bound         ? "bound"
                      : flow.number == 0 ? "not agreed"
                                         : "not bound"},
            {"address", text(flow.address)},
            {"round_trip_ms", flow.round_trip.count() > 0
                                  ? Json(static_cast<double>(flow.round_trip.count()) / 1e6)
                                  : Json()},
            {"unanswered", flow.unanswered}};
  }

  static Json round_trips(const zone::RoundTrips& trips) {
    const auto ms = [](Nanoseconds time) { return static_cast<double>(time.count()) / 1e6; };
    return {{"count", trips.count},
            {"median_ms", trips.count > 0 ? Json(ms(trips.median)) : Json()},
            {"longest_ms", trips.count > 0 ? Json(ms(trips.longest)) : Json()}};
  }

  static Json way(const zone::MeasuredWay& way) {
    const std::chrono::duration<double> time = way.time;
    const bool known = way.time.count() > 0;
    return {{"bytes", way.bytes},
            {"seconds", time.count()},
            {"mbit_per_second",
             known ? Json(static_cast<double>(way.bytes) * 8 / 1e6 / time.count()) : Json()},
            {"round_trips", round_trips(way.round_trips)}};
  }

  Json measurement(const zone::MeasureReport& report) const {
    using State = zone::MeasureReport::State;
    if (report.state == State::kNone) return Json();
    return {{"state", report.state == State::kRunning ? "running"
                      : report.state == State::kDone  ? "done"
                                                      : "failed"},
            {"id", report.id},
            {"trouble", text(report.trouble)},
            {"age_seconds", seconds(now_ - report.at)},
            {"seconds", report.options.seconds},
            {"mbit", report.options.mbit},
            {"idle", round_trips(report.idle)},
            {"sent", way(report.sent)},
            {"received", way(report.received)}};
  }

  Json peer(const zone::PeerReport& peer) const {
    Json connections = Json::array();
    for (const zone::ConnectionReport& one : peer.connections) {
      connections.push_back(connection(one));
    }
    Json flows = Json::array();
    for (const zone::FlowState& one : peer.flows) flows.push_back(flow(one));
    return {{"name", peer.name},
            {"tls_name", peer.tls_name},
            {"address", text(peer.address)},
            {"node", text(peer.node)},
            {"state", peer.up ? "up" : "down"},
            {"since_seconds", seconds(now_ - peer.since)},
            {"certificate", certificate(peer.certificate)},
            {"connections", std::move(connections)},
            {"bulk", peer.bulk ? connection(*peer.bulk) : Json()},
            {"measurement", measurement(peer.measured)},
            {"flows", std::move(flows)}};
  }

  Instant now_;
  pki::WallTime wall_now_;
};

}  // namespace

const char* words_of(zone::Purpose purpose) {
  switch (purpose) {
    case zone::Purpose::kSignallingByCore:
      return "signalling, opened by the core";
    case zone::Purpose::kSignallingByEdge:
      return "signalling, opened by the edge";
    case zone::Purpose::kBulk:
      break;
  }
  return "bulk, opened by the core";
}

std::string zones_json(const std::vector<zone::ZoneReport>& zones, Instant now,
                       pki::WallTime wall_now) {
  const Writer writer(now, wall_now);
  Json list = Json::array();
  for (const zone::ZoneReport& zone : zones) list.push_back(writer.zone(zone));
  const Json body{{"zones", std::move(list)}};
  // What a remote end named (certificates) may be no UTF-8: replaced, never thrown at the caller.
  return body.dump(2, ' ', false, nlohmann::detail::error_handler_t::replace) + "\n";
}

}  // namespace turnpike::api
