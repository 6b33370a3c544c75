#include "control/api/turn_json.h"

#include <array>

#include "control/api/endpoints.h"
#include "control/api/json.h"

namespace turnpike::api {
namespace {

Json allocation_json(const turn::AllocationReport& one, Instant now) {
  Json relayed = Json::array();
  for (const SocketAddress& address : one.relayed) {
    if (address.is_set()) relayed.push_back(turnpike::to_string(address));
  }
  return {{"id", to_string(SessionId{one.id.slot, one.id.generation, one.id.shard})},
          {"realm", one.realm},
          {"user", one.user},
          {"transport", turn::kTransportNames[static_cast<std::size_t>(one.transport)]},
          {"client", address_json(one.client)},
          {"away", one.away},
          {"server", address_json(one.server)},
          {"relayed", std::move(relayed)},
          {"age_seconds", age(one.created, now)},
          {"expires_in_seconds", seconds(one.expires - now)},
          {"permissions", one.permissions},
          {"channels", one.channels},
          {"relays", one.is_tcp ? "tcp" : "udp"},
          {"peer_connections", one.peer_connections},
          {"packets_to_peers", one.packets_to_peers},
          {"bytes_to_peers", one.bytes_to_peers},
          {"packets_to_clients", one.packets_to_clients},
          {"bytes_to_clients", one.bytes_to_clients}};
}

/// Those that have occurred.
template <std::size_t size>
Json reasons_json(const TurnFigures& figures, const std::array<turn::ReasonInfo, size>& infos,
                  std::array<Counter, size> turn::Counters::*counters) {
  Json named = Json::array();
  for (std::size_t i = 0; i < size; ++i) {
    std::uint64_t count = 0;
    for (const turn::Counters* shard : figures.shards) count += (shard->*counters)[i].value();
    if (count == 0) continue;
    named.push_back({{"reason", infos[i].label}, {"count", count}, {"meaning", infos[i].help}});
  }
  return named;
}

/// Connections that are open.
std::uint64_t connections(const TurnFigures& figures) {
  std::uint64_t open = 0;
  for (const turn::Counters* shard : figures.shards) {
    const std::uint64_t closed = shard->total(&turn::ClientCounters::connections_closed);
    open += shard->total(&turn::ClientCounters::connections_opened) - closed;
  }
  return open;
}

/// Those that have a name of their own.
Json realms_json(const TurnFigures& figures) {
  Json realms = Json::array();
  for (std::size_t i = 0; i < figures.realms.size(); ++i) {
    const auto sum = [&figures, i](Counter turn::RealmCounters::*counter) {
      std::uint64_t total = 0;
      for (const turn::Counters* shard : figures.shards)
        total += (shard->realms[i].*counter).value();
      return total;
    };
    const std::uint64_t closed = sum(&turn::RealmCounters::allocations_closed);
    realms.push_back({{"realm", figures.realms[i]},
                      {"allocations", sum(&turn::RealmCounters::allocations_opened) - closed},
                      {"refused", sum(&turn::RealmCounters::refused)},
                      {"bytes_to_peers", sum(&turn::RealmCounters::bytes_to_peers)},
                      {"bytes_to_clients", sum(&turn::RealmCounters::bytes_to_clients)}});
  }
  return realms;
}

}  // namespace

Response turn_response(const TurnFigures& figures, const std::vector<turn::AllocationReport>& list,
                       Instant now) {
  Json allocations = Json::array();
  for (const turn::AllocationReport& one : list) allocations.push_back(allocation_json(one, now));
  return json_response(
      200,
      {{"allocations_open", figures.allocations},
       {"allocations_max", figures.allocations_max},
       {"connections", connections(figures)},
       {"realms", realms_json(figures)},
       {"refused", reasons_json(figures, turn::kRefusals, &turn::Counters::refusals)},
       {"drops", reasons_json(figures, turn::kDrops, &turn::Counters::drops)},
       {"connections_ended", reasons_json(figures, turn::kStreamCloses, &turn::Counters::closes)},
       {"peer_connections_ended",
        reasons_json(figures, turn::kPeerCloses, &turn::Counters::peer_closes)},
       {"allocations", std::move(allocations)}});
}

}  // namespace turnpike::api
