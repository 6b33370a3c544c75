// This node's part in a traversal pair: the zones, and the shared flows that are agreed over them.
// Hides: who tells whom. A node of role "single" has none of it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/config/settings.h"
#include "control/log/log.h"
#include "control/loop/event_loop.h"
#include "control/pair/flows.h"
#include "control/zone/service.h"
#include "turnpike/relay.h"

namespace turnpike {

class Pairing {
 public:
  /// Everything outlives this. `flows_changed`: flows to the peer ("ZONE/PEER") are other ones now.
  Pairing(const config::Settings& settings, Relay& relay, log::Log& log,
          std::function<void(const std::string& peer)> flows_changed);
  Pairing(const Pairing&) = delete;
  Pairing& operator=(const Pairing&) = delete;

  /// Connects the zones. Fails when an address cannot be listened on.
  Result<void> start(loop::EventLoop& loop);
  void on_tick(Instant now) { flows_->on_tick(now); }
  void reload() { zones_->reload(); }
  std::vector<zone::ZoneReport> report() const;
  /// As zone::Service::measure.
  Result<zone::MeasureBegun> measure(const std::string& peer, const zone::MeasureOptions& options) {
    return zones_->measure(peer, options);
  }
  /// As PairFlows::flow_to.
  std::uint16_t flow_to(const std::string& peer, std::uint16_t shard) const {
    return flows_->flow_to(peer, shard);
  }

  /// As PairFlows::is_bound.
  bool has_flow(const std::string& peer, int shard) const { return flows_->is_bound(peer, shard); }

 private:
  const config::Settings& settings_;
  log::Log& log_;
  // In this order: the zones are gone before what they tell.
  std::unique_ptr<pair::PairFlows> flows_;
  std::unique_ptr<zone::Service> zones_;
};

}  // namespace turnpike
