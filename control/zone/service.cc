#include "control/zone/service.h"

#include <algorithm>
#include <utility>

namespace turnpike::zone {

Result<std::unique_ptr<Service>> Service::start(loop::EventLoop& loop, const ServiceConfig& config,
                                                Callbacks callbacks) {
  Environment environment;
  environment.loop = &loop;
  environment.role = config.role;
  environment.node = config.node;
  environment.sip_user = config.sip_user;
  environment.note = std::move(callbacks.note);
  environment.random_bytes = std::move(callbacks.random_bytes);
  environment.read_secret = std::move(callbacks.read_secret);
  environment.on_channel = std::move(callbacks.on_channel);
  environment.on_message = std::move(callbacks.on_message);
  environment.random_bytes(&environment.epoch, sizeof environment.epoch);
  std::unique_ptr<Service> service(new Service(std::move(environment)));
  for (const ZoneConfig& zone : config.zones) {
    service->zones_.push_back(std::make_unique<Zone>(service->environment_, zone));
    if (auto started = service->zones_.back()->start(); !started) return started.error();
  }
  return service;
}

Service::~Service() {
  for (const auto& zone : zones_) zone->stop();
}

void Service::reload() {
  for (const auto& zone : zones_) zone->reload();
}

bool Service::send(const std::string& peer, std::string_view message) {
  return std::any_of(zones_.begin(), zones_.end(),
                     [&](const auto& zone) { return zone->send(peer, message); });
}

Result<MeasureBegun> Service::measure(const std::string& peer, const MeasureOptions& options) {
  const bool runs = std::any_of(zones_.begin(), zones_.end(),
                                [](const auto& zone) { return zone->is_measuring(); });
  if (runs) return Error{"another measurement runs; one at a time"};
  std::string all;
  std::string chosen;
  std::size_t fitting = 0;
  Zone* of = nullptr;
  for (const auto& zone : zones_) {
    for (const PeerReport& one : zone->report().peers) {
      const std::string name = zone->report().name + "/" + one.name;
      all += (all.empty() ? "" : ", ") + name;
      if (!peer.empty() && peer != name && peer != one.name) continue;
      ++fitting;
      chosen = name;
      of = zone.get();
    }
  }
  if (fitting != 1) return Error{"name one of the peers: " + all};
  if (auto begun = of->measure(chosen, options, measurements_ + 1); !begun) return begun.error();
  return MeasureBegun{chosen, ++measurements_};
}

std::vector<ZoneReport> Service::report() const {
  std::vector<ZoneReport> reports;
  for (const auto& zone : zones_) reports.push_back(zone->report());
  return reports;
}

}  // namespace turnpike::zone
