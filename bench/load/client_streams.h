// The connections of TURN clients over TCP and TLS, one for each address: RFC 8656 section 3.1.
// Hides: epoll, TLS by OpenSSL, where one message ends and the next begins. Server certificates are
// not checked.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "bench/load/stun.h"

struct ssl_ctx_st;
struct ssl_st;

namespace turnpike::bench {

enum class Transport : std::uint8_t { kUdp, kTcp, kTls };

class ClientStreams {
 public:
  ClientStreams(const sockaddr_in& server, Transport transport);
  ~ClientStreams();
  ClientStreams(const ClientStreams&) = delete;
  ClientStreams& operator=(const ClientStreams&) = delete;

  // Addresses are in network order. Where something fails the program ends.
  /// Connects from there, unless that is done; handshake included.
  void open(std::uint32_t ip);
  void close(std::uint32_t ip);
  /// One message, or several whole ones. Waits while the server takes nothing.
  void send(std::uint32_t ip, std::span<const iovec> pieces);

  /// Calls heard(message, address of the client) for what waits; false when nothing did.
  template <typename Heard>
  bool receive(Heard heard, int wait_ms = 0) {
    const int ready =
        epoll_wait(epoll_fd_, events_.data(), static_cast<int>(events_.size()), wait_ms);
    for (int i = 0; i < ready; ++i) {
      Stream& stream = *static_cast<Stream*>(events_[static_cast<std::size_t>(i)].data.ptr);
      while (read(stream)) {
        std::size_t at = 0;
        for (std::size_t size = 0; (size = message_size(stream, at)) != 0; at += size) {
          heard(stun::Bytes(stream.bytes.data() + at, size), stream.ip);
        }
        keep_from(stream, at);
      }
    }
    return ready > 0;
  }

 private:
  struct Stream {
    std::uint32_t ip = 0;
    int fd = -1;
    ssl_st* tls = nullptr;
    std::size_t filled = 0;
    std::array<std::uint8_t, 8192> bytes{};
  };

  bool read(Stream& stream);
  /// Of the whole message there, with its padding; 0: it is not all there.
  static std::size_t message_size(const Stream& stream, std::size_t at);
  static void keep_from(Stream& stream, std::size_t at);
  static void await(int fd, short event);
  static void write(Stream& stream, stun::Bytes bytes);

  sockaddr_in server_;
  ssl_ctx_st* context_ = nullptr;  // of TLS
  int epoll_fd_;
  std::array<epoll_event, 64> events_{};
  std::unordered_map<std::uint32_t, std::unique_ptr<Stream>> streams_;
  std::vector<std::uint8_t> joined_;
};

}  // namespace turnpike::bench
