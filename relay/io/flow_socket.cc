#include "relay/io/flow_socket.h"

#include <array>
#include <string>

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/shared_port.h"
#include "relay/io/sockaddr.h"

namespace turnpike {
namespace {

// The media of hundreds of calls waits here while a shard is busy for some milliseconds.
constexpr int kBufferBytes = 4 << 20;

int open_socket(AddressFamily family) {
  const int fd = socket(family == AddressFamily::kIpv4 ? AF_INET : AF_INET6,
                        SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  if (family == AddressFamily::kIpv6) set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  for (const auto& [force, usual] :
       {std::pair{SO_RCVBUFFORCE, SO_RCVBUF}, std::pair{SO_SNDBUFFORCE, SO_SNDBUF}}) {
    if (!set_option(fd, SOL_SOCKET, force, kBufferBytes)) {
      set_option(fd, SOL_SOCKET, usual, kBufferBytes);
    }
  }
  return fd;
}

// Of a group the kernel takes the socket with the number that this returns, counted in the order
// of their binds; a number too high means any of them.
bool steer_by_shard(int fd, std::size_t shard_offset) {
  std::array<sock_filter, 6> code = {{
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xc0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xc0, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, static_cast<std::uint32_t>(shard_offset)),
      BPF_STMT(BPF_RET | BPF_A, 0),
  }};
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0;
}

}  // namespace

Result<std::vector<int>> open_shared_port(const SocketAddress& local, std::size_t shards) {
  return bind_group(local, shards, open_socket);
}

Result<std::vector<int>> open_flow_port(const SocketAddress& local, std::size_t shards,
                                        std::size_t shard_offset) {
  auto fds = open_shared_port(local, shards);
  if (fds && shards > 1 && !steer_by_shard(fds->front(), shard_offset)) {
    Error error = error_at(local, "cannot steer");
    for (const int fd : *fds) close(fd);
    return error;
  }
  return fds;
}

Result<int> open_flow_to(const SocketAddress& remote) {
  const int fd = open_socket(remote.ip.family);
  if (fd < 0) return error_at(remote, "cannot open a socket to");
  sockaddr_storage storage{};
  const socklen_t size = to_sockaddr(remote, storage);
  if (connect(fd, as_sockaddr(storage), size) != 0) {
    Error error = error_at(remote, "cannot reach");
    close(fd);
    return error;
  }
  return fd;
}

}  // namespace turnpike
