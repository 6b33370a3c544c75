// What a StreamConnection is made of. Private to this folder.
#pragma once

#include "control/loop/handle.h"
#include "control/loop/unix_socket.h"

namespace turnpike::loop {

struct StreamConnection::State {
  uv_pipe_t handle{};
  Handlers handlers;
  PeerCredentials peer;
  bool open = true;
  bool readable = true;  // the peer has not ended its side

  uv_stream_t* stream() { return as_handle<uv_stream_t>(&handle); }
};

}  // namespace turnpike::loop
