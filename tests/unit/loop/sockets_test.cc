// Unix and UDP sockets against plain system calls at the other end.
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/loop/socket_address.h"
#include "control/loop/udp_socket.h"
#include "control/loop/unix_socket.h"
#include "control/loop/watchers.h"

namespace turnpike::loop {
namespace {

/// A folder below /tmp that goes away with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/turnpike-loop-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TemporaryFolder() {
    ::unlink((path_ + "/s").c_str());
    ::rmdir(path_.c_str());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string socket() const { return path_ + "/s"; }

 private:
  std::string path_;
};

/// Runs the loop until `done`, or fails after a generous time.
void run_until(EventLoop& loop, const std::function<bool()>& done) {
  bool late = false;
  Timer deadline(loop, [&] { late = true; });
  deadline.start(Milliseconds{10000});
  while (!done() && !late) loop.run_once();
  EXPECT_FALSE(late) << "nothing happened for ten seconds";
}

int connect_to(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (::connect(fd, as_sockaddr(address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

TEST(UnixListener, echoes_and_sees_the_end) {
  EventLoop loop;
  const TemporaryFolder folder;
  std::unique_ptr<StreamConnection> connection;
  bool ended = false;
  bool drained = false;
  auto listener = UnixListener::listen(
      loop, {.path = folder.socket()}, [&](std::unique_ptr<StreamConnection> accepted) {
        connection = std::move(accepted);
        connection->start({.on_data = [&](auto bytes) { connection->write(std::string(bytes)); },
                           .on_end = [&] { ended = true; },
                           .on_drained = [&] { drained = true; }});
      });
  ASSERT_TRUE(listener) << listener.error().message;
  const int client = connect_to(folder.socket());
  ASSERT_GE(client, 0);
  ASSERT_EQ(::write(client, "hello", 5), 5);
  ::shutdown(client, SHUT_WR);
  run_until(loop, [&] { return ended && drained; });
  char buffer[16];
  ASSERT_EQ(::read(client, buffer, sizeof buffer), 5);
  EXPECT_EQ(std::string(buffer, 5), "hello");
  EXPECT_EQ(connection->peer().pid, ::getpid());
  EXPECT_EQ(connection->peer().uid, ::getuid());
  connection->end();
  bool closed = false;
  run_until(loop, [&] { return closed = ::recv(client, buffer, 1, MSG_DONTWAIT) == 0; });
  EXPECT_TRUE(closed);
  ::close(client);
}

TEST(UnixListener, a_peer_that_hangs_up_breaks_the_connection_only) {
  EventLoop loop;
  const TemporaryFolder folder;
  std::unique_ptr<StreamConnection> connection;
  bool broken = false;
  auto listener = UnixListener::listen(loop, {.path = folder.socket()},
                                       [&](std::unique_ptr<StreamConnection> accepted) {
                                         connection = std::move(accepted);
                                         connection->start({.on_broken = [&] { broken = true; }});
                                       });
  ASSERT_TRUE(listener);
  const int client = connect_to(folder.socket());
  run_until(loop, [&] { return connection != nullptr; });
  ::close(client);
  connection->write(std::string(1 << 20, 'x'));
  run_until(loop, [&] { return broken; });
}

TEST(UnixListener, back_pressure_is_visible_and_ends) {
  EventLoop loop;
  const TemporaryFolder folder;
  std::unique_ptr<StreamConnection> connection;
  bool drained = false;
  auto listener = UnixListener::listen(loop, {.path = folder.socket()},
                                       [&](std::unique_ptr<StreamConnection> accepted) {
                                         connection = std::move(accepted);
                                         connection->start({.on_drained = [&] { drained = true; }});
                                       });
  const int client = connect_to(folder.socket());
  run_until(loop, [&] { return connection != nullptr; });
  constexpr std::size_t kBytes = 8 << 20;
  connection->write(std::string(kBytes, 'x'));
  EXPECT_GT(connection->bytes_unsent(), 0u);
  std::string buffer(1 << 20, '\0');
  std::size_t received = 0;
  run_until(loop, [&] {
    const auto n = ::recv(client, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n > 0) received += static_cast<std::size_t>(n);
    loop.post([] {});  // so that the loop turns although nothing else may happen
    return received == kBytes && drained;
  });
  EXPECT_EQ(connection->bytes_unsent(), 0u);
  ::close(client);
}

TEST(UnixListener, socket_has_its_mode_and_goes_away_with_the_listener) {
  EventLoop loop;
  const TemporaryFolder folder;
  struct stat status {};
  {
    auto listener = UnixListener::listen(
        loop, {.path = folder.socket(), .mode = 0660, .group = std::to_string(::getgid())}, {});
    ASSERT_TRUE(listener) << listener.error().message;
    ASSERT_EQ(::stat(folder.socket().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777u, 0660u);
    EXPECT_EQ(status.st_gid, ::getgid());
  }
  EXPECT_NE(::stat(folder.socket().c_str(), &status), 0);
}

TEST(UnixListener, replaces_a_stale_socket_but_not_a_served_one) {
  EventLoop loop;
  const TemporaryFolder folder;
  {
    const int dead = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, folder.socket().data(), folder.socket().size());
    ASSERT_EQ(::bind(dead, as_sockaddr(address), sizeof address), 0);
    ::close(dead);  // the file stays, as after a crash
  }
  const auto first = UnixListener::listen(loop, {.path = folder.socket()}, {});
  ASSERT_TRUE(first) << first.error().message;
  const auto second = UnixListener::listen(loop, {.path = folder.socket()}, {});
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("another process serves it"), std::string::npos);
}

TEST(UnixListener, refuses_a_plain_file_a_long_path_and_an_unknown_group) {
  EventLoop loop;
  const TemporaryFolder folder;
  std::ofstream(folder.socket()) << "precious";
  EXPECT_FALSE(UnixListener::listen(loop, {.path = folder.socket()}, {}));
  EXPECT_EQ(::access(folder.socket().c_str(), F_OK), 0);
  EXPECT_FALSE(UnixListener::listen(loop, {.path = "/tmp/" + std::string(103, 'x')}, {}));
  EXPECT_FALSE(UnixListener::listen(loop, {.path = ""}, {}));
  EXPECT_FALSE(UnixListener::listen(loop, {.path = "/nonexistent/folder/s"}, {}));
  const auto no_group =
      UnixListener::listen(loop, {.path = folder.socket() + "x", .group = "no-such-group"}, {});
  ASSERT_FALSE(no_group);
  EXPECT_NE(no_group.error().message.find("no-such-group"), std::string::npos);
  EXPECT_NE(::access((folder.socket() + "x").c_str(), F_OK), 0);
}

TEST(UdpSocket, receives_with_sender_and_replies) {
  EventLoop loop;
  for (const IpAddress ip : {IpAddress::v4(127, 0, 0, 1), *parse_ip("::1")}) {
    std::string at_server;
    std::string at_client;
    UdpSocket* server_socket = nullptr;
    auto server = UdpSocket::bind(loop, {ip, 0}, [&](std::string_view text, const auto& from) {
      at_server = text;
      EXPECT_TRUE(server_socket->send("reply to " + at_server, from));
    });
    ASSERT_TRUE(server) << server.error().message;
    server_socket = &*server;
    auto client = UdpSocket::bind(loop, {ip, 0}, [&](std::string_view text, const auto& from) {
      at_client = text;
      EXPECT_EQ(from, server->local_address());
    });
    ASSERT_TRUE(client) << client.error().message;
    ASSERT_TRUE(client->send("one", server->local_address()));
    run_until(loop, [&] { return !at_client.empty(); });
    EXPECT_EQ(at_client, "reply to one");
  }
}

TEST(UdpSocket, carries_the_largest_datagram_whole) {
  EventLoop loop;
  std::size_t received = 0;
  const SocketAddress any{IpAddress::v4(127, 0, 0, 1), 0};
  auto server = UdpSocket::bind(loop, any, [&](auto text, const auto&) { received = text.size(); });
  auto client = UdpSocket::bind(loop, any, [](auto, const auto&) {});
  ASSERT_TRUE(server && client);
  const std::string largest(65507, 'x');
  ASSERT_TRUE(client->send(largest, server->local_address()));
  run_until(loop, [&] { return received != 0; });
  EXPECT_EQ(received, largest.size());
  EXPECT_FALSE(client->send(largest + "x", server->local_address()));
}

TEST(UdpSocket, says_which_address_is_taken) {
  EventLoop loop;
  const auto none = [](auto, const auto&) {};
  auto first = UdpSocket::bind(loop, {IpAddress::v4(127, 0, 0, 1), 0}, none);
  ASSERT_TRUE(first);
  const auto second = UdpSocket::bind(loop, first->local_address(), none);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find(to_string(first->local_address())), std::string::npos);
}

TEST(SocketAddress, survives_the_way_through_sockaddr) {
  for (const char* text : {"192.0.2.1:5060", "[2001:db8::1]:65535"}) {
    const auto address = parse_socket_address(text);
    ASSERT_TRUE(address);
    const sockaddr_storage storage = to_sockaddr(*address);
    EXPECT_EQ(from_sockaddr(as_sockaddr(storage)), *address);
  }
  const sockaddr_storage none = to_sockaddr({});
  EXPECT_FALSE(from_sockaddr(as_sockaddr(none)).is_set());
}

}  // namespace
}  // namespace turnpike::loop
