// Rules that join several keys. Each reports to Findings and changes nothing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/config/findings.h"
#include "control/config/settings.h"

namespace turnpike::config {

enum class Transport : std::uint8_t { kUdp, kTcp };

/// A port on which some process of this node listens.
struct Listener {
  std::string path;  ///< the key that names it
  Transport transport = Transport::kTcp;
  SocketAddress address;
};

/// Every listener that the settings name; new sections add theirs here.
std::vector<Listener> listeners(const Settings& settings);

/// The rules of [sip]: the sidecar's own, with its names turned into keys of the file.
void check_sip(const Settings& settings, Findings& findings);

/// Whether node.role fits the zones. Where it has a mistake, what depends on it is not judged.
void check_role(const Settings& settings, Findings& findings);

/// The rules of [zone.ZONE].
void check_zones(const Settings& settings, Findings& findings);

/// Whether every name is a host name.
void check_host_names(const std::string& key, const std::vector<std::string>& names,
                      Findings& findings);

/// The rules of [turn] and [turn.realm.NAME].
void check_turn(const Settings& settings, Findings& findings);

/// Of [front_door].
void check_front_door(const Settings& settings, Findings& findings);

/// Runs all rules.
void check(const Settings& settings, Findings& findings);

}  // namespace turnpike::config
