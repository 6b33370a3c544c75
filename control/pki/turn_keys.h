// Keys and passwords of STUN's long-term credentials (RFC 8489 section 9.2).
#pragma once

#include <string>
#include <string_view>

#include "turnpike/turn.h"

namespace turnpike::pki {

/// RFC 8489 section 18.5.1: of the algorithms MD5 and SHA-256. Texts are taken as they are.
turn::UserKeys long_term_keys(std::string_view user, std::string_view realm,
                              std::string_view password);

/// The password that belongs to the time-limited username: base64(HMAC(secret, username)).
std::string time_limited_password(const turn::SharedSecret& secret, std::string_view username);

}  // namespace turnpike::pki
