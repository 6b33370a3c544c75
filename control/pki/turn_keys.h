// Keys and passwords of STUN's long-term credentials (RFC 8489 section 9.2).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "turnpike/turn.h"

namespace turnpike::pki {

/// RFC 8489 section 18.5.1: of the algorithms MD5 and SHA-256. Texts are taken as they are.
turn::UserKeys long_term_keys(std::string_view user, std::string_view realm,
                              std::string_view password);

/// The password that belongs to the time-limited username: base64(HMAC(secret, username)).
std::string time_limited_password(const turn::SharedSecret& secret, std::string_view username);

/// The key of access tokens (RFC 7635) that `base64` holds for "A256GCM" or "A128GCM"; nothing when
/// it is of another length, or no base64. Secret.
std::optional<std::string> token_key_of(std::string_view algorithm, std::string_view base64);

}  // namespace turnpike::pki
