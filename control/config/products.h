// What the settings mean for each part of the daemon.
#pragma once

#include "control/api/http_server.h"
#include "control/api/ng_door.h"
#include "control/call/call_service.h"
#include "control/config/host.h"
#include "control/config/settings.h"
#include "control/log/record_file.h"
#include "control/ng/server.h"
#include "control/pair/flows.h"
#include "control/sidecar/sip_config.h"
#include "control/zone/config.h"
#include "turnpike/config.h"

namespace turnpike::config {

/// What a reload hands to the parts of the daemon: everything that a kHot key decides.
struct LiveSettings {
  struct Ng {
    std::string token_file;
    std::vector<std::string> clients;
    std::vector<std::string> host_names;
    std::uint32_t client_requests_max = 0;
    std::uint32_t client_requests_per_second_max = 0;
    bool operator==(const Ng&) const = default;
  };
  struct Api {
    std::vector<std::string> host_names;
    std::string tokens_file;
    std::string captures;
    bool operator==(const Api&) const = default;
  };
  Seconds drain_timeout{};
  std::string log_level;
  RelayTuning relay;
  call::CallServiceConfig calls;
  Ng ng;
  Api api;
  log::RecordFileOptions records;
  TurnSection turn;  ///< without what holds from a start on
  bool operator==(const LiveSettings&) const = default;
};

LiveSettings live_settings(const Settings& settings, const Host& host);

RelayConfig relay_config(const Settings& settings);
call::CallServiceConfig call_config(const Settings& settings, const Host& host);
api::HttpServerOptions api_config(const Settings& settings);
/// Reads the token file, if one is named; fails when that is not possible.
Result<ng::ServerConfig> ng_config(const Settings& settings);
/// The same of what may change; without the token.
ng::GateRules gate_rules(const LiveSettings::Ng& section);
api::NgDoorOptions ng_door_options(const Settings& settings);

/// Whether the file asks for a SIP sidecar.
bool wants_sidecar(const Settings& settings);
/// What the file itself says of the sidecar; the users of sip.users_file are not in it.
sidecar::SipConfig sip_config(const Settings& settings);

/// The zones of an edge or a core.
zone::ServiceConfig zone_config(const Settings& settings);

/// Which end of a pair this node is, and its peers in the order by which the relay counts them.
PairRole pair_role(const Settings& settings);
std::vector<pair::PeerConfig> pair_peers(const Settings& settings);
/// The shared ports of an edge; none at other nodes.
std::vector<SocketAddress> flow_ports(const Settings& settings);

/// What was found in sip.users_file.
struct UsersFile {
  bool out_of_reach = false;  ///< not there (yet), or not for this account: the only mistake
  /// "FILE:LINE: what is wrong", a line for each and in their order. Never holds a hash.
  std::vector<std::string> mistakes;
};

/// Adds the users of sip.users_file, if there is one, to what sip_config() gave. The file holds
/// secrets: only the process that writes the sidecar's files needs to read it.
UsersFile add_users_of_file(const Settings& settings, sidecar::SipConfig& config);

}  // namespace turnpike::config
