// The state of the zones as JSON.
#pragma once

#include <string>
#include <vector>

#include "control/pki/certificate.h"
#include "control/zone/report.h"
#include "turnpike/time.h"

namespace turnpike::api {

/// What a connection is for, in the answers.
const char* words_of(zone::Purpose purpose);

/// The body of /v1/zones. Ages and times are told against `now` and `wall_now`.
std::string zones_json(const std::vector<zone::ZoneReport>& zones, Instant now,
                       pki::WallTime wall_now);

}  // namespace turnpike::api
