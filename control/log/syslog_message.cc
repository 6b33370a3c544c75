#include "control/log/syslog_message.h"

#include <algorithm>

namespace turnpike::log {
namespace {

// RFC 5424 section 6: the longest that each field of the header may be.
constexpr std::size_t kHostNameBytesMax = 255;
constexpr std::size_t kMessageIdBytesMax = 32;
constexpr std::string_view kCut = "...";

bool is_printable(char c) {
  return c > ' ' && c < 0x7f;
}

/// PRINTUSASCII, or "-" for what is not known.
std::string header_field(std::string_view value, std::size_t bytes_max) {
  std::string field(value.substr(0, bytes_max));
  std::replace_if(
      field.begin(), field.end(), [](char c) { return !is_printable(c); }, '?');
  return field.empty() ? "-" : field;
}

std::string_view event_of(std::string_view text) {
  constexpr std::string_view kKey = "event=";
  const std::size_t found = text.find(kKey);
  if (found == std::string_view::npos) return {};
  const std::string_view rest = text.substr(found + kKey.size());
  return rest.substr(0, rest.find(' '));
}

}  // namespace

std::optional<SyslogFacility> parse_facility(std::string_view name) {
  if (name == "user") return SyslogFacility::kUser;
  if (name == "daemon") return SyslogFacility::kDaemon;
  constexpr std::string_view kLocal = "local";
  const bool is_local = name.size() == kLocal.size() + 1 && name.starts_with(kLocal) &&
                        name.back() >= '0' && name.back() <= '7';
  if (!is_local) return std::nullopt;
  return static_cast<SyslogFacility>(static_cast<int>(SyslogFacility::kLocal0) + name.back() - '0');
}

std::string to_syslog(const SyslogMessage& message) {
  const int priority = static_cast<int>(message.facility) * 8 + static_cast<int>(message.severity);
  std::string line = "<" + std::to_string(priority) + ">1 ";
  line += message.timestamp;
  line += ' ' + header_field(message.host_name, kHostNameBytesMax) + " turnpiked ";
  line += std::to_string(message.process_id) + ' ';
  line += header_field(event_of(message.text), kMessageIdBytesMax);
  line += " [meta sequenceId=\"" + std::to_string(message.sequence) + "\"] ";
  const std::size_t begin = line.size();
  line += message.text;
  if (line.size() > kSyslogBytesMax) {
    line.resize(kSyslogBytesMax - kCut.size());
    line += kCut;
  }
  // Without a byte order mark the text is ASCII (section 6.4).
  std::replace_if(
      line.begin() + static_cast<std::ptrdiff_t>(begin), line.end(),
      [](char c) { return !is_printable(c); }, ' ');
  return line;
}

}  // namespace turnpike::log
