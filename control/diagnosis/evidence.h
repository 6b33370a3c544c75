// Figures and addresses as words. Private to this folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "control/diagnosis/diagnosis.h"

namespace turnpike::diagnosis {

/// "12.0 s ago", "never".
std::string ago(Instant then, Instant now);
/// "1 packet", "17 packets".
std::string packets(std::uint64_t count);
std::string_view name_of(SourcePolicy policy);

/// The drop reason of this kind that was counted oftenest; DropReason::kCount: none was.
enum class DropKind : std::uint8_t { kForm, kOurs };
DropReason foremost(const LegStats& leg, DropKind kind);
/// Of a leg that shares a transport, with what was dropped there and may have been its own.
std::uint64_t drops_of(const LegStats& leg, DropReason reason);
/// "stream_limit 12 (leg has its maximum of SSRCs)".
std::string drops_text(const LegStats& leg, DropReason reason);

}  // namespace turnpike::diagnosis
