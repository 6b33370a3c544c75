// The loop itself: posts from other threads, stop, the end of all handles.
#include "control/loop/event_loop.h"

#include <atomic>
#include <csignal>
#include <mutex>
#include <utility>
#include <vector>

#include "control/loop/handle.h"

namespace turnpike::loop {

struct EventLoop::State {
  uv_loop_t loop{};
  uv_async_t wake{};
  std::atomic<bool> stop_requested{false};
  std::mutex mutex;
  std::vector<std::function<void()>> posted;  // guarded by mutex

  void on_wake() noexcept {
    std::vector<std::function<void()>> work;
    {
      const std::lock_guard lock(mutex);
      work.swap(posted);
    }
    for (auto& item : work) item();
    if (stop_requested) uv_stop(&loop);
  }
};

EventLoop::EventLoop() : state_(std::make_unique<State>()) {
  // libuv writes to streams without MSG_NOSIGNAL; a peer that hangs up must not end the process.
  std::signal(SIGPIPE, SIG_IGN);
  require(uv_loop_init(&state_->loop), "cannot make an event loop");
  require(uv_async_init(&state_->loop, &state_->wake,
                        [](uv_async_t* wake) { static_cast<State*>(wake->data)->on_wake(); }),
          "cannot make an event loop");
  state_->wake.data = state_.get();
}

EventLoop::~EventLoop() {
  uv_close(as_handle(&state_->wake), nullptr);
  // Close callbacks need turns of the loop; a library on our loop may need a few more than we do.
  constexpr int kTurnsMax = 1000;
  int result = UV_EBUSY;
  for (int turn = 0; turn < kTurnsMax && result == UV_EBUSY; ++turn) {
    uv_run(&state_->loop, UV_RUN_NOWAIT);
    result = uv_loop_close(&state_->loop);
  }
  require(result, "a watcher outlives its event loop");
}

void EventLoop::run() {
  if (!state_->stop_requested) uv_run(&state_->loop, UV_RUN_DEFAULT);
  state_->stop_requested = false;
}

bool EventLoop::run_once() {
  if (!state_->stop_requested) uv_run(&state_->loop, UV_RUN_ONCE);
  return !state_->stop_requested.exchange(false);
}

void EventLoop::stop() {
  state_->stop_requested = true;
  uv_async_send(&state_->wake);
}

void EventLoop::post(std::function<void()> work) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->posted.push_back(std::move(work));
  }
  uv_async_send(&state_->wake);
}

Instant EventLoop::now() {
  return Instant{Nanoseconds{static_cast<std::int64_t>(uv_hrtime())}};
}

void* EventLoop::native() {
  return &state_->loop;
}

}  // namespace turnpike::loop
