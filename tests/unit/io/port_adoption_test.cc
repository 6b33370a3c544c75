// A pool that a killed process left behind, found again through the real turnpike-holder program.
#include <functional>
#include <set>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay/io/holder_client.h"
#include "relay/io/port_pool.h"
#include "tests/unit/io/io_test_support.h"

extern char** environ;

namespace turnpike {
namespace {

using namespace io_test;

struct Finished {
  int code = -1;
  std::string output;
};

/// turnpike-holder as a process of its own; its output is read through a pipe.
class HolderProcess {
 public:
  explicit HolderProcess(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TURNPIKE_HOLDER_PROGRAM);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    output_fd_ = ends[0];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    EXPECT_EQ(posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
  }
  ~HolderProcess() {
    if (pid_ > 0) kill(pid_, SIGKILL);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    close(output_fd_);
  }
  HolderProcess(const HolderProcess&) = delete;
  HolderProcess& operator=(const HolderProcess&) = delete;

  /// Waits until it has said this; false when it ended or 5 s passed.
  bool says(const std::string& what) {
    while (output_.find(what) == std::string::npos) {
      if (!read_more()) return false;
    }
    return true;
  }
  Finished finish(int signal_number = 0) {
    if (signal_number != 0) kill(pid_, signal_number);
    while (read_more()) {
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output_};
  }
  pid_t pid() const { return pid_; }

 private:
  bool read_more() {
    pollfd watched{output_fd_, POLLIN, 0};
    char buffer[512];
    if (poll(&watched, 1, 5000) != 1) return false;
    const auto got = read(output_fd_, buffer, sizeof buffer);
    if (got <= 0) return false;
    output_.append(buffer, static_cast<std::size_t>(got));
    return true;
  }

  pid_t pid_ = -1;
  int output_fd_ = -1;
  std::string output_;
};

// One path for this process and the children that it forks.
const std::string& socket_path() {
  static const std::string path = "/tmp/tp-io-" + std::to_string(getpid()) + "-program";
  return path;
}

struct AdoptedPool : testing::Test {
  AdoptedPool() { EXPECT_TRUE(holder.says("listening")); }
  ~AdoptedPool() override { unlink(socket_path().c_str()); }  // a killed holder leaves it

  std::unique_ptr<HolderClient> connect() const {
    auto client = HolderClient::connect(socket_path());
    EXPECT_TRUE(client) << (client ? "" : client.error().message);
    return client ? std::move(*client) : nullptr;
  }
  /// Adopts all that is kept; what is refused is closed. Returns how many were adopted.
  static std::size_t adopt_all(HolderClient& client, PortPool& pool) {
    auto found = client.fetch();
    EXPECT_TRUE(found);
    std::size_t adopted = 0;
    for (const HeldDescriptor& held : *found) {
      if (pool.adopt(held.fd)) {
        ++adopted;
      } else {
        close(held.fd);
      }
    }
    return adopted;
  }

  HolderProcess holder{{"--socket", socket_path()}};
  RelayConfig config = small_config(24000, 24399);
  PortPoolTuning tuning{.chunk_pairs = 10, .stock_pairs = 30};
};

TEST_F(AdoptedPool, a_killed_process_leaves_every_socket_and_what_arrives_meanwhile) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t first_life = fork();
  if (first_life == 0) {
    auto client = HolderClient::connect(socket_path());
    if (!client) _exit(1);
    PortPool pool(config, 2, client->get(), tuning);
    for (int i = 0; i < 40; ++i) {
      OpenFailure failure{};
      auto pair = pool.acquire(static_cast<std::size_t>(i % 2), 0, AddressFamily::kIpv4, 46, at(1),
                               failure);
      if (!pair) _exit(2);
      if (i >= 20) {
        pool.release(pair->handle, at(1));
      } else if (write(ends[1], &pair->local[0], sizeof pair->local[0]) < 0) {
        _exit(3);
      }
    }
    kill(getpid(), SIGKILL);
  }
  close(ends[1]);
  std::vector<SocketAddress> in_use;
  SocketAddress told;
  while (read(ends[0], &told, sizeof told) == static_cast<ssize_t>(sizeof told)) {
    in_use.push_back(told);
  }
  int status = 0;
  waitpid(first_life, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status)) << "exit code " << WEXITSTATUS(status);
  ASSERT_EQ(in_use.size(), 20U);
  const UdpSocket sender(loopback(2));
  for (const SocketAddress& local : in_use) ASSERT_TRUE(sender.send_to(local, "meanwhile"));

  auto client = connect();
  PortPool pool(config, 2, client.get(), tuning);
  const std::size_t adopted = adopt_all(*client, pool);
  EXPECT_GE(adopted, 80U);
  EXPECT_EQ(open_descriptors() > adopted, true);
  std::set<std::uint16_t> busy;
  std::uint32_t handle = 0;
  for (const SocketAddress& local : in_use) {
    auto pair = pool.claim(local);
    ASSERT_TRUE(pair) << pair.error().message;
    EXPECT_EQ(pair->local[0], local);
    EXPECT_EQ(receive_soon(pair->fd[0]), "meanwhile");
    ASSERT_TRUE(sender.send_to(pair->local[1], "rtcp"));
    EXPECT_EQ(receive_soon(pair->fd[1]), "rtcp");
    EXPECT_FALSE(pool.claim(local)) << "claimed twice";
    busy.insert(local.port);
    handle = pair->handle;
  }
  EXPECT_EQ(pool.usage().ports_in_use, 40U);
  pool.settle(at(100));
  EXPECT_EQ(pool.usage().ports_quarantined, adopted - 40);
  for (int i = 0; i < 180; ++i) {
    OpenFailure failure{};
    auto pair = pool.acquire(static_cast<std::size_t>(i % 2), 0, AddressFamily::kIpv4, 34, at(200),
                             failure);
    ASSERT_TRUE(pair) << i;
    EXPECT_TRUE(busy.insert(pair->local[0].port).second) << "given out while in use";
    ASSERT_TRUE(sender.send_to(pair->local[0], "works"));
    EXPECT_EQ(receive_soon(pair->fd[0]), "works");
  }
  EXPECT_EQ(busy.size(), 200U);
  EXPECT_TRUE(pool.all_kept());
  pool.release(handle, at(201));
  close(ends[0]);
}

TEST_F(AdoptedPool, what_was_filtered_in_the_first_life_hears_again_in_the_second) {
  auto client = connect();
  const UdpSocket sender(loopback(2));
  config = small_config(24400, 24401);
  {
    PortPool pool(config, 1, client.get());
    auto pair = acquire(pool, at(1));
    ASSERT_TRUE(pair);
    pool.release(pair->handle, at(1));
    ASSERT_TRUE(sender.send_to(pair->local[0], "noise"));
    pool.tend(at(1));
  }
  PortPool pool(config, 1, client.get());
  EXPECT_EQ(adopt_all(*client, pool), 2U);
  auto early = acquire(pool, at(100));
  EXPECT_FALSE(early) << "what nobody claimed is quarantined first";
  auto pair = acquire(pool, at(105));
  ASSERT_TRUE(pair);
  EXPECT_EQ(receive(pair->fd[0]), "");
  ASSERT_TRUE(sender.send_to(pair->local[0], "media"));
  EXPECT_EQ(receive_soon(pair->fd[0]), "media");
}

TEST_F(AdoptedPool, a_socket_kept_without_its_neighbour_is_completed) {
  auto client = connect();
  const auto rtcp = std::make_unique<UdpSocket>(loopback(1), 24403);
  ASSERT_TRUE(rtcp->bound());
  config = small_config(24402, 24403);
  PortPool pool(config, 1, nullptr);
  EXPECT_TRUE(pool.adopt(dup(rtcp->fd())));
  EXPECT_FALSE(pool.claim({loopback(1), 24402}));
  const UdpSocket sender(loopback(2));
  ASSERT_TRUE(sender.send_to({loopback(1), 24403}, "noise"));
  auto pair = acquire(pool, at(1));
  ASSERT_TRUE(pair);
  EXPECT_EQ(receive(pair->fd[1]), "");
  for (std::size_t c = 0; c < 2; ++c) {
    ASSERT_TRUE(sender.send_to(pair->local[c], "media"));
    EXPECT_EQ(receive_soon(pair->fd[c]), "media");
  }
}

TEST_F(AdoptedPool, foreign_descriptors_are_refused_and_stay_the_callers) {
  PortPool pool(config, 1, nullptr);
  const UdpSocket outside_range(loopback(1), 24400);
  const UdpSocket other_address(loopback(9), 24000);
  const UdpSocket ours(loopback(1), 24000);
  const int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int unix_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int file = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {outside_range.fd(), other_address.fd(), tcp, unix_socket, file, -1}) {
    EXPECT_FALSE(pool.adopt(fd));
  }
  EXPECT_TRUE(pool.adopt(dup(ours.fd())));
  EXPECT_FALSE(pool.adopt(ours.fd())) << "known already";
  for (const int fd : {tcp, unix_socket, file}) EXPECT_EQ(close(fd), 0);
}

TEST_F(AdoptedPool, claims_of_what_was_not_kept_fail) {
  PortPool pool(config, 1, nullptr);
  auto pair = acquire(pool, at(1));
  ASSERT_TRUE(pair);
  EXPECT_FALSE(pool.claim(pair->local[0])) << "in use, but not adopted";
  EXPECT_FALSE(pool.claim(pair->local[1])) << "no RTP port";
  EXPECT_FALSE(pool.claim({loopback(1), 24399}));
  EXPECT_FALSE(pool.claim({loopback(9), 24000}));
  EXPECT_FALSE(pool.claim({}));
}

TEST_F(AdoptedPool, a_lost_holder_is_noticed_and_another_takes_everything) {
  auto client = connect();
  PortPool pool(config, 1, client.get(), tuning);
  ASSERT_TRUE(acquire(pool, at(1)));
  EXPECT_TRUE(pool.all_kept());
  kill(holder.pid(), SIGKILL);
  const auto bound_before = pool.usage();
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(acquire(pool, at(1))) << "calls go on without it";
  EXPECT_FALSE(pool.all_kept());
  EXPECT_FALSE(client->connected());
  EXPECT_GT(pool.usage().ports_in_use, bound_before.ports_in_use);

  ASSERT_EQ(holder.finish().code, -1);
  HolderProcess second({"--socket", socket_path()});
  ASSERT_TRUE(second.says("listening"));
  auto again = connect();
  ASSERT_TRUE(pool.keep_all(again.get()));
  EXPECT_TRUE(pool.all_kept());
  auto found = again->fetch();
  ASSERT_TRUE(found);
  EXPECT_GE(found->size(), 122U);
  for (const HeldDescriptor& held : *found) close(held.fd);
  ASSERT_TRUE(pool.keep_all(nullptr));
}

TEST(HolderProgram, tells_how_to_use_it_and_refuses_what_it_does_not_know) {
  const auto run = [](std::vector<std::string> arguments) {
    return HolderProcess(std::move(arguments)).finish();
  };
  EXPECT_EQ(run({"--help"}).code, 0);
  EXPECT_THAT(run({"--help"}).output, testing::HasSubstr("--socket PATH"));
  EXPECT_EQ(run({"--version"}).output, "turnpike-holder " TURNPIKE_VERSION "\n");
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{},
                                             {"--socket"},
                                             {"--sockets", "/tmp/x"},
                                             {"--socket", "/tmp/x", "--max", "0"},
                                             {"--socket", "/tmp/x", "--max", "12x"},
                                             {"--socket", "/tmp/x", "--max", "-1"},
                                             {"--socket", "/tmp/x", "--max", "4294967296"},
                                             {"--socket", "/tmp/x", "--max"}}) {
    const Finished finished = run(wrong);
    EXPECT_EQ(finished.code, 2);
    EXPECT_THAT(finished.output, testing::HasSubstr("--help"));
  }
  const Finished finished = run({"--socket", "/nonexistent/holder"});
  EXPECT_EQ(finished.code, 1);
  EXPECT_THAT(finished.output, testing::HasSubstr("/nonexistent/holder"));
}

TEST(HolderProgram, ends_on_sigterm_and_removes_its_socket) {
  for (const int signal_number : {SIGTERM, SIGINT}) {
    HolderProcess holder({"--socket", socket_path()});
    ASSERT_TRUE(holder.says("listening"));
    EXPECT_EQ(access(socket_path().c_str(), F_OK), 0);
    const Finished finished = holder.finish(signal_number);
    EXPECT_EQ(finished.code, 0);
    EXPECT_NE(access(socket_path().c_str(), F_OK), 0);
  }
}

TEST(HolderProgram, signals_that_are_not_for_it_do_not_end_it) {
  HolderProcess holder({"--socket", socket_path()});
  ASSERT_TRUE(holder.says("listening"));
  for (const int number : {SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE}) kill(holder.pid(), number);
  const Finished finished = holder.finish(SIGTERM);
  EXPECT_EQ(finished.code, 0) << "ended by its own decision";
  EXPECT_THAT(finished.output, testing::HasSubstr("stopping with 0"));
}

TEST(HolderProgram, closed_standard_descriptors_are_not_reused) {
  const std::string closing =
      "exec " TURNPIKE_HOLDER_PROGRAM " --socket " + socket_path() + " <&- >&- 2>&-";
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    execl("/bin/sh", "sh", "-c", closing.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  while (access(socket_path().c_str(), F_OK) != 0 && waitpid(pid, &status, WNOHANG) == 0) {
    poll(nullptr, 0, 2);
  }
  for (int fd = 0; fd < 3; ++fd) {
    char target[64] = {};
    const std::string link = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
    if (readlink(link.c_str(), target, sizeof target - 1) < 0) continue;  // only root may look
    EXPECT_STREQ(target, "/dev/null");
  }
  EXPECT_TRUE(HolderClient::connect(socket_path())) << "its protocol is undisturbed";
  kill(pid, SIGTERM);
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status));
}

TEST(HolderProgram, says_when_the_descriptor_limit_is_too_low_for_what_was_asked) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  HolderProcess holder({"--socket", socket_path(), "--max", "2000000000"});
  EXPECT_TRUE(holder.says("LimitNOFILE"));
  EXPECT_TRUE(holder.says("listening"));
  EXPECT_EQ(holder.finish(SIGTERM).code, 0);
}

}  // namespace
}  // namespace turnpike
