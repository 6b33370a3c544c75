// Why a client of a guarded transport was turned away, with the label that metrics use and the
// words that the client gets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace turnpike::ng {

// name, metric label, words
#define TURNPIKE_NG_REFUSALS(X)                                                   \
  X(kNone, "none", "not refused")                                                 \
  X(kNetwork, "network", "this address is not one of the clients'")               \
  X(kConnections, "connections", "too many connections are open")                 \
  X(kToken, "token", "a token is needed: Authorization: Bearer TOKEN")            \
  X(kOrigin, "origin", "requests of web pages (Origin) are not allowed")          \
  X(kHost, "host", "this host name is not allowed")                               \
  X(kProtocol, "protocol", "POST to /ng, or WebSocket protocol ng.rtpengine.com") \
  X(kTooLong, "too_long", "the message is too long")                              \
  X(kInWork, "in_work", "Too many requests in work")                              \
  X(kRate, "rate", "Too many requests a second")                                  \
  X(kUnread, "unread", "replies are not read")                                    \
  X(kTls, "tls", "nothing was asked over TLS")                                    \
  X(kCertificate, "certificate", "other authorities hold now; connect again")

enum class Refusal : std::uint8_t {
#define X(name, label, words) name,
  TURNPIKE_NG_REFUSALS(X)
#undef X
      kCount
};
constexpr std::size_t kRefusalCount = static_cast<std::size_t>(Refusal::kCount);

struct RefusalInfo {
  std::string_view label;  ///< value of the metric label `reason`
  std::string_view words;
};
constexpr std::array<RefusalInfo, kRefusalCount> kRefusals = {{
#define X(name, label, words) {label, words},
    TURNPIKE_NG_REFUSALS(X)
#undef X
}};
constexpr const RefusalInfo& info_of(Refusal refusal) {
  return kRefusals[static_cast<std::size_t>(refusal)];
}

}  // namespace turnpike::ng
