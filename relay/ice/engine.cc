#include "relay/ice/engine.h"

#include <algorithm>
#include <utility>

#include "relay/ice/agent.h"

namespace turnpike::ice {

Engine::Engine(std::uint32_t session_capacity, RandomBytes random, ShardCounters& counters)
    : random_(std::move(random)),
      counters_(counters),
      deadlines_(session_capacity * 2),
      agents_(std::size_t{session_capacity} * 2) {}

Engine::~Engine() = default;

std::uint32_t Engine::index_of_leg(const SocketTag& leg) const {
  return leg.slot * 2 + index_of(leg.side);
}

Agent* Engine::find(const SocketTag& leg) const {
  if (leg.slot >= agents_.size() / 2) return nullptr;
  Agent* agent = agents_[index_of_leg(leg)].get();
  return agent != nullptr && agent->id().generation == leg.generation ? agent : nullptr;
}

void Engine::update(const SocketTag& leg, const IceConfig& config, const LegFacts& facts,
                    Instant now, Sink& sink) {
  if (leg.slot >= agents_.size() / 2) return;
  const std::uint32_t index = index_of_leg(leg);
  Agent* agent = find(leg);
  if (config.mode == IceMode::kOff) {
    if (agent == nullptr) return;
    close(leg);
    sink.changed(leg, IceState::kOff);
    return;
  }
  if (agent == nullptr) {
    agents_[index] = std::make_unique<Agent>(leg, random_);
    agent = agents_[index].get();
  }
  agent->update(config, facts, {now, sink});
  settle(index, now);
}

void Engine::close(const SocketTag& leg) {
  if (find(leg) == nullptr) return;
  const std::uint32_t index = index_of_leg(leg);
  deadlines_.cancel(index);
  agents_[index].reset();
}

bool Engine::handle(Instant now, const Packet& packet, Sink& sink) {
  Agent* agent = find(packet.tag);
  const std::optional<DropReason> reason =
      agent == nullptr ? DropReason::kUnexpectedStun : agent->handle(packet, {now, sink});
  if (reason) {
    counters_.drops[static_cast<std::size_t>(*reason)].add();
    last_drop_ = *reason;
    return false;
  }
  settle(index_of_leg(packet.tag), now);
  return true;
}

bool Engine::is_validated(const SocketTag& socket, const SocketAddress& source) const {
  const Agent* agent = find(socket);
  return agent != nullptr && agent->is_validated(socket.component, source);
}

void Engine::report(const SocketTag& leg, TransportReport& out) const {
  if (const Agent* agent = find(leg); agent != nullptr) agent->report(out);
}

void Engine::count_connect_time(Nanoseconds took) {
  std::size_t bucket = 0;
  while (bucket < kIceConnectDurations.size() && took > kIceConnectDurations[bucket]) ++bucket;
  counters_.ice_connect_durations[bucket].add();
  counters_.ice_connect_us.add(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
}

void Engine::settle(std::uint32_t index, Instant now) {
  if (const auto took = agents_[index]->take_connect_time()) count_connect_time(*took);
  const Instant due = agents_[index]->deadline();
  // Never at once again: what was due has been done, or waits for something else.
  deadlines_.set(index, due == Instant::max() ? due : std::max(due, now + Nanoseconds(1)));
}

void Engine::on_deadline(Instant now, Sink& sink) {
  std::uint32_t index = 0;
  while (deadlines_.pop_due(now, index)) {
    agents_[index]->run({now, sink});
    settle(index, now);
  }
}

}  // namespace turnpike::ice
