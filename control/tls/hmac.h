// HMAC-SHA-256 and the comparison of secrets, for challenges. Hides: OpenSSL.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace turnpike::tls {

using Sha256Tag = std::array<std::uint8_t, 32>;

/// RFC 2104 with SHA-256.
Sha256Tag hmac_sha256(std::string_view key, std::string_view message);
/// In a time that does not depend on where the two differ.
bool equal_in_constant_time(const Sha256Tag& a, const Sha256Tag& b);

}  // namespace turnpike::tls
