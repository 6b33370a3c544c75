// The TLS connections that this process holds, as JSON.
#pragma once

#include <string>
#include <vector>

#include "control/pki/certificate.h"
#include "control/zone/report.h"
#include "turnpike/time.h"

namespace turnpike::api {

/// The body of /v1/tls/connections: those that are up, with what TLS has agreed on and how the peer
/// was verified, and how many are in their handshake.
std::string tls_connections_json(const std::vector<zone::ZoneReport>& zones, Instant now,
                                 pki::WallTime wall_now);

}  // namespace turnpike::api
