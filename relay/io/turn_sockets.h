// The sockets of one shard's TURN server: those at which clients ask, read in batches, and one for
// each relayed transport address, all behind one descriptor. Hides: epoll, recvmmsg, sendmmsg.
// Keeps nothing for a packet or a source: memory is that of the tables given at the start.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "relay/core/icmp_error.h"
#include "relay/core/packet.h"
#include "relay/io/udp_io.h"

namespace turnpike {

class TurnSockets {
 public:
  /// Null when the kernel has no descriptor for it. `slots`: allocations at a time.
  static std::unique_ptr<TurnSockets> make(std::uint32_t slots);
  ~TurnSockets();
  TurnSockets(const TurnSockets&) = delete;
  TurnSockets& operator=(const TurnSockets&) = delete;

  /// A bound socket at which clients ask, from now on owned: its datagrams carry shared_tag(i),
  /// i counted from 0 in the order of the calls. False when the kernel refuses.
  bool add_listener(int fd);
  /// A descriptor that others read: poll_fd() is readable when it is, too.
  bool add_companion(int fd);
  /// receive() has found it readable.
  bool companion_is_ready() const { return companion_is_ready_; }
  /// The socket of a relayed transport address; it belongs to the caller, who calls remove() and
  /// then closes it.
  bool add(int fd, const SocketTag& tag);
  /// What was bound to the tag; -1: nothing.
  int remove(const SocketTag& tag);

  /// Readable when receive() would find something.
  int poll_fd() const { return epoll_fd_; }
  /// Appends what waits: up to half a batch of the listeners together, one datagram of each relayed
  /// socket. True when more may wait. `shed`: what else waits in a relayed socket is thrown away
  /// and counted in its packet.
  bool receive(Batch& batch, bool shed = false);

  /// When the kernel got the datagram that has waited longest of those that the last receive() has
  /// read at listeners. By the clock of the day.
  struct Arrival {
    std::size_t index = 0;  ///< in the batch
    std::chrono::system_clock::time_point at;
  };
  const std::optional<Arrival>& arrival() const { return arrival_; }

  /// ICMP errors that the last receive() has found at relayed sockets, some of each.
  std::span<const IcmpError> errors() const { return {errors_.data(), error_count_}; }

  using Fate = std::function<void(const Send&, SendResult)>;
  /// Sends all, those of one socket with as few calls as possible and in their order. `fate` is
  /// told of those that did not leave.
  void send(std::span<const Send> sends, const Fate& fate);

 private:
  static constexpr std::size_t kErrorsMax = 32;  // of one receive(); the rest waits
  struct Entry {
    int fd = -1;
    std::uint32_t generation = 0;
  };
  struct Listener {
    int fd = -1;
    bool has_more = false;  // there was more than could be read
  };
  // Datagrams that leave by one socket, in one call.
  struct Group {
    int fd = -1;
    std::size_t count = 0;
    std::array<const Send*, kBatchPacketsMax> sends;
  };

  TurnSockets(int epoll_fd, std::uint32_t slots);
  bool watch(int fd, std::uint64_t data);
  Entry* entry(const SocketTag& tag);
  bool read_listener(std::uint32_t index, std::size_t share, Batch& batch);
  void read_relayed(std::uint64_t packed, bool shed, Batch& batch);
  void read_errors(std::uint64_t packed);
  Entry* entry_of(std::uint64_t packed, SocketTag& tag);
  int fd_of(const SocketTag& tag);
  static void add_to(Group& group, int fd, const Send& send, const Fate& fate);
  static void send_off(Group& group, const Fate& fate);

  int epoll_fd_;
  bool companion_is_ready_ = false;
  std::vector<Listener> listeners_;
  std::vector<Entry> entries_;  // by slot and side
  std::optional<Arrival> arrival_;
  std::array<IcmpError, kErrorsMax> errors_{};
  std::size_t error_count_ = 0;
};

}  // namespace turnpike
