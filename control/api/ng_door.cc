// Both protocols on top of libwebsockets. A connection that is refused is answered at once and
// closed, before anything of its body is read.
#include "control/api/ng_door.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <string_view>
#include <utility>

#include <unistd.h>

#include "control/api/http_server.h"
#include "control/api/lws.h"
#include "control/api/lws_tls.h"
#include "control/loop/tcp_listener.h"
#include "control/loop/watchers.h"

namespace turnpike::api {
namespace {

constexpr std::size_t kConnectionsMax = 64;
constexpr std::size_t kChunkBytes = 16384;
constexpr int kRequestSeconds = 10;  // for the headers to arrive, and for an answer to be read
constexpr int kIdleSeconds = 30;     // between requests of one connection
constexpr const char* kWebSocketProtocol = "ng.rtpengine.com";
constexpr std::string_view kPath = "/ng";
constexpr std::string_view kTokenPath = "/ng/";

/// A connection: one request of HTTP after the other, or a WebSocket for good.
struct Client {
  lws* connection = nullptr;
  SocketAddress local;  // that the client has connected to
  IpAddress address;
  Instant since{};
  std::uint64_t trust_number = 0;  // of the authorities that its certificate was judged by
  bool has_asked = false;          // TLS is up, if there is any
  bool is_counted = false;         // as one that is closed
  std::string message;             // as far as it has come
  Instant message_since{};         // unset: none is on its way
  // HTTP: the answer.
  bool taken = false;        // the message is whole and in work
  bool close_after = false;  // something came behind it
  bool answered = false;
  bool headers_sent = false;
  unsigned status = 0;
  std::string body;
  std::size_t sent = 0;
  // WebSocket: replies that wait to be written.
  struct Frame {
    std::string text;
    bool is_binary = false;
  };
  bool is_web_socket = false;
  std::uint64_t token_number = 0;  // of the token that it has shown
  std::deque<Frame> frames;
  std::size_t frame_bytes = 0;
};

/// The same client, with nothing of the request before.
std::shared_ptr<Client> anew(const Client& before) {
  auto client = std::make_shared<Client>();
  client->connection = before.connection;
  client->local = before.local;
  client->address = before.address;
  client->since = before.since;
  client->trust_number = before.trust_number;
  client->has_asked = before.has_asked;
  client->token_number = before.token_number;
  return client;
}

std::string_view status_line(ng::Refusal refusal) {
  switch (refusal) {
    case ng::Refusal::kToken:
      return "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n";
    case ng::Refusal::kProtocol:
      return "HTTP/1.1 404 Not Found\r\n";
    case ng::Refusal::kTooLong:
      return "HTTP/1.1 413 Content Too Large\r\n";
    default:
      return "HTTP/1.1 403 Forbidden\r\n";
  }
}

unsigned status_of(ng::Gate::Outcome outcome) {
  if (outcome == ng::Gate::Outcome::kUnreadable) return 400;
  return outcome == ng::Gate::Outcome::kRefused ? 429 : 200;
}

std::string content_type(const std::string& body) {
  return body.starts_with('{') ? "application/json" : "application/x-rtpengine-ng";
}

}  // namespace

struct NgDoor::State {
  loop::EventLoop& loop;
  ng::Gate& gate;
  NgDoorOptions options{};
  lws_context* context = nullptr;
  RenewableVhost vhost{};
  lws_retry_bo_t liveness{};
  loop::Timer sweep{};
  loop::TcpListener listener{};
  std::map<lws*, std::shared_ptr<Client>> clients{};

  Result<void> open();
  Result<void> make_vhost();
  bool admits(const IpAddress& address);
  void adopt(int fd);
  void end_late();
  ng::Refusal judge(const Client& client, bool is_web_socket) const;
  bool has_token_in_path(lws* connection) const;
  ng::Refusal judge_again(const Client& client) const;
  int refuse(lws* connection, ng::Refusal refusal);
  int on_request(lws* connection, std::string_view path);
  int on_body(lws* connection, std::string_view bytes);
  int on_whole_body(lws* connection);
  int on_writable(lws* connection);
  int on_upgrade(lws* connection);
  int on_frame(lws* connection, std::string_view bytes);
  int on_frame_writable(lws* connection);
  void on_end(lws* connection);
  int serve(lws* connection, lws_callback_reasons reason, const void* in, std::size_t length);
  static int on_callback(lws* connection, lws_callback_reasons reason, void* user, void* in,
                         std::size_t length);
};

Result<void> NgDoor::State::open() {
  if (!options.tcp.ip.is_loopback() && !options.tls.is_on()) {
    return Error{"NG: " + to_string(options.tcp) +
                 " is not a loopback address and HTTP is not encrypted; use 127.0.0.1 or ::1, or "
                 "give a certificate"};
  }
  auto created =
      make_context(loop, this, kConnectionsMax + 16, kRequestSeconds, options.tls.is_on());
  if (!created) return created.error();
  context = *created;
  if (Result<void> made = make_vhost(); !made) return Error{"NG: " + made.error().message};
  auto listening = loop::TcpListener::listen(loop, options.tcp, [this](int fd) { adopt(fd); });
  if (!listening) return Error{"NG: " + listening.error().message};
  listener = std::move(*listening);
  const Milliseconds shortest = std::min(options.message_time, options.handshake_time);
  const Milliseconds interval = std::max(shortest / 4, Milliseconds{10});
  sweep = loop::Timer(loop, [this] { end_late(); });
  sweep.start(interval, interval);
  return {};
}

/// Messages and handshakes: the library begins its time anew with each piece.
void NgDoor::State::end_late() {
  const Instant now = loop::EventLoop::now();
  std::vector<lws*> late;  // they leave the table when they are closed
  for (const auto& [connection, client] : clients) {
    const bool waits = client->message_since != Instant{} && !client->taken;
    const bool is_late = waits && client->message_since <= now - options.message_time;
    const bool greets = options.tls.is_on() && client->since <= now - options.handshake_time &&
                        is_in_handshake(connection);
    if (!is_late && !greets) continue;
    client->is_counted = true;
    late.push_back(connection);
  }
  for (lws* const connection : late) {
    gate.count_late();
    lws_set_timeout(connection, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
  }
}

Result<void> NgDoor::State::make_vhost() {
  static const std::array<lws_protocols, 3> protocols{{
      {"http", on_callback, 0, 0, 0, nullptr, 0},
      {kWebSocketProtocol, on_callback, 0, kChunkBytes, 0, nullptr, 0},
      {nullptr, nullptr, 0, 0, 0, nullptr, 0},
  }};
  liveness.secs_since_valid_ping = options.ping_seconds;
  liveness.secs_since_valid_hangup = options.hang_up_seconds;
  return vhost.open(context, {protocols.data(), kRequestSeconds, kIdleSeconds, &liveness},
                    options.tls);
}

bool NgDoor::State::admits(const IpAddress& address) {
  std::size_t handshakes = 0;
  if (options.tls.is_on()) {
    handshakes =
        static_cast<std::size_t>(std::count_if(clients.begin(), clients.end(), [](const auto& one) {
          return is_in_handshake(one.first);
        }));
  }
  if (clients.size() < kConnectionsMax && handshakes < kHandshakesMax) return gate.admits(address);
  gate.count(ng::Refusal::kConnections);
  return false;
}

void NgDoor::State::adopt(int fd) {
  const Ends ends = ends_of(fd);
  if (!admits(ends.remote.ip)) {
    ::close(fd);
    return;
  }
  auto client = std::make_shared<Client>();
  client->local = ends.local;
  client->address = ends.remote.ip;
  client->since = loop::EventLoop::now();
  client->trust_number = vhost.trust_number();
  lws_sock_file_fd_type descriptor{};
  descriptor.sockfd = fd;
  const auto kind =
      static_cast<lws_adoption_type>(LWS_ADOPT_HTTP | LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL);
  // The library closes the descriptor when it cannot take it, or what has come is no TLS. It reads
  // no request before this returns.
  client->connection =
      lws_adopt_descriptor_vhost(vhost.present(), kind, descriptor, nullptr, nullptr);
  if (client->connection != nullptr) {
    clients[client->connection] = client;
  } else if (options.tls.is_on()) {
    gate.count(ng::Refusal::kTls);
  }
}

/// Why what let the client in does not any more.
ng::Refusal NgDoor::State::judge_again(const Client& client) const {
  const ng::Refusal refusal = gate.judge_again(client.address, client.token_number);
  if (refusal != ng::Refusal::kNone || client.trust_number == vhost.trust_number()) return refusal;
  return ng::Refusal::kCertificate;
}

/// What is wrong with a request whatever it asks. The token comes last: a web page is not told
/// whether it guessed right.
ng::Refusal NgDoor::State::judge(const Client& client, bool is_web_socket) const {
  lws* const connection = client.connection;
  const bool by_path = is_web_socket && options.token_in_path;
  const std::string host = header(connection, WSI_TOKEN_HOST);
  const bool is_of_page = lws_hdr_total_length(connection, WSI_TOKEN_ORIGIN) > 0;
  if (is_of_page) {
    const std::string origin = header(connection, WSI_TOKEN_ORIGIN);
    const std::string name = "://" + host.substr(0, host.rfind(':'));
    // Kamailio's library says http over TLS too.
    const bool is_ours =
        origin == "http" + name || (options.tls.is_on() && origin == "https" + name);
    if (!by_path || !is_ours) return ng::Refusal::kOrigin;
  }
  // A listener on every address is asked by the one that the client used.
  if (!is_own_host(host, client.local, options.host_names)) return ng::Refusal::kHost;
  // A browser shows its certificate for any page: who comes from one has to know the token.
  if (!gate.has_token() && options.tls.wants_certificates() && has_certificate(connection) &&
      !is_of_page) {
    return ng::Refusal::kNone;
  }
  if (by_path && has_token_in_path(connection)) return ng::Refusal::kNone;
  std::string credentials = header(connection, WSI_TOKEN_HTTP_AUTHORIZATION);
  const bool authorised = gate.is_authorised(credentials);
  explicit_bzero(credentials.data(), credentials.size());
  return authorised ? ng::Refusal::kNone : ng::Refusal::kToken;
}

bool NgDoor::State::has_token_in_path(lws* connection) const {
  std::string path = header(connection, WSI_TOKEN_GET_URI);
  const std::string_view text = path;
  const bool has = text.starts_with(kTokenPath) && gate.is_token(text.substr(kTokenPath.size()));
  explicit_bzero(path.data(), path.size());
  return has;
}

// Written by hand: while it is asked about an upgrade the library would answer with HTTP/1.0, which
// WebSocket clients do not take.
int NgDoor::State::refuse(lws* connection, ng::Refusal refusal) {
  gate.count(refusal);
  const std::string body = std::string(ng::info_of(refusal).words) + "\n";
  std::string answer(LWS_PRE, '\0');
  answer += status_line(refusal);
  answer += "Connection: close\r\nCache-Control: no-store\r\nContent-Type: text/plain\r\n";
  answer += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  void* const start = answer.data() + LWS_PRE;
  lws_write(connection, static_cast<unsigned char*>(start), answer.size() - LWS_PRE, LWS_WRITE_RAW);
  return -1;
}

int NgDoor::State::on_request(lws* connection, std::string_view path) {
  const auto found = clients.find(connection);
  if (found == clients.end()) return -1;
  Client& client = *found->second;
  client.has_asked = true;
  client.token_number = gate.token_number();
  ng::Refusal refusal = judge(client, false);
  // It may have connected by other rules.
  if (refusal == ng::Refusal::kNone) refusal = judge_again(client);
  if (refusal != ng::Refusal::kNone) return refuse(connection, refusal);
  const bool is_post = lws_hdr_total_length(connection, WSI_TOKEN_POST_URI) > 0;
  if (!is_post || path != kPath) return refuse(connection, ng::Refusal::kProtocol);
  // A Client for each request: a late reply to one before finds nobody.
  found->second = anew(client);
  found->second->message_since = loop::EventLoop::now();
  return 0;
}

int NgDoor::State::on_body(lws* connection, std::string_view bytes) {
  const auto found = clients.find(connection);
  if (found == clients.end()) return -1;
  Client& client = *found->second;
  if (client.taken) {
    client.close_after = true;
    return 0;
  }
  if (client.message.size() + bytes.size() > options.message_bytes_max) {
    return refuse(connection, ng::Refusal::kTooLong);
  }
  client.message += bytes;
  return 0;
}

int NgDoor::State::on_whole_body(lws* connection) {
  const auto found = clients.find(connection);
  if (found == clients.end()) return -1;
  const std::shared_ptr<Client> client = found->second;
  // The library tells this again when anything comes behind the body before the reply has gone;
  // where the next request would begin is lost then.
  if (std::exchange(client->taken, true)) {
    client->close_after = true;
    return 0;
  }
  // The body may have come long after the headers, and after a reload.
  if (const ng::Refusal refusal = judge_again(*client); refusal != ng::Refusal::kNone) {
    return refuse(connection, refusal);
  }
  lws_set_timeout(connection, PENDING_TIMEOUT_HTTP_CONTENT, kRequestSeconds);
  gate.handle(client->address, client->message,
              [weak = std::weak_ptr(client)](ng::Gate::Outcome outcome, std::string text) {
                const auto current = weak.lock();
                if (!current || current->answered) return;
                current->answered = true;
                current->status = status_of(outcome);
                current->body = std::move(text);
                lws_callback_on_writable(current->connection);
              });
  return 0;
}

/// As the library's callbacks: 0 goes on, -1 closes the connection.
int NgDoor::State::on_writable(lws* connection) {
  const auto found = clients.find(connection);
  if (found == clients.end() || !found->second->answered) return 0;
  Client& client = *found->second;
  if (!std::exchange(client.headers_sent, true)) {
    if (!write_headers(connection, client.status, content_type(client.body), client.body.size())) {
      return -1;
    }
  } else if (client.sent < client.body.size()) {
    const std::size_t size = std::min(kChunkBytes, client.body.size() - client.sent);
    std::array<unsigned char, LWS_PRE + kChunkBytes> buffer{};
    std::memcpy(buffer.data() + LWS_PRE, client.body.data() + client.sent, size);
    client.sent += size;
    const bool last = client.sent == client.body.size();
    const int written = lws_write(connection, buffer.data() + LWS_PRE, size,
                                  last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP);
    if (written != static_cast<int>(size)) return -1;
  }
  if (client.sent < client.body.size()) {
    lws_set_timeout(connection, PENDING_TIMEOUT_HTTP_CONTENT, kRequestSeconds);
    lws_callback_on_writable(connection);
    return 0;
  }
  if (client.close_after) return -1;
  found->second = anew(client);  // for the request to come
  return lws_http_transaction_completed(connection) != 0 ? -1 : 0;
}

int NgDoor::State::on_upgrade(lws* connection) {
  const auto found = clients.find(connection);
  if (found == clients.end()) return -1;
  Client& client = *found->second;
  client.has_asked = true;
  client.is_web_socket = true;
  client.token_number = gate.token_number();
  ng::Refusal refusal = judge(client, true);
  if (refusal == ng::Refusal::kNone) refusal = judge_again(client);
  const auto offered = header(connection, WSI_TOKEN_PROTOCOL);
  if (refusal == ng::Refusal::kNone && offered.find(kWebSocketProtocol) == std::string::npos) {
    refusal = ng::Refusal::kProtocol;
  }
  return refusal == ng::Refusal::kNone ? 0 : refuse(connection, refusal);
}

int NgDoor::State::on_frame(lws* connection, std::string_view bytes) {
  const auto found = clients.find(connection);
  if (found == clients.end()) return -1;
  const std::shared_ptr<Client> client = found->second;
  if (const ng::Refusal refusal = judge_again(*client); refusal != ng::Refusal::kNone) {
    gate.count(refusal);
    lws_close_reason(connection, LWS_CLOSE_STATUS_POLICY_VIOLATION, nullptr, 0);
    return -1;
  }
  if (client->message.size() + bytes.size() > options.message_bytes_max) {
    gate.count(ng::Refusal::kTooLong);
    lws_close_reason(connection, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, nullptr, 0);
    return -1;
  }
  client->message += bytes;
  if (client->message_since == Instant{}) client->message_since = loop::EventLoop::now();
  if (lws_is_final_fragment(connection) == 0 || lws_remaining_packet_payload(connection) != 0) {
    return 0;
  }
  const std::string message = std::exchange(client->message, {});
  client->message_since = {};
  gate.handle(client->address, message,
              [weak = std::weak_ptr(client), is_binary = lws_frame_is_binary(connection) != 0](
                  ng::Gate::Outcome, std::string text) {
                const auto current = weak.lock();
                if (!current) return;
                current->frame_bytes += text.size();
                current->frames.push_back({std::move(text), is_binary});
                lws_callback_on_writable(current->connection);
              });
  if (client->frame_bytes <= options.unsent_bytes_max) return 0;
  gate.count(ng::Refusal::kUnread);
  return -1;
}

int NgDoor::State::on_frame_writable(lws* connection) {
  const auto found = clients.find(connection);
  if (found == clients.end() || found->second->frames.empty()) return 0;
  Client& client = *found->second;
  const Client::Frame frame = std::move(client.frames.front());
  client.frames.pop_front();
  client.frame_bytes -= frame.text.size();
  std::string buffer(LWS_PRE, '\0');
  buffer += frame.text;
  void* const start = buffer.data() + LWS_PRE;
  const int written = lws_write(connection, static_cast<unsigned char*>(start), frame.text.size(),
                                frame.is_binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
  if (written < static_cast<int>(frame.text.size())) return -1;
  if (!client.frames.empty()) lws_callback_on_writable(connection);
  return 0;
}

/// No TLS that we could use, no certificate where one is needed, or somebody who only looks.
void NgDoor::State::on_end(lws* connection) {
  const auto found = clients.find(connection);
  if (found == clients.end()) return;
  const Client& client = *found->second;
  if (options.tls.is_on() && !client.has_asked && !client.is_counted) gate.count(ng::Refusal::kTls);
  clients.erase(found);
}

int NgDoor::State::serve(lws* connection, lws_callback_reasons reason, const void* in,
                         std::size_t length) {
  const std::string_view bytes(static_cast<const char*>(in), in == nullptr ? 0 : length);
  switch (reason) {
    case LWS_CALLBACK_WSI_DESTROY:
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_CLOSED:
      on_end(connection);
      return 0;
    case LWS_CALLBACK_HTTP:
      return on_request(connection, static_cast<const char*>(in));
    case LWS_CALLBACK_HTTP_BODY:
      return on_body(connection, bytes);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
      return on_whole_body(connection);
    case LWS_CALLBACK_HTTP_WRITEABLE:
      return on_writable(connection);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
      return on_upgrade(connection);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
      return std::string_view(lws_get_protocol(connection)->name) == kWebSocketProtocol ? 0 : -1;
    case LWS_CALLBACK_RECEIVE:
      return on_frame(connection, bytes);
    case LWS_CALLBACK_SERVER_WRITEABLE:
      return on_frame_writable(connection);
    // What is no HTTP (CONNECT makes it so) would stay open without any limit of time.
    case LWS_CALLBACK_RAW_ADOPT:
    case LWS_CALLBACK_RAW_RX:
    case LWS_CALLBACK_RAW_WRITEABLE:
      if (const auto found = clients.find(connection); found != clients.end()) {
        found->second->is_counted = true;
      }
      gate.count(ng::Refusal::kProtocol);
      return -1;
    default:
      return 0;
  }
}

int NgDoor::State::on_callback(lws* connection, lws_callback_reasons reason, void* user, void* in,
                               std::size_t length) {
  if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) keep_to_vhost(user);
  // Asked for each certificate of a client's chain; 0 would accept even what failed.
  if (reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION) return length != 0 ? 0 : 1;
  lws_context* const context = lws_get_context(connection);
  auto* state = context == nullptr ? nullptr : static_cast<State*>(lws_context_user(context));
  return state == nullptr ? 0 : state->serve(connection, reason, in, length);
}

NgDoor::NgDoor(std::unique_ptr<State> state) : state_(std::move(state)) {}

NgDoor::~NgDoor() {
  state_->sweep = {};
  state_->listener = {};
  end_context(state_->loop, state_->context);
}

Result<std::unique_ptr<NgDoor>> NgDoor::open(loop::EventLoop& loop, const NgDoorOptions& options,
                                             ng::Gate& gate) {
  auto state = std::unique_ptr<State>(new State{.loop = loop, .gate = gate});
  state->options = options;
  std::unique_ptr<NgDoor> door(new NgDoor(std::move(state)));
  if (Result<void> opened = door->state_->open(); !opened) return opened.error();
  return door;
}

void NgDoor::set_host_names(std::vector<std::string> names) {
  state_->options.host_names = std::move(names);
}

Result<void> NgDoor::renew_certificates() {
  return state_->vhost.renew();
}

void NgDoor::end_withdrawn() {
  std::vector<lws*> withdrawn;  // they leave the table when they are closed
  for (const auto& [connection, client] : state_->clients) {
    if (!client->is_web_socket) continue;
    const ng::Refusal refusal = state_->judge_again(*client);
    if (refusal == ng::Refusal::kNone) continue;
    state_->gate.count(refusal);
    withdrawn.push_back(connection);
  }
  for (lws* const connection : withdrawn) {
    lws_set_timeout(connection, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
  }
}

SocketAddress NgDoor::tcp_address() const {
  return state_->listener.local_address();
}

}  // namespace turnpike::api
