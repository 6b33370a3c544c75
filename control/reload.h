// Another configuration for a daemon that carries calls: read, judged, and handed to its parts.
// Hides: which part takes what. Is not: the comparison of two files (control/config/reload.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "control/api/endpoints.h"
#include "control/api/gate.h"
#include "control/api/http_server.h"
#include "control/api/ng_door.h"
#include "control/call/call_service.h"
#include "control/call_records.h"
#include "control/capture/capture.h"
#include "control/config/host.h"
#include "control/config/load.h"
#include "control/config/products.h"
#include "control/config/reload.h"
#include "control/log/log.h"
#include "control/ng/server.h"
#include "control/pairing.h"
#include "control/turn_service.h"
#include "turnpike/relay.h"
#include "turnpike/result.h"

namespace turnpike {

/// "debug" as log::Level; what the schema does not know is kInfo.
log::Level level_of(const config::LogSection& section);

class Reloader {
 public:
  struct Parts {
    const config::Host& host;
    log::Log& log;
    CallRecords& records;
    Relay& relay;
    call::CallService& calls;
    ng::Server& ng;
    api::NgDoor* ng_door = nullptr;  ///< null: there is none
    api::Endpoints& endpoints;
    api::Gate& gate;
    api::HttpServer& http;
    capture::Service& captures;
    Pairing* pairing = nullptr;   ///< null: no node of a pair
    TurnService* turn = nullptr;  ///< null: no TURN server
  };

  /// `running`: what is in force, replaced when another one is. Everything outlives this.
  Reloader(config::Loaded& running, std::string path, Parts parts)
      : running_(running), path_(std::move(path)), parts_(parts) {}

  /// Puts the file into force as far as that goes without a restart; a file with a mistake changes
  /// nothing. Then reads certificates, tokens and passwords anew. Logs both. `asker`: who wants it.
  api::ReloadReport reload(const std::string& asker);
  /// What reload() would do; changes nothing.
  api::ReloadReport check() const;

  /// Puts another value of a limit into force, until the next reload, which reads the file, or a
  /// restart: what it was before, or why not.
  Result<std::int64_t> set_limit(const std::string& key, std::int64_t value);
  /// What the file said of limits that have been set since.
  const std::map<std::string, std::int64_t>& limits_before() const { return limits_before_; }

  /// Of the last reload: whether it was refused, and keys whose new value waits for a restart.
  bool last_refused() const { return last_refused_; }
  const std::vector<std::string>& waiting() const { return waiting_; }

 private:
  void apply(const config::LiveSettings& live);
  void apply_limits(const config::LiveSettings& live);
  std::vector<std::string> read_files();
  void log_refusal(const api::ReloadReport& report, const std::string& asker);
  void log_changes(const api::ReloadReport& report, const std::string& asker);

  config::Loaded& running_;
  std::string path_;
  Parts parts_;
  bool last_refused_ = false;
  std::vector<std::string> waiting_;
  std::map<std::string, std::int64_t> limits_before_;
};

}  // namespace turnpike
