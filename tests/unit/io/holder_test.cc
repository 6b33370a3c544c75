// The holder's protocol end to end, over a real unix socket: what it keeps, for whom, how long.
#include <cstring>
#include <fstream>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay/holder/holder_server.h"
#include "relay/io/fd_message.h"
#include "relay/io/holder_client.h"
#include "relay/io/shared_memory.h"
#include "relay/io/sockaddr.h"
#include "tests/unit/io/io_test_support.h"

namespace turnpike {
namespace {

using namespace io_test;

std::string scratch_path(const std::string& name) {
  return "/tmp/tp-io-" + std::to_string(getpid()) + "-" + name;
}

ino_t inode_of(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

/// A holder on its own thread.
class RunningHolder {
 public:
  explicit RunningHolder(std::size_t held_max = 4096) : stop_fd_(eventfd(0, EFD_CLOEXEC)) {
    auto server = HolderServer::listen(path, held_max, [this](const std::string& line) {
      const std::lock_guard lock(mutex_);
      log_ += line + "\n";
    });
    EXPECT_TRUE(server) << (server ? "" : server.error().message);
    server_ = std::move(*server);
    thread_ = std::thread([this] { server_->run(stop_fd_); });
  }
  ~RunningHolder() {
    const std::uint64_t one = 1;
    EXPECT_EQ(write(stop_fd_, &one, sizeof one), 8);
    thread_.join();
    close(stop_fd_);
  }
  std::string log() {
    const std::lock_guard lock(mutex_);
    return log_;
  }

  const std::string path = scratch_path("holder");

 private:
  int stop_fd_;
  std::mutex mutex_;
  std::string log_;
  std::unique_ptr<HolderServer> server_;
  std::thread thread_;
};

std::unique_ptr<HolderClient> connect(const RunningHolder& holder) {
  auto client = HolderClient::connect(holder.path);
  EXPECT_TRUE(client) << (client ? "" : client.error().message);
  return client ? std::move(*client) : nullptr;
}

void close_all(const std::vector<HeldDescriptor>& held) {
  for (const HeldDescriptor& one : held) close(one.fd);
}

std::size_t count_kept(HolderClient& client) {
  auto held = client.fetch();
  EXPECT_TRUE(held) << (held ? "" : held.error().message);
  if (!held) return 0;
  close_all(*held);
  return held->size();
}

/// A connection that says whatever a test wants.
class RawConnection {
 public:
  explicit RawConnection(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    sockaddr_storage storage{};
    std::memcpy(&storage, &address, sizeof address);
    fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    connected_ = ::connect(fd_, as_sockaddr(storage), sizeof address) == 0;
  }
  ~RawConnection() { close(fd_); }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;
  bool connected() const { return connected_; }
  int fd() const { return fd_; }

  bool send(std::vector<std::uint8_t> bytes, const std::vector<int>& fds = {}) const {
    return send_message(fd_, bytes, fds);
  }
  bool send(const HolderRequest& request, const std::vector<int>& fds = {}) const {
    std::vector<std::uint8_t> bytes(sizeof request + request.count * sizeof(HolderEntry));
    std::memcpy(bytes.data(), &request, sizeof request);
    for (std::size_t i = 0; i < request.count; ++i) {
      HolderEntry entry;
      entry.kind = static_cast<std::uint8_t>(HeldKind::kSocket);
      std::memcpy(bytes.data() + sizeof request + i * sizeof entry, &entry, sizeof entry);
    }
    return send(bytes, fds);
  }
  /// True when the holder answered, false when it closed the connection.
  bool answered() const {
    pollfd watched{fd_, POLLIN, 0};
    if (poll(&watched, 1, 2000) != 1) ADD_FAILURE() << "neither an answer nor an end";
    char byte = 0;
    return recv(fd_, &byte, 1, 0) > 0;
  }

 private:
  int fd_;
  bool connected_ = false;
};

TEST(Holder, gives_back_what_a_client_left_to_the_next_one) {
  RunningHolder holder;
  const UdpSocket socket(loopback(1));
  auto arena = SharedMemory::create("arena", 4096);
  ASSERT_TRUE(arena);
  std::memcpy(arena->data(), "calls", 5);
  const std::vector<HeldDescriptor> kept = {{HeldKind::kSocket, 0, socket.fd()},
                                            {HeldKind::kArena, 7, arena->fd()}};
  {
    auto client = connect(holder);
    ASSERT_TRUE(client->keep(kept));
  }
  auto client = connect(holder);
  auto found = client->fetch();
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ((*found)[0].kind, HeldKind::kSocket);
  EXPECT_EQ(inode_of((*found)[0].fd), inode_of(socket.fd()));
  EXPECT_EQ((*found)[1].kind, HeldKind::kArena);
  EXPECT_EQ((*found)[1].key, 7U);
  EXPECT_NE(fcntl((*found)[1].fd, F_GETFD) & FD_CLOEXEC, 0);
  auto adopted = SharedMemory::adopt((*found)[1].fd, 4096);
  ASSERT_TRUE(adopted);
  EXPECT_EQ(std::memcmp(adopted->data(), "calls", 5), 0);
  close((*found)[0].fd);
}

TEST(Holder, more_descriptors_than_a_message_takes) {
  RunningHolder holder;
  const auto before = open_descriptors();
  auto client = connect(holder);
  std::vector<std::unique_ptr<UdpSocket>> sockets;
  std::vector<HeldDescriptor> kept;
  std::set<ino_t> inodes;
  for (int i = 0; i < 600; ++i) {
    sockets.push_back(std::make_unique<UdpSocket>(loopback(1)));
    kept.push_back({HeldKind::kSocket, 0, sockets.back()->fd()});
    inodes.insert(inode_of(sockets.back()->fd()));
  }
  ASSERT_TRUE(client->keep(kept));
  auto found = client->fetch();
  ASSERT_TRUE(found);
  std::set<ino_t> found_inodes;
  for (const HeldDescriptor& held : *found) found_inodes.insert(inode_of(held.fd));
  EXPECT_EQ(found->size(), 600U);
  EXPECT_EQ(found_inodes, inodes);
  close_all(*found);
  ASSERT_TRUE(client->reset());
  sockets.clear();
  client.reset();
  auto last = connect(holder);
  EXPECT_EQ(count_kept(*last), 0U);
  last.reset();
  // One connection's both ends may still be there: the holder closes its own when it notices.
  EXPECT_LE(open_descriptors(), before + 1);
}

TEST(Holder, the_same_socket_is_kept_once_and_the_same_key_is_replaced) {
  RunningHolder holder;
  auto client = connect(holder);
  const UdpSocket socket(loopback(1));
  const std::vector<HeldDescriptor> one = {{HeldKind::kSocket, 0, socket.fd()}};
  ASSERT_TRUE(client->keep(one));
  ASSERT_TRUE(client->keep(one));
  EXPECT_EQ(count_kept(*client), 1U);

  auto first = SharedMemory::create("a", 4096);
  auto second = SharedMemory::create("b", 8192);
  ASSERT_TRUE(first && second);
  for (const int fd : {first->fd(), second->fd()}) {
    ASSERT_TRUE(client->keep(std::vector<HeldDescriptor>{{HeldKind::kRecords, 0, fd}}));
  }
  ASSERT_TRUE(client->keep(std::vector<HeldDescriptor>{{HeldKind::kArena, 0, first->fd()}}));
  auto found = client->fetch();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->size(), 3U);
  for (const HeldDescriptor& held : *found) {
    if (held.kind == HeldKind::kRecords) {
      EXPECT_EQ(inode_of(held.fd), inode_of(second->fd()));
    }
  }
  close_all(*found);
}

TEST(Holder, forgets_what_it_is_told_and_nothing_else) {
  RunningHolder holder;
  auto client = connect(holder);
  std::vector<std::unique_ptr<UdpSocket>> sockets;
  std::vector<HeldDescriptor> all;
  for (int i = 0; i < 10; ++i) {
    sockets.push_back(std::make_unique<UdpSocket>(loopback(1)));
    all.push_back({HeldKind::kSocket, 0, sockets.back()->fd()});
  }
  ASSERT_TRUE(client->keep(all));
  const UdpSocket stranger(loopback(1));
  ASSERT_TRUE(client->forget(std::vector<HeldDescriptor>{
      all[0], all[4], all[9], all[4], {HeldKind::kSocket, 0, stranger.fd()}}));
  auto found = client->fetch();
  ASSERT_TRUE(found);
  std::set<ino_t> inodes;
  for (const HeldDescriptor& held : *found) inodes.insert(inode_of(held.fd));
  close_all(*found);
  EXPECT_EQ(inodes.size(), 7U);
  for (const std::size_t gone : {0U, 4U, 9U}) EXPECT_FALSE(inodes.contains(inode_of(all[gone].fd)));
}

TEST(Holder, a_held_port_stays_bound_and_gathers_packets_and_reset_frees_it) {
  RunningHolder holder;
  auto client = connect(holder);
  auto socket = std::make_unique<UdpSocket>(loopback(1), 20500);
  ASSERT_TRUE(socket->bound());
  ASSERT_TRUE(client->keep(std::vector<HeldDescriptor>{{HeldKind::kSocket, 0, socket->fd()}}));
  socket.reset();
  EXPECT_FALSE(UdpSocket(loopback(1), 20500).bound());
  const UdpSocket sender(loopback(2));
  ASSERT_TRUE(sender.send_to({loopback(1), 20500}, "while you were away"));
  auto found = client->fetch();
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ(receive_soon((*found)[0].fd), "while you were away");
  close_all(*found);
  ASSERT_TRUE(client->reset());
  EXPECT_TRUE(UdpSocket(loopback(1), 20500).bound());
}

TEST(Holder, is_bounded_and_says_when_it_is_full) {
  RunningHolder holder(3);
  auto client = connect(holder);
  std::vector<std::unique_ptr<UdpSocket>> sockets;
  std::vector<HeldDescriptor> all;
  for (int i = 0; i < 5; ++i) {
    sockets.push_back(std::make_unique<UdpSocket>(loopback(1)));
    all.push_back({HeldKind::kSocket, 0, sockets.back()->fd()});
  }
  auto kept = client->keep(all);
  ASSERT_FALSE(kept);
  EXPECT_NE(kept.error().message.find("full"), std::string::npos);
  EXPECT_TRUE(client->connected());
  EXPECT_EQ(count_kept(*client), 3U);
  EXPECT_THAT(holder.log(), testing::HasSubstr("full"));
}

TEST(Holder, a_second_client_is_refused_while_the_first_lives) {
  RunningHolder holder;
  auto first = connect(holder);
  const UdpSocket socket(loopback(1));
  ASSERT_TRUE(first->keep(std::vector<HeldDescriptor>{{HeldKind::kSocket, 0, socket.fd()}}));
  for (int i = 0; i < 3; ++i) {
    auto second = HolderClient::open(holder.path);
    ASSERT_TRUE(second);
    const auto greeted = (*second)->greeted(Milliseconds{2000});
    ASSERT_FALSE(greeted);
    EXPECT_TRUE((*second)->is_busy());
    EXPECT_THAT(greeted.error().message, testing::HasSubstr("another turnpiked"));
    EXPECT_FALSE((*second)->fetch());
    EXPECT_FALSE((*second)->reset());
  }
  EXPECT_TRUE(first->connected());
  EXPECT_EQ(count_kept(*first), 1U);
  first.reset();
  EXPECT_EQ(count_kept(*connect(holder)), 1U) << "the next one finds what the first one left";
}

/// A holder that is there and answers nothing, as one that was stopped.
class SilentHolder {
 public:
  SilentHolder() : fd_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    sockaddr_storage storage{};
    std::memcpy(&storage, &address, sizeof address);
    EXPECT_EQ(bind(fd_, as_sockaddr(storage), sizeof address), 0);
    EXPECT_EQ(listen(fd_, 2), 0);
  }
  ~SilentHolder() {
    close(fd_);
    unlink(path.c_str());
  }
  /// The connection that waits, its greeting answered.
  int greet() const {
    const int fd = accept(fd_, nullptr, nullptr);
    std::vector<std::uint8_t> bytes(sizeof(HolderRequest));
    EXPECT_EQ(recv(fd, bytes.data(), bytes.size(), 0), 16);
    const HolderReply reply;
    std::memcpy(bytes.data(), &reply, sizeof reply);
    EXPECT_TRUE(send_message(fd, bytes, {}));
    return fd;
  }

  const std::string path = scratch_path("silent");

 private:
  int fd_;
};

TEST(HolderClient, a_silent_holder_is_waited_for_no_longer_than_told) {
  const SilentHolder holder;
  auto client = HolderClient::open(holder.path);
  ASSERT_TRUE(client) << client.error().message;
  const auto pending = (*client)->greeted(Milliseconds{0});
  ASSERT_TRUE(pending);
  EXPECT_FALSE(*pending);
  EXPECT_FALSE((*client)->fetch()) << "nothing works before the greeting";
  EXPECT_TRUE((*client)->connected());

  const int end = holder.greet();
  const auto greeted = (*client)->greeted(Milliseconds{0});
  ASSERT_TRUE(greeted);
  EXPECT_TRUE(*greeted);
  (*client)->set_patience(Milliseconds{1});
  const auto kept = (*client)->reset();
  ASSERT_FALSE(kept);
  EXPECT_THAT(kept.error().message, testing::HasSubstr("no answer within 1 ms"));
  EXPECT_FALSE((*client)->connected());
  close(end);
}

TEST(HolderClient, connecting_never_waits_for_a_full_backlog) {
  const SilentHolder holder;
  std::vector<std::unique_ptr<HolderClient>> waiting;
  for (int i = 0; i < 20; ++i) {
    auto client = HolderClient::open(holder.path);
    if (client) waiting.push_back(std::move(*client));
  }
  EXPECT_LT(waiting.size(), 20U) << "the backlog is meant to be full";
  EXPECT_FALSE(HolderClient::open(holder.path));
}

TEST(HolderClient, notices_the_end_of_its_holder_without_asking) {
  auto holder = std::make_unique<SilentHolder>();
  auto client = HolderClient::open(holder->path);
  ASSERT_TRUE(client);
  const int end = holder->greet();
  ASSERT_TRUE((*client)->greeted(Milliseconds{0}));
  EXPECT_TRUE((*client)->connected());
  close(end);
  EXPECT_FALSE((*client)->connected());
}

TEST(Holder, its_socket_is_for_its_user_only) {
  RunningHolder holder;
  struct stat status {};
  ASSERT_EQ(stat(holder.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

/// Runs `body` in a forked child, for its true; the child never returns into the test.
bool true_in_child(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(Holder, another_user_gets_nothing_from_it) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  RunningHolder holder;
  auto client = connect(holder);
  const UdpSocket socket(loopback(1));
  ASSERT_TRUE(client->keep(std::vector<HeldDescriptor>{{HeldKind::kSocket, 0, socket.fd()}}));
  constexpr uid_t kNobody = 65534;
  EXPECT_TRUE(true_in_child([&] {
    return setresuid(kNobody, kNobody, kNobody) == 0 && !RawConnection(holder.path).connected();
  })) << "the file mode must keep it out";
  ASSERT_EQ(chmod(holder.path.c_str(), 0666), 0);
  EXPECT_TRUE(true_in_child([&] {
    if (setresuid(kNobody, kNobody, kNobody) != 0) return false;
    const RawConnection connection(holder.path);
    HolderRequest hello;
    if (!connection.connected()) return false;
    connection.send(hello);  // may fail: cut off already
    return !connection.answered();
  })) << "the peer's uid must keep it out";
  EXPECT_TRUE(client->connected());
  EXPECT_EQ(count_kept(*client), 1U) << "and the client must not notice";
  EXPECT_THAT(holder.log(), testing::HasSubstr("uid 65534"));
  // The other way round: nobody's holder gets nothing of ours.
  const std::string path = scratch_path("foreign");
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (setresuid(kNobody, kNobody, kNobody) != 0) _exit(1);
    auto server = HolderServer::listen(path, 10, [](const std::string&) {});
    if (server && write(ready[1], "x", 1) == 1) (*server)->run(ready[0]);
    pause();
  }
  pollfd listening{ready[0], POLLIN, 0};
  ASSERT_EQ(poll(&listening, 1, 2000), 1);
  auto refused = HolderClient::connect(path);
  EXPECT_FALSE(refused);
  if (!refused) {
    EXPECT_THAT(refused.error().message, testing::HasSubstr("another user"));
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  unlink(path.c_str());
  close(ready[0]);
  close(ready[1]);
}

TEST(Holder, nothing_works_before_hello) {
  RunningHolder holder;
  for (const auto op : {HolderOp::kFetch, HolderOp::kReset, HolderOp::kKeep}) {
    const RawConnection connection(holder.path);
    HolderRequest request;
    request.op = op;
    ASSERT_TRUE(connection.send(request));
    EXPECT_FALSE(connection.answered());
  }
}

TEST(Holder, another_version_is_refused) {
  RunningHolder holder;
  const RawConnection connection(holder.path);
  HolderRequest hello;
  hello.version = kHolderVersion + 1;
  ASSERT_TRUE(connection.send(hello));
  EXPECT_FALSE(connection.answered());
}

TEST(Holder, a_descriptor_that_is_not_what_it_says_is_refused) {
  RunningHolder holder;
  for (const auto kind : {HeldKind::kArena, HeldKind::kRecords, static_cast<HeldKind>(0),
                          static_cast<HeldKind>(4), static_cast<HeldKind>(255)}) {
    auto client = connect(holder);
    const UdpSocket socket(loopback(1));
    EXPECT_FALSE(client->keep(std::vector<HeldDescriptor>{{kind, 0, socket.fd()}}));
  }
  auto client = connect(holder);
  auto memory = SharedMemory::create("m", 4096);
  ASSERT_TRUE(memory);
  EXPECT_FALSE(client->keep(std::vector<HeldDescriptor>{{HeldKind::kSocket, 0, memory->fd()}}));
  client = connect(holder);
  EXPECT_EQ(count_kept(*client), 0U);
}

TEST(Holder, garbage_loses_and_leaks_nothing) {
  RunningHolder holder;
  const UdpSocket socket(loopback(1));
  ASSERT_TRUE(
      connect(holder)->keep(std::vector<HeldDescriptor>{{HeldKind::kSocket, 0, socket.fd()}}));
  const auto before = open_descriptors();
  std::mt19937 random(20260101);
  for (int round = 0; round < 3000; ++round) {
    const RawConnection connection(holder.path);
    if (round % 2 == 0) {
      ASSERT_TRUE(connection.send(HolderRequest{}));
      ASSERT_TRUE(connection.answered());
    }
    HolderRequest request;
    request.op = static_cast<HolderOp>(random() % 7);
    // A well-formed reset is no garbage: it may close everything.
    if (request.op == HolderOp::kReset) request.count = 1;
    if (random() % 4 == 0) request.magic = static_cast<std::uint32_t>(random());
    if (random() % 4 == 0) request.count = static_cast<std::uint32_t>(random());
    if (random() % 4 == 0) request.from = static_cast<std::uint32_t>(random());
    std::vector<std::uint8_t> bytes(random() % 6000);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    std::memcpy(bytes.data(), &request, std::min(bytes.size(), sizeof request));
    connection.send(bytes, std::vector<int>(random() % 6, socket.fd()));
  }
  auto client = connect(holder);
  EXPECT_EQ(count_kept(*client), 1U);
  client.reset();
  auto last = connect(holder);  // the holder has noticed the end of all before when it answers
  last.reset();
  EXPECT_LE(open_descriptors(), before + 2);
}

TEST(Holder, a_client_that_does_not_read_cannot_hold_it_up) {
  RunningHolder holder;
  const RawConnection connection(holder.path);
  HolderRequest request;
  ASSERT_TRUE(connection.send(request));
  request.op = HolderOp::kFetch;
  fcntl(connection.fd(), F_SETFL, O_NONBLOCK);
  while (connection.send(request) || errno != EPIPE) continue;  // until it is cut off
  auto client = connect(holder);
  EXPECT_EQ(count_kept(*client), 0U);
}

TEST(Holder, too_low_a_descriptor_limit_costs_the_connection_and_nothing_else) {
  EXPECT_TRUE(true_in_child([] {
    RunningHolder holder;
    const UdpSocket socket(loopback(1));
    const UdpSocket other(loopback(1));
    auto client = connect(holder);
    if (!client->keep(std::vector<HeldDescriptor>{{HeldKind::kSocket, 0, socket.fd()}}))
      return false;
    const rlimit none{open_descriptors(), 4096};
    const rlimit enough{1024, 4096};
    setrlimit(RLIMIT_NOFILE, &none);
    const bool kept =
        client->keep(std::vector<HeldDescriptor>(8, {HeldKind::kSocket, 0, other.fd()}))
            .has_value();
    setrlimit(RLIMIT_NOFILE, &enough);
    return !kept && !client->connected() && count_kept(*connect(holder)) == 1;
  }));
}

TEST(Holder, an_old_socket_file_is_replaced_and_a_served_one_is_not) {
  const std::string path = scratch_path("stale");
  const auto ignore = [](const std::string&) {};
  ASSERT_TRUE(true_in_child([&] {
    auto server = HolderServer::listen(path, 10, ignore);
    if (!server) return false;
    server->release();  // dies without tidying up
    return true;
  }));
  auto server = HolderServer::listen(path, 10, ignore);
  ASSERT_TRUE(server) << server.error().message;
  auto second = HolderServer::listen(path, 10, ignore);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, testing::HasSubstr("another turnpike-holder"));
  server->reset();
  EXPECT_NE(access(path.c_str(), F_OK), 0);
  std::ofstream(path) << "precious";
  EXPECT_FALSE(HolderServer::listen(path, 10, ignore));
  EXPECT_EQ(access(path.c_str(), F_OK), 0);
  unlink(path.c_str());
  EXPECT_FALSE(HolderServer::listen("", 10, ignore));
  EXPECT_FALSE(HolderServer::listen(std::string(200, 'x'), 10, ignore));
  EXPECT_FALSE(HolderServer::listen("/nonexistent/holder", 10, ignore));
}

TEST(HolderClient, a_missing_holder_is_an_error_with_the_path) {
  auto client = HolderClient::connect("/nonexistent/holder");
  ASSERT_FALSE(client);
  EXPECT_THAT(client.error().message, testing::HasSubstr("/nonexistent/holder"));
  EXPECT_FALSE(HolderClient::connect(""));
  EXPECT_FALSE(HolderClient::connect(std::string(200, 'x')));
}

}  // namespace
}  // namespace turnpike
