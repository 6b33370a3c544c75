// A second socket on a media port, connected to the one remote address that the port talks to: the
// kernel then looks up neither route nor destination for each packet. The first socket stays as it
// is and goes on to hear everybody else. Hides how two sockets come to share a port.
#pragma once

#include "relay/io/udp_io.h"
#include "turnpike/address.h"

namespace turnpike {

/// Opens a twin of the bound socket `fd` (address, buffers, DSCP), connected to `destination`. The
/// twin hears only what comes from there, except for datagrams that arrive between its bind and
/// its connect: their sources must be judged as those of any other. -1 when the kernel refuses.
int open_connected_twin(int fd, const SocketAddress& destination);

/// Connects the twin to another address. False when the kernel refuses.
bool reconnect_twin(int twin, const SocketAddress& destination);

/// Takes ICMP errors out of the twin's queue, where they would make epoll report it for ever, and
/// adds them to `errors`. Few at a time.
void take_errors(int twin, SendErrors& errors);

/// Adds an errno of a send: one of those that say that there is no way to the address, or nothing.
void note_send_error(int error, SendErrors& errors);

}  // namespace turnpike
