// What the four sockets of a call cost: bound and closed per call, or taken from the pool and
// given back. Figures behind docs/adr: decide with them, then measure again before changing it.
#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <linux/filter.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/holder/holder_server.h"
#include "relay/io/media_socket.h"
#include "relay/io/port_pool.h"
#include "relay/io/secure_random.h"
#include "turnpike/host.h"

namespace turnpike {
namespace {

constexpr std::uint64_t kDescriptorsWanted = 100000;

RelayConfig two_sided(std::uint16_t port_min, std::uint16_t port_max) {
  RelayConfig config;
  const IpAddress outside = IpAddress::v4(127, 99, 0, 1);
  const IpAddress inside = IpAddress::v4(127, 99, 0, 2);
  config.interfaces = {{"outside", {{outside, outside}}}, {"inside", {{inside, inside}}}};
  config.port_min = port_min;
  config.port_max = port_max;
  return config;
}

/// A holder on a thread of this process.
class BenchHolder {
 public:
  BenchHolder() : stop_fd_(eventfd(0, EFD_CLOEXEC)) {
    const std::string path = "/tmp/tp-bench-holder-" + std::to_string(getpid());
    auto server = HolderServer::listen(path, kDescriptorsWanted, [](const std::string&) {});
    if (!server) return;
    server_ = std::move(*server);
    thread_ = std::thread([this] { server_->run(stop_fd_); });
    if (auto client = HolderClient::connect(path)) client_ = std::move(*client);
  }
  ~BenchHolder() {
    const std::uint64_t one = 1;
    if (write(stop_fd_, &one, sizeof one) == sizeof one && thread_.joinable()) thread_.join();
    close(stop_fd_);
  }
  HolderClient* client() const { return client_.get(); }

 private:
  int stop_fd_;
  std::unique_ptr<HolderServer> server_;
  std::thread thread_;
  std::unique_ptr<HolderClient> client_;
};

/// As many calls up as the argument says; each iteration ends one and sets one up.
void bind_per_call(benchmark::State& state) {
  raise_descriptor_limit(kDescriptorsWanted);
  SecureRandom random;
  const MediaSocketOptions options{default_receive_buffer_bytes(), 0};
  std::vector<std::vector<int>> calls(static_cast<std::size_t>(state.range(0)));
  const auto set_up = [&](std::vector<int>& fds) {
    for (std::uint8_t side = 1; side <= 2; ++side) {
      const auto rtp = static_cast<std::uint16_t>(36000 + 2 * random.below(12000));
      for (std::uint16_t component = 0; component < 2; ++component) {
        int fd = -1;
        const SocketAddress local{IpAddress::v4(127, 99, 0, side),
                                  static_cast<std::uint16_t>(rtp + component)};
        if (open_media_socket(local, options, fd) != BindOutcome::kBound) continue;
        set_dscp(fd, AddressFamily::kIpv4, 46);
        fds.push_back(fd);
      }
    }
  };
  for (auto& fds : calls) set_up(fds);
  std::size_t call = 0;
  for (auto _ : state) {
    for (const int fd : calls[call]) close(fd);
    calls[call].clear();
    set_up(calls[call]);
    call = (call + 1) % calls.size();
  }
  for (const auto& fds : calls) {
    for (const int fd : fds) close(fd);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(bind_per_call)->Arg(10)->Arg(1000)->Arg(3000)->Unit(benchmark::kMicrosecond);

/// The same from the pool.
void from_the_pool(benchmark::State& state) {
  raise_descriptor_limit(kDescriptorsWanted);
  RelayConfig config = two_sided(36000, 59999);
  config.port_quarantine = Seconds{0};
  PortPool pool(config, 1, nullptr);
  const auto calls = static_cast<std::size_t>(state.range(0));
  std::vector<std::uint32_t> handles(2 * calls);
  Instant now{Seconds{1}};
  OpenFailure failure{};
  const auto set_up = [&](std::size_t call) {
    for (std::size_t side = 0; side < 2; ++side) {
      auto pair = pool.acquire(0, side, AddressFamily::kIpv4, 46, now, failure);
      if (!pair) return false;
      handles[2 * call + side] = pair->handle;
    }
    return true;
  };
  for (std::size_t call = 0; call < calls; ++call) {
    if (!set_up(call)) return state.SkipWithError("out of descriptors");
  }
  std::size_t call = 0;
  for (auto _ : state) {
    now += Milliseconds{1};
    pool.release(handles[2 * call], now);
    pool.release(handles[2 * call + 1], now);
    if (!set_up(call)) return state.SkipWithError("out of ports");
    call = (call + 1) % calls;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(from_the_pool)->Arg(10)->Arg(1000)->Arg(3000)->Unit(benchmark::kMicrosecond);

/// The first 1,000 calls after a start, by chunk size and with or without a holder: the mean, and
/// the longest that one call waited.
void first_calls(benchmark::State& state) {
  raise_descriptor_limit(kDescriptorsWanted);
  const bool held = state.range(1) != 0;
  double longest_us = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto holder = held ? std::make_unique<BenchHolder>() : nullptr;
    auto pool = std::make_unique<PortPool>(
        two_sided(36000, 59999), 1, held ? holder->client() : nullptr,
        PortPoolTuning{.chunk_pairs = static_cast<std::uint32_t>(state.range(0)),
                       .stock_pairs = 0});
    state.ResumeTiming();
    OpenFailure failure{};
    for (int call = 0; call < 1000; ++call) {
      const auto begin = std::chrono::steady_clock::now();
      for (std::size_t side = 0; side < 2; ++side) {
        if (!pool->acquire(0, side, AddressFamily::kIpv4, 46, Instant{Seconds{1}}, failure)) {
          return state.SkipWithError("out of descriptors");
        }
      }
      const std::chrono::duration<double, std::micro> took =
          std::chrono::steady_clock::now() - begin;
      longest_us = std::max(longest_us, took.count());
    }
    state.PauseTiming();
    pool.reset();
    holder.reset();
    state.ResumeTiming();
  }
  state.counters["longest_us"] = longest_us;
  state.SetItemsProcessed(1000 * state.iterations());
}
BENCHMARK(first_calls)
    ->ArgNames({"chunk", "holder"})
    ->ArgsProduct({{1, 8, 32, 126}, {0, 1}})
    ->Unit(benchmark::kMillisecond);

/// What was not done: a drop filter on every parked socket.
void filter_per_socket(benchmark::State& state) {
  int fd = -1;
  const SocketAddress local{IpAddress::v4(127, 99, 0, 3), 36000};
  if (open_media_socket(local, {}, fd) != BindOutcome::kBound) {
    return state.SkipWithError("cannot bind");
  }
  shrink_socket(fd);
  const MediaSocketOptions options{default_receive_buffer_bytes(), 0};
  for (auto _ : state) {
    silence_socket(fd);
    unpark_socket(fd, options, true);
  }
  close(fd);
}
BENCHMARK(filter_per_socket)->Unit(benchmark::kMicrosecond);

/// What is done instead.
void small_buffer_per_socket(benchmark::State& state) {
  int fd = -1;
  const SocketAddress local{IpAddress::v4(127, 99, 0, 3), 36000};
  if (open_media_socket(local, {}, fd) != BindOutcome::kBound) {
    return state.SkipWithError("cannot bind");
  }
  shrink_socket(fd);
  const MediaSocketOptions options{default_receive_buffer_bytes(), 0};
  for (auto _ : state) {
    park_socket(fd);
    unpark_socket(fd, options, false);
  }
  close(fd);
}
BENCHMARK(small_buffer_per_socket)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace turnpike
