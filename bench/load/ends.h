// The generator's sockets, one per side, and what is heard at them with the kernel's time stamps.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "bench/load/client_streams.h"
#include "bench/load/source_address.h"

namespace turnpike::bench {

/// Ends the program when `ip` is no address.
sockaddr_in address_of(const std::string& ip, std::uint16_t port);
/// By the clock of the kernel's receive time stamps.
std::int64_t now_ns();
/// On the same clock.
void sleep_until(std::int64_t end_ns);
/// Ends the program for the reason that is in errno.
[[noreturn]] void give_up(const char* what);

/// Two bound sockets, one per side, shared by all calls: the relay's ports tell the calls apart.
class Ends {
 public:
  explicit Ends(const std::array<std::string, 2>& address);
  ~Ends();
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;

  /// Packets that the kernel dropped because a socket's buffer was full.
  std::uint64_t unread() const;

  std::array<int, 2> fd{-1, -1};
  std::array<std::uint16_t, 2> port{};
  /// Side A's, instead of its socket; null: datagrams.
  std::unique_ptr<ClientStreams> streams;
};

/// Reads datagrams in bursts.
class Listener {
 public:
  Listener();

  /// Calls heard(datagram, arrival, destination) for each one that waits, kBurst at most.
  template <typename Heard>
  void receive(int fd, Heard heard) {
    for (std::size_t i = 0; i < last_; ++i) {
      message_[i].msg_hdr.msg_controllen = control_[i].size();
    }
    const int n = recvmmsg(fd, message_.data(), kBurst, MSG_DONTWAIT, nullptr);
    last_ = n < 0 ? 0 : static_cast<std::size_t>(n);
    for (std::size_t i = 0; i < last_; ++i) {
      msghdr& header = message_[i].msg_hdr;
      heard(std::span<const std::uint8_t>(data_[i].data(), message_[i].msg_len), arrival(header),
            destination_of(header));
    }
  }

 private:
  static std::int64_t arrival(msghdr& header);
  static constexpr std::size_t kBurst = 64;
  std::size_t last_ = kBurst;  // whose control lengths the kernel has changed
  std::array<mmsghdr, kBurst> message_{};
  std::array<iovec, kBurst> vector_{};
  std::array<std::array<std::uint8_t, 2048>, kBurst> data_{};
  alignas(cmsghdr) std::array<std::array<std::uint8_t, 64>, kBurst> control_{};
};

}  // namespace turnpike::bench
