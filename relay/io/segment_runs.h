// Datagrams of many sessions that leave together: those of one turn, of one size and towards one
// place go to the kernel as one piece, which it cuts into datagrams again (UDP_SEGMENT).
// Hides: which of them wait, the system call, a kernel or path that refuses it. Is not: a queue
// over turns; whoever adds calls flush() before the turn ends.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "relay/io/udp_io.h"

namespace turnpike {

/// Sends one datagram. `to` unset: where the socket is connected to. Returns 0 or the error number.
int transmit_datagram(int fd, std::span<const std::uint8_t> bytes, const SocketAddress& to);
/// Sends datagrams of `segment_bytes`, the last of which may be shorter; 0: one datagram.
int transmit_datagrams(int fd, std::span<std::uint8_t> bytes, std::size_t segment_bytes,
                       const SocketAddress& to);
SendResult result_of_transmit(int error);
/// Whether this kernel knows UDP_SEGMENT; one that does not would send a run as one datagram.
bool offers_segments(int fd);

class SegmentRuns {
 public:
  static constexpr std::size_t kSegmentsMax = 64;  // older kernels take no more
  static constexpr std::size_t kBytesMax = 64999;
  static constexpr std::size_t kRunsMax = 16;

  using Transmit =
      std::function<int(int, std::span<std::uint8_t>, std::size_t, const SocketAddress&)>;
  using Fate = std::function<void(const Send&, SendResult)>;

  /// What goes into one run: also the receiver's shard, since the socket of a group that gets a
  /// run gets all of it.
  struct Way {
    int fd = -1;
    std::uint8_t shard = 0;
    SocketAddress to;
    bool operator==(const Way&) const = default;
  };
  /// Datagrams that must not overtake each other: kept by whoever adds them, one for each stream.
  struct Stream {
    std::uint64_t serial = 0;
    std::uint32_t run = 0;
  };

  explicit SegmentRuns(Transmit transmit = transmit_datagrams);

  /// Called once for each datagram added, within add() of a later one or flush(); the `data` of
  /// the Send is gone then.
  void on_fate(Fate fate) { fate_ = std::move(fate); }
  /// Of a new socket; of others each datagram leaves alone.
  void add_socket(int fd, bool takes_segments);

  /// Room for a datagram of `bytes` (1 to kBytesMax), to be filled before the next call.
  std::uint8_t* add(const Way& way, std::size_t bytes, Stream& stream, const Send& send);
  void flush();

 private:
  struct Run {
    Way way;
    std::uint64_t serial = 0;  // 0: free
    std::size_t segment_bytes = 0;
    std::size_t used_bytes = 0;
    std::size_t count = 0;
    bool ended = false;  // by a shorter one, or must go alone
    std::uint8_t* memory = nullptr;
    std::array<Send, kSegmentsMax> sends;
  };
  struct Socket {
    int fd = -1;
    std::size_t segments_below = 0;  // datagrams shorter than this may be segments
  };

  static bool has_room(const Run& run, std::size_t bytes);
  Run* find(const Way& way, std::size_t bytes);
  Run* run_of(const Stream& stream);
  Run& open(const Way& way, std::size_t bytes);
  Socket* socket_of(int fd);
  void send_off(Run& run);
  void send_singly(const Run& run);
  void learn(const Run& run, int error);

  Transmit transmit_;
  std::unique_ptr<std::uint8_t[]> memory_;  // of all runs; pages that none has filled do not exist
  Fate fate_ = [](const Send&, SendResult) {};
  std::array<Run, kRunsMax> runs_;
  std::uint64_t serial_ = 0;
  std::vector<Socket> sockets_;
};

}  // namespace turnpike
