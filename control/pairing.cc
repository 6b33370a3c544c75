#include "control/pairing.h"

#include <utility>

#include "control/config/identities.h"
#include "control/config/products.h"
#include "control/config/secret_file.h"
#include "control/process.h"

namespace turnpike {
namespace {

void log_zone(log::Log& log, const zone::Note& note) {
  log.write(
      note.warning ? log::Level::kWarning : log::Level::kInfo, note.event,
      {{"zone", note.zone}, {"peer", note.peer}, {"address", note.address}, {"what", note.what}});
}

zone::FlowState state_of(const pair::FlowStatus& status) {
  zone::FlowState state;
  state.shard = status.shard;
  state.number = status.number;
  state.bound = status.report.address.is_set();
  if (state.bound) state.address = to_string(status.report.address);
  state.round_trip = status.report.round_trip;
  state.unanswered = status.report.unanswered;
  return state;
}

}  // namespace

Pairing::Pairing(const config::Settings& settings, Relay& relay, log::Log& log,
                 std::function<void(const std::string& peer)> flows_changed)
    : settings_(settings), log_(log) {
  flows_ = std::make_unique<pair::PairFlows>(
      *relay.flows(), config::pair_role(settings), relay.shard_count(),
      config::pair_peers(settings),
      pair::PairFlows::Environment{
          .random_bytes = random_bytes,
          .send = [this](
                      const std::string& peer,
                      std::string_view message) { return zones_ && zones_->send(peer, message); },
          .changed = std::move(flows_changed),
          .warn =
              [this](const std::string& peer, const std::string& what) {
                log_.warning("pair_flows", {{"peer", peer}, {"reason", what}});
              }});
}

Result<void> Pairing::start(loop::EventLoop& loop) {
  if (const std::string clash = config::trust_clash(settings_); !clash.empty()) return Error{clash};
  auto zones = zone::Service::start(
      loop, config::zone_config(settings_),
      {.note = [this](const zone::Note& note) { log_zone(log_, note); },
       .random_bytes = random_bytes,
       .read_secret = config::read_secret_file,
       .on_channel = [this](const std::string& peer,
                            std::uint64_t epoch) { flows_->on_channel(peer, epoch); },
       .on_message = [this](
                         const std::string& peer,
                         std::string_view message) { return flows_->on_message(peer, message); }});
  if (!zones) return zones.error();
  zones_ = std::move(*zones);
  return {};
}

std::vector<zone::ZoneReport> Pairing::report() const {
  if (!zones_) return {};
  auto zones = zones_->report();
  for (zone::ZoneReport& zone : zones) {
    for (zone::PeerReport& peer : zone.peers) {
      for (const pair::FlowStatus& status : flows_->report(zone.name + "/" + peer.name)) {
        peer.flows.push_back(state_of(status));
      }
    }
  }
  return zones;
}

}  // namespace turnpike
