// A line of the log as a message of RFC 5424. Is not: sending it (syslog_sink.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace turnpike::log {

/// By numerical code (RFC 5424 section 6.2.1).
enum class SyslogFacility : std::uint8_t { kUser = 1, kDaemon = 3, kLocal0 = 16, kLocal7 = 23 };

/// "user", "daemon", "local0" to "local7". Unset: another word.
std::optional<SyslogFacility> parse_facility(std::string_view name);

/// Severities of the log's levels.
enum class SyslogSeverity : std::uint8_t { kError = 3, kWarning = 4, kInfo = 6, kDebug = 7 };

/// RFC 5426 section 3.2 asks receivers for 2048 bytes at least; common ones take 8 KiB.
constexpr std::size_t kSyslogBytesMax = 8000;

struct SyslogMessage {
  SyslogFacility facility = SyslogFacility::kDaemon;
  SyslogSeverity severity = SyslogSeverity::kInfo;
  std::string_view timestamp;  ///< RFC 3339
  std::string_view host_name;
  std::int64_t process_id = 0;
  /// From 1 on: a gap tells the receiver of messages that it missed (RFC 5424 section 7.3.1). Lines
  /// that the log lost before leave none.
  std::uint32_t sequence = 1;
  std::string_view text;  ///< "level=info event=call_end …"; the event's name is the MSGID
};

/// Header, structured data `[meta sequenceId="…"]`, text. What is not printable ASCII in a field of
/// the header becomes '?', in the text a blank; a longer text is cut.
std::string to_syslog(const SyslogMessage& message);

}  // namespace turnpike::log
