// What is wrong with the certificates, keys, trust and password files that the settings name.
#pragma once

#include <string>
#include <vector>

#include "control/api/http_tls.h"
#include "control/config/settings.h"
#include "control/pki/certificate.h"

namespace turnpike::config {

/// Certificates, keys and trust of [sip]. Who may read them is accounts.h's matter.
pki::Judgement judge_sip_identities(const Settings& settings);

/// Certificate, key and authorities of a listener for HTTP, those of them that are named.
pki::Judgement judge_tls_files(const api::HttpTls& files);

/// The files of the zones: certificates, keys, trust files and passwords.
pki::Judgement judge_zone_files(const Settings& settings);

/// The token of NG's guarded listeners: why it cannot be read, if it cannot.
std::vector<std::string> judge_ng_token(const Settings& settings);
/// Certificate, key and authorities of ng.http; empty without it.
pki::Judgement judge_ng_certificates(const Settings& settings);
/// As judge_ng_token(), the key of the capture server.
std::vector<std::string> judge_homer_key(const Settings& settings);

/// An authority that two zones trust, as a sentence; "" when there is none. Files that cannot be
/// read have no part in it.
std::string trust_clash(const Settings& settings);

}  // namespace turnpike::config
