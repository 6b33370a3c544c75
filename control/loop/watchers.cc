// Timers, signals and descriptors as libuv handles with an owner.
#include "control/loop/watchers.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "control/loop/handle.h"

namespace turnpike::loop {

struct Timer::State {
  uv_timer_t handle{};
  std::function<void()> on_fire;
  bool open = true;
};

void Timer::Close::operator()(State* state) const {
  close_and_free(state);
}

Timer::Timer(EventLoop& loop, std::function<void()> on_fire) : state_(new State) {
  state_->on_fire = std::move(on_fire);
  require(uv_timer_init(native_loop(loop), &state_->handle), "cannot make a timer");
  state_->handle.data = state_.get();
}

void Timer::start(Milliseconds after, Milliseconds every) {
  if (!state_) return;
  const auto fire = [](uv_timer_t* timer) noexcept {
    auto* state = static_cast<State*>(timer->data);
    if (state->open) state->on_fire();
  };
  // The loop's cached clock may be stale after long work; the timer would fire early by that much.
  uv_update_time(state_->handle.loop);
  const auto count = [](Milliseconds time) {
    return static_cast<std::uint64_t>(std::max<Milliseconds::rep>(time.count(), 0));
  };
  require(uv_timer_start(&state_->handle, fire, count(after), count(every)),
          "cannot start a timer");
}

void Timer::stop() {
  if (state_) uv_timer_stop(&state_->handle);
}

bool Timer::is_active() const {
  return state_ && uv_is_active(as_handle(&state_->handle)) != 0;
}

struct BeforeWait::State {
  uv_prepare_t handle{};
  std::function<void()> work;
  bool open = true;
};

void BeforeWait::Close::operator()(State* state) const {
  close_and_free(state);
}

BeforeWait::BeforeWait(EventLoop& loop, std::function<void()> work) : state_(new State) {
  state_->work = std::move(work);
  require(uv_prepare_init(native_loop(loop), &state_->handle), "cannot watch the loop");
  state_->handle.data = state_.get();
  const auto run = [](uv_prepare_t* prepare) noexcept {
    auto* state = static_cast<State*>(prepare->data);
    if (state->open) state->work();
  };
  require(uv_prepare_start(&state_->handle, run), "cannot watch the loop");
}

struct SignalWatcher::State {
  uv_signal_t handle{};
  std::function<void()> on_signal;
  bool open = true;
};

void SignalWatcher::Close::operator()(State* state) const {
  close_and_free(state);
}

Result<SignalWatcher> SignalWatcher::watch(EventLoop& loop, int signal_number,
                                           std::function<void()> on_signal) {
  auto state = std::make_unique<State>();
  state->on_signal = std::move(on_signal);
  const int made = uv_signal_init(native_loop(loop), &state->handle);
  if (made < 0) return Error{"cannot watch signals: " + uv_error_text(made)};
  SignalWatcher watcher;
  watcher.state_.reset(state.release());
  watcher.state_->handle.data = watcher.state_.get();
  const auto arrive = [](uv_signal_t* signal, int) noexcept {
    auto* target = static_cast<State*>(signal->data);
    if (target->open) target->on_signal();
  };
  const int started = uv_signal_start(&watcher.state_->handle, arrive, signal_number);
  if (started < 0) {
    return Error{"cannot watch signal " + std::to_string(signal_number) + ": " +
                 uv_error_text(started)};
  }
  return watcher;
}

struct FdWatcher::State {
  uv_poll_t handle{};
  ReadyFunction on_ready;
  bool open = true;
};

void FdWatcher::Close::operator()(State* state) const {
  close_and_free(state);
}

Result<FdWatcher> FdWatcher::watch(EventLoop& loop, int fd, Interest interest,
                                   ReadyFunction on_ready) {
  auto state = std::make_unique<State>();
  state->on_ready = std::move(on_ready);
  const int made = uv_poll_init(native_loop(loop), &state->handle, fd);
  if (made < 0) {
    return Error{"cannot watch descriptor " + std::to_string(fd) + ": " + uv_error_text(made)};
  }
  FdWatcher watcher;
  watcher.state_.reset(state.release());
  watcher.state_->handle.data = watcher.state_.get();
  watcher.want(interest);
  return watcher;
}

void FdWatcher::want(Interest interest) {
  if (!state_) return;
  const int events = (interest.readable ? UV_READABLE : 0) | (interest.writable ? UV_WRITABLE : 0);
  if (events == 0) {
    uv_poll_stop(&state_->handle);
    return;
  }
  const auto ready = [](uv_poll_t* poll, int status, int happened) noexcept {
    auto* state = static_cast<State*>(poll->data);
    if (!state->open) return;
    const bool failed = status < 0;
    state->on_ready({.readable = failed || (happened & UV_READABLE) != 0,
                     .writable = failed || (happened & UV_WRITABLE) != 0});
  };
  require(uv_poll_start(&state_->handle, events, ready), "cannot watch a descriptor");
}

}  // namespace turnpike::loop
