// The TURN server as the daemon runs it: settings with the users and secrets of its files, their
// reload, draining, and time-limited credentials for those who ask over the API.
// Is not: the server (relay/turn), nor its configuration (control/config/turn_products.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/api/endpoints.h"
#include "control/config/settings.h"
#include "control/config/turn_listeners.h"
#include "control/log/log.h"
#include "turnpike/relay.h"
#include "turnpike/result.h"
#include "turnpike/turn.h"

namespace turnpike {

class TurnService {
 public:
  /// Null when the settings have no realm, or `server` is: its listeners could not be opened. Else
  /// it outlives this. Trouble is logged, not an error, as calls do without TURN: when a file of
  /// the realm cannot be used everybody is refused until a reload finds a good one.
  static std::unique_ptr<TurnService> start(const config::Settings& settings, TurnServer* server,
                                            log::Log& log);

  /// Takes what may change of the settings, and reads the files of the realms anew. When one cannot
  /// be used, all stays and the log says so.
  Result<void> reload(const config::Settings& settings);
  void set_draining(bool draining) { server_.set_draining(draining); }
  std::uint32_t allocations() const { return server_.allocations(); }
  const config::TurnSection& section() const { return section_; }
  /// The names by Realm::figures, in force or not any more; beyond the last, all others together.
  const std::vector<std::string>& realm_figures() const { return realm_figures_; }

  /// Answers POST /v1/turn/credentials.
  api::Response credentials(const api::Request& request) const;

 private:
  TurnService(const config::Settings& settings, TurnServer& server, log::Log& log);
  /// `certificate`: whether that of TLS clients could be read; the rest is in force all the same.
  Result<void> load(const config::Settings& settings, Result<void>& certificate);
  std::uint8_t figures_of(const std::string& realm);
  std::vector<std::string> uris(const std::string& realm) const;

  config::TurnSection section_;
  TurnServer& server_;
  log::Log& log_;
  const std::vector<config::TurnListener> listeners_;  // those since the start
  std::vector<std::string> realm_figures_;
  std::shared_ptr<turn::Settings> settings_;  // null: none could be read yet
};

}  // namespace turnpike
