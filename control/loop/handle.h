// How a libuv handle is owned. uv_close() is asynchronous, so handle and callbacks live in one
// heap block that the close callback frees; a callback that is running stays valid until it ends.
// Private to this folder: the only header here that includes uv.h.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include <uv.h>

#include "control/loop/event_loop.h"

namespace turnpike::loop {

inline uv_loop_t* native_loop(EventLoop& loop) {
  return static_cast<uv_loop_t*>(loop.native());
}

/// libuv's inheritance: every handle begins with a uv_handle_t, every pipe with a uv_stream_t.
template <typename Base = uv_handle_t, typename Handle>
Base* as_handle(Handle* handle) {
  return reinterpret_cast<Base*>(handle);
}

/// Closes `state->handle` and frees `state` when libuv lets go of it. The State's `open` member
/// tells callbacks that are still to come that their owner is gone.
template <typename State>
void close_and_free(State* state) {
  if (state == nullptr) return;
  state->open = false;
  uv_close(as_handle(&state->handle),
           [](uv_handle_t* handle) { delete static_cast<State*>(handle->data); });
}

inline std::string uv_error_text(int code) {
  return uv_strerror(code);
}

/// For what can only fail when the process is misused or out of descriptors at start.
inline void require(int code, const char* what) {
  if (code >= 0) return;
  std::fprintf(stderr, "turnpiked: %s: %s\n", what, uv_strerror(code));
  std::abort();
}

}  // namespace turnpike::loop
