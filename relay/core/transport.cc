// What the states of ICE and DTLS are called in answers of the API.
#include "turnpike/transport.h"

namespace turnpike {

std::string_view name_of(IceState state) {
  constexpr std::array<std::string_view, 6> kNames = {"off",       "waiting", "checking",
                                                      "connected", "lost",    "failed"};
  return kNames[static_cast<std::size_t>(state)];
}

std::string_view name_of(CandidateType type) {
  constexpr std::array<std::string_view, 4> kNames = {"host", "srflx", "prflx", "relay"};
  return kNames[static_cast<std::size_t>(type)];
}

std::string_view name_of(DtlsState state) {
  constexpr std::array<std::string_view, 7> kNames = {
      "off", "waiting", "handshaking", "established", "failed", "closed", "adopted"};
  return kNames[static_cast<std::size_t>(state)];
}

std::string_view name_of(IcePairState state) {
  constexpr std::array<std::string_view, 4> kNames = {"waiting", "in progress", "succeeded",
                                                      "failed"};
  return kNames[static_cast<std::size_t>(state)];
}

}  // namespace turnpike
