// The alphabets of configuration values. What passes here can stand in a generated file as it is,
// inside double quotes: no quote, backslash, line end, dollar sign or comment character gets by.
// Is not: knowledge of what the values mean (sip_check.cc).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace turnpike::sidecar {

/// DNS name in lower case: labels of letters, digits and hyphens, 1-63 bytes, 253 in all.
bool is_host_name(std::string_view text);
/// 1-64 of letters, digits, _ and -.
bool is_word(std::string_view text);
/// 1-64 of letters, digits and . _ + -.
bool is_user_name(std::string_view text);
/// Absolute path of letters, digits and / . _ + -, at most 200 bytes, without "..".
bool is_plain_path(std::string_view text);
/// "192.0.2.0/24", "2001:db8::/32", or one address.
bool is_network(std::string_view text);
/// "https://HOST[:PORT]" as a browser writes it (RFC 6454 section 6.2): in lower case, without the
/// default port. "http://" only of the browser's own host (localhost, 127.0.0.1), for trials.
bool is_web_origin(std::string_view text);
/// Alphabet of DialRoute::pattern, balanced enough for regcomp(3).
bool is_dial_pattern(std::string_view text);
/// 2-15 digits.
bool is_emergency_number(std::string_view text);
bool is_hex(std::string_view text, std::size_t digits);

enum class Transport : std::uint8_t { kUdp, kTcp, kTls };

/// A SIP URI without user part: where requests are sent.
struct Target {
  std::string host;  ///< IPv6 in brackets
  std::uint16_t port = 0;
  Transport transport = Transport::kUdp;
  bool is_address = false;  ///< host is an IP address
};

/// "sip:HOST[:PORT][;transport=udp|tcp|tls]"; the port defaults to 5060, with TLS to 5061.
std::optional<Target> parse_target(std::string_view uri);
std::string to_uri(const Target& target);
/// "HOST:PORT"
std::string to_hop(const Target& target);
std::string_view name_of(Transport transport);

}  // namespace turnpike::sidecar
