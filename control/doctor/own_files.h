// What is wrong with this node's own files: of a zone certificate, key, trust and password, of TURN
// certificate, key, users and secrets, of the API and NG certificate, key, authorities and tokens.
#pragma once

#include "control/config/settings.h"
#include "control/doctor/report.h"
#include "control/pki/certificate.h"

namespace turnpike::doctor {

/// Reads them, as the account that runs this. Never reports what a secret holds.
void examine_zone_files(const config::ZoneSection& zone, pki::WallTime now, Report& report);

/// The same of api.listen, ng.tcp and ng.http, those of them that there are.
void examine_listener_files(const config::Settings& settings, pki::WallTime now, Report& report);

/// The same of [turn]; nothing when it has no realm.
void examine_turn_files(const config::Settings& settings, pki::WallTime now, Report& report);

}  // namespace turnpike::doctor
