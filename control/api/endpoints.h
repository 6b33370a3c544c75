// What the HTTP server serves: metrics, health, status and sessions. Keys, SDP and passwords are
// no part of any answer. Is not: HTTP itself (http_server.h).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "control/api/http_server.h"
#include "control/call/call_service.h"
#include "control/zone/report.h"
#include "turnpike/event.h"
#include "turnpike/relay.h"
#include "turnpike/time.h"

namespace turnpike::api {

struct EndpointsContext {
  Relay& relay;
  call::CallService& calls;
  std::string node_name;
  std::string role = "single";
  std::uint64_t calls_max = 0;
  std::function<Instant()> clock;
  std::function<bool()> draining;
  std::function<std::vector<zone::ZoneReport>()> zones{};  ///< unset: none
  std::function<Response()> metrics;
};

/// The tokens under which sessions are asked for figures here; other askers use smaller ones.
constexpr std::uint64_t kFirstToken = std::uint64_t{1} << 63;

class Endpoints {
 public:
  explicit Endpoints(EndpointsContext context);

  /// GET /metrics, /healthz, /readyz through both doors; /v1/status, /v1/sessions,
  /// /v1/sessions/ID, /v1/zones and /v1/tls/connections through the unix socket only.
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

  Response ready() const;
  Response status() const;
  Response sessions() const;
  Response zones() const;
  Response tls_connections() const;
  void session(std::string_view id_text, Respond respond);

  EndpointsContext context_;
  Instant started_{};
  std::uint64_t next_token_ = kFirstToken;
  std::map<std::uint64_t, Waiting> waiting_by_token_;
};

/// "SHARD-SLOT-GENERATION", the ID of a session in the API.
std::string to_string(const SessionId& id);
/// Unset when the text is no ID.
SessionId parse_session_id(std::string_view text);

}  // namespace turnpike::api
