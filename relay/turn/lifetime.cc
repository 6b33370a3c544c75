// How allocations end: in time, by request, with their client's stream, with their user.
#include <algorithm>

#include "relay/turn/engine_state.h"

namespace turnpike::turn {

Allocation* Engine::State::find(const Allocations::Tuple& tuple, Instant now) {
  Allocation* const found = allocations.find(tuple);
  if (found == nullptr || now < found->expires) return found;
  counters.allocations_expired.add();  // the timer is not exact
  close(*found);
  return nullptr;
}

// RFC 8656 section 7.2: not shorter than the default, not longer than the maximum.
Seconds Engine::State::lifetime(const Request& request, const Allocation& allocation) const {
  const Settings& settings = credentials->settings();
  Seconds granted = settings.lifetime_default;
  if (const auto wanted = request.message.u32(stun::kLifetime)) {
    granted = std::max(granted, std::min(Seconds(*wanted), settings.lifetime_max));
  }
  const auto limit = [&granted, &request](Instant end) {
    if (end == Instant::max()) return;
    const Seconds left = std::chrono::floor<Seconds>(end - request.now);
    granted = std::clamp(left, Seconds(0), granted);
  };
  const bool is_new = allocation.expires == Instant{};
  if (!is_new && shared->draining.load(std::memory_order_relaxed)) limit(allocation.expires);
  if (settings.strict_expiry || allocation.session_key_bytes != 0) {
    limit(allocation.credential_until);
  }
  if (settings.allocation_age_max != Seconds(0)) {
    limit(allocation.created + settings.allocation_age_max);
  }
  return granted;
}

void Engine::State::close(Allocation& allocation) {
  for (const Side side : {Side::kA, Side::kB}) {
    if (allocation.tcp || !allocation.relayed[index_of(side)].is_set()) continue;
    ports.close(relayed_tag(allocation.slot, allocation.serial, side));
  }
  if (allocation.tcp) close_tcp(allocation);
  uncount_owner(allocation.owner);
  timers.cancel(allocation.slot);
  if (allocation.expires != Instant{}) {
    counters.of(allocation.transport).allocations_closed.add();
    counters.realms[allocation.figures].allocations_closed.add();
  }
  allocations.close(allocation);
}

void Engine::State::close_side(Allocation& allocation, Side side) {
  SocketAddress& relayed = allocation.relayed[index_of(side)];
  ports.close(relayed_tag(allocation.slot, allocation.serial, side));
  for (Peer& peer : allocations.peers(allocation)) {
    if (peer.ip.family == relayed.ip.family) allocations.remove_peer(allocation, peer);
  }
  relayed = {};
}

// Nobody came with its token.
void Engine::State::end_reservation(std::uint32_t index, Instant now) {
  Reserved& place = reserved[index];
  if (const auto entry = shared->reservations.take(place.token, place.owner.user)) {
    ports.release(entry->reservation);
    uncount_owner(place.owner);
  } else if (shared->reservations.has(place.token)) {
    return timers.set(allocations.capacity() + index, now + Seconds(1));  // in use just now
  }
  place = {};
}

// New rules for permissions that there are.
void Engine::State::apply_rules(const Allocation& allocation) {
  const PeerRules& now_rules = rules(allocation);
  for (Peer& peer : allocations.peers(allocation)) {
    if (!peer.ip.is_set()) continue;
    if (!may_be_peer(peer.ip, now_rules, own())) {
      allocations.remove_peer(allocation, peer);
      continue;
    }
    set_ports(peer, now_rules);
  }
}

void Engine::State::adapt(std::shared_ptr<const Credentials> prepared) {
  const auto before = std::move(credentials);
  credentials = std::move(prepared);
  allocations.for_each([this, &before](Allocation& allocation) {
    const auto realm = credentials->realm_of(before->realm(allocation.realm).name);
    const std::string& user = allocations.user(allocation);
    if (!realm || !credentials->vouches(*realm, user, allocation.credential)) {
      return close(allocation);
    }
    const bool same_rules =
        before->realm(allocation.realm).peers == credentials->realm(*realm).peers;
    allocation.realm = *realm;
    if (!same_rules) apply_rules(allocation);
    if (allocation.tcp) adapt_tcp(allocation);
    if (credentials->settings().strict_expiry && allocation.credential_until < allocation.expires) {
      allocation.expires = allocation.credential_until;
      set_timer(allocation);
    }
  });
}

void Engine::configure(std::shared_ptr<const Credentials> prepared) {
  state_->adapt(std::move(prepared));
}

void Engine::stream_closed(const SocketTag& stream) {
  // Without its transport: whichever it is, only the tag counts.
  Allocation* const found =
      state_->allocations.find({ListenerTransport::kTcp, stream, SocketAddress{}});
  for (const auto& one : state_->deferred) {
    const SocketTag& tag = one->tuple.tag;
    const bool same = tag.slot == stream.slot && tag.generation == stream.generation;
    if (one->tuple.transport != ListenerTransport::kUdp && same) one->gone = true;
  }
  if (found == nullptr) return;
  // RFC 8016: its client may come back by another connection, until its time is over.
  if (found->mobile) {
    state_->allocations.unbind(*found);
  } else {
    state_->close(*found);
  }
}

bool Engine::stream_has_allocation(const SocketTag& stream) const {
  return state_->allocations.find({ListenerTransport::kTcp, stream, SocketAddress{}}) != nullptr;
}

void Engine::on_deadline(Instant now, Outbox&) {
  State& state = *state_;
  for (std::uint32_t item = 0; state.timers.pop_due(now, item);) {
    if (item >= state.allocations.capacity()) {
      state.end_reservation(item - state.allocations.capacity(), now);
      continue;
    }
    Allocation* const allocation = state.allocations.at_slot(item);
    if (allocation == nullptr) continue;
    if (now < allocation->expires) {
      state.set_timer(*allocation);
      continue;
    }
    state.counters.allocations_expired.add();
    state.close(*allocation);
  }
}

bool Engine::end(const AllocationId& id, Instant) {
  if (id.shard != state_->setup.shard) return false;
  Allocation* const allocation = state_->allocations.at(id.slot, id.generation);
  if (allocation == nullptr) return false;
  state_->close(*allocation);
  return true;
}

void Engine::list(const std::function<void(const AllocationReport&)>& sink, Instant now) const {
  const State& state = *state_;
  state.allocations.for_each([&](const Allocation& allocation) {
    AllocationReport report;
    report.id = {state.setup.shard, allocation.slot, allocation.serial};
    report.transport = allocation.transport;
    report.client = allocation.client;
    report.away = allocation.away;
    report.server = allocation.server;
    report.relayed = allocation.relayed;
    report.realm = state.credentials->realm(allocation.realm).name;
    report.user = state.allocations.user(allocation);
    report.created = allocation.created;
    report.expires = allocation.expires;
    const Allocations::Counts counts = state.allocations.counts(allocation, tick_of(now));
    report.permissions = counts.permissions;
    report.channels = counts.channels;
    report.packets_to_peers = allocation.to_peers.packets;
    report.bytes_to_peers = allocation.to_peers.bytes;
    report.packets_to_clients = allocation.to_clients.packets;
    report.bytes_to_clients = allocation.to_clients.bytes;
    if (allocation.tcp) {
      const TcpState& tcp = state.tcp[allocation.slot];
      report.is_tcp = true;
      report.peer_connections = static_cast<std::uint32_t>(tcp.connections.size());
      report.bytes_to_peers = tcp.traffic->bytes_to_peers.load(std::memory_order_relaxed);
      report.bytes_to_clients = tcp.traffic->bytes_to_clients.load(std::memory_order_relaxed);
    }
    sink(report);
  });
}

}  // namespace turnpike::turn
