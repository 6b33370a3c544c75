// Plain blocking sockets.
#include "control/ng/client.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/loop/socket_address.h"
#include "control/ng/bencode.h"

namespace turnpike::ng {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr int kTries = 5;
constexpr std::size_t kReplyBytesMax = 1u << 20;

Error errno_error(const std::string& what) {
  return Error{what + ": " + std::strerror(errno)};
}

/// Waits until there is something to read; false when `until` is over.
bool wait_readable(int fd, SteadyClock::time_point until) {
  for (;;) {
    const auto left = std::chrono::ceil<Milliseconds>(until - SteadyClock::now());
    if (left.count() <= 0) return false;
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

Result<Value::Dict> dictionary_of(Value reply) {
  if (auto* dict = reply.as_dict()) return std::move(*dict);
  return Error{"the reply is no dictionary"};
}

Result<int> connect_socket(int family, int type, const sockaddr* address, socklen_t length,
                           const std::string& name) {
  const int fd = ::socket(family, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno_error("cannot open a socket");
  if (::connect(fd, address, length) == 0) return fd;
  const Error error = errno_error("cannot connect to " + name);
  ::close(fd);
  return error;
}

}  // namespace

Result<Client> Client::connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error{"the path of the NG socket must have 1 to 107 bytes"};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const auto fd =
      connect_socket(AF_UNIX, SOCK_STREAM, loop::as_sockaddr(address), sizeof address, path);
  if (!fd) return fd.error();
  return Client(*fd, true);
}

Result<Client> Client::connect_udp(const SocketAddress& server) {
  const sockaddr_storage address = loop::to_sockaddr(server);
  const auto fd = connect_socket(address.ss_family, SOCK_DGRAM, loop::as_sockaddr(address),
                                 loop::length_of(address), to_string(server));
  if (!fd) return fd.error();
  return Client(*fd, false);
}

Client::~Client() {
  if (fd_ >= 0) ::close(fd_);
}

Client::Client(Client&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), is_stream_(other.is_stream_), sequence_(other.sequence_) {}

Client& Client::operator=(Client&& other) noexcept {
  std::swap(fd_, other.fd_);
  is_stream_ = other.is_stream_;
  sequence_ = other.sequence_;
  return *this;
}

Result<Value::Dict> Client::request(const Value::Dict& message, Milliseconds timeout) {
  return is_stream_ ? request_stream(message, timeout) : request_datagram(message, timeout);
}

Result<Value::Dict> Client::request_stream(const Value::Dict& message, Milliseconds timeout) {
  const auto until = SteadyClock::now() + timeout;
  std::string request = encode_bencode(message);
  for (std::string_view rest = request; !rest.empty();) {
    const ssize_t sent = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno_error("cannot send the request");
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  std::string reply;
  BencodeReader reader({.bytes_max = kReplyBytesMax});
  std::vector<char> buffer(65536);
  for (;;) {
    if (!wait_readable(fd_, until)) return Error{"no reply in time"};
    const ssize_t length = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return errno_error("cannot read the reply");
    if (length == 0) return Error{"the connection was closed before the reply was whole"};
    reply.append(buffer.data(), static_cast<std::size_t>(length));
    const auto progress = reader.read(reply);
    if (progress == BencodeReader::Progress::kDone) return dictionary_of(reader.take());
    if (progress == BencodeReader::Progress::kFailed) return Error{reader.error_text()};
  }
}

Result<Value::Dict> Client::request_datagram(const Value::Dict& message, Milliseconds timeout) {
  std::uint64_t random = 0;
  if (::getrandom(&random, sizeof random, 0) != sizeof random) return errno_error("getrandom");
  const std::string cookie = std::to_string(random) + "_" + std::to_string(++sequence_) + " ";
  const std::string request = cookie + encode_bencode(message);
  std::vector<char> buffer(65536);
  for (int attempt = 0; attempt < kTries; ++attempt) {
    if (::send(fd_, request.data(), request.size(), 0) < 0 && errno != ECONNREFUSED) {
      return errno_error("cannot send the request");
    }
    const auto until = SteadyClock::now() + timeout / kTries;
    while (wait_readable(fd_, until)) {
      const ssize_t length = ::recv(fd_, buffer.data(), buffer.size(), 0);
      if (length < 0 && errno == EINTR) continue;
      if (length < 0) return errno_error("no reply");
      std::string_view reply(buffer.data(), static_cast<std::size_t>(length));
      if (!reply.starts_with(cookie)) continue;  // a late reply to an earlier request
      auto value = decode_bencode(reply.substr(cookie.size()));
      if (!value) return value.error();
      return dictionary_of(*std::move(value));
    }
  }
  return Error{"no reply in time"};
}

}  // namespace turnpike::ng
