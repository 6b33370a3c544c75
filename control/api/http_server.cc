// The HTTP server on top of libwebsockets, which lives on our loop ("foreign loop"). We accept
// connections ourselves, because the library replaces socket files that are in use and hides why a
// port cannot be had.
#include "control/api/http_server.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include <libwebsockets.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/api/lws.h"
#include "control/api/lws_tls.h"
#include "control/loop/socket_address.h"
#include "control/loop/tcp_listener.h"
#include "control/loop/unix_socket.h"
#include "control/loop/watchers.h"

namespace turnpike::api {
namespace {

constexpr std::size_t kConnectionsOfDoorMax = 64;
constexpr std::size_t kConnectionsOfSourceMax = 16;
constexpr std::size_t kHandshakesOfSourceMax = 8;
constexpr std::size_t kDoors = 4;  // and who comes by the front door
constexpr std::size_t kChunkBytes = 16384;
constexpr std::size_t kQueryNamesMax = 16;
constexpr int kRequestSeconds = 10;  // for the headers to arrive, and for an answer to be read
constexpr int kIdleSeconds = 30;     // between requests of one connection
// For a part of a stream to be read: as long as a capture may last. Who stands still misses
// packets.
constexpr int kStreamSeconds = 610;

/// One request on its way to an answer.
struct Exchange {
  lws* connection = nullptr;
  bool head_only = false;
  bool close_after = false;
  bool headers_sent = false;
  bool answered = false;
  Response response;
  std::size_t sent = 0;
};

/// The query of the request line; unset when a part of it is too long or there are too many.
std::optional<std::map<std::string, std::string>> query_of(lws* connection) {
  std::map<std::string, std::string> query;
  std::array<char, 1024> part{};
  for (int i = 0;; ++i) {
    const int length = lws_hdr_copy_fragment(connection, part.data(), static_cast<int>(part.size()),
                                             WSI_TOKEN_HTTP_URI_ARGS, i);
    if (length < 0) {
      if (lws_hdr_fragment_length(connection, WSI_TOKEN_HTTP_URI_ARGS, i) > 0) return std::nullopt;
      break;
    }
    if (i == static_cast<int>(kQueryNamesMax)) return std::nullopt;
    const std::string text(part.data(), static_cast<std::size_t>(length));
    const std::size_t equals = std::min(text.find('='), text.size());
    query.emplace(text.substr(0, equals), text.substr(std::min(equals + 1, text.size())));
  }
  return query;
}

/// Common name of the client's certificate, which TLS has verified; "" without one.
std::string certificate_name_of(lws* connection) {
  lws_tls_cert_info_results result{};
  const int failed = lws_tls_peer_cert_info(connection, LWS_TLS_CERT_INFO_COMMON_NAME, &result,
                                            sizeof result.ns.name);
  if (failed != 0) return {};
  const auto length = static_cast<std::size_t>(std::max(result.ns.len, 0));
  return {std::begin(result.ns.name),
          std::begin(result.ns.name) + std::min(length, sizeof result.ns.name)};
}

/// Whether the client has closed its end: the library reads nothing while it waits for an answer.
bool has_left(lws* connection) {
  pollfd end{lws_get_socket_fd(connection), POLLRDHUP, 0};
  return ::poll(&end, 1, 0) > 0;
}

/// An IPv6 network of one subscriber has 2^64 addresses: it counts as one source.
bool is_same_source(const IpAddress& one, const IpAddress& other) {
  if (!one.is_v6() || !other.is_v6()) return one == other;
  return std::equal(one.bytes.begin(), one.bytes.begin() + 8, other.bytes.begin());
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

}  // namespace

struct HttpServer::State {
  struct Connection {
    Door door = Door::kUnix;
    Ends ends;
    Instant since{};
    bool from_front_door = false;
  };

  loop::EventLoop& loop;
  HttpServerOptions options{};
  Handler handler{};
  lws_context* context = nullptr;
  lws_vhost* vhost = nullptr;  // of the unix socket and of kTcp
  RenewableVhost api_vhost{};
  loop::TcpListener tcp{};
  loop::TcpListener api{};
  loop::UnixListener unix_socket{};
  std::map<lws*, Connection> connections{};
  std::map<lws*, std::shared_ptr<Exchange>> exchanges{};
  Counters counters{};
  loop::Timer sweep{};

  Result<void> open();
  Result<void> listen();
  bool has_room(Door door, bool from_front_door, const IpAddress& source) const;
  bool is_greeting(lws* connection, Door door) const;
  void end_late_handshakes();
  void adopt(Door door, int fd, const SocketAddress& client = {});
  bool admitted(lws* connection, const Connection& accepted) const;
  void ask(lws* connection, const char* path, const Respond& respond, Exchange& exchange);
  int on_request(lws* connection, const char* path);
  int on_writable(lws* connection);
  bool write_headers(Exchange& exchange);
  bool write_body(Exchange& exchange);
  int write_stream(Exchange& exchange);
  int serve(lws* connection, lws_callback_reasons reason, const void* in);
  static int on_callback(lws* connection, lws_callback_reasons reason, void* user, void* in,
                         std::size_t length);
};

Result<void> HttpServer::State::open() {
  static const std::array<lws_protocols, 2> protocols{{
      {"http", on_callback, 0, 0, 0, nullptr, 0},
      {nullptr, nullptr, 0, 0, 0, nullptr, 0},
  }};
  auto library = make_context(loop, this, kDoors * kConnectionsOfDoorMax + 16, kRequestSeconds,
                              options.tls.is_on());
  if (!library) return library.error();
  context = *library;
  const VhostOptions common{protocols.data(), kRequestSeconds, kIdleSeconds};
  vhost = make_vhost(context, "plain", common, {});
  if (vhost == nullptr) return Error{"the HTTP library cannot make a listener"};
  if (options.api.ip.is_set()) {
    if (Result<void> made = api_vhost.open(context, common, options.tls); !made) return made;
  }
  if (options.tls.is_on()) {
    const Milliseconds interval = std::max(options.handshake_time / 4, Milliseconds{10});
    sweep = loop::Timer(loop, [this] { end_late_handshakes(); });
    sweep.start(interval, interval);
  }
  return listen();
}

Result<void> HttpServer::State::listen() {
  if (!options.unix_path.empty()) {
    auto listener = loop::UnixListener::listen(
        loop, {.path = options.unix_path, .mode = 0660, .group = options.unix_group},
        [this](auto accepted) { adopt(Door::kUnix, accepted->duplicate()); });
    if (!listener) return listener.error();
    unix_socket = std::move(*listener);
  }
  if (options.tcp.ip.is_set()) {
    auto listener =
        loop::TcpListener::listen(loop, options.tcp, [this](int fd) { adopt(Door::kTcp, fd); });
    if (!listener) return listener.error();
    tcp = std::move(*listener);
  }
  if (options.api.ip.is_set()) {
    auto listener =
        loop::TcpListener::listen(loop, options.api, [this](int fd) { adopt(Door::kApi, fd); });
    if (!listener) return listener.error();
    api = std::move(*listener);
  }
  return {};
}

/// A budget for each door, and one for who comes by the front door: clients of an open one never
/// keep the operator out of another. On TCP one for each source too, but for those of this host.
bool HttpServer::State::has_room(Door door, bool from_front_door, const IpAddress& source) const {
  const bool counts_source = door != Door::kUnix && !source.is_loopback();
  std::size_t of_door = 0;
  std::size_t of_source = 0;
  std::size_t handshakes = 0;
  std::size_t handshakes_of_source = 0;
  for (const auto& [connection, open] : connections) {
    if (open.door != door || open.from_front_door != from_front_door) continue;
    const bool same_source = counts_source && is_same_source(open.ends.remote.ip, source);
    ++of_door;
    of_source += same_source ? 1 : 0;
    if (!is_greeting(connection, door)) continue;
    ++handshakes;
    handshakes_of_source += same_source ? 1 : 0;
  }
  return of_door < kConnectionsOfDoorMax && of_source < kConnectionsOfSourceMax &&
         handshakes < kHandshakesMax && handshakes_of_source < kHandshakesOfSourceMax;
}

bool HttpServer::State::is_greeting(lws* connection, Door door) const {
  return door == Door::kApi && options.tls.is_on() && is_in_handshake(connection);
}

/// The library begins its time anew with each record.
void HttpServer::State::end_late_handshakes() {
  const Instant begun_by = loop::EventLoop::now() - options.handshake_time;
  std::vector<lws*> late;  // they leave the table when they are closed
  for (const auto& [connection, open] : connections) {
    if (open.since <= begun_by && is_greeting(connection, open.door)) late.push_back(connection);
  }
  for (lws* const connection : late) {
    ++counters.handshakes_late;
    lws_set_timeout(connection, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
  }
}

void HttpServer::State::adopt(Door door, int fd, const SocketAddress& client) {
  if (fd < 0) return;
  Ends ends = door == Door::kUnix ? Ends{} : ends_of(fd);
  if (client.is_set()) ends.remote = client;  // a load balancer may be in between
  const bool is_open = door != Door::kApi || api_vhost.present() != nullptr;
  const bool from_front_door = client.is_set();
  if (!is_open || !has_room(door, from_front_door, ends.remote.ip)) {
    ++counters.connections_refused;
    ::close(fd);
    return;
  }
  lws_sock_file_fd_type descriptor{};
  descriptor.sockfd = fd;
  const bool is_api = door == Door::kApi;
  const auto kind = static_cast<lws_adoption_type>(LWS_ADOPT_HTTP | LWS_ADOPT_SOCKET |
                                                   (is_api ? LWS_ADOPT_ALLOW_SSL : 0));
  // The library closes the descriptor when it cannot take it. It reads nothing before this returns.
  lws* const connection = lws_adopt_descriptor_vhost(is_api ? api_vhost.present() : vhost, kind,
                                                     descriptor, nullptr, nullptr);
  if (connection == nullptr) return;
  connections[connection] = {door, ends, loop::EventLoop::now(), from_front_door};
}

/// Whether the request may come from where it says: see the head of http_server.h.
bool HttpServer::State::admitted(lws* connection, const Connection& accepted) const {
  if (accepted.door == Door::kUnix) return true;
  const std::string host = header(connection, WSI_TOKEN_HOST);
  const std::string origin = header(connection, WSI_TOKEN_ORIGIN);
  if (accepted.door == Door::kTcp) {
    return origin.empty() && lws_hdr_total_length(connection, WSI_TOKEN_ORIGIN) <= 0 &&
           is_own_host(host, tcp.local_address(), options.host_names);
  }
  // A listener on every address is asked by the one that the client used.
  if (!is_own_host(host, accepted.ends.local, options.host_names)) return false;
  const std::string scheme = options.tls.is_on() ? "https://" : "http://";
  return lws_hdr_total_length(connection, WSI_TOKEN_ORIGIN) <= 0 ||
         lower(origin) == scheme + lower(host);
}

int HttpServer::State::on_request(lws* connection, const char* path) {
  ++counters.requests;
  auto exchange = std::make_shared<Exchange>();
  exchange->connection = connection;
  exchanges[connection] = exchange;
  const std::weak_ptr<Exchange> waiting = exchange;
  const Respond respond = [waiting](Response response) {
    const auto current = waiting.lock();
    if (!current || current->answered) return;
    current->answered = true;
    current->response = std::move(response);
    if (current->response.stream) {
      current->response.stream->on_more([waiting] {
        if (const auto open = waiting.lock()) lws_callback_on_writable(open->connection);
      });
    }
    lws_callback_on_writable(current->connection);
  };
  if (connections.find(connection) == connections.end()) return -1;
  ask(connection, path, respond, *exchange);
  return 0;
}

void HttpServer::State::ask(lws* connection, const char* path, const Respond& respond,
                            Exchange& exchange) {
  const Connection& accepted = connections.at(connection);
  const bool post = lws_hdr_total_length(connection, WSI_TOKEN_POST_URI) > 0;
  exchange.head_only = lws_hdr_total_length(connection, WSI_TOKEN_HEAD_URI) > 0;
  // A body that we do not read may follow, a byte now and then.
  exchange.close_after = post ||
                         lws_hdr_total_length(connection, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0 ||
                         lws_hdr_total_length(connection, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0;
  const bool readable =
      exchange.head_only || lws_hdr_total_length(connection, WSI_TOKEN_GET_URI) > 0;
  if (!admitted(connection, accepted)) {
    ++counters.refused;
    return respond({403, "text/plain; charset=utf-8", "this host name or origin is not allowed\n"});
  }
  if (!readable && (!post || accepted.door == Door::kTcp)) {
    ++counters.refused;
    exchange.close_after = true;
    return respond({405, "text/plain; charset=utf-8", "only GET and HEAD\n"});
  }
  auto query = query_of(connection);
  if (!query) {
    ++counters.refused;
    return respond({400, "text/plain; charset=utf-8", "the query is too long\n"});
  }
  Request request{accepted.door, path, post ? Method::kPost : Method::kGet, std::move(*query)};
  request.source = accepted.ends.remote.ip;
  if (accepted.door == Door::kApi) {
    request.authorization = header(connection, WSI_TOKEN_HTTP_AUTHORIZATION);
    if (options.tls.wants_certificates()) {
      request.has_certificate = has_certificate(connection);
      request.certificate_name = certificate_name_of(connection);
    }
  }
  handler(request, respond);
}

bool HttpServer::State::write_headers(Exchange& exchange) {
  const Response& response = exchange.response;
  exchange.headers_sent = true;
  auto further = response.headers;
  if (exchange.close_after) further.emplace_back("connection", "close");
  return api::write_headers(exchange.connection, response.status, response.content_type,
                            response.stream ? kUnknownBytes : response.body.size(), further);
}

bool HttpServer::State::write_body(Exchange& exchange) {
  const std::string& body = exchange.response.body;
  const std::size_t size = std::min(kChunkBytes, body.size() - exchange.sent);
  std::array<unsigned char, LWS_PRE + kChunkBytes> buffer{};
  std::memcpy(buffer.data() + LWS_PRE, body.data() + exchange.sent, size);
  exchange.sent += size;
  const bool last = exchange.sent == body.size();
  const int written = lws_write(exchange.connection, buffer.data() + LWS_PRE, size,
                                last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP);
  return written == static_cast<int>(size);
}

/// As on_writable. While there is nothing to write, the client may take its time.
int HttpServer::State::write_stream(Exchange& exchange) {
  BodyStream& stream = *exchange.response.stream;
  if (stream.ended()) return -1;
  const std::string part = stream.take(kChunkBytes);
  if (part.empty()) {
    if (has_left(exchange.connection)) return -1;
    lws_set_timeout(exchange.connection, NO_PENDING_TIMEOUT, 0);
    return 0;
  }
  std::array<unsigned char, LWS_PRE + kChunkBytes> buffer{};
  std::memcpy(buffer.data() + LWS_PRE, part.data(), part.size());
  const int written =
      lws_write(exchange.connection, buffer.data() + LWS_PRE, part.size(), LWS_WRITE_HTTP);
  if (written != static_cast<int>(part.size())) return -1;
  lws_set_timeout(exchange.connection, PENDING_TIMEOUT_HTTP_CONTENT, kStreamSeconds);
  lws_callback_on_writable(exchange.connection);
  return 0;
}

/// As the library's callbacks: 0 goes on, -1 closes the connection.
int HttpServer::State::on_writable(lws* connection) {
  const auto found = exchanges.find(connection);
  if (found == exchanges.end() || !found->second->answered) return 0;
  const std::shared_ptr<Exchange> exchange = found->second;
  if (exchange->headers_sent && exchange->response.stream) return write_stream(*exchange);
  const std::size_t total = exchange->head_only ? 0 : exchange->response.body.size();
  const bool written = exchange->headers_sent ? write_body(*exchange) : write_headers(*exchange);
  if (!written) return -1;
  if (exchange->sent < total || exchange->response.stream) {
    lws_set_timeout(connection, PENDING_TIMEOUT_HTTP_CONTENT, kRequestSeconds);
    lws_callback_on_writable(connection);
    return 0;
  }
  exchanges.erase(connection);
  return exchange->close_after || lws_http_transaction_completed(connection) != 0 ? -1 : 0;
}

int HttpServer::State::serve(lws* connection, lws_callback_reasons reason, const void* in) {
  switch (reason) {
    case LWS_CALLBACK_WSI_DESTROY:
      exchanges.erase(connection);
      connections.erase(connection);
      return 0;
    case LWS_CALLBACK_CLOSED_HTTP:
      exchanges.erase(connection);
      return 0;
    case LWS_CALLBACK_HTTP:
      return on_request(connection, static_cast<const char*>(in));
    case LWS_CALLBACK_HTTP_WRITEABLE:
      return on_writable(connection);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
    // What is no HTTP (CONNECT makes it so) would stay open without any limit of time.
    case LWS_CALLBACK_RAW_ADOPT:
    case LWS_CALLBACK_RAW_RX:
    case LWS_CALLBACK_RAW_WRITEABLE:
      ++counters.refused;
      return -1;
    default:
      return 0;
  }
}

int HttpServer::State::on_callback(lws* connection, lws_callback_reasons reason, void* user,
                                   void* in, std::size_t length) {
  if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) keep_to_vhost(user);
  // Asked for each certificate of a client's chain; 0 would accept even what failed.
  if (reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION) return length != 0 ? 0 : 1;
  lws_context* const context = lws_get_context(connection);
  auto* state = context == nullptr ? nullptr : static_cast<State*>(lws_context_user(context));
  return state == nullptr ? 0 : state->serve(connection, reason, in);
}

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

HttpServer::~HttpServer() {
  State& state = *state_;
  state.sweep = {};
  state.tcp = {};
  state.api = {};
  state.unix_socket = {};
  end_context(state.loop, state.context);
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(loop::EventLoop& loop,
                                                      const HttpServerOptions& options,
                                                      Handler handler) {
  auto state = std::unique_ptr<State>(new State{.loop = loop});
  state->options = options;
  state->handler = std::move(handler);
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(state)));
  if (Result<void> opened = server->state_->open(); !opened) return opened.error();
  return server;
}

SocketAddress HttpServer::tcp_address() const {
  return state_->tcp.local_address();
}

SocketAddress HttpServer::api_address() const {
  return state_->api.local_address();
}

void HttpServer::take(int fd, const SocketAddress& client) {
  state_->adopt(Door::kApi, fd, client);
}

void HttpServer::set_host_names(std::vector<std::string> names) {
  state_->options.host_names = std::move(names);
}

Result<void> HttpServer::renew_certificates() {
  return state_->api_vhost.renew();
}

const HttpServer::Counters& HttpServer::counters() const {
  return state_->counters;
}

bool is_own_host(const std::string& host, const SocketAddress& listener,
                 const std::vector<std::string>& names) {
  std::string name = lower(host);
  const std::size_t colon = name.rfind(':');
  const bool has_port = colon != std::string::npos && name.find(']', colon) == std::string::npos;
  if (has_port) name.resize(colon);
  const std::string ip = to_string(listener.ip);
  if (name == "localhost" || name == (listener.ip.is_v6() ? "[" + ip + "]" : ip)) return true;
  return std::any_of(names.begin(), names.end(),
                     [&name](const std::string& own) { return lower(own) == name; });
}

}  // namespace turnpike::api
