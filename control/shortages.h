// What the host does not give the daemon while it runs: descriptors, addresses, the holder. Tells
// the log, seldom; refused calls tell their reason to the SIP server themselves.
#pragma once

#include <cstdint>

#include "control/config/settings.h"
#include "control/log/log.h"
#include "turnpike/relay.h"
#include "turnpike/time.h"

namespace turnpike {

class Shortages {
 public:
  /// All of it outlives this.
  Shortages(const config::Settings& settings, Relay& relay, log::Log& log);

  /// Looks whether anything is missing that was not before. Call it about once a second.
  void on_tick(Instant now);

 private:
  void look_at_holder();
  void look_at_descriptors(Instant now);
  void look_at_addresses(Instant now);

  const config::Settings& settings_;
  Relay& relay_;
  log::Log& log_;
  bool holder_connected_;
  std::uint64_t descriptors_told_ = 0;
  std::uint64_t addresses_told_ = 0;
  Instant tell_descriptors_at_{};
  Instant tell_addresses_at_{};
};

}  // namespace turnpike
