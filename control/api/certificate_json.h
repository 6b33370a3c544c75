// A certificate as JSON. Private to this folder.
#pragma once

#include <nlohmann/json.hpp>

#include "control/pki/certificate.h"

namespace turnpike::api {

/// Subject, names, fingerprint and end; null when there is none.
nlohmann::ordered_json certificate_json(const pki::CertificateFacts& facts, pki::WallTime wall_now);

}  // namespace turnpike::api
