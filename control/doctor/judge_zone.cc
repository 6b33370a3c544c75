// What of the connection to a peer is wrong, and on which side.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "control/doctor/judge.h"
#include "control/doctor/words.h"

namespace turnpike::doctor {
namespace {

using zone::Reason;

constexpr double kFlowsBindSeconds = 5;
/// After that, whoever was taken in turns has the connection alone.
constexpr double kTurnsSeconds = 120;

std::string milliseconds(double value) {
  char text[48];
  std::snprintf(text, sizeof text, "%.1f ms", value);
  return text;
}

bool is_about_certificate(Reason reason) {
  return reason >= zone::of(tls::Refusal::kNoCertificate) &&
         reason <= zone::of(tls::Refusal::kCommonNameOnly);
}

/// The most telling of what the daemon has met with this peer.
const TroubleFacts* witness(const PeerState* state) {
  if (state == nullptr) return nullptr;
  const TroubleFacts* found = nullptr;
  for (const ConnectionState& one : state->connections) {
    if (one.up || one.last_error.reason.empty()) continue;
    if (found == nullptr || is_vague(reason_of(found->reason))) found = &one.last_error;
  }
  return found;
}

/// One examination's lines about one edge.
class ProbeJudge {
 public:
  ProbeJudge(std::string check, const ProbeFacts& probe, const ZoneState* zone_state,
             const PeerState* state, pki::WallTime now, Report& report)
      : check_(std::move(check)),
        probe_(probe),
        zone_state_(zone_state),
        state_(state),
        now_(now),
        report_(report) {}

  void run() {
    if (probe_.stage == Stage::kConnect) return connect_failed();
    report_.ok(check_ + ": connect",
               to_string(probe_.to) + " takes connections" +
                   (probe_.from.is_set() ? " from " + to_string(probe_.from.ip) : std::string()));
    const bool refused_us = probe_.reason == zone::of(tls::Refusal::kRefusedByPeer);
    if (probe_.stage == Stage::kTls || refused_us) return tls_failed();
    report_.ok(check_ + ": TLS", probe_.tls);
    tell_certificate();
    if (probe_.stage == Stage::kChallenge) return challenge_failed();
    report_.ok(check_ + ": password", "both ends have proved that they know it");
    if (probe_.stage == Stage::kStreams) return fail(": HTTP/2");
    const double trip = static_cast<double>(probe_.round_trip.count()) / 1e6;
    report_.ok(check_ + ": HTTP/2",
               "answers, round trip " + milliseconds(trip) + ", calls itself " + probe_.node);
    tell_daemon_is_not_up();
  }

 private:
  void connect_failed() {
    const std::string to = to_string(probe_.to);
    const std::string port = std::to_string(probe_.to.port);
    const std::string check = check_ + ": connect";
    const int error = probe_.connect.error;
    if (probe_.connect.timed_out) {
      report_.failed(check, "nothing answers at " + to,
                     "the firewall must let this node connect to it (core to edge, TCP " + port +
                         "); or the address is wrong, or that host is down");
    } else if (error == ECONNREFUSED) {
      report_.failed(check, to + " refuses the connection",
                     "start turnpiked on the edge and compare zone listen there; or a firewall "
                     "rejects TCP " +
                         port);
    } else if (error == EHOSTUNREACH || error == ENETUNREACH || error == EACCES || error == EPERM) {
      report_.failed(check, "there is no way to " + to + ": " + std::strerror(error),
                     "look at the route (ip route get), at this host's own packet filter and at "
                     "the firewall's rule for TCP " +
                         port + " from core to edge");
    } else {
      report_.failed(check, to + ": " + std::strerror(error), "look at this host's network");
    }
  }

  void tls_failed() {
    if (is_about_certificate(probe_.reason)) return fail(": certificate");
    fail(": TLS");
  }

  void challenge_failed() {
    const bool password =
        probe_.reason == Reason::kWrongPassword || probe_.reason == Reason::kWrongProof;
    fail(password ? ": password" : ": zone handshake");
  }

  /// With the daemon's own experience where ours does not say who is to blame.
  void fail(const char* step) {
    const TroubleFacts* known = is_vague(probe_.reason) ? witness(state_) : nullptr;
    if (known != nullptr && !is_vague(reason_of(known->reason))) {
      return report_.failed(check_ + step, "turnpiked was told: " + trouble_text(*known),
                            mend_of(reason_of(known->reason), zone::Role::kEdge, known->detail));
    }
    std::string saw = zone::info_of(probe_.reason).text;
    if (!probe_.detail.empty()) saw += " (" + probe_.detail + ")";
    if (!probe_.heard && is_vague(probe_.reason)) return hung_up(check_ + step);
    report_.failed(check_ + step, saw, mend_of(probe_.reason, zone::Role::kEdge, probe_.detail));
  }

  /// So an edge treats an address that it does not want to hear at present.
  void hung_up(const std::string& check) {
    if (zone_state_ != nullptr && zone_state_->wrong_passwords > 0) {
      report_.failed(check,
                     "the edge hangs up at once; it has refused turnpiked " +
                         std::to_string(zone_state_->wrong_passwords) +
                         " times before: " + zone::info_of(Reason::kWrongPassword).text,
                     mend_of(Reason::kWrongPassword, zone::Role::kEdge, ""));
      return;
    }
    report_.failed(
        check, "the edge hangs up at once, without a word of TLS",
        "it does not hear this address for a minute after wrong passwords or too many "
        "connections, and nobody while its own files are unusable: run doctor on the edge");
  }

  void tell_certificate() {
    const std::string check = check_ + ": certificate";
    const std::string text = certificate_text(probe_.certificate, now_);
    if (days_left(probe_.certificate, now_) < kEndsSoonDays) {
      report_.warning(check, text, "renew it on the edge");
    } else {
      report_.ok(check, text);
    }
  }

  void tell_daemon_is_not_up() {
    if (state_ == nullptr || state_->up) return;
    const TroubleFacts* known = witness(state_);
    report_.warning(
        check_,
        "this connection came up, but turnpiked has none" +
            (known == nullptr ? std::string() : "; it was told: " + trouble_text(*known)),
        "it tries again within 30 s; if it does not come up, systemctl reload "
        "turnpiked, and look at its log");
  }

  std::string check_;
  const ProbeFacts& probe_;
  const ZoneState* zone_state_;
  const PeerState* state_;
  pki::WallTime now_;
  Report& report_;
};

}  // namespace

void judge_probe(const config::ZoneSection& zone, const config::ZonePeerSection& peer,
                 const ProbeFacts& probe, const ZoneState* zone_state, const PeerState* state,
                 pki::WallTime now, Report& report) {
  ProbeJudge("zone " + zone.name + ", edge " + peer.name, probe, zone_state, state, now, report)
      .run();
}

void judge_peer_up(const std::string& zone, const PeerState& peer, Report& report) {
  const std::string check = "zone " + zone + ", peer " + peer.name;
  for (const ConnectionState& one : peer.connections) {
    if (reason_of(one.last_error.reason) != Reason::kTakenInTurns ||
        one.last_error.age_seconds > kTurnsSeconds) {
      continue;
    }
    report.failed(check, "is up for a moment only: " + trouble_text(one.last_error),
                  mend_of(Reason::kTakenInTurns, zone::Role::kCore, ""));
    return;
  }
  std::string text = "up";
  if (!peer.connections.empty()) {
    const ConnectionState& first = peer.connections.front();
    text += ", " + peer.address + ", " + first.tls;
    if (first.round_trip_ms) text += ", round trip " + milliseconds(*first.round_trip_ms);
  }
  report.ok(check, text);
  const auto days = static_cast<std::int64_t>(peer.certificate_days);
  const std::string certificate = peer.subject + " ends in " + std::to_string(days) + " days";
  if (peer.certificate_days < kEndsSoonDays) {
    report.warning(check + ": certificate", certificate,
                   "renew it there; the connection stays up, the next one would be refused");
  } else {
    report.ok(check + ": certificate", certificate);
  }
}

void judge_flows(const config::ZoneSection& zone, const PeerState& peer, Report& report) {
  const std::string check = "zone " + zone.name + ", peer " + peer.name + ": media";
  const auto& flows = peer.flows;
  const auto bound =
      std::count_if(flows.begin(), flows.end(), [](const FlowFacts& one) { return one.bound; });
  const auto agreed =
      std::count_if(flows.begin(), flows.end(), [](const FlowFacts& one) { return one.agreed; });
  const std::string figures =
      std::to_string(bound) + " of " + std::to_string(flows.size()) + " flows are bound";
  const bool all = static_cast<std::size_t>(bound) == flows.size() && bound > 0;
  if (all) {
    report.ok(check, figures + ": UDP passes both ways");
  } else if (peer.since_seconds < kFlowsBindSeconds) {
    report.warning(check, figures + ", the zone came up a moment ago", "look again in a moment");
  } else if (agreed == 0) {
    report.failed(check, "no flows are agreed with the peer",
                  "run the same version of Turnpike on both nodes; their logs say more");
  } else {
    report.failed(check, figures,
                  "the firewall must let the core send to the edge's UDP ports " +
                      std::to_string(zone.flow_port_min) + "-" +
                      std::to_string(zone.flow_port_max) +
                      " (flow_port_min and flow_port_max of "
                      "the edge), and the answers come back");
  }
}

void judge_peer_missing(const config::ZoneSection& zone, const config::ZonePeerSection& peer,
                        const ZoneState& zone_state, const PeerState& state, Report& report) {
  const std::string check = "zone " + zone.name + ", core " + peer.name;
  const TroubleFacts& refusal = zone_state.last_refusal;
  const TroubleFacts* ended = witness(&state);
  // A refusal says more than how the last connection ended, if it came after that.
  const bool refused =
      !refusal.reason.empty() && (ended == nullptr || refusal.age_seconds < ended->age_seconds);
  if (refused) {
    report.failed(check, "is not connected; last refusal: " + trouble_text(refusal),
                  mend_of(reason_of(refusal.reason), zone::Role::kCore, refusal.detail));
    return;
  }
  const std::string ways =
      "start turnpiked on the core and run doctor there; the firewall must let it connect to " +
      to_string(zone.listen) + " (core to edge, TCP)";
  if (ended != nullptr) {
    report.failed(check, "is not connected any more: " + trouble_text(*ended), ways);
  } else {
    report.failed(check, "has not connected", ways);
  }
}

}  // namespace turnpike::doctor
