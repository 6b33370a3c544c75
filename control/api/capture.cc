// POST /v1/calls/capture: what may be asked for, and the file that streams.
#include "control/capture/capture.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string>

#include "control/api/endpoints.h"
#include "control/api/json.h"

namespace turnpike::api {
namespace {

/// Unset: no such number, or out of bounds.
std::optional<std::uint64_t> number(const std::string& text, std::uint64_t max) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  return whole && value >= 1 && value <= max ? std::optional(value) : std::nullopt;
}

/// False: not "true" or "false".
bool take_flag(const std::string& text, bool& flag) {
  flag = text == "true";
  return flag || text == "false";
}

Response refusal_of(capture::Service::Refusal refusal, bool remote) {
  switch (refusal) {
    case capture::Service::Refusal::kNoCall:
      return failure(404, "there is no such call (any more)");
    case capture::Service::Refusal::kNoTaps:
      return failure(
          409, std::to_string(kTapsMax) + " legs are captured already; end a capture, or wait");
    case capture::Service::Refusal::kForbidden:
      return failure(403, "api.captures of the configuration forbids captures");
    case capture::Service::Refusal::kHeadersOnly:
      return failure(403, "api.captures of the configuration allows only headers");
    case capture::Service::Refusal::kTooMany:
      break;
  }
  const auto most = remote ? capture::kRemoteCapturesMax : capture::kCapturesMax;
  return failure(409, std::to_string(most) + " captures run already; end one, or wait");
}

/// "" or what is wrong with the query.
std::string read_query(const std::map<std::string, std::string>& query, capture::Wish& wish) {
  for (const auto& [name, value] : query) {
    if (name == "call_id") {
      wish.call_id = value;
    } else if (name == "leg") {
      if (value != "a" && value != "b") return "leg is a or b";
      wish.leg = value == "a" ? Side::kA : Side::kB;
    } else if (name == "headers") {
      if (!take_flag(value, wish.headers_only)) return "headers is true or false";
    } else if (name == "plain_payload") {
      if (!take_flag(value, wish.plain_payload)) return "plain_payload is true or false";
    } else if (name == "seconds") {
      const auto seconds = number(value, static_cast<std::uint64_t>(capture::kTimeMax.count()));
      if (!seconds) return "seconds is 1 to " + std::to_string(capture::kTimeMax.count());
      wish.time = Seconds(*seconds);
    } else if (name == "packets") {
      const auto packets = number(value, capture::kPacketsMax);
      if (!packets) return "packets is 1 to " + std::to_string(capture::kPacketsMax);
      wish.packets_max = *packets;
    } else {
      return "the query may hold call_id, leg, headers, plain_payload, seconds and packets";
    }
  }
  return wish.call_id.empty() ? "the query holds call_id" : "";
}

}  // namespace

void Endpoints::capture(const Request& request, const Respond& respond) {
  if (context_.captures == nullptr) return respond(failure(404, "captures are not served"));
  capture::Wish wish;
  wish.remote = wish.headers_only = request.door != Door::kUnix;
  if (const std::string wrong = read_query(request.query, wish); !wrong.empty()) {
    return respond(failure(400, wrong));
  }
  // What a leg receives nobody has judged yet: on one with keys, too, it may be plain.
  if (wish.remote && (wish.plain_payload || !wish.headers_only)) {
    return respond(failure(403, "payload is given on the unix socket only"));
  }
  capture::Service::Refusal refusal{};
  auto stream = context_.captures->start(wish, refusal);
  if (stream == nullptr) return respond(refusal_of(refusal, wish.remote));
  if (context_.log_operation) {
    const char* const leg = !wish.leg ? "" : *wish.leg == Side::kA ? " leg=a" : " leg=b";
    context_.log_operation("capture",
                           wish.call_id + leg + (wish.headers_only ? " headers" : "") +
                               (wish.plain_payload ? " plain_payload" : ""),
                           request);
  }
  Response response{200, "application/x-pcapng", ""};
  response.stream = std::move(stream);
  respond(std::move(response));
}

}  // namespace turnpike::api
