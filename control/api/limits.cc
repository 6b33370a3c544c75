// GET and POST /v1/limits: what the daemon takes on at most, and how much of it is in use.
#include <charconv>
#include <string>

#include "control/api/endpoints.h"
#include "control/api/json.h"

namespace turnpike::api {

void Endpoints::limits(const Request&, const Respond& respond) {
  if (!context_.limits) return respond(failure(404, "limits are not served"));
  Json limits = Json::array();
  for (const LimitUse& limit : context_.limits()) {
    limits.push_back({{"key", limit.key},
                      {"value", limit.value},
                      {"in_use", limit.in_use ? Json(*limit.in_use) : Json()},
                      {"settable", limit.settable},
                      {"configured", limit.configured}});
  }
  respond(json_response(200, {{"limits", std::move(limits)}}));
}

void Endpoints::set_limit(const Request& request, const Respond& respond) {
  if (!context_.set_limit) return respond(failure(404, "limits are not served"));
  const auto key = request.query.find("key");
  const auto value = request.query.find("value");
  const bool whole = key != request.query.end() && value != request.query.end();
  if (!whole || request.query.size() != 2) {
    return respond(failure(400, "the query holds key and value, and nothing else"));
  }
  std::int64_t number = 0;
  const std::string& text = value->second;
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || last != end) {
    return respond(failure(400, "value is a whole number"));
  }
  const Result<void> set = context_.set_limit(key->second, number, request);
  if (!set) return respond(failure(400, set.error().message));
  limits(request, respond);
}

}  // namespace turnpike::api
