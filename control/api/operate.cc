// What an operator asks the daemon to do: reload, log level, the end of a call, a measurement.
// drain and resume are with the status that they answer with (endpoints.cc).
#include <charconv>
#include <string>

#include "control/api/endpoints.h"
#include "control/api/json.h"

namespace turnpike::api {
namespace {

Json report_json(const ReloadReport& report) {
  Json changes = Json::array();
  for (const ReloadReport::Change& change : report.changes) {
    changes.push_back(
        {{"key", change.key}, {"effect", change.effect}, {"from", change.from}, {"to", change.to}});
  }
  return {{"applied", report.applied},
          {"changes", std::move(changes)},
          {"mistakes", report.mistakes},
          {"warnings", report.warnings}};
}

/// The value of the only name that the query may hold; null: it holds another one.
const std::string* only(const Request& request, const std::string& name) {
  static const std::string kNone;
  if (request.query.empty()) return &kNone;
  const auto found = request.query.find(name);
  return found == request.query.end() || request.query.size() != 1 ? nullptr : &found->second;
}

/// Whether `text` is a number from 1 to `most`; it is in `value` then.
bool read_number(const std::string& text, std::uint32_t most, std::uint32_t& value) {
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && last == end && value >= 1 && value <= most;
}

}  // namespace

void Endpoints::measure(const Request& request, const Respond& respond) {
  if (!context_.measure) return respond(failure(404, "nothing is measured here"));
  std::string peer;
  zone::MeasureOptions options;
  for (const auto& [name, value] : request.query) {
    const bool good =
        name == "peer" ||
        (name == "seconds" && read_number(value, zone::kMeasureSecondsMax, options.seconds)) ||
        (name == "mbit" && read_number(value, zone::kMeasureMbitMax, options.mbit));
    if (!good) {
      return respond(failure(400, "the query may hold peer, seconds (1 to " +
                                      std::to_string(zone::kMeasureSecondsMax) +
                                      ", each way) and mbit (1 to " +
                                      std::to_string(zone::kMeasureMbitMax) + ", a second)"));
    }
    if (name == "peer") peer = value;
  }
  const Result<zone::MeasureBegun> begun = context_.measure(peer, options, request);
  if (!begun) return respond(failure(409, begun.error().message));
  respond(json_response(200, Json{{"peer", begun->peer},
                                  {"id", begun->id},
                                  {"seconds", options.seconds},
                                  {"mbit", options.mbit}}));
}

void Endpoints::reload(const Request& request, const Respond& respond) {
  const std::string* const check = only(request, "check");
  if (check == nullptr || !(check->empty() || *check == "true" || *check == "false")) {
    return respond(failure(400, "the query may hold check: true or false"));
  }
  const ReloadReport report = context_.reload(*check == "true", request);
  Json answer = report_json(report);
  if (report.mistakes.empty()) return respond(json_response(200, answer));
  answer["error"] = "the configuration has mistakes; nothing has changed";
  respond(json_response(409, answer));
}

void Endpoints::log_level(const Request& request, const Respond& respond) {
  const std::string* const level = only(request, "level");
  const std::string now = level == nullptr ? "" : context_.log_level(*level, request);
  if (now.empty()) {
    return respond(failure(400, "the query holds level: debug, info, warning or error"));
  }
  respond(json_response(200, Json{{"level", now}}));
}

void Endpoints::end_call(const Request& request, const Respond& respond) {
  const std::string* const call_id = only(request, "call_id");
  if (call_id == nullptr || call_id->empty()) {
    return respond(failure(400, "the query holds call_id, and it alone"));
  }
  if (!context_.end_call(*call_id, request)) {
    return respond(failure(404, "there is no such call (any more)"));
  }
  respond(json_response(200, Json{{"ended", *call_id}}));
}

}  // namespace turnpike::api
