// The API's answers as text for people. Names that came from remote ends are shown without control
// characters, so that they cannot play with the terminal.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "turnpike/result.h"

namespace turnpike::ctl {

/// Each takes the body of an answer and fails when that is not what the API gives.
Result<std::string> print_status(const std::string& body);
Result<std::string> print_stats(const std::string& body);
Result<std::string> print_ports(const std::string& body);
Result<std::string> print_limits(const std::string& body);
Result<std::string> print_sessions(const std::string& body);
Result<std::string> print_session(const std::string& body);
Result<std::string> print_zones(const std::string& body);
struct BegunMeasurement {
  std::string peer;      ///< "ZONE/PEER"
  std::uint64_t id = 0;  ///< 0: of an older turnpiked, which has none
};
Result<BegunMeasurement> begun_measurement(const std::string& body);
/// That measurement in the answer about zones; "" while it runs. Fails when it is not there any
/// more, or failed.
Result<std::string> print_measurement(const std::string& body, const BegunMeasurement& begun,
                                      bool json);
Result<std::string> print_tls_connections(const std::string& body);
Result<std::string> print_turn(const std::string& body);
/// Of a request whose success says it all.
Result<std::string> print_done(const std::string& body);
/// The IDs of the sessions of one call, from the body of the list of sessions. The SIP sidecar
/// names each pass of a call "CALL-ID,PASS"; the Call-ID alone means all of them.
Result<std::vector<std::string>> sessions_of_call(const std::string& body,
                                                  const std::string& call_id);
/// What POST /v1/reload did or, with `check`, would do; also of one that was refused.
Result<std::string> print_reload(const std::string& body, bool check);
Result<std::string> print_log_level(const std::string& body);
Result<std::string> print_end(const std::string& body);
/// The reason in an answer that is no success.
std::string print_failure(const std::string& body);

}  // namespace turnpike::ctl
