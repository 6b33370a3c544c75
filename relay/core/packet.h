// A datagram in the batch: one slot of the shard's packet memory, rewritten in place from receive
// to send. A slot lives and dies with its batch; nobody keeps a Packet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "turnpike/address.h"
#include "turnpike/ids.h"

namespace turnpike {

constexpr std::size_t kSlotBytes = 2048;
/// In front of the payload, for headers that grow (a mux header, a channel number).
constexpr std::size_t kHeadroomBytes = 64;
/// Behind the payload, for the tag, index and MKI that protecting adds.
constexpr std::size_t kTailroomBytes = 64;
/// The longest datagram that is accepted.
constexpr std::size_t kPayloadBytesMax = kSlotBytes - kHeadroomBytes - kTailroomBytes;
constexpr std::size_t kBatchPacketsMax = 64;

/// Which socket of which session: what the I/O layer hands back with each datagram, and what an
/// engine names as the socket to send from.
struct SocketTag {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  Side side = Side::kA;
  Component component = Component::kRtp;
};

struct Packet {
  std::uint8_t* data = nullptr;  ///< kTailroomBytes more may be written behind kPayloadBytesMax
  std::uint32_t length = 0;      ///< may exceed kPayloadBytesMax: then the datagram was cut short
  SocketAddress source;
  SocketTag tag;
  std::uint32_t shed_behind = 0;  ///< later datagrams of the same socket that were thrown away
  std::uint32_t overflowed = 0;   ///< datagrams for which the socket's buffer had no room
};

/// A packet that an engine decided to send: `packet` of the batch, from a socket, to an address.
struct Send {
  const std::uint8_t* data = nullptr;
  std::uint32_t length = 0;
  SocketTag tag;
  SocketAddress destination;
  bool keepalive = false;
  bool rtcp = false;
  std::uint32_t line = 0;  ///< slot of the session that it counts for, unless it is a keep-alive
  /// STUN or DTLS: it may try an address that media never goes to.
  bool transport = false;
};

/// The memory of one batch: slots and their descriptions.
class Batch {
 public:
  Batch() : memory_(std::make_unique<std::uint8_t[]>(kSlotBytes * kBatchPacketsMax)) {}

  std::uint8_t* payload(std::size_t i) { return memory_.get() + i * kSlotBytes + kHeadroomBytes; }
  /// The next free packet, or null when the batch is full. Keep it with commit().
  Packet* next() {
    if (size_ == kBatchPacketsMax) return nullptr;
    Packet& packet = packets_[size_];
    packet.data = payload(size_);
    return &packet;
  }
  void commit() { ++size_; }
  void clear() { size_ = 0; }
  /// Keeps, of the packets from `first` on, those for which `keep(packet)` is true, in order.
  /// Their memory stays where it is: nothing is added to this batch afterwards.
  template <typename Keep>
  void keep_from(std::size_t first, Keep keep) {
    std::size_t kept = first;
    for (std::size_t i = first; i < size_; ++i) {
      if (!keep(packets_[i])) continue;
      if (kept != i) packets_[kept] = packets_[i];
      ++kept;
    }
    size_ = kept;
  }
  bool full() const { return size_ == kBatchPacketsMax; }
  std::size_t size() const { return size_; }
  Packet& operator[](std::size_t i) { return packets_[i]; }
  const Packet& operator[](std::size_t i) const { return packets_[i]; }

 private:
  std::unique_ptr<std::uint8_t[]> memory_;
  std::array<Packet, kBatchPacketsMax> packets_{};
  std::size_t size_ = 0;
};

/// What an engine wants sent after a batch or a deadline. Fixed room: nothing is allocated.
class Outbox {
 public:
  bool push(const Send& send) {
    if (size_ == sends_.size()) return false;
    sends_[size_++] = send;
    return true;
  }
  void clear() { size_ = 0; }
  bool full() const { return size_ == sends_.size(); }
  const Send* begin() const { return sends_.data(); }
  const Send* end() const { return sends_.data() + size_; }
  std::size_t size() const { return size_; }

 private:
  std::array<Send, kBatchPacketsMax> sends_{};
  std::size_t size_ = 0;
};

}  // namespace turnpike
