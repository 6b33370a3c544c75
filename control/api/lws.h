// What the servers of this folder share of libwebsockets: a context on our loop ("foreign loop"),
// its end, header fields. Private to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <libwebsockets.h>

#include "control/loop/event_loop.h"
#include "turnpike/address.h"
#include "turnpike/result.h"

namespace turnpike::api {

/// Without a vhost. `descriptors_max`: connections at a time, and what the library needs itself.
Result<lws_context*> make_context(loop::EventLoop& loop, void* user, unsigned descriptors_max,
                                  int timeout_seconds, bool tls);
/// Closes every connection; runs a few turns of the loop for that.
void end_context(loop::EventLoop& loop, lws_context* context);

/// Both ends of an accepted connection.
struct Ends {
  SocketAddress local;
  SocketAddress remote;
};
Ends ends_of(int fd);

/// The value of a field of the request; empty when it is not there.
std::string header(lws* connection, lws_token_indexes token);

/// Of a body that ends with the connection.
constexpr std::size_t kUnknownBytes = SIZE_MAX;

/// Writes status line and fields; false when that failed. Names of `further` are in lower case.
bool write_headers(lws* connection, unsigned status, const std::string& content_type,
                   std::size_t body_bytes,
                   const std::vector<std::pair<std::string, std::string>>& further = {});

}  // namespace turnpike::api
