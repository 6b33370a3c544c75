// The loop and its watchers on real descriptors and signals.
#include "control/loop/event_loop.h"

#include <csignal>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "control/loop/watchers.h"

namespace turnpike::loop {
namespace {

TEST(EventLoop, runs_posted_work_in_order_on_its_thread) {
  EventLoop loop;
  std::vector<int> order;
  std::thread::id worker;
  std::thread poster([&] {
    for (int i = 0; i < 1000; ++i) loop.post([&order, i] { order.push_back(i); });
    loop.post([&] {
      worker = std::this_thread::get_id();
      loop.stop();
    });
  });
  loop.run();
  poster.join();
  ASSERT_EQ(order.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(worker, std::this_thread::get_id());
}

TEST(EventLoop, stop_before_run_makes_run_return_and_is_used_up) {
  EventLoop loop;
  loop.stop();
  loop.run();
  bool ran = false;
  loop.post([&] {
    ran = true;
    loop.stop();
  });
  loop.run();
  EXPECT_TRUE(ran);
}

TEST(EventLoop, work_posted_by_work_runs_later_not_nested) {
  EventLoop loop;
  bool inside = false;
  bool nested = false;
  loop.post([&] {
    inside = true;
    loop.post([&] {
      nested = inside;
      loop.stop();
    });
    inside = false;
  });
  loop.run();
  EXPECT_FALSE(nested);
}

TEST(EventLoop, drops_posted_work_that_did_not_run) {
  const auto token = std::make_shared<int>(1);
  {
    EventLoop loop;
    loop.post([token] { FAIL() << "ran without run()"; });
    loop.stop();
    loop.run();
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST(EventLoop, a_watcher_that_outlives_its_loop_ends_the_process) {
  EXPECT_DEATH(
      {
        auto loop = std::make_unique<EventLoop>();
        Timer timer(*loop, [] {});
        timer.start(Milliseconds{1000});
        loop.reset();
      },
      "a watcher outlives its event loop");
}

TEST(Timer, fires_once_or_repeats_until_stopped) {
  EventLoop loop;
  int once = 0;
  int repeated = 0;
  Timer single(loop, [&] { ++once; });
  Timer periodic(loop, [&] {
    if (++repeated == 3) loop.stop();
  });
  single.start(Milliseconds{0});
  periodic.start(Milliseconds{1}, Milliseconds{1});
  EXPECT_TRUE(periodic.is_active());
  loop.run();
  EXPECT_EQ(once, 1);
  EXPECT_EQ(repeated, 3);
  periodic.stop();
  EXPECT_FALSE(periodic.is_active());
}

TEST(BeforeWait, comes_after_the_work_of_each_turn) {
  EventLoop loop;
  std::string order;
  BeforeWait flush(loop, [&] {
    order += 'f';
    if (order.size() > 2) loop.stop();
  });
  Timer one(loop, [&] { order += '1'; });
  Timer two(loop, [&] { order += '2'; });
  one.start(Milliseconds{0});
  two.start(Milliseconds{0});
  loop.run();
  EXPECT_EQ(order.substr(0, 3), "12f");
}

TEST(Timer, does_not_fire_before_its_time) {
  EventLoop loop;
  const Instant begin = EventLoop::now();
  Instant fired{};
  Timer timer(loop, [&] {
    fired = EventLoop::now();
    loop.stop();
  });
  timer.start(Milliseconds{20});
  loop.run();
  EXPECT_GE(fired - begin, Milliseconds{19});  // the loop's clock counts whole milliseconds
}

TEST(Timer, may_destroy_itself_in_its_callback) {
  EventLoop loop;
  auto token = std::make_shared<int>(0);
  std::optional<Timer> timer;
  timer.emplace(loop, [&timer, &loop, token] {
    timer.reset();
    ++*token;  // the captures are still alive
    loop.stop();
  });
  timer->start(Milliseconds{0}, Milliseconds{1});
  loop.run();
  EXPECT_EQ(*token, 1);
}

TEST(Timer, destroyed_before_it_fires_never_fires) {
  EventLoop loop;
  int fired = 0;
  {
    Timer gone(loop, [&] { ++fired; });
    gone.start(Milliseconds{0});
  }
  Timer last(loop, [&] { loop.stop(); });
  last.start(Milliseconds{5});
  loop.run();
  EXPECT_EQ(fired, 0);
}

TEST(Timer, an_empty_timer_does_nothing) {
  Timer timer;
  timer.start(Milliseconds{1});
  timer.stop();
  EXPECT_FALSE(timer.is_active());
}

TEST(SignalWatcher, calls_back_on_the_loop) {
  EventLoop loop;
  int arrived = 0;
  auto watcher = SignalWatcher::watch(loop, SIGUSR1, [&] {
    ++arrived;
    loop.stop();
  });
  ASSERT_TRUE(watcher);
  ::kill(::getpid(), SIGUSR1);
  loop.run();
  EXPECT_EQ(arrived, 1);
}

TEST(SignalWatcher, refuses_a_signal_that_cannot_be_caught) {
  EventLoop loop;
  const auto watcher = SignalWatcher::watch(loop, SIGKILL, [] {});
  ASSERT_FALSE(watcher);
  EXPECT_NE(watcher.error().message.find("signal 9"), std::string::npos);
}

TEST(FdWatcher, reports_readable_until_read) {
  EventLoop loop;
  const int fd = ::eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  int calls = 0;
  {
    auto watcher = FdWatcher::watch(loop, fd, {.readable = true}, [&](FdWatcher::Interest ready) {
      EXPECT_TRUE(ready.readable);
      if (++calls < 3) return;  // level-triggered: it comes again
      eventfd_t value = 0;
      EXPECT_EQ(::eventfd_read(fd, &value), 0);
      loop.stop();
    });
    ASSERT_TRUE(watcher);
    loop.run();
    EXPECT_EQ(calls, 3);
    watcher->want({.readable = false, .writable = true});
    loop.post([&] { watcher->want({.readable = false, .writable = false}); });
    loop.post([&] { loop.stop(); });
    loop.run();
    EXPECT_EQ(calls, 3);
  }
  ::close(fd);
}

TEST(FdWatcher, refuses_a_descriptor_that_is_not_open) {
  EventLoop loop;
  const auto watcher = FdWatcher::watch(loop, 9999, {}, [](FdWatcher::Interest) {});
  ASSERT_FALSE(watcher);
  EXPECT_NE(watcher.error().message.find("9999"), std::string::npos);
}

}  // namespace
}  // namespace turnpike::loop
