// The TURN server's figures.
#include "control/metrics_turn.h"

namespace turnpike::metrics {
namespace {

struct TurnMetric {
  const char* name;
  const char* help;
  Counter turn::Counters::*counter;
};

constexpr TurnMetric kTurnMetrics[] = {
    {"turnpike_turn_bindings_total", "STUN Binding requests answered.", &turn::Counters::bindings},
    {"turnpike_turn_dtls_cookies_total",
     "DTLS clients asked for a cookie, without keeping anything.", &turn::Counters::cookies},
    {"turnpike_turn_allocations_expired_total", "Allocations ended that nobody refreshed.",
     &turn::Counters::allocations_expired},
    {"turnpike_turn_refreshes_total", "Refresh requests granted.", &turn::Counters::refreshes},
    {"turnpike_turn_moves_total", "Allocations that followed their client to another address.",
     &turn::Counters::moves},
    {"turnpike_turn_permissions_total", "Permissions made or refreshed.",
     &turn::Counters::permissions},
    {"turnpike_turn_channel_binds_total", "Channels bound or refreshed.",
     &turn::Counters::channel_binds},
    {"turnpike_turn_icmp_errors_total", "ICMP errors of relayed data that clients were told.",
     &turn::Counters::icmp_errors},
};

constexpr turn::ListenerTransport kTurnTransports[] = {
    turn::ListenerTransport::kUdp, turn::ListenerTransport::kTcp, turn::ListenerTransport::kTls,
    turn::ListenerTransport::kDtls};

std::uint64_t turn_total(const Figures& figures, turn::ListenerTransport transport,
                         Counter turn::ClientCounters::*counter) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < figures.shards.size(); ++i) {
    const auto& clients = figures.turn->counters(i).clients;
    sum += (clients[static_cast<std::size_t>(transport)].*counter).value();
  }
  const auto& clients = figures.turn->tcp_counters().clients;
  return sum + (clients[static_cast<std::size_t>(transport)].*counter).value();
}

/// A value for each transport; `to` is a label of its own, or empty.
void add_turn_clients(const Figures& figures, Families& families,
                      Counter turn::ClientCounters::*counter, const char* to = "") {
  for (const turn::ListenerTransport transport : kTurnTransports) {
    const std::string name(turn::kTransportNames[static_cast<std::size_t>(transport)]);
    Families::Labels labels{{"transport", name}};
    if (*to != 0) labels.push_back({"to", to});
    families.add(number(turn_total(figures, transport, counter)), std::move(labels));
  }
}

void add_turn_transports(const Figures& figures, Families& families) {
  using turn::ClientCounters;
  families.counter("turnpike_turn_allocations_opened_total", "Allocations made.");
  add_turn_clients(figures, families, &ClientCounters::allocations_opened);
  families.counter("turnpike_turn_allocations_closed_total",
                   "Allocations that ended, however they did.");
  add_turn_clients(figures, families, &ClientCounters::allocations_closed);
  families.counter("turnpike_turn_packets_total", "Data relayed, by direction.");
  add_turn_clients(figures, families, &ClientCounters::packets_to_peers, "peer");
  add_turn_clients(figures, families, &ClientCounters::packets_to_clients, "client");
  families.counter("turnpike_turn_bytes_total", "Application data relayed, by direction.");
  add_turn_clients(figures, families, &ClientCounters::bytes_to_peers, "peer");
  add_turn_clients(figures, families, &ClientCounters::bytes_to_clients, "client");
  families.gauge("turnpike_turn_connections", "Connections of clients that are open.");
  for (const auto transport : {turn::ListenerTransport::kTcp, turn::ListenerTransport::kTls,
                               turn::ListenerTransport::kDtls}) {
    const auto closed = turn_total(figures, transport, &ClientCounters::connections_closed);
    families.add(turn_total(figures, transport, &ClientCounters::connections_opened) - closed,
                 "transport", turn::kTransportNames[static_cast<std::size_t>(transport)]);
  }
}

/// One series for each realm that has figures of its own, and one for all others, if there are any.
void add_turn_realms(const Figures& figures, Families& families) {
  using turn::RealmCounters;
  const auto sum = [&figures](std::size_t realm, Counter RealmCounters::*counter) {
    std::uint64_t total = (figures.turn->tcp_counters().realms[realm].*counter).value();
    for (std::size_t i = 0; i < figures.shards.size(); ++i) {
      total += (figures.turn->counters(i).realms[realm].*counter).value();
    }
    return total;
  };
  const auto add = [&](auto value_of, const char* to = "") {
    for (std::size_t realm = 0; realm < turn::kRealmFiguresMax; ++realm) {
      const bool named = realm < figures.turn_realms.size();
      if (!named && sum(realm, &RealmCounters::allocations_opened) == 0) continue;
      Families::Labels labels{{"realm", named ? figures.turn_realms[realm] : "(others)"}};
      if (*to != 0) labels.push_back({"to", to});
      families.add(number(value_of(realm)), std::move(labels));
    }
  };
  const auto of = [&sum](Counter RealmCounters::*counter) {
    return [&sum, counter](std::size_t realm) { return sum(realm, counter); };
  };
  families.gauge("turnpike_turn_realm_allocations", "Allocations that are open, by realm.");
  add([&sum](std::size_t realm) {
    const std::uint64_t closed = sum(realm, &RealmCounters::allocations_closed);
    return sum(realm, &RealmCounters::allocations_opened) - closed;
  });
  families.counter("turnpike_turn_realm_refused_total",
                   "Requests refused of clients that have shown where they are, by realm.");
  add(of(&RealmCounters::refused));
  families.counter("turnpike_turn_realm_bytes_total",
                   "Application data relayed, by realm and direction.");
  add(of(&RealmCounters::bytes_to_peers), "peer");
  add(of(&RealmCounters::bytes_to_clients), "client");
}

void add_turn_data(const Figures& figures, Families& families) {
  const auto total = [&figures](const auto& counter_of) {
    std::uint64_t sum = counter_of(figures.turn->common_counters()).value() +
                        counter_of(figures.turn->tcp_counters()).value();
    for (std::size_t i = 0; i < figures.shards.size(); ++i) {
      sum += counter_of(figures.turn->counters(i)).value();
    }
    return sum;
  };
  for (const TurnMetric& metric : kTurnMetrics) {
    families.counter(metric.name, metric.help).add(total([&](const auto& of) -> auto& {
      return of.*metric.counter;
    }));
  }
  add_turn_transports(figures, families);
  add_turn_realms(figures, families);
  std::vector<const turn::RelayLatency*> latencies;
  for (std::size_t i = 0; i < figures.shards.size(); ++i) {
    latencies.push_back(&figures.turn->counters(i).latency);
  }
  families.histogram("turnpike_turn_relay_latency_seconds",
                     "Time on this host of clients' data over UDP, from the kernel's receiving it "
                     "until it has left for the peer; of each batch the datagram that waited "
                     "longest.");
  families.add(latencies);
  families.counter("turnpike_turn_connections_ended_total",
                   "Connections of clients that ended or were refused, by reason.");
  for (std::size_t i = 0; i < turn::kStreamCloseCount; ++i) {
    families.add(total([i](const auto& of) -> auto& { return of.closes[i]; }), "reason",
                 turn::kStreamCloses[i].label);
  }
  const std::uint64_t closed =
      total([](const auto& of) -> auto& { return of.peer_connections_closed; });
  families
      .gauge("turnpike_turn_peer_connections",
             "TCP connections of allocations with peers that are open.")
      .add(total([](const auto& of) -> auto& { return of.peer_connections_opened; }) - closed);
  families.counter("turnpike_turn_peer_connections_ended_total",
                   "TCP connections with peers that ended, or were not made, by reason.");
  for (std::size_t i = 0; i < turn::kPeerCloseCount; ++i) {
    families.add(total([i](const auto& of) -> auto& { return of.peer_closes[i]; }), "reason",
                 turn::kPeerCloses[i].label);
  }
  families.counter("turnpike_turn_refused_total", "Requests refused, by reason.");
  for (std::size_t i = 0; i < turn::kRefusalCount; ++i) {
    families.add(total([i](const auto& of) -> auto& { return of.refusals[i]; }), "reason",
                 turn::kRefusals[i].label);
  }
  families.counter("turnpike_turn_drops_total", "Datagrams that went nowhere, by reason.");
  for (std::size_t i = 0; i < turn::kDropCount; ++i) {
    families.add(total([i](const auto& of) -> auto& { return of.drops[i]; }), "reason",
                 turn::kDrops[i].label);
  }
}

}  // namespace

void add_turn(const Figures& figures, Families& families) {
  const std::uint64_t open = figures.turn == nullptr ? 0 : figures.turn->allocations();
  families.gauge("turnpike_turn_allocations", "TURN allocations that are open.")
      .add(open)
      .gauge("turnpike_turn_allocations_max", "TURN allocations that may be open at a time.")
      .add(figures.turn_allocations_max);
  if (figures.turn != nullptr) add_turn_data(figures, families);
}

}  // namespace turnpike::metrics
