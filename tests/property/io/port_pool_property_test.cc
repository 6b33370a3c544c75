// The port pool against a naive model, over long random runs, and the statistics of its choices.
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/port_pool.h"
#include "relay/io/sockaddr.h"
#include "tests/unit/io/io_test_support.h"

namespace turnpike {
namespace {

using namespace io_test;

SocketAddress local_of(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockname(fd, as_sockaddr(storage), &size) != 0) return {};
  return from_sockaddr(storage);
}

/// The IP sockets that this process has open.
std::vector<SocketAddress> own_sockets() {
  std::vector<SocketAddress> found;
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return found;
  while (const dirent* entry = readdir(directory)) {
    const SocketAddress local = local_of(static_cast<int>(std::strtol(entry->d_name, nullptr, 10)));
    if (local.ip.is_set()) found.push_back(local);
  }
  closedir(directory);
  return found;
}

/// Who may have which RTP port, in the plainest words: a map and a rule.
class PortModel {
 public:
  PortModel(const RelayConfig& config, std::size_t shards) : config_(config), shards_(shards) {}

  bool is_free(const SocketAddress& rtp, Instant now) const {
    const auto known = free_from_.find(rtp);
    return known == free_from_.end() || (known->second && *known->second <= now);
  }
  bool belongs(const SocketAddress& rtp, std::size_t shard, std::size_t interface) const {
    const int pairs = (config_.port_max - config_.port_min + 1) / 2;
    const int begin = static_cast<int>(shard) * pairs / static_cast<int>(shards_);
    const int end = static_cast<int>(shard + 1) * pairs / static_cast<int>(shards_);
    const int pair = (rtp.port - config_.port_min) / 2;
    bool ours = false;
    for (const auto& address : config_.interfaces[interface].addresses) {
      ours = ours || address.local == rtp.ip;
    }
    return ours && rtp.port % 2 == 0 && pair >= begin && pair < end;
  }
  bool any_free(std::size_t shard, std::size_t interface, AddressFamily family, Instant now) const {
    for (const auto& address : config_.interfaces[interface].addresses) {
      if (address.local.family != family) continue;
      for (int port = config_.port_min; port < config_.port_max; port += 2) {
        const SocketAddress rtp{address.local, static_cast<std::uint16_t>(port)};
        if (belongs(rtp, shard, interface) && is_free(rtp, now)) return true;
      }
    }
    return false;
  }
  void take(const SocketAddress& rtp) { free_from_[rtp] = std::nullopt; }
  void give_back(const SocketAddress& rtp, Instant now) {
    free_from_[rtp] = now + config_.port_quarantine;
  }

 private:
  RelayConfig config_;
  std::size_t shards_;
  std::map<SocketAddress, std::optional<Instant>> free_from_;  // nullopt: in use
};

void compare_with_model(unsigned seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  // ::1 is everybody's: by process id, so that parallel runs do not meet there.
  const auto port_min = static_cast<std::uint16_t>(8000 + getpid() % 80 * 150);
  const auto port_max = static_cast<std::uint16_t>(port_min + 1 + 2 * (random() % 60));
  RelayConfig config = small_config(port_min, port_max);
  config.interfaces.push_back({"inside", {{loopback(2), loopback(2)}, {loopback(3), loopback(3)}}});
  config.interfaces[1].addresses.push_back({loopback_v6(), loopback_v6()});
  const std::size_t shards = 1 + random() % 4;
  const auto chunk = static_cast<std::uint32_t>(1 + random() % 8);
  PortPool pool(config, shards, nullptr, {.chunk_pairs = chunk, .stock_pairs = 8});
  PortModel model(config, shards);
  std::vector<PortPair> held;
  Instant now = at(1000);
  for (int step = 0; step < 4000; ++step) {
    now += Milliseconds(random() % 40);
    if (random() % 50 == 0) pool.tend(now);
    if (!held.empty() && random() % 5 < 2) {
      const std::size_t i = random() % held.size();
      model.give_back(held[i].local[0], now);
      pool.release(held[i].handle, now);
      held[i] = held.back();
      held.pop_back();
      continue;
    }
    const std::size_t shard = random() % shards;
    const std::size_t interface = random() % 2;
    const bool six = interface == 1 && random() % 3 == 0;
    const auto family = six ? AddressFamily::kIpv6 : AddressFamily::kIpv4;
    OpenFailure failure{};
    auto pair = pool.acquire(shard, interface, family, 0, now, failure);
    ASSERT_EQ(pair.has_value(), model.any_free(shard, interface, family, now)) << "step " << step;
    if (!pair) {
      ASSERT_EQ(failure, OpenFailure::kOutOfPorts);
      continue;
    }
    ASSERT_TRUE(model.is_free(pair->local[0], now)) << to_string(pair->local[0]);
    ASSERT_TRUE(model.belongs(pair->local[0], shard, interface)) << to_string(pair->local[0]);
    ASSERT_EQ(pair->local[0].ip.family, family);
    ASSERT_EQ(local_of(pair->fd[0]), pair->local[0]);
    ASSERT_EQ(local_of(pair->fd[1]), pair->local[1]);
    ASSERT_EQ(pair->local[1].port, pair->local[0].port + 1);
    model.take(pair->local[0]);
    held.push_back(*pair);
    ASSERT_EQ(pool.usage().ports_in_use, 2 * held.size());
  }
}

TEST(PortPoolProperty, does_what_the_model_does) {
  for (unsigned seed = 1; seed <= 12 && !testing::Test::HasFatalFailure(); ++seed) {
    compare_with_model(seed);
  }
}

// Requirement 2.1: every socket inside the range, RTP even, RTCP odd, none reused in quarantine.
TEST(PortPoolProperty, a_hundred_thousand_calls_never_leave_the_range) {
  const RelayConfig config = small_config(21000, 22999);
  PortPool pool(config, 2, nullptr);
  std::map<std::uint16_t, Instant> released;
  std::vector<PortPair> held;
  std::mt19937 random(3);
  Instant now = at(1);
  OpenFailure failure{};
  for (int call = 0; call < 100000; ++call) {
    now += Milliseconds(10);  // 500 pairs pass through the quarantine at any time
    auto pair = pool.acquire(random() % 2, 0, AddressFamily::kIpv4, 46, now, failure);
    ASSERT_TRUE(pair) << "call " << call;
    const std::uint16_t port = pair->local[0].port;
    ASSERT_EQ(port % 2, 0);
    ASSERT_GE(port, 21000);
    ASSERT_LE(pair->local[1].port, 22999);
    const auto last = released.find(port);
    if (last != released.end()) {
      ASSERT_GE(now - last->second, config.port_quarantine);
    }
    held.push_back(*pair);
    if (held.size() < 200) continue;
    const std::size_t i = random() % held.size();
    pool.release(held[i].handle, now);
    released[held[i].local[0].port] = now;
    held[i] = held.back();
    held.pop_back();
  }
  const auto sockets = own_sockets();
  EXPECT_GE(sockets.size(), 1000U);
  for (const SocketAddress& local : sockets) {
    EXPECT_EQ(local.ip, loopback(1));
    EXPECT_GE(local.port, 21000);
    EXPECT_LE(local.port, 22999);
  }
}

// Pearson's statistic has mean df and variance 2 df: beyond six deviations chance is no excuse.
void expect_uniform(const std::vector<int>& counts, const char* what) {
  double total = 0;
  for (const int count : counts) total += count;
  const double expected = total / static_cast<double>(counts.size());
  ASSERT_GE(expected, 20) << what;
  double statistic = 0;
  for (const int count : counts) statistic += (count - expected) * (count - expected) / expected;
  const double freedom = static_cast<double>(counts.size()) - 1;
  EXPECT_LT(statistic, freedom + 6 * std::sqrt(2 * freedom)) << what;
}

TEST(Security, T16_media_ports_are_unpredictable) {
  // The first port of a relay that has just started.
  std::vector<int> first(64);
  for (int i = 0; i < 3200; ++i) {
    PortPool pool(small_config(23000, 23127), 1, nullptr);
    auto pair = acquire(pool, at(1));
    ASSERT_TRUE(pair);
    ++first[static_cast<std::size_t>(pair->local[0].port - 23000) / 2];
  }
  expect_uniform(first, "first port after a start");

  // The next port, given the last one, for somebody who has seen all of them.
  RelayConfig config = small_config(23200, 23231);
  config.port_quarantine = Seconds{0};
  PortPool pool(config, 1, nullptr);
  std::vector<int> next(16);
  std::vector<int> after(16 * 15);
  std::size_t last = 16;
  std::optional<PortPair> in_use;
  for (int i = 0; i < 24000; ++i) {
    auto pair = acquire(pool, at(1 + i));
    ASSERT_TRUE(pair);
    if (in_use) pool.release(in_use->handle, at(1 + i));
    in_use = *pair;
    const auto chosen = static_cast<std::size_t>(pair->local[0].port - 23200) / 2;
    ++next[chosen];
    // The one in use cannot be chosen: 15 are left.
    if (last < 16) ++after[last * 15 + (chosen > last ? chosen - 1 : chosen)];
    last = chosen;
  }
  expect_uniform(next, "any port");
  expect_uniform(after, "the port after a given port");
}

}  // namespace
}  // namespace turnpike
