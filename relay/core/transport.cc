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

std::string describe(DtlsFailure failure, const DtlsFlights& flights) {
  constexpr std::array<std::string_view, 7> kNames = {"nothing",
                                                      "ClientHello",
                                                      "HelloVerifyRequest",
                                                      "ClientHello with a cookie",
                                                      "ServerHello to ServerHelloDone",
                                                      "Certificate to Finished",
                                                      "ChangeCipherSpec and Finished"};
  const std::string_view text = info_of(failure).text;
  if (flights.sent == 0 || flights.sent >= kNames.size() || flights.heard >= kNames.size()) {
    return std::string(text);
  }
  // Who has heard all of an answer has sent the next flight.
  const bool incomplete = flights.heard > flights.sent;
  std::string said = failure == DtlsFailure::kTimeout ? "" : std::string(text) + "; ";
  said += "timeout at flight " + std::to_string(flights.sent) + ": we sent ";
  said += kNames[flights.sent];
  said += incomplete ? " and heard only a part of " : " and heard ";
  said += kNames[flights.heard];
  if (!incomplete && flights.heard != 0) said += " only";
  return said;
}

}  // namespace turnpike
