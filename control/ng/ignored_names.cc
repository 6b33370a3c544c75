// The bounded table of names without effect.
#include "control/ng/ignored_names.h"

#include <algorithm>
#include <array>
#include <utility>

namespace turnpike::ng {
namespace {

// A flag of one of these families carries a codec or an option in its name; one entry for all.
constexpr std::array<std::string_view, 5> kFamilies = {"codec-", "transcode-", "t38-", "t.38-",
                                                       "osrtp-"};

bool is_harmless(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '/';
}

std::string printable(std::string_view name) {
  for (const std::string_view family : kFamilies) {
    if (name.starts_with(family)) return std::string(family) + "*";
  }
  std::string text(name.substr(0, IgnoredNames::kNameBytesMax));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return !is_harmless(c); }, '?');
  return text;
}

bool is_known(std::string_view name) {
  const auto& known = known_without_effect();
  return name.ends_with('*') || std::binary_search(known.begin(), known.end(), name);
}

}  // namespace

const std::vector<std::string_view>& known_without_effect() {
  static const std::vector<std::string_view> names = {
      "allow-transcoding",
      "always-transcode",
      "asymmetric-codecs",
      "bundle",
      "codec",
      "debug",
      "drop-traffic",
      "dtls-reverse",
      "early-media",
      "endpoint-learning",
      "fragment",
      "from-interface",
      "full-rtcp-attribute",
      "generate-mid",
      "generate-rtcp",
      "ice-reject",
      "inject-dtmf",
      "loop-protect",
      "media-echo",
      "media-handover",
      "metadata",
      "mirror-rtcp",
      "nat-wait",
      "new-branch",
      "no-codec-renegotiation",
      "no-jitter-buffer",
      "no-redis-update",
      "no-rtcp-attribute",
      "no-tls-id",
      "original-sendrecv",
      "osrtp",
      "output-destination",
      "pad-crypto",
      "passthrough",
      "pierce-nat",
      "ptime",
      "ptime-reverse",
      "record-call",
      "recording-file",
      "reorder-codecs",
      "repacketize",
      "reset",
      "single-codec",
      "siprec",
      "static-codecs",
      "strip-extmap",
      "symmetric-codecs",
      "t.38",
      "t38",
      "template",
      "to-interface",
      "trickle-ice",
      "unidirectional",
      "webrtc",
      "xmlrpc-callback",
  };
  return names;
}

std::string_view to_string(IgnoredKind kind) {
  switch (kind) {
    case IgnoredKind::kKey:
      return "key";
    case IgnoredKind::kFlag:
      return "flag";
    case IgnoredKind::kValue:
      return "value";
  }
  return "";
}

IgnoredNames::IgnoredNames(std::function<void(const Entry&)> on_first)
    : on_first_(std::move(on_first)) {}

void IgnoredNames::count(IgnoredKind kind, std::string_view name) {
  std::string text = printable(name);
  const auto find = [&] {
    return std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
      return entry.kind == kind && entry.name == text;
    });
  };
  auto entry = find();
  if (entry == entries_.end() && kind != IgnoredKind::kValue && !is_known(text)) {
    if (unknown_ < kUnknownMax) {
      ++unknown_;
    } else {
      text = "other";
      entry = find();
    }
  }
  if (entry == entries_.end()) {
    entries_.push_back({.kind = kind, .name = std::move(text), .count = 0});
    entry = std::prev(entries_.end());
    if (on_first_) on_first_(*entry);
  }
  ++entry->count;
}

}  // namespace turnpike::ng
