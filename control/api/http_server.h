// A small HTTP/1.1 server for requests without body on the control loop, on a unix socket, on TCP
// and on TCP with TLS. Hides: the HTTP library and its connections. Is not: who may ask for what
// (gate.h), nor what is served (endpoints.h).
//
// On TCP a web page in somebody's browser could be the client: a request with an Origin header
// other than the listener's own, or with a Host that is not ours (DNS rebinding), gets 403.
// Upgrades (WebSocket) are refused.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/api/body_stream.h"
#include "control/api/http_tls.h"
#include "control/loop/event_loop.h"
#include "turnpike/address.h"
#include "turnpike/result.h"
#include "turnpike/time.h"

namespace turnpike::api {

/// Through which door a request came. The TCP ones are open to every process of this host at least;
/// what kApi serves needs a token or a client certificate.
enum class Door : std::uint8_t { kUnix, kTcp, kApi };

/// HEAD is kGet here: the server leaves the body out.
enum class Method : std::uint8_t { kGet, kPost };

struct Request {
  Door door = Door::kTcp;
  std::string path;  ///< decoded, without query: "/v1/status"
  Method method = Method::kGet;
  std::map<std::string, std::string> query{};  ///< decoded; of a name given twice the first
  IpAddress source{};                          ///< unset on the unix socket
  std::string authorization{};                 ///< the header's value; a secret
  bool has_certificate = false;                ///< of the client; TLS has verified it
  std::string certificate_name{};              ///< its common name, which it may lack
  std::string asker{};  ///< who asks, for logs; set by whoever admits the request
};

struct Response {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>>
      headers{};  ///< further ones, names in lower case
  /// Instead of `body`: what comes until it ends, and then the connection's end.
  std::shared_ptr<BodyStream> stream{};
};

/// Answers one request; at once or later, on the loop's thread, once. Harmless when the client has
/// gone, or the server.
using Respond = std::function<void(Response)>;
using Handler = std::function<void(const Request&, Respond)>;

struct HttpServerOptions {
  std::string unix_path;                ///< empty: no unix socket
  std::string unix_group;               ///< empty: our own
  SocketAddress tcp;                    ///< IP unset: no such listener; port 0 takes a free one
  std::vector<std::string> host_names;  ///< accepted as Host besides localhost and the address
  SocketAddress api{};                  ///< IP unset: no such listener; port 0 takes a free one
  HttpTls tls{};                        ///< of `api`
  Milliseconds handshake_time{5000};    ///< of TLS, from the connection on
};

class HttpServer {
 public:
  /// `loop` outlives the server. Connections are limited to 64 on each door, and on TCP to 16 of a
  /// source other than this host; more are closed at once, and so are those that find 16 others
  /// in the midst of a TLS handshake. Only the kApi door and the unix socket take POST.
  static Result<std::unique_ptr<HttpServer>> start(loop::EventLoop& loop,
                                                   const HttpServerOptions& options,
                                                   Handler handler);
  /// Closes every connection; runs a few turns of the loop for that.
  ~HttpServer();

  SocketAddress tcp_address() const;
  SocketAddress api_address() const;

  /// A connection of the kApi door that was accepted elsewhere, unread: owns `fd`. Closed when that
  /// door is.
  void take(int fd, const SocketAddress& client);

  /// As HttpServerOptions::host_names, for requests from now on.
  void set_host_names(std::vector<std::string> names);

  /// Reads the kApi door's files anew, for connections to come; those that are up stay. When the
  /// certificates and authorities are the same, or a file cannot be used, nothing changes.
  Result<void> renew_certificates();

  struct Counters {
    std::uint64_t requests = 0;
    std::uint64_t refused = 0;              ///< 400, 403, 405, upgrades and what is no HTTP
    std::uint64_t connections_refused = 0;  ///< a door, a source or TLS handshakes had their number
    std::uint64_t handshakes_late = 0;      ///< closed, because TLS was not up in time
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
