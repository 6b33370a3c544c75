#include "control/diagnosis/evidence.h"

#include <algorithm>
#include <array>

namespace turnpike::diagnosis {
namespace {

constexpr std::array kForm = {DropReason::kTooShort,
                              DropReason::kUnknownProtocol,
                              DropReason::kMalformedRtp,
                              DropReason::kMalformedRtcp,
                              DropReason::kUnexpectedComponent,
                              DropReason::kWrongMki,
                              DropReason::kReplayed,
                              DropReason::kTooOld,
                              DropReason::kTruncated,
                              DropReason::kNotInBundle,
                              DropReason::kSsrcInUse};
constexpr std::array kOurs = {DropReason::kStreamLimit,   DropReason::kQueueFull,
                              DropReason::kOverload,      DropReason::kSendBlocked,
                              DropReason::kSendIndexUsed, DropReason::kKeyExhausted,
                              DropReason::kTooLong,       DropReason::kFlowUnbound};

// A packet is dropped for these before it is known to which of several m-lines it belongs.
constexpr std::array kBeforeSorting = {
    DropReason::kTooShort,       DropReason::kUnknownProtocol, DropReason::kMalformedRtp,
    DropReason::kWrongMki,       DropReason::kReplayed,        DropReason::kTooOld,
    DropReason::kTruncated,      DropReason::kNotInBundle,     DropReason::kUnexpectedComponent,
    DropReason::kNotKeyed,       DropReason::kQueueFull,       DropReason::kOverload,
    DropReason::kUnexpectedDtls, DropReason::kUnexpectedStun};

template <std::size_t kSize>
DropReason most(const LegStats& leg, const std::array<DropReason, kSize>& reasons) {
  DropReason found = DropReason::kCount;
  std::uint64_t count = 0;
  for (const DropReason reason : reasons) {
    if (drops_of(leg, reason) <= count) continue;
    count = drops_of(leg, reason);
    found = reason;
  }
  return found;
}

}  // namespace

std::uint64_t drops_of(const LegStats& leg, DropReason reason) {
  const auto index = static_cast<std::size_t>(reason);
  const bool shared =
      std::find(kBeforeSorting.begin(), kBeforeSorting.end(), reason) != kBeforeSorting.end();
  return std::uint64_t{leg.drops[index]} + (shared ? leg.carrier_drops[index] : 0);
}

std::string ago(Instant then, Instant now) {
  if (then == Instant{}) return "never";
  const Nanoseconds passed = std::max(now - then, Nanoseconds{0});
  const auto tenths = std::chrono::duration_cast<Milliseconds>(passed).count() / 100;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s ago";
}

std::string packets(std::uint64_t count) {
  return std::to_string(count) + (count == 1 ? " packet" : " packets");
}

std::string_view name_of(SourcePolicy policy) {
  switch (policy) {
    case SourcePolicy::kStrict:
      return "strict";
    case SourcePolicy::kLatch:
      return "latch";
    case SourcePolicy::kLatchAny:
      return "latch-any";
    case SourcePolicy::kAsymmetric:
      return "asymmetric";
  }
  return "strict";
}

DropReason foremost(const LegStats& leg, DropKind kind) {
  return kind == DropKind::kForm ? most(leg, kForm) : most(leg, kOurs);
}

std::string drops_text(const LegStats& leg, DropReason reason) {
  const DropReasonInfo& info = turnpike::info_of(reason);
  return std::string(info.label) + " " + std::to_string(drops_of(leg, reason)) + " (" +
         std::string(info.help) + ")";
}

}  // namespace turnpike::diagnosis
