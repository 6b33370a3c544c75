// What is wrong with this node's own files of a zone: certificate, key, trust, password.
#pragma once

#include "control/config/settings.h"
#include "control/doctor/report.h"
#include "control/pki/certificate.h"

namespace turnpike::doctor {

/// Reads them, as the account that runs this. Never reports what a secret holds.
void examine_zone_files(const config::ZoneSection& zone, pki::WallTime now, Report& report);

}  // namespace turnpike::doctor
