#include "control/zone/service.h"

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

std::vector<ZoneReport> Service::report() const {
  std::vector<ZoneReport> reports;
  for (const auto& zone : zones_) reports.push_back(zone->report());
  return reports;
}

}  // namespace turnpike::zone
