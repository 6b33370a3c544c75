// What the NG tests share: a call service that records, real sockets, a loop that runs until
// something is true.
#pragma once

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/call/call_service.h"
#include "control/loop/event_loop.h"
#include "control/loop/socket_address.h"
#include "control/loop/watchers.h"
#include "control/ng/request.h"

namespace turnpike::ng {

/// Answers at once with {"result": "ok", "sdp": <method>-<n>}, or keeps replies while `hold` is
/// set.
class RecordingCalls final : public call::CallService {
 public:
  struct Seen {
    std::string method;
    call::CallRequest request;
  };
  std::vector<Seen> seen;
  std::vector<call::ReplyFunction> held;
  bool hold = false;
  Value::Dict answer_with;  ///< instead of the usual reply, when not empty

  void offer(const call::CallRequest& request, call::ReplyFunction reply) override {
    record("offer", request, std::move(reply));
  }
  void answer(const call::CallRequest& request, call::ReplyFunction reply) override {
    record("answer", request, std::move(reply));
  }
  void remove(const call::CallRequest& request, call::ReplyFunction reply) override {
    record("delete", request, std::move(reply));
  }
  void query(const call::CallRequest& request, call::ReplyFunction reply) override {
    record("query", request, std::move(reply));
  }
  void list(const call::CallRequest& request, call::ReplyFunction reply) override {
    record("list", request, std::move(reply));
  }
  void publish(const call::CallRequest& request, call::ReplyFunction reply) override {
    record("publish", request, std::move(reply));
  }
  void subscribe(const call::CallRequest& request, call::ReplyFunction reply) override {
    record("subscribe request", request, std::move(reply));
  }
  void answer_subscription(const call::CallRequest& request, call::ReplyFunction reply) override {
    record("subscribe answer", request, std::move(reply));
  }
  void unsubscribe(const call::CallRequest& request, call::ReplyFunction reply) override {
    record("unsubscribe", request, std::move(reply));
  }
  void connect(const call::CallRequest& request, call::ReplyFunction reply) override {
    record("connect", request, std::move(reply));
  }
  void switch_media(call::MediaCommand what, const call::CallRequest& request,
                    call::ReplyFunction reply) override {
    record("media " + std::to_string(static_cast<int>(what)), request, std::move(reply));
  }
  Value::Dict node_statistics() const override { return {{"currentstatistics", Value::Dict{}}}; }
  void on_event(const Event&) override {}
  void on_tick() override {}
  void set_draining(bool) override {}
  std::size_t call_count() const override { return 0; }
  std::vector<call::CallSummary> calls() const override { return {}; }
  call::CallAdoption adopt() override { return {}; }

  void release_all() {
    for (auto& reply : std::exchange(held, {})) reply({{"result", "ok"}, {"sdp", "late"}});
  }

 private:
  void record(const std::string& method, const call::CallRequest& request,
              call::ReplyFunction reply) {
    seen.push_back({method, request});
    if (hold) {
      held.push_back(std::move(reply));
    } else if (!answer_with.empty()) {
      reply(answer_with);
    } else {
      reply({{"result", "ok"}, {"sdp", method + "-" + std::to_string(seen.size())}});
    }
  }
};

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/turnpike-ng-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TemporaryFolder() {
    ::unlink(socket().c_str());
    ::rmdir(path_.c_str());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string socket() const { return path_ + "/ng"; }

 private:
  std::string path_;
};

/// Runs the loop until `done`; the test fails when that takes ten seconds.
inline void run_until(loop::EventLoop& loop, const std::function<bool()>& done) {
  bool late = false;
  loop::Timer deadline(loop, [&] { late = true; });
  loop::Timer turn(loop, [] {});  // the loop turns although nothing else may happen
  deadline.start(Milliseconds{10000});
  turn.start(Milliseconds{1}, Milliseconds{1});
  while (!late && !done()) loop.run_once();
  EXPECT_FALSE(late) << "nothing happened for ten seconds";
}

/// The other end of a connection: plain system calls, as a foreign program would use them.
class PlainSocket {
 public:
  static PlainSocket to_unix(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    return PlainSocket(AF_UNIX, SOCK_STREAM, loop::as_sockaddr(address), sizeof address);
  }
  static PlainSocket to_tcp(const SocketAddress& server) {
    const sockaddr_storage address = loop::to_sockaddr(server);
    return PlainSocket(address.ss_family, SOCK_STREAM, loop::as_sockaddr(address),
                       loop::length_of(address));
  }
  static PlainSocket to_udp(const SocketAddress& server) {
    const sockaddr_storage address = loop::to_sockaddr(server);
    return PlainSocket(address.ss_family, SOCK_DGRAM, loop::as_sockaddr(address),
                       loop::length_of(address));
  }
  ~PlainSocket() { close(); }
  PlainSocket(PlainSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  PlainSocket& operator=(PlainSocket&&) = delete;

  void send(std::string_view bytes) const {
    ASSERT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()))
        << std::strerror(errno);
  }
  /// What one read gives now; empty when there is nothing. Sets `ended` at the end of the stream.
  std::string read_once() {
    static std::array<char, 1 << 18> buffer;
    const ssize_t length = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    ended = length == 0 || (length < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
    return {buffer.data(), length > 0 ? static_cast<std::size_t>(length) : 0};
  }
  void end_sending() const { ::shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  int fd() const { return fd_; }

  bool ended = false;

 private:
  PlainSocket(int family, int type, const sockaddr* address, socklen_t length)
      : fd_(::socket(family, type | SOCK_CLOEXEC, 0)) {
    EXPECT_EQ(::connect(fd_, address, length), 0) << std::strerror(errno);
  }
  int fd_;
};

/// One read that gives something, with the loop running meanwhile.
inline std::string await_bytes(loop::EventLoop& loop, PlainSocket& socket) {
  std::string bytes;
  run_until(loop, [&] {
    bytes = socket.read_once();
    return !bytes.empty() || socket.ended;
  });
  return bytes;
}

}  // namespace turnpike::ng
