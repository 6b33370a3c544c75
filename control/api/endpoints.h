// What the HTTP server serves: metrics, health, status, sessions and the console. Keys, SDP and
// passwords are no part of any answer. Is not: HTTP itself (http_server.h), nor who may ask
// (gate.h).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/api/gate.h"
#include "control/api/http_server.h"
#include "control/api/session_list.h"
#include "control/call/call_service.h"
#include "control/capture/capture.h"
#include "control/zone/report.h"
#include "turnpike/event.h"
#include "turnpike/port_usage.h"
#include "turnpike/relay.h"
#include "turnpike/time.h"

namespace turnpike::api {

/// What a reload did or would do.
struct ReloadReport {
  struct Change {
    std::string key;
    std::string effect;  ///< "hot": in force now; "restart", "sidecar": what has to be restarted
    std::string from;
    std::string to;
  };
  bool applied = false;
  std::vector<Change> changes;
  std::vector<std::string> mistakes;  ///< some: nothing has changed
  std::vector<std::string> warnings;
};

/// Something that bounds what the daemon takes on.
struct LimitUse {
  std::string key;  ///< of the configuration: "media.calls_max"
  std::int64_t value = 0;
  std::optional<std::uint64_t> in_use{};  ///< unset: not known of all together
  bool settable = false;                  ///< while the daemon runs
  std::int64_t configured = 0;            ///< by the file; not what waits for a restart
};

/// How the configuration in force stands to the file.
struct ConfigurationState {
  bool last_reload_refused = false;
  std::vector<std::string> waiting_for_restart;  ///< keys that the last reload could not change
};

struct EndpointsContext {
  Relay& relay;
  call::CallService& calls;
  std::string node_name;
  std::string role = "single";
  std::uint64_t calls_max = 0;
  std::function<Instant()> clock;
  std::function<bool()> draining;
  /// Issues time-limited credentials of TURN; unset: none.
  std::function<Response(const Request&)> turn_credentials{};
  /// Notes in the log who did what to whom; unset: nobody does.
  std::function<void(const char* what, const std::string& object, const Request&)> log_operation{};
  std::uint64_t turn_allocations_max = 0;
  std::function<std::vector<std::string>()> turn_realms{};  ///< by Realm::figures; unset: none
  std::function<std::vector<PortSliceUsage>()> ports{};     ///< unset: none
  std::function<std::vector<zone::ZoneReport>()> zones{};   ///< unset: none
  std::function<Response()> metrics;
  /// Refuses new calls from now on, or takes them again; false when it cannot any more.
  std::function<bool(bool drain, const Request&)> drain{};
  /// Reads the configuration anew, or only tells what that would do.
  std::function<ReloadReport(bool check, const Request&)> reload{};
  std::function<ConfigurationState()> configuration{};
  /// Another level, or none: "debug". Gives the level that holds now, or "" for an unknown one.
  std::function<std::string(const std::string& level, const Request&)> log_level{};
  /// Ends a call (CallService::end_call).
  std::function<bool(const std::string& call_id, const Request&)> end_call{};
  /// Begins to measure the path to a peer (zone::Service::measure); unset: nobody does.
  std::function<Result<zone::MeasureBegun>(const std::string& peer, const zone::MeasureOptions&,
                                           const Request&)>
      measure{};
  capture::Service* captures = nullptr;  ///< null: none
  std::function<std::vector<LimitUse>()> limits{};
  /// Another value until the next reload or restart, or why not.
  std::function<Result<void>(const std::string& key, std::int64_t value, const Request&)>
      set_limit{};
};

/// The tokens under which sessions are asked for figures here; other askers use smaller ones.
constexpr std::uint64_t kFirstToken = std::uint64_t{1} << 63;

class Endpoints {
 public:
  struct Route {
    Method method = Method::kGet;
    std::string_view path;  ///< as in OpenAPI: "{id}" stands for the rest
    void (Endpoints::*serve)(const Request&, const Respond&) = nullptr;
  };

  explicit Endpoints(EndpointsContext context);

  /// All that is served besides the console.
  static const std::vector<Route>& routes();
  /// What a token must allow for the request; unset: it needs none.
  static std::optional<Scope> needs(const Request& request);

  void set_calls_max(std::uint64_t calls_max) { context_.calls_max = calls_max; }

  /// GET /metrics, /healthz, /readyz through every door; what begins with /v1/ through the unix
  /// socket and kApi; the console through kApi.
  void handle(const Request& request, Respond respond);

  /// Takes kSessionStats events with a token of ours. True when it was one.
  bool on_event(const Event& event);
  /// Gives up on figures that do not come. Call about once a second.
  void on_tick();

 private:
  struct Waiting {
    Instant give_up_at{};
    call::CallSummary call;
    call::SessionSummary session;
    Respond respond;
  };

  static const Route* find_route(const Request& request);
  void status(const Request& request, const Respond& respond);
  void sessions(const Request& request, const Respond& respond);
  void session(const Request& request, const Respond& respond);
  void stats(const Request& request, const Respond& respond);
  void ports(const Request& request, const Respond& respond);
  void zones(const Request& request, const Respond& respond);
  void tls_connections(const Request& request, const Respond& respond);
  void turn(const Request& request, const Respond& respond);
  void turn_end(const Request& request, const Respond& respond);
  void turn_credentials(const Request& request, const Respond& respond);
  void openapi(const Request& request, const Respond& respond);
  void drain(const Request& request, const Respond& respond);
  void reload(const Request& request, const Respond& respond);
  void log_level(const Request& request, const Respond& respond);
  void end_call(const Request& request, const Respond& respond);
  void measure(const Request& request, const Respond& respond);
  void capture(const Request& request, const Respond& respond);
  void limits(const Request& request, const Respond& respond);
  void set_limit(const Request& request, const Respond& respond);
  void metrics(const Request& request, const Respond& respond);
  void health(const Request& request, const Respond& respond);
  void ready(const Request& request, const Respond& respond);

  EndpointsContext context_;
  Instant started_{};
  SessionList list_;
  std::uint64_t next_token_ = kFirstToken;
  std::map<std::uint64_t, Waiting> waiting_by_token_;
};

/// "SHARD-SLOT-GENERATION", the ID of a session in the API.
std::string to_string(const SessionId& id);
/// Unset when the text is no ID.
SessionId parse_session_id(std::string_view text);

}  // namespace turnpike::api
