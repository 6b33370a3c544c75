// The facade's part that concerns the shared flows of a traversal pair.
#include <algorithm>

#include <unistd.h>

#include "relay/core/bytes.h"
#include "relay/io/flow_socket.h"
#include "relay/io/loop.h"
#include "relay/io/secure_random.h"
#include "relay/mux/header.h"
#include "relay/relay_impl.h"

namespace turnpike {

// By shard, then by port.
Result<std::vector<std::vector<int>>> RelayImpl::open_flow_ports() {
  std::vector<std::vector<int>> by_shard(config_.shards);
  if (config_.pair_role != PairRole::kEdge) return by_shard;
  mux::BindingKey secret{};
  fill_random(secret.data(), secret.size());
  edge_flows_ = std::make_unique<mux::EdgeFlows>(secret);
  secure_wipe(secret.data(), secret.size());
  for (const SocketAddress& port : config_.flow_ports) {
    const auto fds = open_flow_port(port, config_.shards, mux::kShardOffset);
    if (!fds) {
      for (const std::vector<int>& shard : by_shard)
        std::for_each(shard.begin(), shard.end(), close);
      return fds.error();
    }
    for (std::size_t shard = 0; shard < by_shard.size(); ++shard) {
      by_shard[shard].push_back((*fds)[shard]);
    }
  }
  return by_shard;
}

Result<FlowNumber> RelayImpl::add_flow(const FlowKeys& keys) {
  if (edge_flows_ == nullptr) return Error{"only an edge has flows that others bind"};
  const auto number = edge_flows_->add(keys, monotonic_now());
  if (!number) return Error{"too many flows"};
  return *number;
}

void RelayImpl::remove_flow(FlowNumber number) {
  if (edge_flows_ != nullptr) edge_flows_->remove(number, monotonic_now());
}

FlowReport RelayImpl::edge_report(FlowNumber number) const {
  return edge_flows_ == nullptr ? FlowReport{} : edge_flows_->report(number, monotonic_now());
}

Result<void> RelayImpl::set_flow(const CoreFlow& flow) {
  if (config_.pair_role != PairRole::kCore) return Error{"only a core binds flows"};
  if (flow.edge >= kEdgesMax || flow.shard >= shards_.size()) return Error{"no such flow"};
  const auto fd = open_flow_to(flow.remote);
  if (!fd) return fd.error();
  Command command;
  command.kind = CommandKind::kSetFlow;
  command.flow = flow;
  command.sockets.fd[0][0] = *fd;
  send(flow.shard, command);
  secure_wipe(&command.flow.keys, sizeof command.flow.keys);
  return {};
}

FlowReport RelayImpl::core_report(std::uint16_t edge, std::uint16_t shard) const {
  return shard < shards_.size() ? shards_[shard]->flow_report(edge, monotonic_now()) : FlowReport{};
}

}  // namespace turnpike
