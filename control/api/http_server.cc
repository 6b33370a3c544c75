// The HTTP server on top of libwebsockets, which lives on our loop ("foreign loop"). We accept
// connections ourselves, because the library replaces socket files that are in use and hides why a
// port cannot be had.
#include "control/api/http_server.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>

#include <libwebsockets.h>
#include <unistd.h>

#include "control/loop/tcp_listener.h"
#include "control/loop/unix_socket.h"

namespace turnpike::api {
namespace {

constexpr std::size_t kConnectionsOfDoorMax = 64;
constexpr std::size_t kDoors = 2;
constexpr std::size_t kChunkBytes = 16384;
constexpr std::size_t kHeaderBytes = 1024;
constexpr int kRequestSeconds = 10;  // for the headers to arrive, and for an answer to be read
constexpr int kIdleSeconds = 30;     // between requests of one connection
constexpr int kClosingTurns = 10;

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

std::string header(lws* connection, lws_token_indexes token) {
  const int length = lws_hdr_total_length(connection, token);
  if (length <= 0) return {};
  std::string value(static_cast<std::size_t>(length) + 1, '\0');
  const int copied = lws_hdr_copy(connection, value.data(), length + 1, token);
  value.resize(copied > 0 ? static_cast<std::size_t>(copied) : 0);
  return value;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

}  // namespace

struct HttpServer::State {
  loop::EventLoop& loop;
  HttpServerOptions options{};
  Handler handler{};
  lws_context* context = nullptr;
  lws_vhost* vhost = nullptr;
  loop::TcpListener tcp{};
  loop::UnixListener unix_socket{};
  std::map<lws*, Door> connections{};
  std::map<lws*, std::shared_ptr<Exchange>> exchanges{};
  Counters counters{};

  Result<void> open();
  Result<void> listen();
  lws_vhost* make_vhost();
  void adopt(Door door, int fd);
  bool admitted(lws* connection, Door door) const;
  int on_request(lws* connection, const char* path);
  int on_writable(lws* connection);
  bool write_headers(Exchange& exchange);
  bool write_body(Exchange& exchange);
  int serve(lws* connection, lws_callback_reasons reason, const void* in);
  static int on_callback(lws* connection, lws_callback_reasons reason, void* user, void* in,
                         std::size_t length);
};

Result<void> HttpServer::State::open() {
  lws_set_log_level(0, nullptr);  // it would log per connection; failures show in what we return
  lws_context_creation_info info{};
  std::array<void*, 1> loops{loop.native()};
  info.foreign_loops = loops.data();
  info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
  info.port = CONTEXT_PORT_NO_LISTEN;
  // Otherwise tables as large as RLIMIT_NOFILE.
  info.fd_limit_per_thread = kDoors * kConnectionsOfDoorMax + 16;
  info.user = this;
  info.timeout_secs = kRequestSeconds;
  context = lws_create_context(&info);
  if (context == nullptr) {
    return Error{
        "the HTTP library cannot start on the event loop; is the package "
        "libwebsockets-evlib-uv installed?"};
  }
  vhost = make_vhost();
  if (vhost == nullptr) return Error{"the HTTP library cannot make a listener"};
  return listen();
}

lws_vhost* HttpServer::State::make_vhost() {
  static const std::array<lws_protocols, 2> protocols{{
      {"http", on_callback, 0, 0, 0, nullptr, 0},
      {nullptr, nullptr, 0, 0, 0, nullptr, 0},
  }};
  lws_context_creation_info info{};
  info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
  info.vhost_name = "api";
  info.protocols = protocols.data();
  info.keepalive_timeout = kIdleSeconds;
  info.timeout_secs = kRequestSeconds;
  return lws_create_vhost(context, &info);
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
  return {};
}

void HttpServer::State::adopt(Door door, int fd) {
  if (fd < 0) return;
  // A budget for each: clients of the open door never keep the operator out of the other.
  const auto open_here = std::count_if(connections.begin(), connections.end(),
                                       [door](const auto& one) { return one.second == door; });
  if (static_cast<std::size_t>(open_here) >= kConnectionsOfDoorMax) {
    ++counters.connections_refused;
    ::close(fd);
    return;
  }
  lws_sock_file_fd_type descriptor{};
  descriptor.sockfd = fd;
  const auto kind = static_cast<lws_adoption_type>(LWS_ADOPT_HTTP | LWS_ADOPT_SOCKET);
  // The library closes the descriptor when it cannot take it. It reads nothing before this returns.
  lws* const connection = lws_adopt_descriptor_vhost(vhost, kind, descriptor, nullptr, nullptr);
  if (connection != nullptr) connections[connection] = door;
}

bool HttpServer::State::admitted(lws* connection, Door door) const {
  if (door == Door::kUnix) return true;
  if (lws_hdr_total_length(connection, WSI_TOKEN_ORIGIN) > 0) return false;
  return is_own_host(header(connection, WSI_TOKEN_HOST), tcp.local_address(), options.host_names);
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
    lws_callback_on_writable(current->connection);
  };
  const auto accepted = connections.find(connection);
  if (accepted == connections.end()) return -1;
  const Door door = accepted->second;
  exchange->head_only = lws_hdr_total_length(connection, WSI_TOKEN_HEAD_URI) > 0;
  const bool readable =
      exchange->head_only || lws_hdr_total_length(connection, WSI_TOKEN_GET_URI) > 0;
  if (!admitted(connection, door)) {
    ++counters.refused;
    respond({403, "text/plain; charset=utf-8", "this host name or origin is not allowed\n"});
  } else if (!readable) {
    ++counters.refused;
    exchange->close_after = true;  // a body that we did not read may follow
    respond({405, "text/plain; charset=utf-8", "only GET and HEAD\n"});
  } else {
    handler({door, path}, respond);
  }
  return 0;
}

bool HttpServer::State::write_headers(Exchange& exchange) {
  std::array<unsigned char, LWS_PRE + kHeaderBytes> buffer{};
  unsigned char* const start = buffer.data() + LWS_PRE;
  unsigned char* at = start;
  unsigned char* const end = buffer.data() + buffer.size() - 1;
  const Response& response = exchange.response;
  const auto add = [&](const char* name, const char* value) {
    const auto* text = static_cast<const unsigned char*>(static_cast<const void*>(value));
    const auto* key = static_cast<const unsigned char*>(static_cast<const void*>(name));
    return lws_add_http_header_by_name(exchange.connection, key, text,
                                       static_cast<int>(std::strlen(value)), &at, end) == 0;
  };
  exchange.headers_sent = true;
  return lws_add_http_common_headers(exchange.connection, response.status,
                                     response.content_type.c_str(), response.body.size(), &at,
                                     end) == 0 &&
         (!exchange.close_after || add("connection:", "close")) &&
         add("cache-control:", "no-store") && add("x-content-type-options:", "nosniff") &&
         lws_finalize_write_http_header(exchange.connection, start, &at, end) == 0;
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

/// As the library's callbacks: 0 goes on, -1 closes the connection.
int HttpServer::State::on_writable(lws* connection) {
  const auto found = exchanges.find(connection);
  if (found == exchanges.end() || !found->second->answered) return 0;
  const std::shared_ptr<Exchange> exchange = found->second;
  const std::size_t total = exchange->head_only ? 0 : exchange->response.body.size();
  const bool written = exchange->headers_sent ? write_body(*exchange) : write_headers(*exchange);
  if (!written) return -1;
  if (exchange->sent < total) {
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
      ++counters.refused;
      return -1;
    default:
      return 0;
  }
}

int HttpServer::State::on_callback(lws* connection, lws_callback_reasons reason, void*, void* in,
                                   std::size_t) {
  lws_context* const context = lws_get_context(connection);
  auto* state = context == nullptr ? nullptr : static_cast<State*>(lws_context_user(context));
  return state == nullptr ? 0 : state->serve(connection, reason, in);
}

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

HttpServer::~HttpServer() {
  State& state = *state_;
  state.tcp = {};
  state.unix_socket = {};
  if (state.context == nullptr) return;
  // The first call closes what is open, which takes turns of the loop; the second one frees.
  lws_context_destroy(state.context);
  for (int turn = 0; turn < kClosingTurns; ++turn) {
    state.loop.post([] {});
    state.loop.run_once();
  }
  lws_context_destroy(state.context);
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
