#include "control/api/json.h"

#include <chrono>

namespace turnpike::api {

Response json_response(unsigned status, const Json& value) {
  // What a remote end named (call-id, tags) may be no UTF-8: replaced, never thrown at the caller.
  return {status, "application/json",
          value.dump(2, ' ', false, nlohmann::detail::error_handler_t::replace) + "\n"};
}

Response failure(unsigned status, std::string_view reason) {
  return json_response(status, Json{{"error", reason}});
}

double seconds(Nanoseconds duration) {
  const auto milliseconds = std::chrono::duration_cast<Milliseconds>(duration).count();
  return static_cast<double>(milliseconds) / 1000.0;
}

Json age(Instant then, Instant now) {
  return then == Instant{} ? Json() : Json(seconds(now - then));
}

Json address_json(const SocketAddress& address) {
  return address.is_set() ? Json(turnpike::to_string(address)) : Json();
}

Json call_json(const call::CallSummary& call, Instant now) {
  return {{"call_id", call.call_id},
          {"from_tag", call.from_tag},
          {"to_tag", call.to_tag},
          {"answered", call.answered},
          {"age_seconds", age(call.created, now)}};
}

}  // namespace turnpike::api
