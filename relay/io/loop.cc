#include "relay/io/loop.h"

#include <array>
#include <atomic>
#include <ctime>

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#include "relay/core/check.h"

namespace turnpike {

Instant monotonic_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Instant(Seconds(now.tv_sec) + Nanoseconds(now.tv_nsec));
}

Seconds wall_now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return Seconds(now.tv_sec);
}

bool pin_to_core(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

Nanoseconds cpu_time_of(pthread_t thread) {
  clockid_t clock{};
  timespec used{};
  if (pthread_getcpuclockid(thread, &clock) != 0) return Nanoseconds{0};
  clock_gettime(clock, &used);
  return Seconds(used.tv_sec) + Nanoseconds(used.tv_nsec);
}

void yield_to_media() {
  // On Linux the nice value belongs to the thread. May fail where priorities are not ours to set.
  static_cast<void>(setpriority(PRIO_PROCESS, 0, 10));
}

namespace {

// sched_setattr(2) as of its first version; the C library does not declare it.
struct SchedulingAttributes {
  std::uint32_t size = sizeof(SchedulingAttributes);
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime_ns = 0;
  std::uint64_t deadline_ns = 0;
  std::uint64_t period_ns = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

}  // namespace

// Linux 6.12 and later: who asks for little at a time gets it sooner. Earlier ones ignore it.
void ask_for_short_turns() {
  SchedulingAttributes wanted;
  if (syscall(SYS_sched_getattr, 0, &wanted, sizeof wanted, 0) != 0) return;
  if (wanted.policy != SCHED_OTHER) return;
  wanted.size = sizeof wanted;
  wanted.runtime_ns = 100'000;  // the least that there is
  static_cast<void>(syscall(SYS_sched_setattr, 0, &wanted, 0));
}

void make_pauses_exact() {
  static_cast<void>(prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL));
}

void pause_for(Nanoseconds duration) {
  timespec wanted{};
  wanted.tv_sec = duration.count() / 1'000'000'000;
  wanted.tv_nsec = duration.count() % 1'000'000'000;
  clock_nanosleep(CLOCK_MONOTONIC, 0, &wanted, nullptr);
}

struct ShardLoop::State {
  Handlers handlers;
  std::atomic<bool> stopping{false};
  int wake_fd = -1;
  uv_loop_t loop;
  uv_poll_t wake;
  std::array<uv_poll_t, 2> polls;
  std::size_t poll_count = 0;
  uv_timer_t timer;

  void watch(int fd) {
    uv_poll_t& poll = polls[poll_count++];
    poll.data = this;
    CHECK(uv_poll_init(&loop, &poll, fd) == 0);
    CHECK(uv_poll_start(&poll, UV_READABLE, [](uv_poll_t* handle, int, int) {
            static_cast<State*>(handle->data)->handlers.on_readable();
          }) == 0);
  }
};

ShardLoop::ShardLoop(int poll_fd, int second_fd, Handlers handlers)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.handlers = std::move(handlers);
  CHECK(uv_loop_init(&state.loop) == 0);
  state.wake.data = state.timer.data = &state;
  // Not uv_async_t: its loop spins while who wakes it is preempted half-way through, and those
  // who wake a shard are the ones that it preempts.
  state.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  CHECK(state.wake_fd >= 0);
  CHECK(uv_poll_init(&state.loop, &state.wake, state.wake_fd) == 0);
  CHECK(uv_poll_start(&state.wake, UV_READABLE, [](uv_poll_t* handle, int, int) {
          auto* self = static_cast<State*>(handle->data);
          eventfd_t wakes = 0;
          static_cast<void>(eventfd_read(self->wake_fd, &wakes));
          self->handlers.on_wake();
          if (self->stopping.load()) uv_stop(&self->loop);
        }) == 0);
  state.watch(poll_fd);
  if (second_fd >= 0) state.watch(second_fd);
  CHECK(uv_timer_init(&state.loop, &state.timer) == 0);
}

ShardLoop::~ShardLoop() {
  State& state = *state_;
  for (auto* handle : {reinterpret_cast<uv_handle_t*>(&state.wake),
                       reinterpret_cast<uv_handle_t*>(&state.timer)}) {
    uv_close(handle, nullptr);
  }
  for (std::size_t i = 0; i < state.poll_count; ++i) {
    uv_close(reinterpret_cast<uv_handle_t*>(&state.polls[i]), nullptr);
  }
  uv_run(&state.loop, UV_RUN_DEFAULT);
  CHECK(uv_loop_close(&state.loop) == 0);
  close(state.wake_fd);
}

void ShardLoop::run() {
  uv_run(&state_->loop, UV_RUN_DEFAULT);
}

// It fails only when the loop has been woken more often than it could count.
void ShardLoop::wake() {
  static_cast<void>(eventfd_write(state_->wake_fd, 1));
}

void ShardLoop::stop() {
  state_->stopping.store(true);
  wake();
}

void ShardLoop::set_timer(Milliseconds delay) {
  const auto ms = delay.count() < 0 ? 0 : static_cast<std::uint64_t>(delay.count());
  uv_timer_start(
      &state_->timer,
      [](uv_timer_t* handle) { static_cast<State*>(handle->data)->handlers.on_timer(); }, ms, 0);
}

}  // namespace turnpike
