// Names, help texts and values, one line for each metric.
#include "control/metrics.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string_view>

#include <sys/resource.h>
#include <unistd.h>

#include "control/metrics_families.h"
#include "control/metrics_front_door.h"
#include "control/metrics_turn.h"
#include "control/ng/parse_fault.h"
#include "control/ng/request.h"

namespace turnpike::metrics {
namespace {

struct ShardMetric {
  const char* name;
  const char* help;
  Counter ShardCounters::*counter;
};

constexpr ShardMetric kShardMetrics[] = {
    {"turnpike_relay_packets_received_total", "Datagrams read from media sockets.",
     &ShardCounters::packets_received},
    {"turnpike_relay_received_bytes_total", "UDP payload bytes read from media sockets.",
     &ShardCounters::bytes_received},
    {"turnpike_relay_packets_copied_total",
     "Copies that were made of received datagrams for subscribers; sent ones count as forwarded.",
     &ShardCounters::packets_copied},
    {"turnpike_relay_packets_forwarded_total", "Datagrams sent on to the other leg.",
     &ShardCounters::packets_forwarded},
    {"turnpike_relay_forwarded_bytes_total", "UDP payload bytes sent on to the other leg.",
     &ShardCounters::bytes_forwarded},
    {"turnpike_relay_keepalives_sent_total", "Keep-alives sent to silent directions.",
     &ShardCounters::keepalives_sent},
    {"turnpike_relay_batches_total",
     "Batches of packets processed; received packets by this is the mean batch.",
     &ShardCounters::batches},
    {"turnpike_relay_wakeups_total", "Turns of the shard's loop that found something to read.",
     &ShardCounters::wakeups},
    {"turnpike_relay_source_moves_total", "Legs that followed their remote end to a new address.",
     &ShardCounters::source_moves},
    {"turnpike_relay_sessions_opened_total", "Sessions opened.", &ShardCounters::sessions_opened},
    {"turnpike_relay_sessions_closed_total", "Sessions closed.", &ShardCounters::sessions_closed},
    {"turnpike_relay_media_timeouts_total", "Legs that fell silent although they should send.",
     &ShardCounters::media_timeouts},
    {"turnpike_relay_commands_total", "Commands taken from the control thread.",
     &ShardCounters::commands},
    {"turnpike_relay_events_dropped_total", "Events lost because the control thread fell behind.",
     &ShardCounters::events_dropped},
};

// Of all shards together.
constexpr ShardMetric kTransportMetrics[] = {
    {"turnpike_relay_ice_connected_total", "Legs for which ICE came to a pair, or back to one.",
     &ShardCounters::ice_connected},
    {"turnpike_relay_ice_failed_total", "Legs for which no ICE pair works.",
     &ShardCounters::ice_failed},
    {"turnpike_relay_ice_consent_lost_total",
     "Legs that are sent nothing any more, because consent has expired.",
     &ShardCounters::ice_consent_lost},
    {"turnpike_relay_transport_received_total",
     "STUN and DTLS datagrams that ICE or a handshake has taken in.",
     &ShardCounters::transport_received},
    {"turnpike_relay_transport_send_failures_total",
     "STUN and DTLS datagrams that the kernel did not take.",
     &ShardCounters::transport_send_failures},
};

void add_transports(const Figures& figures, Families& families) {
  for (const ShardMetric& metric : kTransportMetrics) {
    std::uint64_t total = 0;
    for (const ShardCounters* shard : figures.shards) total += (shard->*metric.counter).value();
    families.counter(metric.name, metric.help).add(total);
  }
  families
      .counter("turnpike_ice_candidates_skipped_total",
               "Candidates in SDP that were passed over: TCP, host names, what is no candidate.")
      .add(figures.ice_candidates_skipped)
      .histogram("turnpike_relay_ice_connect_duration_seconds",
                 "Time from the remote end's first ICE credentials to a pair for each component.")
      .add_connect_times(figures.shards);
}

void add_shards(const Figures& figures, Families& families) {
  for (const ShardMetric& metric : kShardMetrics) {
    families.counter(metric.name, metric.help);
    for (std::size_t shard = 0; shard < figures.shards.size(); ++shard) {
      families.add((figures.shards[shard]->*metric.counter).value(), "shard",
                   std::to_string(shard));
    }
  }
  families.counter("turnpike_relay_shard_cpu_seconds_total",
                   "CPU time of each shard's thread; 1 a second is a full core.");
  for (std::size_t shard = 0; shard < figures.shards.size(); ++shard) {
    families.add(static_cast<double>(figures.shards[shard]->cpu_us.value()) / 1e6, "shard",
                 std::to_string(shard));
  }
  families.counter("turnpike_relay_packets_dropped_total",
                   "Datagrams that went nowhere, by reason (all shards).");
  for (std::size_t reason = 0; reason < kDropReasonCount; ++reason) {
    std::uint64_t dropped = 0;
    for (const ShardCounters* shard : figures.shards) dropped += shard->drops[reason].value();
    families.add(dropped, "reason", kDropReasons[reason].label);
  }
}

void add_handshakes(const HandshakeCounters& handshakes, Families& families) {
  families
      .counter("turnpike_relay_dtls_handshakes_total",
               "DTLS handshakes that ended, by how; other results than established gave no keys.")
      .add(handshakes.completed.value(), "result", "established");
  for (std::size_t i = 1; i < kDtlsFailureCount; ++i) {
    families.add(handshakes.failed[i].value(), "result", kDtlsFailures[i].label);
  }
  families
      .histogram("turnpike_relay_dtls_handshake_duration_seconds",
                 "Time from the first ClientHello to the last Finished.")
      .add(handshakes);
  families
      .counter("turnpike_relay_dtls_closed_total",
               "DTLS associations that their remote end has ended (close_notify, fatal alert).")
      .add(handshakes.closed.value())
      .counter("turnpike_relay_dtls_cookies_sent_total",
               "HelloVerifyRequests to sources that ICE has not validated.")
      .add(handshakes.cookies_sent.value())
      .counter("turnpike_relay_dtls_datagrams_dropped_total",
               "DTLS datagrams that were malformed, or belonged to no association.")
      .add(handshakes.datagrams_dropped.value())
      .counter("turnpike_relay_dtls_alerts_ignored_total",
               "Alerts that were not authenticated: anybody can send those.")
      .add(handshakes.alerts_ignored.value());
}

void add_relay(const Figures& figures, Families& families) {
  const RelayUsage& usage = figures.usage;
  families.gauge("turnpike_relay_shards", "Threads that relay media.")
      .add(std::uint64_t{figures.shards.size()})
      .gauge("turnpike_relay_sessions", "Sessions (m-lines of calls) that are relayed now.")
      .add(std::uint64_t{usage.sessions})
      .gauge("turnpike_relay_sessions_max", "Sessions that may be relayed at a time.")
      .add(std::uint64_t{usage.sessions_max})
      .gauge("turnpike_relay_ports", "Media ports by what they are used for.")
      .add(std::uint64_t{usage.ports_in_use}, "state", "in_use")
      .add(std::uint64_t{usage.ports_quarantined}, "state", "quarantined")
      .gauge("turnpike_relay_ports_max", "Media ports of all interfaces' addresses.")
      .add(std::uint64_t{usage.ports_total})
      .counter("turnpike_relay_bind_failures_total", "Media ports that could not be bound.")
      .add(usage.bind_failures)
      .counter("turnpike_relay_descriptor_shortages_total",
               "Sessions refused because no file descriptor was left for a socket.")
      .add(usage.descriptor_shortages)
      .counter("turnpike_relay_address_failures_total",
               "Binds to a configured address that the host did not have.")
      .add(usage.address_failures)
      .counter("turnpike_relay_overload_refusals_total",
               "Sessions refused because every shard was busier than media.busy_max_percent.")
      .add(usage.overload_refusals)
      .gauge("turnpike_relay_commands_waiting",
             "Commands that wait because a shard does not keep up with the control thread.")
      .add(usage.commands_waiting)
      .counter("turnpike_relay_commands_refused_total",
               "Sessions and queries refused because too many commands waited.")
      .add(usage.commands_refused)
      .gauge("turnpike_relay_holder_configured", "1 when holder.unix names a holder.")
      .add(figures.holder_configured ? 1.0 : 0.0)
      .gauge("turnpike_relay_holder_connected",
             "1 when a holder keeps sockets and state over a restart.")
      .add(figures.adoption.holder_connected ? 1.0 : 0.0)
      .gauge("turnpike_relay_sessions_adopted", "Sessions taken over from the holder at start.")
      .add(std::uint64_t{figures.adoption.sessions_adopted});
  const AdoptionReport& adoption = figures.adoption;
  const call::CallAdoption& calls = figures.call_adoption;
  families.gauge("turnpike_calls_adopted", "Calls taken over from the process before, at start.")
      .add(std::uint64_t{calls.calls})
      .gauge("turnpike_adoption_losses",
             "What the holder kept and could not be taken over at start, by what was wrong.")
      .add(adoption.refused.empty() ? 0.0 : 1.0, "what", "everything")
      .add(std::uint64_t{adoption.sessions_damaged}, "what", "session_damaged")
      .add(std::uint64_t{adoption.sessions_without_sockets}, "what", "session_without_sockets")
      .add(std::uint64_t{calls.sessions_without_call}, "what", "session_without_call")
      .add(std::uint64_t{adoption.records_damaged}, "what", "record_damaged")
      .add(std::uint64_t{calls.records_unreadable}, "what", "record_unreadable")
      .add(std::uint64_t{calls.calls_without_sessions}, "what", "call_without_sessions");
}

void add_calls(const Figures& figures, Families& families) {
  families.gauge("turnpike_calls", "Calls that are up.")
      .add(figures.calls)
      .gauge("turnpike_calls_max", "Calls that may be up at a time.")
      .add(figures.calls_max)
      .gauge("turnpike_draining", "1 while the daemon waits for its last calls before it ends.")
      .add(figures.draining ? 1.0 : 0.0)
      .gauge("turnpike_config_last_reload_successful",
             "0 when the configuration file was refused at the last reload and the old one holds.")
      .add(figures.last_reload_refused ? 0.0 : 1.0)
      .gauge("turnpike_config_keys_waiting_for_restart",
             "Keys of the file whose new value a reload could not put into force.")
      .add(figures.keys_waiting_for_restart);
}

void add_ng_commands(const ng::ServerCounters& counters, Families& families) {
  using Read = std::function<void(const ng::CommandCounters&, std::string_view command)>;
  const auto each = [&counters](const Read& read) {
    for (std::size_t i = 0; i < ng::kCommandCount; ++i) {
      read(counters.commands[i], ng::to_string(static_cast<ng::Command>(i)));
    }
  };
  families.counter("turnpike_ng_requests_total", "Control requests carried out.");
  each([&](const auto& one, auto command) { families.add(one.requests, "command", command); });
  families.counter("turnpike_ng_errors_total", "Control requests answered with an error.");
  each([&](const auto& one, auto command) { families.add(one.errors, "command", command); });
  families.counter("turnpike_ng_load_limits_total",
                   "Control requests answered with \"load limit\".");
  each([&](const auto& one, auto command) { families.add(one.load_limits, "command", command); });
  families.histogram("turnpike_ng_request_duration_seconds",
                     "Time from a whole control request to its reply.");
  each([&](const auto& one, auto command) { families.add(one.duration, "command", command); });
}

void add_ng(const Figures& figures, Families& families) {
  const ng::ServerCounters& ng = *figures.ng;
  add_ng_commands(ng, families);
  families.counter("turnpike_ng_parse_faults_total",
                   "Control messages that were not understood, by reason.");
  for (std::size_t fault = 1; fault < ng::kParseFaultCount; ++fault) {
    families.add(ng.parse_faults[fault], "reason", ng::kParseFaults[fault].label);
  }
  families.counter("turnpike_ng_refused_total",
                   "Connections and requests that NG's guarded listeners refused, by reason.");
  for (std::size_t refusal = 1; refusal < ng::kRefusalCount; ++refusal) {
    families.add(ng.refusals[refusal], "reason", ng::kRefusals[refusal].label);
  }
  families
      .counter("turnpike_ng_repeated_requests_total",
               "Requests that repeated an earlier one, by what became of them.")
      .add(ng.replies_replayed, "outcome", "replayed")
      .add(ng.duplicates_waiting, "outcome", "waited")
      .add(ng.duplicates_dropped, "outcome", "dropped")
      .counter("turnpike_ng_requests_refused_total", "Requests refused because too many were open.")
      .add(ng.requests_refused)
      .counter("turnpike_ng_requests_expired_total", "Requests that got no answer in time.")
      .add(ng.requests_expired)
      .counter("turnpike_ng_replies_unsent_total", "Replies whose peer had gone.")
      .add(ng.replies_unsent)
      .counter("turnpike_ng_ignored_total", "Keys, flags and values of requests without effect.")
      .add(figures.ng_ignored)
      .gauge("turnpike_ng_cached_replies", "Replies kept for repeated requests.")
      .add(figures.ng_cached_replies)
      .gauge("turnpike_ng_connections", "Open control connections.")
      .add(ng.connections)
      .counter("turnpike_ng_connections_total", "Control connections by how they went.")
      .add(ng.connections_accepted, "outcome", "accepted")
      .add(ng.connections_refused, "outcome", "refused")
      .add(ng.connections_timed_out, "outcome", "timed_out");
}

void add_process(const Figures& figures, Families& families) {
  const ProcessFigures& process = figures.process;
  families.gauge("turnpike_build_info", "Always 1; the version is the label.")
      .add(1.0, "version", TURNPIKE_VERSION)
      .counter("turnpike_log_lines_total", "Log lines by what became of them.")
      .add(figures.log.lines, "outcome", "written")
      .add(figures.log.suppressed, "outcome", "suppressed")
      .add(figures.log.lost, "outcome", "lost")
      .add(figures.log.syslog_lost, "outcome", "lost_to_syslog")
      .counter("turnpike_call_records_total", "Records of ended calls by what became of them.")
      .add(figures.records.written, "outcome", "written")
      .add(figures.records.lost, "outcome", "lost")
      .counter("turnpike_call_record_rotations_total", "Files of call records that were full.")
      .add(figures.records.rotations)
      .counter("turnpike_homer_reports_total",
               "Reports to a capture server by what became of them.")
      .add(figures.homer.sent, "outcome", "sent")
      .add(figures.homer.lost, "outcome", "lost")
      .counter("turnpike_http_requests_total", "Requests for metrics, health and the API.")
      .add(figures.http_requests)
      .counter("turnpike_http_refused_total",
               "Such requests refused: foreign host name or origin, or not for reading.")
      .add(figures.http_refused)
      .counter("turnpike_http_connections_refused_total",
               "Connections closed at once: too many were open, or TLS took too long.")
      .add(figures.http_connections_refused)
      .counter("turnpike_http_unauthorized_total",
               "Requests to api.listen refused: no token, a wrong one, a pause after many wrong "
               "ones, or a scope that is not enough.");
  for (std::size_t i = 0; i < api::kRefusals.size(); ++i) {
    families.add(figures.api_refused[i], "reason", api::kRefusals[i]);
  }
  families.counter("process_cpu_seconds_total", "CPU time of the process, user and system.")
      .add(process.cpu_seconds)
      .gauge("process_resident_memory_bytes", "Resident memory of the process.")
      .add(process.resident_bytes)
      .gauge("process_start_time_seconds", "Start of the process since the epoch.")
      .add(process.start_time_seconds)
      .gauge("process_open_fds", "Open file descriptors.")
      .add(process.open_files)
      .gauge("process_max_fds", "File descriptors that may be open.")
      .add(process.open_files_max);
}

const char* purpose_label(zone::Purpose purpose) {
  return purpose == zone::Purpose::kSignallingByCore ? "signalling_by_core" : "signalling_by_edge";
}

/// One metric of every connection of every peer.
void each_connection(const Figures& figures, Families& families, const auto& read) {
  for (const zone::ZoneReport& zone : figures.zones) {
    for (const zone::PeerReport& peer : zone.peers) {
      for (const zone::ConnectionReport& one : peer.connections) {
        families.add(
            read(one),
            {{"zone", zone.name}, {"peer", peer.name}, {"purpose", purpose_label(one.purpose)}});
      }
    }
  }
}

void add_zone_reasons(const Figures& figures, Families& families, const auto& counters_of) {
  for (const zone::ZoneReport& zone : figures.zones) {
    const auto& counters = counters_of(zone);
    for (std::size_t i = 1; i < counters.size(); ++i) {
      families.add(number(counters[i]), {{"zone", zone.name}, {"reason", zone::info_of(i).label}});
    }
  }
}

void add_zone_streams(const Figures& figures, Families& families) {
  families.counter("turnpike_zone_streams_total", "Byte streams carried to or from peers.");
  for (const zone::ZoneReport& zone : figures.zones) {
    families.add(number(zone.streams_opened), {{"zone", zone.name}});
  }
  families.counter("turnpike_zone_streams_refused_total", "Byte streams not carried, by reason.");
  for (const zone::ZoneReport& zone : figures.zones) {
    const zone::StreamRefusals& refused = zone.stream_refusals;
    for (const auto& [reason, count] : {std::pair{"peer_down", refused.peer_down},
                                        {"wrong_account", refused.wrong_account},
                                        {"too_many", refused.too_many},
                                        {"unknown_target", refused.unknown_target},
                                        {"not_connected", refused.not_connected}}) {
      families.add(number(count), {{"zone", zone.name}, {"reason", reason}});
    }
  }
}

void add_zone_certificates(const Figures& figures, Families& families) {
  families.gauge(
      "turnpike_zone_certificate_expiry_timestamp_seconds",
      "When a certificate of a zone ends, since the epoch; \"node\" is this node's own.");
  const auto add = [&families](const zone::ZoneReport& zone, const std::string& of,
                               const pki::CertificateFacts& facts) {
    if (facts.sha256.empty()) return;
    const auto end = facts.not_after.time_since_epoch();
    families.add(std::chrono::duration<double>(end).count(), {{"zone", zone.name}, {"of", of}});
  };
  for (const zone::ZoneReport& zone : figures.zones) {
    add(zone, "node", zone.certificate);
    for (const zone::PeerReport& peer : zone.peers)
      add(zone, "peer " + peer.name, peer.certificate);
  }
}

/// Also on a node without zones, so that alerts always have a value to judge.
void add_zone_summary(const Figures& figures, Families& families) {
  constexpr auto kSoon = std::chrono::hours{24 * 14};
  const auto soon = std::chrono::system_clock::now() + kSoon;
  std::uint64_t down = 0;
  std::uint64_t ending = 0;
  std::uint64_t unbound = 0;
  const auto count = [&ending, soon](const pki::CertificateFacts& facts) {
    if (!facts.sha256.empty() && facts.not_after < soon) ++ending;
  };
  for (const zone::ZoneReport& zone : figures.zones) {
    count(zone.certificate);
    for (const zone::PeerReport& peer : zone.peers) {
      if (!peer.up) ++down;
      for (const zone::FlowState& flow : peer.flows) unbound += flow.bound ? 0 : 1;
      count(peer.certificate);
    }
  }
  families.gauge("turnpike_zone_peers_down", "Peers of zones to which not every connection is up.")
      .add(down)
      .gauge("turnpike_zone_flows_unbound",
             "Media flows to peers that no packet can take now: calls over them have no media.")
      .add(unbound)
      .gauge("turnpike_zone_certificates_ending",
             "Certificates of zones, own and peers', that end within 14 days or have ended.")
      .add(ending);
}

void add_zone_flows(const Figures& figures, Families& families) {
  families.gauge("turnpike_zone_flow_bound",
                 "1 while media can go to and from this shard of the core.");
  for (const zone::ZoneReport& zone : figures.zones) {
    for (const zone::PeerReport& peer : zone.peers) {
      for (const zone::FlowState& flow : peer.flows) {
        families.add(
            flow.bound ? 1.0 : 0.0,
            {{"zone", zone.name}, {"peer", peer.name}, {"shard", std::to_string(flow.shard)}});
      }
    }
  }
}

void add_zones(const Figures& figures, Families& families) {
  add_zone_flows(figures, families);
  families.gauge("turnpike_zone_connection_up", "1 while a connection to a peer is up.");
  each_connection(figures, families, [](const auto& one) { return one.up ? 1.0 : 0.0; });
  families.counter("turnpike_zone_connections_total", "How often a connection came up.");
  each_connection(figures, families, [](const auto& one) { return number(one.connected); });
  families.gauge("turnpike_zone_round_trip_seconds",
                 "Round trip of the last keep-alive; 0 while the connection is down.");
  each_connection(figures, families, [](const auto& one) { return seconds(one.round_trip); });
  families.gauge("turnpike_zone_streams", "Byte streams that are open.");
  each_connection(figures, families, [](const auto& one) { return number(one.streams); });
  families.counter("turnpike_zone_received_bytes_total", "Bytes received, as encrypted.");
  each_connection(figures, families, [](const auto& one) { return number(one.bytes_received); });
  families.counter("turnpike_zone_sent_bytes_total", "Bytes sent, as encrypted.");
  each_connection(figures, families, [](const auto& one) { return number(one.bytes_sent); });
  families.counter("turnpike_zone_refused_total",
                   "Connections that ended before the zone's handshake was done, by reason.");
  add_zone_reasons(
      figures, families, [](const auto& zone) -> auto& { return zone.refused; });
  families.counter("turnpike_zone_ended_total", "Connections that were up and ended, by reason.");
  add_zone_reasons(
      figures, families, [](const auto& zone) -> auto& { return zone.ended; });
  families.gauge("turnpike_zone_handshakes_waiting", "Connections that are in their handshake.");
  for (const zone::ZoneReport& zone : figures.zones) {
    families.add(number(zone.waiting), {{"zone", zone.name}});
  }
  families.gauge("turnpike_zone_files_unusable",
                 "1 while certificate, key, trust file or password cannot be (re)loaded.");
  for (const zone::ZoneReport& zone : figures.zones) {
    families.add(zone.files_trouble.empty() ? 0.0 : 1.0, {{"zone", zone.name}});
  }
  add_zone_streams(figures, families);
  add_zone_certificates(figures, families);
}

void add_quality(const CallQuality& quality, Families& families) {
  for (std::size_t i = 0; i < kMeasureCount; ++i) {
    families.histogram(kMeasures[i].metric, kMeasures[i].help);
    const auto measure = static_cast<Measure>(i);
    families.add(quality.of(measure, Side::kA), kMeasures[i], "a");
    families.add(quality.of(measure, Side::kB), kMeasures[i], "b");
  }
}

// Read when the program is loaded.
const double kStartTimeSeconds =
    std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();

}  // namespace

ProcessFigures ProcessFigures::read() {
  ProcessFigures figures;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto of = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    figures.cpu_seconds = of(usage.ru_utime) + of(usage.ru_stime);
  }
  std::uint64_t pages = 0;
  std::ifstream statm("/proc/self/statm");
  if (statm >> pages >> pages) {
    figures.resident_bytes = pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  }
  std::error_code failed;
  for (std::filesystem::directory_iterator fd("/proc/self/fd", failed), end; fd != end && !failed;
       fd.increment(failed)) {
    ++figures.open_files;
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) figures.open_files_max = limit.rlim_cur;
  figures.start_time_seconds = kStartTimeSeconds;
  return figures;
}

std::string render(const Figures& figures) {
  Families families;
  add_calls(figures, families);
  add_quality(figures.quality == nullptr ? CallQuality{} : *figures.quality, families);
  add_relay(figures, families);
  add_shards(figures, families);
  add_transports(figures, families);
  if (figures.handshakes != nullptr) add_handshakes(*figures.handshakes, families);
  add_ng(figures, families);
  add_zone_summary(figures, families);
  if (!figures.zones.empty()) add_zones(figures, families);
  add_turn(figures, families);
  add_front_door(figures, families);
  add_process(figures, families);
  return families.text();
}

}  // namespace turnpike::metrics
