// TCP connections of clients: listening sockets that shards share, who connects, and the bytes.
// Hides: the socket calls and options.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "relay/core/byte_stream.h"
#include "relay/io/media_socket.h"
#include "turnpike/address.h"
#include "turnpike/result.h"

namespace turnpike {

/// One listening socket for each shard at one address and port; the kernel spreads connections.
/// Buffers of each connection are bounded, and one whose other end is gone fails within a minute.
Result<std::vector<int>> open_stream_port(const SocketAddress& local, std::size_t shards);

enum class AcceptState : std::uint8_t {
  kAccepted,
  kNobody,         ///< nobody waits
  kNoLongerThere,  ///< who waited has gone; ask again
  kExhausted,      ///< the kernel has no descriptor or memory for it; ask again much later
};

struct Accepted {
  AcceptState state = AcceptState::kNobody;
  int fd = -1;  ///< non-blocking; the caller's
  SocketAddress source;
};

/// The next one who has connected, without waiting.
Accepted accept_stream(int listener);

/// Copies what has come from the front on, and leaves it there.
StreamMoved peek_stream(int fd, std::span<std::uint8_t> into);

/// What has come is told once there are so many bytes, the end, or no room for more.
void wait_for_bytes(int fd, std::size_t bytes);

/// Takes so many bytes, which have come.
bool skip_stream(int fd, std::size_t bytes);

/// A connection from this local address; it may still be on its way. Port 0: any; otherwise one
/// that open_relayed_listener() has opened. Negative: none.
int connect_from(const SocketAddress& local, const SocketAddress& remote);

enum class ConnectState : std::uint8_t { kConnecting, kConnected, kFailed };
/// What has become of it.
ConnectState connect_state(int fd);

/// Listens at a port from which connections can be made as well (RFC 6062 section 5.2). Leaves `fd`
/// alone unless kBound.
BindOutcome open_relayed_listener(const SocketAddress& local, int& fd);

/// Owns `fd` from now on.
std::unique_ptr<ByteStream> make_tcp_stream(int fd);

}  // namespace turnpike
