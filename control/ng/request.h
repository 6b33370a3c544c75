// From the bytes of an NG message to what they ask for: the frame with its cookie, the command, and
// the keys as a CallRequest. Pure functions; the transports and the calls lie elsewhere.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "control/call/call_service.h"
#include "control/ng/ignored_names.h"
#include "control/ng/parse_fault.h"
#include "control/ng/value.h"

namespace turnpike::ng {

constexpr std::size_t kCookieBytesMax = 255;

/// A datagram: cookie, one space, the dictionary in either encoding.
struct Frame {
  std::string_view cookie;
  std::string_view body;
  ParseFault fault = ParseFault::kNone;  ///< with a fault, `cookie` is set if there was a good one
};
Frame parse_frame(std::string_view datagram);

enum class Command : std::uint8_t {
  kPing,
  kOffer,
  kAnswer,
  kDelete,
  kQuery,
  kList,
  kStatistics,
  kBlockMedia,
  kUnblockMedia,
  kSilenceMedia,
  kUnsilenceMedia,
  kPublish,
  kSubscribeRequest,
  kSubscribeAnswer,
  kUnsubscribe,
  kConnect,
  kUnsupported,   ///< a command of the protocol that is not done here
  kUnrecognized,  ///< no command at all, or none of the protocol
  kCount
};
constexpr std::size_t kCommandCount = static_cast<std::size_t>(Command::kCount);
/// The NG name, which is also the metric label: "offer", …, "unsupported", "unrecognized".
std::string_view to_string(Command command);
Command command_of(std::string_view name);
/// Why a command of the protocol is not done here, for its sender.
std::string_view why_unsupported(std::string_view name);

/// Keys and flags are compared in this form: lower case, spaces and underscores as hyphens.
std::string normalised(std::string_view name);
/// The value of a key given in normalised form; the last one when a key comes twice. Null: none.
const Value* find(const Value::Dict& dict, std::string_view key);
/// A string, or an integer as its decimal text; empty for anything else and for null.
std::string text_of(const Value* value);

/// Keys, flags and values without effect are counted in `ignored`; none is an error.
call::CallRequest to_call_request(const Value::Dict& message, IgnoredNames& ignored);

/// What `request` lacks or has in excess for `command`, as an `error-reason`; empty when it is fit.
std::string find_defect(Command command, const call::CallRequest& request);

/// Parses "word key=value list=[a b]" into flags and keys, as a SIP server sends it in the key
/// `rtpp-flags` when it does not parse its script's flags itself. Lists inside lists are left out.
Value::Dict parse_flags_string(std::string_view text);

}  // namespace turnpike::ng
