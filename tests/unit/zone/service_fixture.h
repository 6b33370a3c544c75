// Two services in one process on loopback: an edge and a core, real sockets, plain TCP programs at
// both ends.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/zone/service.h"
#include "tests/support/certificates.h"

namespace turnpike::zone {

inline std::string my_account() {
  const passwd* entry = ::getpwuid(::geteuid());
  return entry == nullptr ? "root" : entry->pw_name;
}

inline SocketAddress loopback(std::uint16_t port) {
  return {IpAddress::v4(127, 0, 0, 1), port};
}

/// An address that nobody uses, below the ports that the kernel gives to those who ask for any.
inline SocketAddress free_address(loop::EventLoop& loop) {
  static unsigned next = static_cast<unsigned>(::getpid()) * 64;
  for (;;) {
    const auto port = static_cast<std::uint16_t>(12000 + next++ % 20000);
    if (loop::TcpListener::listen(loop, loopback(port), [](int fd) { ::close(fd); })) {
      return loopback(port);
    }
  }
}

/// A TCP program at the end of a stream: echoes what it gets, ends when the other end does.
class Echo {
 public:
  explicit Echo(loop::EventLoop& loop) {
    listener_ = *loop::TcpListener::listen(loop, loopback(0), [this, &loop](int fd) {
      connections_.push_back(loop::TcpConnection::adopt(loop, fd));
      auto* connection = connections_.back().get();
      connection->start({.on_data =
                             [this, connection](std::string_view bytes) {
                               received_ += bytes.size();
                               if (echoes) connection->write(bytes);
                             },
                         .on_end = [connection] { connection->end(); },
                         .on_broken = [this](const std::string&) { ++broken; }});
      if (stalls) connection->pause_reading();
    });
  }
  SocketAddress address() const { return listener_.local_address(); }
  std::size_t received() const { return received_; }
  std::vector<std::unique_ptr<loop::TcpConnection>>& connections() { return connections_; }

  bool echoes = true;
  bool stalls = false;
  int broken = 0;

 private:
  loop::TcpListener listener_;
  std::size_t received_ = 0;
  std::vector<std::unique_ptr<loop::TcpConnection>> connections_;
};

/// The TCP program that connects.
struct Caller {
  std::unique_ptr<loop::TcpConnection> tcp;
  std::string received;
  bool ended = false;
  bool broken = false;

  Caller(loop::EventLoop& loop, const SocketAddress& to) {
    tcp = std::move(*loop::TcpConnection::dial(loop, to));
    tcp->start({.on_data = [this](std::string_view bytes) { received += bytes; },
                .on_end = [this] { ended = true; },
                .on_broken = [this](const std::string&) { broken = true; }});
  }
};

class ZoneService : public ::testing::Test {
 protected:
  ZoneService() : edge_echo_(loop_), core_echo_(loop_) {
    authority_.issue("edge", {.common_name = "edge", .alternative_names = "DNS:edge.example.com"});
    authority_.issue("core", {.common_name = "core", .alternative_names = "DNS:core.example.com"});
    edge_config_ = config(Role::kEdge);
    core_config_ = config(Role::kCore);
    core_config_.zones[0].peers[0].address = edge_config_.zones[0].listen;
  }

  ServiceConfig config(Role role) {
    const bool edge = role == Role::kEdge;
    ZoneConfig zone;
    zone.name = "dmz";
    zone.kind = "uc";
    zone.user = "pair";
    zone.password_file = "password";
    const std::string name = edge ? "edge" : "core";
    zone.tls = {.certificate_file = authority_.path(name + ".pem"),
                .private_key_file = authority_.path(name + ".key"),
                .trust_file = authority_.trust(),
                .protocol = kTlsProtocol};
    if (edge) zone.listen = free_address(loop_);
    PeerConfig peer;
    peer.name = edge ? "c1" : "e1";
    peer.tls_name = edge ? "core.example.com" : "edge.example.com";
    peer.sip_listen = free_address(loop_);
    peer.sip_target = (edge ? edge_echo_ : core_echo_).address();
    zone.peers = {peer};
    return {role, edge ? "edge-1" : "core-1", my_account(), {zone}};
  }

  Service::Callbacks callbacks() {
    return {.note = [this](const Note& note) { notes_ += note.event + (" " + note.what) + "\n"; },
            .random_bytes =
                [](void* buffer, std::size_t size) {
                  ASSERT_EQ(::getrandom(buffer, size, 0), static_cast<ssize_t>(size));
                },
            .read_secret = [this](const std::string& path) -> Result<Secret> {
              const std::string& text = path == "password" ? password_ : path;
              if (text.empty()) return Error{"no password"};
              return Secret(text);
            }};
  }
  void start_edge() {
    auto made = Service::start(loop_, edge_config_, callbacks());
    ASSERT_TRUE(made) << made.error().message;
    edge_ = std::move(*made);
  }
  void start_core() {
    auto made = Service::start(loop_, core_config_, callbacks());
    ASSERT_TRUE(made) << made.error().message;
    core_ = std::move(*made);
  }
  void start() {
    start_edge();
    start_core();
    ASSERT_TRUE(wait_for([this] { return is_up(); })) << notes_;
  }
  bool is_up() const { return edge_->report()[0].peers[0].up && core_->report()[0].peers[0].up; }
  bool wait_for(const std::function<bool()>& condition, Seconds patience = Seconds{20}) {
    bool late = false;
    loop::Timer wake(loop_, [] {});
    wake.start(Milliseconds{5}, Milliseconds{5});
    loop::Timer end(loop_, [&late] { late = true; });
    end.start(patience);
    while (!condition() && !late) loop_.run_once();
    return condition();
  }
  std::uint64_t refused(const Service& service, Reason reason) const {
    return service.report()[0].refused.at(static_cast<std::size_t>(reason));
  }
  SocketAddress edge_door() const { return edge_config_.zones[0].peers[0].sip_listen; }
  SocketAddress core_door() const { return core_config_.zones[0].peers[0].sip_listen; }

  CertificateFolder authority_;
  loop::EventLoop loop_;
  std::string password_ = "open sesame";
  std::string notes_;
  Echo edge_echo_;
  Echo core_echo_;
  ServiceConfig edge_config_;
  ServiceConfig core_config_;
  std::unique_ptr<Service> edge_;
  std::unique_ptr<Service> core_;
};

}  // namespace turnpike::zone
