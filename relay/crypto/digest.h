// Unkeyed hashes of a few strings, and base64, as STUN's long-term credentials need them
// (RFC 8489 sections 9.2.2, 14.4). Hides: the library. Is not: for the packet path.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace turnpike {

/// MD5 of the parts, one after the other. For RFC 8489's key only: no protection against forgery.
std::array<std::uint8_t, 16> md5(std::initializer_list<std::string_view> parts);
std::array<std::uint8_t, 32> sha256(std::initializer_list<std::string_view> parts);

/// With padding (RFC 4648 section 4).
std::string base64(std::span<const std::uint8_t> bytes);
/// Reads what base64() makes of `bytes.size()` bytes, a multiple of three. False when `text` is not
/// of that length, or holds anything else.
bool from_base64(std::span<const std::uint8_t> text, std::span<std::uint8_t> bytes);

}  // namespace turnpike
