#include "control/pair/flows.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace turnpike::pair {
namespace {

bool are_same(const FlowKeys& a, const FlowKeys& b) {
  return a.to_edge == b.to_edge && a.to_core == b.to_core && a.binding == b.binding;
}

void wipe(void* bytes, std::size_t size) {
  ::explicit_bzero(bytes, size);
}

}  // namespace

PairFlows::PairFlows(Flows& relay, PairRole role, std::size_t shards,
                     const std::vector<PeerConfig>& peers, Environment environment)
    : relay_(relay), role_(role), environment_(std::move(environment)) {
  for (const PeerConfig& config : peers) {
    auto peer = std::make_unique<Peer>();
    peer->config = config;
    peer->index = static_cast<std::uint16_t>(peers_.size());
    if (role_ == PairRole::kCore) {
      for (std::size_t shard = 0; shard < std::min(shards, kFlowsOfPeerMax); ++shard) {
        peer->flows[static_cast<std::uint16_t>(shard)] = {};
      }
    }
    peers_.push_back(std::move(peer));
  }
}

PairFlows::~PairFlows() {
  for (const auto& peer : peers_) {
    for (auto& [shard, flow] : peer->flows) wipe(&flow.keys, sizeof flow.keys);
  }
}

PairFlows::Peer* PairFlows::find(const std::string& name) const {
  const auto found = std::find_if(peers_.begin(), peers_.end(),
                                  [&](const auto& peer) { return peer->config.name == name; });
  return found == peers_.end() ? nullptr : found->get();
}

void PairFlows::draw_keys(Peer& peer) {
  for (auto& [shard, flow] : peer.flows) {
    environment_.random_bytes(&flow.keys, sizeof flow.keys);
    flow.number = 0;
  }
}

void PairFlows::on_channel(const std::string& name, std::uint64_t epoch) {
  Peer* peer = find(name);
  if (peer == nullptr || role_ != PairRole::kCore) return;
  if (peer->epoch != epoch) draw_keys(*peer);
  peer->epoch = epoch;
  offer(*peer);
}

// The same keys each time to the same process: it has the same numbers for them.
void PairFlows::offer(Peer& peer) {
  std::vector<OfferedFlow> offered;
  for (const auto& [shard, flow] : peer.flows) {
    offered.push_back({static_cast<std::uint8_t>(shard), flow.keys});
  }
  std::string message = write(offered);
  peer.awaits_numbers = environment_.send(peer.config.name, message);
  wipe(message.data(), message.size());
  wipe(offered.data(), offered.size() * sizeof(OfferedFlow));
}

void PairFlows::on_tick(Instant now) {
  if (role_ != PairRole::kCore) return;
  for (const auto& peer : peers_) {
    const bool lacks = peer->epoch && std::any_of(peer->flows.begin(), peer->flows.end(),
                                                  [](auto& f) { return f.second.number == 0; });
    if (!lacks) peer->offered = now;
    if (now - peer->offered < kAskAgainAfter) continue;
    peer->offered = now;
    offer(*peer);
  }
}

bool PairFlows::on_message(const std::string& name, std::string_view message) {
  Peer* peer = find(name);
  if (peer == nullptr) return false;
  if (role_ == PairRole::kCore) {
    const auto numbered = read_numbers(message);
    return numbered && take_numbers(*peer, *numbered);
  }
  auto offered = read_offer(message);
  const bool taken = offered && take_offer(*peer, *offered);
  if (offered) wipe(offered->data(), offered->size() * sizeof(OfferedFlow));
  return taken;
}

// At an edge. What the core no longer names is of a process that is gone. Its sessions are told
// first: a number may be somebody else's later.
bool PairFlows::take_offer(Peer& peer, const std::vector<OfferedFlow>& offered) {
  if (offered.size() > kFlowsOfPeerMax) return false;
  std::vector<FlowNumber> gone;
  bool changed = false;
  for (const OfferedFlow& flow : offered) changed = add(peer, flow, gone) || changed;
  for (auto entry = peer.flows.begin(); entry != peer.flows.end();) {
    const bool kept = std::any_of(offered.begin(), offered.end(),
                                  [&](const auto& flow) { return flow.shard == entry->first; });
    if (!kept) {
      gone.push_back(entry->second.number);
      wipe(&entry->second.keys, sizeof entry->second.keys);
    }
    entry = kept ? std::next(entry) : peer.flows.erase(entry);
  }
  if (changed || !gone.empty()) environment_.changed(peer.config.name);
  for (const FlowNumber number : gone) {
    if (number != 0) relay_.remove_flow(number);
  }
  std::vector<NumberedFlow> numbered;
  for (const auto& [shard, flow] : peer.flows) {
    numbered.push_back({static_cast<std::uint8_t>(shard), flow.number, flow.port});
  }
  environment_.send(peer.config.name, write(numbered));
  return true;
}

bool PairFlows::add(Peer& peer, const OfferedFlow& offered, std::vector<FlowNumber>& gone) {
  Flow& flow = peer.flows[offered.shard];
  if (flow.number != 0 && are_same(flow.keys, offered.keys)) return false;
  gone.push_back(flow.number);
  const auto number = relay_.add_flow(offered.keys);
  flow.keys = offered.keys;
  flow.number = number ? *number : FlowNumber{0};
  flow.port = peer.config.ports.at(flow.number % peer.config.ports.size());
  if (!number) environment_.warn(peer.config.name, number.error().message);
  return true;
}

// At a core. Sessions name the edge, not the number: they need not be told.
bool PairFlows::take_numbers(Peer& peer, const std::vector<NumberedFlow>& numbered) {
  if (!std::exchange(peer.awaits_numbers, false)) return false;
  for (const NumberedFlow& given : numbered) {
    const auto entry = peer.flows.find(given.shard);
    if (entry == peer.flows.end()) return false;
    Flow& flow = entry->second;
    if (flow.number == given.number && flow.port == given.port) continue;
    flow.number = given.number;
    flow.port = given.port;
    if (flow.number == 0) continue;
    CoreFlow bound{peer.index, given.shard, flow.number, SocketAddress{peer.config.edge, flow.port},
                   flow.keys};
    if (const auto set = relay_.set_flow(bound); !set) {
      environment_.warn(peer.config.name, set.error().message);
      flow.number = 0;  // asked for again
    }
    wipe(&bound.keys, sizeof bound.keys);
  }
  const bool full = std::any_of(peer.flows.begin(), peer.flows.end(),
                                [](const auto& entry) { return entry.second.number == 0; });
  if (full) environment_.warn(peer.config.name, "not every flow could be had; asking again");
  return true;
}

std::uint16_t PairFlows::flow_to(const std::string& name, std::uint16_t shard) const {
  const Peer* peer = find(name);
  if (peer == nullptr) return 0;
  if (role_ == PairRole::kCore) return peer->index;
  const auto flow = peer->flows.find(shard);
  return flow == peer->flows.end() ? FlowNumber{0} : flow->second.number;
}

bool PairFlows::is_bound(const std::string& name, int shard) const {
  const std::vector<FlowStatus> all = report(name);
  return std::any_of(all.begin(), all.end(), [shard](const FlowStatus& flow) {
    return flow.report.address.is_set() && (shard < 0 || shard == flow.shard);
  });
}

std::vector<FlowStatus> PairFlows::report(const std::string& name) const {
  std::vector<FlowStatus> all;
  const Peer* peer = find(name);
  if (peer == nullptr) return all;
  for (const auto& [shard, flow] : peer->flows) {
    FlowStatus status{shard, flow.number, {}};
    if (flow.number != 0) {
      status.report = role_ == PairRole::kEdge ? relay_.edge_report(flow.number)
                                               : relay_.core_report(peer->index, shard);
    }
    all.push_back(status);
  }
  return all;
}

}  // namespace turnpike::pair
