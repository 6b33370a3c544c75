// What is read of the kernel's tables, of files and of the API's answers.
#include "control/doctor/look.h"

#include <cerrno>
#include <cstdlib>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/doctor/daemon_state.h"
#include "control/doctor/signs.h"
#include "control/doctor/sockets.h"
#include "control/loop/socket_address.h"

namespace turnpike::doctor {
namespace {

using testing::IsEmpty;

const char* const kTcp =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode\n"
    "   0: 0A0200C0:1B59 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 "
    "4711 1 0000000000000000 100 0 0 10 0\n"
    "   1: 0100007F:1B59 0100007F:9999 01 00000000:00000000 00:00000000 00000000   999        0 "
    "4712 1 0\n"
    "   2: nonsense 00000000:0000 0A 00000000:00000000 00:00000000 00000000 999 0 4713 1 0\n"
    "   3: 0A0200C0\n";

TEST(DoctorSockets, table_of_tcp_gives_listeners) {
  const auto sockets = parse_socket_table(kTcp, false);
  ASSERT_EQ(sockets.size(), 1U);
  EXPECT_EQ(to_string(sockets[0].address), "192.0.2.10:7001");
  EXPECT_EQ(sockets[0].inode, 4711U);
}

TEST(DoctorSockets, table_of_udp6_gives_all_and_unmaps) {
  const auto sockets = parse_socket_table(
      "0: B80D0120000000000000000001000000:8CA0 X 07 0:0 0:0 0 0 0 55 1\n"
      "1: 0000000000000000FFFF00000A0200C0:8CA2 X 07 0:0 0:0 0 0 0 56 1\n"
      "2: 00000000000000000000000000000000:8CA4 X 07 0:0 0:0 0 0 0 57 1\n",
      true);
  ASSERT_EQ(sockets.size(), 3U);
  EXPECT_EQ(to_string(sockets[0].address), "[2001:db8::1]:36000");
  EXPECT_EQ(to_string(sockets[1].address), "192.0.2.10:36002");
  const SocketAddress any = *parse_socket_address("198.51.100.1:36004");
  ASSERT_NE(find_bound(sockets, any, true), nullptr) << "a socket for all addresses takes it";
  EXPECT_EQ(find_bound(sockets, any, true)->inode, 57U);
  EXPECT_EQ(find_bound(sockets, any, false), nullptr);
  EXPECT_EQ(find_bound(sockets, *parse_socket_address("198.51.100.1:36002"), true), nullptr);
}

/// A listener of this process on a free loopback port.
class Listener {
 public:
  Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage any = loop::to_sockaddr({IpAddress::v4(127, 0, 0, 1), 0});
    socklen_t size = loop::length_of(any);
    EXPECT_EQ(::bind(fd_, loop::as_sockaddr(any), size), 0);
    EXPECT_EQ(::listen(fd_, 5), 0);
    EXPECT_EQ(::getsockname(fd_, loop::as_sockaddr(any), &size), 0);
    address_ = loop::from_sockaddr(loop::as_sockaddr(any));
  }
  ~Listener() { ::close(fd_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  const SocketAddress& address() const { return address_; }

 private:
  int fd_;
  SocketAddress address_;
};

TEST(DoctorSockets, a_listener_is_found_with_its_process) {
  SocketAddress free;
  {
    const Listener listener;
    free = listener.address();
    ListenerFacts facts{.address = listener.address()};
    look_at_listener(read_bound_sockets(), facts);
    EXPECT_TRUE(facts.held);
    EXPECT_EQ(facts.holder.pid, ::getpid());
    EXPECT_EQ(facts.holder.name, "unit_doctor");
    EXPECT_EQ(try_tcp(listener.address()).error, 0);
  }
  ListenerFacts facts{.address = free};
  look_at_listener(read_bound_sockets(), facts);
  EXPECT_FALSE(facts.held);
  EXPECT_EQ(facts.bind_error, 0);
  EXPECT_EQ(try_tcp(free).error, ECONNREFUSED);
  facts.address.ip = IpAddress::v4(203, 0, 113, 77);
  look_at_listener({}, facts);
  EXPECT_EQ(facts.bind_error, EADDRNOTAVAIL);
}

TEST(DoctorLook, files_are_tried_as_the_account) {
  char path[] = "/tmp/turnpike-doctor-XXXXXX";
  const int fd = ::mkstemp(path);
  ASSERT_GE(fd, 0);
  ::close(fd);
  std::vector<FileFacts> files{{"here", path}, {"missing", std::string(path) + ".none"}};
  try_files(::getpwuid(::geteuid())->pw_name, files);
  EXPECT_EQ(files[0].error, 0);
  EXPECT_EQ(files[1].error, ENOENT);
  if (::geteuid() == 0) {
    try_files("nobody", files);
    EXPECT_EQ(files[0].error, EACCES);
    EXPECT_EQ(::geteuid(), 0U) << "this process has stayed what it was";
  }
  const ClockFacts clock = look_at_clock(files);
  EXPECT_EQ(clock.newest_file, path);
  EXPECT_LT(clock.newest_file_time - clock.now, Seconds{60});
  ::unlink(path);
}

TEST(DoctorLook, limits_of_a_process_and_of_its_sockets) {
  config::Settings settings;
  settings.media.socket_buffer_bytes = 4096;
  config::Host host;
  host.open_files_max = 77;
  EXPECT_EQ(look_at_limits(settings, host, 0).files_max, 77U);
  const LimitFacts own = look_at_limits(settings, host, ::getpid());
  EXPECT_TRUE(own.of_daemon);
  EXPECT_GE(own.files_max, 256U);
  EXPECT_GE(own.buffer_given_bytes, 4096U);
  settings.media.socket_buffer_bytes = 1U << 30;
  EXPECT_LT(look_at_limits(settings, host, 0).buffer_given_bytes, 1U << 30);
}

TEST(DoctorLook, names_resolve_or_not) {
  EXPECT_THAT(resolve_trouble("localhost"), IsEmpty());
  EXPECT_FALSE(resolve_trouble("no-such-name.invalid").empty());
}

TEST(DoctorSigns, who_holds_a_lock) {
  const std::string locks =
      "1: FLOCK  ADVISORY  WRITE 4540 fe:00:109 0 EOF\n"
      "2: POSIX  ADVISORY  WRITE 77 fe:00:110 0 EOF\n"
      "3: -> FLOCK  ADVISORY  WRITE 9 fe:00:111 0 EOF\n"
      "4: FLOCK  ADVISORY  WRITE x fe:00:112 0 EOF\n"
      "5: FLOCK\n\n";
  EXPECT_EQ(lock_owner(locks, makedev(0xfe, 0), 109), 4540);
  for (const ino_t other : {110, 111, 112, 10, 1090}) {
    EXPECT_EQ(lock_owner(locks, makedev(0xfe, 0), other), 0) << other;
  }
  EXPECT_EQ(lock_owner(locks, makedev(0xfe, 1), 109), 0);
  EXPECT_EQ(lock_owner("", makedev(0xfe, 0), 109), 0);
}

TEST(DoctorSigns, a_lock_of_this_process_is_seen) {
  config::Settings settings;
  settings.ng.unix_path = "/tmp/turnpike-doctor-lock-" + std::to_string(::getpid());
  const std::string path = settings.ng.unix_path + ".lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::string sign = "process " + std::to_string(::getpid()) + " holds " + path;
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  EXPECT_THAT(signs_of_life(settings, {}), testing::Contains(sign));
  ASSERT_EQ(::flock(fd, LOCK_UN), 0);
  EXPECT_THAT(signs_of_life(settings, {}), testing::Not(testing::Contains(sign)));
  ::close(fd);
  ::unlink(path.c_str());
}

TEST(DoctorLook, connections_are_told_from_what_listens) {
  const std::string line =
      "   0: 0100007F:1BBD 0A0200C0:1B59 01 00000000:00000000 00:00000000 00000000     0        0 "
      "4711 1\n";
  ASSERT_EQ(parse_connections(line).size(), 1U);
  EXPECT_EQ(to_string(parse_connections(line)[0].remote), "192.0.2.10:7001");
  EXPECT_EQ(to_string(parse_connections(line)[0].local), "127.0.0.1:7101");
  EXPECT_EQ(parse_connections(line)[0].inode, 4711U);
  EXPECT_THAT(parse_socket_table(line, false), IsEmpty());
  for (const char* state : {" 0A ", " 06 ", " 08 ", " xx "}) {
    std::string other = line;
    other.replace(other.find(" 01 "), 4, state);
    EXPECT_THAT(parse_connections(other), IsEmpty()) << state;
  }
  EXPECT_THAT(parse_connections("0: 0100007F 0A0200C0:1B59 01 a b c d e f g"), IsEmpty());
}

TEST(DoctorLook, a_holder_that_is_not_there) {
  EXPECT_EQ(try_holder("/nonexistent/holder.sock").error, ENOENT);
  EXPECT_EQ(try_holder(std::string(200, 'x')).error, ENAMETOOLONG);
}

TEST(DoctorDaemon, zones_are_read_from_the_api) {
  DaemonState daemon;
  ASSERT_TRUE(read_zones(R"({"zones": [{"name": "dmz", "files_trouble": null,
    "refused": [{"reason": "expired", "count": 3}, {"reason": "wrong_password", "count": 4}],
    "last_refusal": {"reason": "expired", "meaning": "m", "detail": "d", "address": null,
                     "age_seconds": 2.5},
    "peers": [{"name": "c1", "state": "down", "since_seconds": 9,
      "certificate": {"subject": "CN=c", "expires_in_days": 12.5},
      "connections": [{"state": "up", "address": "10.0.0.1:5", "tls": "TLSv1.3 X",
                       "round_trip_ms": 0.5, "last_error": null},
                      {"state": "down", "address": null, "tls": null, "round_trip_ms": null,
                       "last_error": null}],
      "flows": [{"number": 3, "state": "bound"}, {"number": 0, "state": "not agreed"}]}]}]})",
                         daemon));
  const ZoneState& zone = daemon.zones.at(0);
  EXPECT_EQ(zone.last_refusal.reason, "expired");
  EXPECT_EQ(zone.wrong_passwords, 4U);
  EXPECT_EQ(zone.last_refusal.address, "");
  const PeerState& peer = zone.peers.at(0);
  EXPECT_FALSE(peer.up);
  EXPECT_EQ(peer.address, "10.0.0.1:5");
  EXPECT_EQ(peer.certificate_days, 12.5);
  EXPECT_TRUE(peer.connections.at(0).up);
  EXPECT_TRUE(peer.flows.at(0).bound && peer.flows.at(0).agreed);
  EXPECT_FALSE(peer.flows.at(1).bound || peer.flows.at(1).agreed);
  EXPECT_EQ(peer.connections.at(0).round_trip_ms, 0.5);
  for (const char* other :
       {"", "{}", "[]", R"({"zones": [{"name": 5}]})", R"({"zones": {"a": 1}})"}) {
    EXPECT_FALSE(read_zones(other, daemon)) << other;
    EXPECT_THAT(daemon.zones, IsEmpty());
  }
}

TEST(DoctorDaemon, one_that_answers_something_else_is_there_all_the_same) {
  const std::string path = "/tmp/turnpike-doctor-" + std::to_string(::getpid()) + ".sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::bind(listener, loop::as_sockaddr(address), sizeof address), 0);
  ASSERT_EQ(::listen(listener, 5), 0);
  std::thread server([listener] {
    const int one = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    ::close(one);
  });
  const DaemonState daemon = ask_daemon(path);
  server.join();
  ::close(listener);
  ::unlink(path.c_str());
  EXPECT_FALSE(daemon.running);
  EXPECT_TRUE(daemon.unclear);
}

TEST(DoctorDaemon, nobody_answers) {
  EXPECT_FALSE(ask_daemon("").has_api);
  EXPECT_TRUE(ask_daemon("").unclear);
  const DaemonState daemon = ask_daemon("/nonexistent/api.sock");
  EXPECT_TRUE(daemon.has_api);
  EXPECT_FALSE(daemon.running);
  EXPECT_FALSE(daemon.unclear) << "nobody is there, so nothing can be disturbed";
  EXPECT_THAT(daemon.trouble, testing::HasSubstr("turnpiked is not running"));
}

}  // namespace
}  // namespace turnpike::doctor
