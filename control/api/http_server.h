// A small HTTP/1.1 server for GET requests on the control loop, on a unix socket and on TCP.
// Hides: the HTTP library and its connections. Is not: what is served (endpoints.h).
//
// On TCP a web page in somebody's browser could be the client: a request with an Origin header, or
// with a Host that is not ours (DNS rebinding), gets 403. Upgrades (WebSocket) are refused.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/loop/event_loop.h"
#include "turnpike/address.h"
#include "turnpike/result.h"

namespace turnpike::api {

/// Through which door a request came; the TCP one is open to every process of this host at least.
enum class Door : std::uint8_t { kUnix, kTcp };

struct Request {
  Door door = Door::kTcp;
  std::string path;  ///< decoded, without query: "/v1/status"
};

struct Response {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

/// Answers one request; at once or later, on the loop's thread, once. Harmless when the client has
/// gone, or the server.
using Respond = std::function<void(Response)>;
using Handler = std::function<void(const Request&, Respond)>;

struct HttpServerOptions {
  std::string unix_path;                ///< empty: no unix socket
  std::string unix_group;               ///< empty: our own
  SocketAddress tcp;                    ///< IP unset: no TCP listener; port 0 takes a free one
  std::vector<std::string> host_names;  ///< accepted as Host besides localhost and the address
};

class HttpServer {
 public:
  /// `loop` outlives the server. Connections are limited to 64 on each door; more are
  /// closed at once.
  static Result<std::unique_ptr<HttpServer>> start(loop::EventLoop& loop,
                                                   const HttpServerOptions& options,
                                                   Handler handler);
  /// Closes every connection; runs a few turns of the loop for that.
  ~HttpServer();

  SocketAddress tcp_address() const;

  struct Counters {
    std::uint64_t requests = 0;
    std::uint64_t refused = 0;              ///< 403 and 405
    std::uint64_t connections_refused = 0;  ///< because a door had its 64 already
  };
  const Counters& counters() const;

 private:
  struct State;
  explicit HttpServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Whether a Host header (with or without port) names this listener.
bool is_own_host(const std::string& host, const SocketAddress& listener,
                 const std::vector<std::string>& names);

}  // namespace turnpike::api
