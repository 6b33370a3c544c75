// The [sip] part of the file: the SIP sidecar.
#pragma once

#include <string>
#include <vector>

#include "control/config/secret.h"
#include "control/sidecar/sip_config.h"

namespace turnpike::config {

/// [sip.user.NAME]
struct SipUserSection {
  std::string name;
  std::string domain;  ///< empty: the first of sip.domains
  Secret ha1;
};

/// [sip.route.NAME]
struct SipRouteSection {
  std::string name;
  sidecar::DialRoute route;
};

/// [sip] and what lies below it. Interfaces, the NG endpoint, users and routes of SipConfig are
/// empty here: sip_config() fills them.
struct SipSection : sidecar::SipConfig {
  std::string directory;   ///< of the generated files
  std::string users_file;  ///< more users; empty: none
  std::vector<SipUserSection> user_sections;
  std::vector<SipRouteSection> route_sections;  ///< in the order of their names
};

}  // namespace turnpike::config
