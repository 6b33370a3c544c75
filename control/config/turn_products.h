// What [turn] means for the TURN server, with the users and secrets of its files.
#pragma once

#include <memory>
#include <string>

#include "control/config/host.h"
#include "control/config/settings.h"
#include "control/pki/certificate.h"
#include "turnpike/result.h"
#include "turnpike/turn.h"

namespace turnpike::config {

/// What does not change while the daemon runs; without listeners when there is no realm.
turn::Config turn_config(const Settings& settings, const Host& host);

/// Reads the files of the realms. The error names file and line, never what stands there. Secrets
/// are wiped with the value.
Result<std::shared_ptr<turn::Settings>> turn_settings(const Settings& settings);

/// Another of the same; its secrets are wiped as well.
std::shared_ptr<turn::Settings> copy_of(const turn::Settings& settings);

/// Reads certificate and key of TLS clients, if there are any, into `into`. When they cannot be
/// used, because they are damaged, do not fit each other, are not valid now, `into` stays as it is.
Result<void> read_turn_certificate(const Settings& settings, turn::Settings& into);

/// When the certificate can be used, but lacks turn.server_name, by which clients are told to come;
/// else empty.
std::string turn_name_trouble(const Settings& settings);

/// What is wrong with all these files.
pki::Judgement judge_turn_files(const Settings& settings);

}  // namespace turnpike::config
