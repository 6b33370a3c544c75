#include "relay/door_rules.h"

#include <algorithm>
#include <string_view>

namespace turnpike::door {
namespace {

constexpr std::uint8_t kStunByteMax = 1;  // of requests and indications (RFC 8489 section 5)

struct Place {
  std::string_view protocol;  // ALPN of those who want this target
  Outcome outcome;
};
constexpr std::array<Place, kTargetCount> kPlaces = {{
    {"stun.turn", Outcome::kTurnTls},  // RFC 7443
    {"http/1.1", Outcome::kSip},       // by which a WebSocket begins (RFC 6455)
    {"http/1.1", Outcome::kApi},
}};

bool is_same_name(std::string_view sent, std::string_view lower) {
  return std::equal(sent.begin(), sent.end(), lower.begin(), lower.end(), [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a + 32) : a) == b;
  });
}

}  // namespace

Rules::Verdict Rules::judge(std::span<const std::uint8_t> bytes, ClientHelloReader& reader) const {
  if (takes_stun_ && bytes.front() <= kStunByteMax) return {true, Outcome::kTurnTcp};
  const ClientHello hello = reader.read(bytes);
  switch (hello.state) {
    case HelloState::kIncomplete:
      return {.wanted = hello.wanted};
    case HelloState::kNoTls:
      return {true, Outcome::kUnknownProtocol};
    case HelloState::kMalformed:
      return {true, Outcome::kBadHello};
    case HelloState::kTooLong:
      return {true, Outcome::kLongHello};
    case HelloState::kHello:
      break;
  }
  return {true, target_of(hello)};
}

// A target that names the server goes before those that take any name; of several the first.
Outcome Rules::target_of(const ClientHello& hello) const {
  Outcome found = Outcome::kNoTarget;
  for (std::size_t i = 0; i < kTargetCount; ++i) {
    const TargetRule& rule = targets_[i];
    if (!rule.open || (hello.offers_any() && !hello.offers(kPlaces[i].protocol))) continue;
    const bool is_named = std::any_of(
        rule.names.begin(), rule.names.end(),
        [&hello](const std::string& name) { return is_same_name(hello.server_name, name); });
    if (is_named) return kPlaces[i].outcome;
    if (rule.names.empty() && found == Outcome::kNoTarget) found = kPlaces[i].outcome;
  }
  return found;
}

}  // namespace turnpike::door
