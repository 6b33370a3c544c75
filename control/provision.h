// What turnpiked does beside running: the sidecar's files, certificates for trials.
#pragma once

#include <string>

#include "control/config/products.h"
#include "control/config/settings.h"
#include "control/pki/certificate.h"

namespace turnpike {

/// What is wrong with the certificates and keys that [sip] names. They may be made later than the
/// configuration: for --check these are warnings.
pki::Judgement judge_sidecar_files(const config::Settings& settings);

/// The same for the users file. What is wrong with one that is there is a mistake for --check too;
/// one that is still missing, or that this account may not read, is a warning.
config::UsersFile judge_users_file(const config::Settings& settings);

/// Writes the sidecar's files to `directory`, or to sip.directory when it is "". Refuses what the
/// two above find, because the SIP server would. Says on standard output or error what
/// happened. Gives the exit code.
int write_sidecar_files(const config::Settings& settings, const std::string& directory);

/// Makes a development authority and certificates in `directory`, for the domains of [sip], the
/// outside addresses and the peers; and below it, in zone-ZONE, what the nodes of each zone need.
/// Gives the exit code.
int make_development_certificates(const config::Settings& settings, const std::string& directory);

}  // namespace turnpike
