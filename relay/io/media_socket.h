// What the kernel is told about one media socket, bare descriptors in and out: bind, park, unpark.
// Not who uses which port: that is PortPool.
//
// A fresh socket, bound and not used yet, is as one in use but for what it is told last, when it is
// handed out. A parked socket stays bound, so that its port answers a scan as one in use does, but
// takes next to nothing: its receive buffer is the smallest that the kernel allows (one datagram).
// Should a datagram lie in it when somebody looks (PortPool::tend), a classic BPF filter that drops
// everything is added, and from then on it holds nothing at all. A filter on every parked socket
// would cost 10 us and 6 KiB each; most are taken again before anything arrives.
#pragma once

#include <cstdint>
#include <span>

#include "turnpike/address.h"

namespace turnpike {

struct MediaSocketOptions {
  int receive_buffer_bytes = 0;    ///< as given to SO_RCVBUF; 0 = the kernel's default
  int send_buffer_bytes = 0;       ///< as given to SO_SNDBUF; 0 = the kernel's default
  bool set_receive_buffer = true;  ///< false: receive_buffer_bytes is what a new socket has anyway
};

enum class BindOutcome : std::uint8_t {
  kBound,
  kPortTaken,           ///< somebody else has it, or we may not: another port may work
  kAddressUnavailable,  ///< the host does not have the address (now): no port of it works
  kOutOfDescriptors,    ///< EMFILE, ENFILE or no socket memory: nothing works until some are closed
};

/// What errno says after socket(2) or bind(2) has failed.
BindOutcome bind_outcome_of(int error);

/// The receive buffer that the kernel gives a new UDP socket, in SO_RCVBUF's terms.
int default_receive_buffer_bytes();

/// Opens a fresh UDP socket bound to `local`: non-blocking, close-on-exec, IPv6 only if IPv6,
/// no address or port sharing. Leaves `fd` alone unless kBound.
BindOutcome open_media_socket(const SocketAddress& local, const MediaSocketOptions& options,
                              int& fd);

/// True when `fd` is a UDP socket with a local address; makes it non-blocking and close-on-exec.
bool inspect_media_socket(int fd, SocketAddress& local);

/// Makes a fresh socket a parked one.
void shrink_socket(int fd);

/// Undoes connect(2), shrinks the buffer and throws away what waits. True when the socket was
/// flooded meanwhile and now has the drop filter.
bool park_socket(int fd);

/// Makes a parked socket ready for use with nothing in it that arrived while it was parked.
void unpark_socket(int fd, const MediaSocketOptions& options, bool filtered);

/// The same for a fresh socket.
void empty_fresh_socket(int fd, const MediaSocketOptions& options);

/// Makes a socket of unknown state hear again, without touching what waits in it.
void restore_socket(int fd, const MediaSocketOptions& options);

/// Type of service (RFC 2474) of what is sent. dscp: 0-63.
void set_dscp(int fd, AddressFamily family, std::uint8_t dscp);

/// Throws away what waits, and says how many datagrams, up to more than a buffer of the usual size
/// holds.
std::uint32_t throw_away(int fd);

/// Adds the drop filter and empties the socket.
void silence_socket(int fd);

}  // namespace turnpike
