// What all answers in JSON have in common. Private to this folder.
#pragma once

#include <string_view>

#include <nlohmann/json.hpp>

#include "control/api/http_server.h"
#include "control/call/call_service.h"
#include "turnpike/time.h"

namespace turnpike::api {

using Json = nlohmann::ordered_json;

Response json_response(unsigned status, const Json& value);
/// {"error": reason}
Response failure(unsigned status, std::string_view reason);
double seconds(Nanoseconds duration);
/// Seconds since `then`; null when it never was.
Json age(Instant then, Instant now);
Json address_json(const SocketAddress& address);
/// Names, state and age of a call.
Json call_json(const call::CallSummary& call, Instant now);

}  // namespace turnpike::api
