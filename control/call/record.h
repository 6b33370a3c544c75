// A call as a blob that outlives the process (Relay::store_record), in our own versioned form.
// The blob holds keys: whoever has one wipes it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "control/call/call.h"

namespace turnpike::call {

/// Raised with every change of what is written; a record of another version is not read.
constexpr std::uint16_t kRecordVersion = 16;

std::string write_record(const Call& call);
/// Of a call that is over, and of whose end nothing was written down yet.
std::string write_record(const Call& call, const End& end);

/// Nothing when the bytes are not a whole record of this version. Never reads outside of `bytes`.
/// `end`: set when the call is over.
std::optional<Call> read_record(std::string_view bytes, std::optional<End>& end);
/// Of a call that goes on.
std::optional<Call> read_record(std::string_view bytes);

}  // namespace turnpike::call
