// Datagrams that the kernel hands over in one piece (UDP_GRO), taken apart again.
// Hides: the large buffers, the control message, what did not fit into a batch. Is not: which
// socket is asked when.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <sys/socket.h>

#include "relay/core/packet.h"
#include "turnpike/address.h"

namespace turnpike {

/// How long each datagram of a piece of `length` bytes is; `length` itself when the kernel names
/// nothing that makes sense.
std::size_t segment_bytes_of(const msghdr& message, std::size_t length);

class CoalescedReader {
 public:
  static constexpr std::size_t kPiecesMax = 16;
  static constexpr std::size_t kPieceBytes = 65536;

  /// Asks the kernel for whole pieces, before read(). Not of a socket that shares its port with
  /// others (SO_REUSEPORT): it would get in one piece what is for several of them. False when there
  /// will be none.
  bool ask(int fd);
  /// Reads up to `pieces_max` pieces that wait; call it only when nothing is kept. Their datagrams
  /// carry shared_tag(index). True when more may wait in the socket.
  bool read(int fd, std::uint32_t index, std::size_t pieces_max);
  /// Whether datagrams are kept that take() has not given yet.
  bool keeps() const { return next_ < count_; }
  /// Appends up to `datagrams_max` of them, in the order in which they came, as UdpIo::add_shared()
  /// says. Returns how many.
  std::size_t take(Batch& batch, std::size_t datagrams_max);

 private:
  struct Piece {
    std::size_t length = 0;  // may exceed kPieceBytes: cut short by the kernel
    std::size_t segment_bytes = 0;
    SocketAddress source;
  };

  std::unique_ptr<std::uint8_t[]> memory_;
  std::array<Piece, kPiecesMax> pieces_;
  std::uint32_t index_ = 0;
  std::size_t count_ = 0;
  std::size_t next_ = 0;    // piece
  std::size_t offset_ = 0;  // in it
};

}  // namespace turnpike
