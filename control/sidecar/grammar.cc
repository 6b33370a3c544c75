#include "control/sidecar/grammar.h"

#include <algorithm>
#include <charconv>

#include <regex.h>

#include "turnpike/address.h"

namespace turnpike::sidecar {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_alnum(char c) {
  return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z');
}

bool consists_of(std::string_view text, std::size_t bytes_max, std::string_view extra) {
  return !text.empty() && text.size() <= bytes_max &&
         std::all_of(text.begin(), text.end(), [extra](char c) {
           return is_alnum(c) || extra.find(c) != std::string_view::npos;
         });
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         std::all_of(label.begin(), label.end(),
                     [](char c) { return is_digit(c) || is_lower(c) || c == '-'; });
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<Transport> parse_transport(std::string_view parameters) {
  if (parameters.empty() || parameters == ";transport=udp") return Transport::kUdp;
  if (parameters == ";transport=tcp") return Transport::kTcp;
  if (parameters == ";transport=tls") return Transport::kTls;
  return std::nullopt;
}

/// Splits "HOST" or "HOST:PORT", where an IPv6 address stands in brackets.
bool split_host(std::string_view text, std::string_view& host, std::string_view& port) {
  const std::size_t end = text.starts_with('[') ? text.find(']') : text.find(':') - 1;
  if (text.starts_with('[') && end == std::string_view::npos) return false;
  host = text.substr(0, end + 1);
  const std::string_view rest = text.substr(std::min(host.size(), text.size()));
  if (!rest.empty() && (rest.front() != ':' || rest.size() < 2)) return false;
  port = rest.empty() ? rest : rest.substr(1);
  return true;
}

}  // namespace

bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  std::string_view last;
  while (true) {
    const std::size_t dot = text.find('.');
    last = text.substr(0, dot);
    if (!is_label(last)) return false;
    if (dot == std::string_view::npos) break;
    text.remove_prefix(dot + 1);
  }
  // Four numbers with dots are an address, not a name.
  return !std::all_of(last.begin(), last.end(), is_digit);
}

bool is_word(std::string_view text) {
  return consists_of(text, 64, "_-");
}

bool is_user_name(std::string_view text) {
  return consists_of(text, 64, "._+-");
}

bool is_plain_path(std::string_view text) {
  return consists_of(text, 200, "/._+-") && text.front() == '/' &&
         text.find("..") == std::string_view::npos && text.find("//") == std::string_view::npos;
}

bool is_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto ip = parse_ip(text.substr(0, slash));
  if (!ip) return false;
  if (slash == std::string_view::npos) return true;
  const auto bits = parse_number<unsigned>(text.substr(slash + 1));
  return bits && *bits <= (ip->is_v4() ? 32U : 128U);
}

bool is_web_origin(std::string_view text) {
  const bool secure = text.starts_with("https://");
  if (!secure && !text.starts_with("http://")) return false;
  text.remove_prefix(text.find("//") + 2);
  std::string_view host;
  std::string_view port;
  if (text.empty() || text.starts_with(':') || !split_host(text, host, port)) return false;
  if (!port.empty()) {
    const auto number = parse_number<std::uint16_t>(port);
    const bool is_default = number && *number == (secure ? 443 : 80);
    if (!number || *number == 0 || is_default || port.front() == '0') return false;
  }
  if (!secure) return host == "localhost" || host == "127.0.0.1";
  const bool bracketed = host.starts_with('[');
  const auto ip = parse_ip(bracketed ? host.substr(1, host.size() - 2) : host);
  if (!ip) return is_host_name(host);
  return host == (ip->is_v6() ? "[" + to_string(*ip) + "]" : to_string(*ip));
}

bool is_dial_pattern(std::string_view text) {
  if (!consists_of(text, 128, "+*#._-[](){}^|?,\\")) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') continue;
    if (++i == text.size() || std::string_view(".+*#?").find(text[i]) == std::string_view::npos) {
      return false;
    }
  }
  regex_t compiled;
  if (regcomp(&compiled, std::string(text).c_str(), REG_EXTENDED | REG_NOSUB) != 0) return false;
  regfree(&compiled);
  return true;
}

bool is_emergency_number(std::string_view text) {
  return text.size() >= 2 && text.size() <= 15 && std::all_of(text.begin(), text.end(), is_digit);
}

bool is_hex(std::string_view text, std::size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return is_digit(c) || (c >= 'a' && c <= 'f');
         });
}

std::optional<Target> parse_target(std::string_view uri) {
  if (!uri.starts_with("sip:")) return std::nullopt;
  uri.remove_prefix(4);
  const std::size_t semicolon = std::min(uri.find(';'), uri.size());
  const auto transport = parse_transport(uri.substr(semicolon));
  std::string_view host;
  std::string_view port;
  if (!transport || semicolon == 0 || !split_host(uri.substr(0, semicolon), host, port)) {
    return std::nullopt;
  }

  Target target;
  target.transport = *transport;
  target.port = *transport == Transport::kTls ? 5061 : 5060;
  if (!port.empty()) {
    const auto number = parse_number<std::uint16_t>(port);
    if (!number || *number == 0) return std::nullopt;
    target.port = *number;
  }
  const bool bracketed = host.starts_with('[');
  const auto ip = parse_ip(bracketed ? host.substr(1, host.size() - 2) : host);
  target.is_address = ip && ip->is_v6() == bracketed;
  if (!target.is_address && !is_host_name(host)) return std::nullopt;
  target.host = host;
  return target;
}

std::string to_hop(const Target& target) {
  return target.host + ":" + std::to_string(target.port);
}

std::string to_uri(const Target& target) {
  return "sip:" + to_hop(target) + ";transport=" + std::string(name_of(target.transport));
}

std::string_view name_of(Transport transport) {
  switch (transport) {
    case Transport::kUdp:
      return "udp";
    case Transport::kTcp:
      return "tcp";
    case Transport::kTls:
      return "tls";
  }
  return "udp";
}

}  // namespace turnpike::sidecar
