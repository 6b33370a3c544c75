// The control thread's event loop. Hides libuv: uv.h is included only by the .cc files here.
// Is not: the loop of a shard (relay/io has its own), and knows no protocol.
//
// Every watcher of this folder belongs to one loop, is used only on that loop's thread, and must
// be gone before the loop is. A watcher may be destroyed anywhere on that thread, also inside its
// own callback: the callback finishes, and nothing is called afterwards.
// Callbacks must not throw (that ends the process).
#pragma once

#include <functional>
#include <memory>

#include "turnpike/time.h"

namespace turnpike::loop {

class EventLoop {
 public:
  /// Ignores SIGPIPE for the whole process. Aborts when no descriptors are left for a loop.
  EventLoop();
  /// Aborts when a watcher is still alive. Work that was posted and did not run is dropped.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// Serves events until stop(). A stop() that came before makes it return at once.
  void run();
  /// Waits for at least one event, serves what is ready, returns. False after a stop().
  bool run_once();
  /// From any thread; not from a signal handler (SignalWatcher is for that).
  void stop();
  /// Runs `work` on the loop's thread, in the order of the posts, never inside this call.
  /// From any thread.
  void post(std::function<void()> work);

  /// CLOCK_MONOTONIC, read now.
  static Instant now();

  /// The uv_loop_t*, for a library that can live on a foreign loop.
  void* native();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::loop
