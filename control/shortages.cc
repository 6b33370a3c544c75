#include "control/shortages.h"

#include "control/config/host.h"
#include "control/config/products.h"

namespace turnpike {
namespace {

constexpr Seconds kPause{60};  // between two lines about the same

}  // namespace

Shortages::Shortages(const config::Settings& settings, Relay& relay, log::Log& log)
    : settings_(settings),
      relay_(relay),
      log_(log),
      holder_connected_(relay.adoption().holder_connected) {}

void Shortages::on_tick(Instant now) {
  look_at_holder();
  look_at_descriptors(now);
  look_at_addresses(now);
}

void Shortages::look_at_holder() {
  const bool connected = relay_.adoption().holder_connected;
  if (connected == holder_connected_) return;
  holder_connected_ = connected;
  if (connected) return log_.info("holder_connected", {{"socket", settings_.holder.unix_path}});
  log_.warning("holder_lost", {{"socket", settings_.holder.unix_path},
                               {"reason", relay_.adoption().holder_trouble},
                               {"hint", "calls would end with this process"}});
}

void Shortages::look_at_descriptors(Instant now) {
  const std::uint64_t shortages = relay_.usage().descriptor_shortages;
  if (shortages <= descriptors_told_ || now < tell_descriptors_at_) return;
  log_.warning("out_of_descriptors", {{"refused", shortages - descriptors_told_},
                                      {"hint", "raise LimitNOFILE; calls are refused"}});
  descriptors_told_ = shortages;
  tell_descriptors_at_ = now + kPause;
}

void Shortages::look_at_addresses(Instant now) {
  const std::uint64_t failures = relay_.usage().address_failures;
  if (failures <= addresses_told_ || now < tell_addresses_at_) return;
  const auto missing = config::missing_addresses(settings_, config::Host::read(settings_));
  log_.warning("address_unavailable",
               {{"reason", missing.empty() ? "it is back by now" : missing.front()},
                {"hint", "no port of an address can be bound while the host lacks it"}});
  addresses_told_ = failures;
  tell_addresses_at_ = now + kPause;
}

}  // namespace turnpike
