#include "control/api/lws.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <sys/socket.h>

#include "control/loop/socket_address.h"

namespace turnpike::api {
namespace {

constexpr std::size_t kHeaderBytes = 2048;
constexpr int kClosingTurns = 10;

}  // namespace

Result<lws_context*> make_context(loop::EventLoop& loop, void* user, unsigned descriptors_max,
                                  int timeout_seconds, bool tls) {
  lws_set_log_level(0, nullptr);  // it would log per connection; failures show in what we return
  lws_context_creation_info info{};
  std::array<void*, 1> loops{loop.native()};
  info.foreign_loops = loops.data();
  info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
  if (tls) info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
  info.port = CONTEXT_PORT_NO_LISTEN;
  info.fd_limit_per_thread = descriptors_max;  // otherwise tables as large as RLIMIT_NOFILE
  info.user = user;
  info.timeout_secs = static_cast<unsigned>(timeout_seconds);
  lws_context* const context = lws_create_context(&info);
  if (context == nullptr) {
    return Error{
        "the HTTP library cannot start on the event loop; is the package "
        "libwebsockets-evlib-uv installed?"};
  }
  return context;
}

void end_context(loop::EventLoop& loop, lws_context* context) {
  if (context == nullptr) return;
  // The first call closes what is open, which takes turns of the loop; the second one frees.
  lws_context_destroy(context);
  for (int turn = 0; turn < kClosingTurns; ++turn) {
    loop.post([] {});
    loop.run_once();
  }
  lws_context_destroy(context);
}

Ends ends_of(int fd) {
  Ends ends;
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(fd, loop::as_sockaddr(address), &length) == 0) {
    ends.local = loop::from_sockaddr(loop::as_sockaddr(address));
  }
  length = sizeof address;
  if (::getpeername(fd, loop::as_sockaddr(address), &length) == 0) {
    ends.remote = loop::from_sockaddr(loop::as_sockaddr(address));
  }
  return ends;
}

std::string header(lws* connection, lws_token_indexes token) {
  const int length = lws_hdr_total_length(connection, token);
  if (length <= 0) return {};
  std::string value(static_cast<std::size_t>(length) + 1, '\0');
  const int copied = lws_hdr_copy(connection, value.data(), length + 1, token);
  value.resize(copied > 0 ? static_cast<std::size_t>(copied) : 0);
  return value;
}

bool write_headers(lws* connection, unsigned status, const std::string& content_type,
                   std::size_t body_bytes,
                   const std::vector<std::pair<std::string, std::string>>& further) {
  std::array<unsigned char, LWS_PRE + kHeaderBytes> buffer{};
  unsigned char* const start = buffer.data() + LWS_PRE;
  unsigned char* at = start;
  unsigned char* const end = buffer.data() + buffer.size() - 1;
  const lws_filepos_t length =
      body_bytes == kUnknownBytes ? LWS_ILLEGAL_HTTP_CONTENT_LEN : body_bytes;
  const auto add = [&](const char* name, const char* value) {
    const auto* text = static_cast<const unsigned char*>(static_cast<const void*>(value));
    const auto* key = static_cast<const unsigned char*>(static_cast<const void*>(name));
    return lws_add_http_header_by_name(connection, key, text, static_cast<int>(std::strlen(value)),
                                       &at, end) == 0;
  };
  return lws_add_http_common_headers(connection, status, content_type.c_str(), length, &at, end) ==
             0 &&
         add("cache-control:", "no-store") && add("x-content-type-options:", "nosniff") &&
         std::all_of(
             further.begin(), further.end(),
             [&](const auto& one) { return add((one.first + ":").c_str(), one.second.c_str()); }) &&
         lws_finalize_write_http_header(connection, start, &at, end) == 0;
}

}  // namespace turnpike::api
