// How a shard reads and writes datagrams: batches in, batches out. Hides system calls. One
// implementation per back-end; the shard and the tests take any of them.
#pragma once

#include "relay/core/packet.h"
#include "turnpike/address.h"
#include "turnpike/stats.h"
#include "turnpike/time.h"

namespace turnpike {

/// The fate of one send.
enum class SendResult : std::uint8_t {
  kSent,
  kBlocked,
  kFailed,
  kUnbound,  ///< the shared flow has no address at the other end
  kWaiting,  ///< of post(): it leaves when the turn ends, at the latest; its fate is told then
};

/// What came back instead of an answer, of the address that a socket sends its media to.
struct SendErrors {
  SocketAddress to;
  std::uint32_t refused = 0;      ///< nobody listens at the port (ICMP)
  std::uint32_t unreachable = 0;  ///< no route, no neighbour, or a filter on the way (ICMP, ours)
  Instant last{};
};

constexpr std::uint32_t kSharedSlot = 0xffffffff;
constexpr std::size_t kSharedHeadroomBytes = 20;
constexpr std::size_t kSharedBurst = 32;
constexpr SocketTag shared_tag(std::uint32_t index) {
  return {kSharedSlot, index, Side::kA, Component::kRtp};
}
constexpr bool is_shared(const SocketTag& tag) {
  return tag.slot == kSharedSlot;
}

/// What receive() leaves behind.
enum class Waiting : std::uint8_t {
  kNothing,  ///< no socket had anything
  kLittle,   ///< every socket that had something was read; a datagram may wait behind another
  kBacklog,  ///< as kLittle, and a socket had something each time it was asked in this turn
  kMore,     ///< the batch was full before all sockets were read
};

class UdpIo {
 public:
  virtual ~UdpIo() = default;

  /// Starts reading from a bound non-blocking socket; its datagrams carry `tag`, and sends with an
  /// equal tag leave from it. False when the kernel refuses (out of memory).
  virtual bool add(int fd, const SocketTag& tag) = 0;
  /// A second socket of the same tag, after add(): sends to addresses of this family leave by it.
  virtual bool add_other_family(int fd, const SocketTag& tag, AddressFamily family) = 0;
  /// Stops reading; the descriptor stays open. Of the two of a tag, the second one goes first.
  virtual void remove(int fd, const SocketTag& tag) = 0;
  /// Starts reading from a socket of many sessions. Its datagrams carry shared_tag(index) and lie
  /// `kSharedHeadroomBytes` before where others begin, for the header that says whose they are.
  /// Up to kSharedBurst datagrams of all of them are read at a time; what the kernel gave beyond
  /// is kept, in order, for the next receive().
  virtual bool add_shared(int fd, std::uint32_t index) = 0;

  /// What receive() calls a turn begins.
  virtual void begin_turn() = 0;
  /// What they and post() keep leaves, or makes poll_fd() readable.
  virtual void end_turn() {}
  /// Between turns: readable when receive() would find something.
  virtual int poll_fd() const = 0;
  /// Appends to `batch` what waits, one datagram of each socket, so that a flood on one port
  /// starves no other. `shed`: throws away what waits behind it, and counts that in the packet, as
  /// what the kernel threw away because the socket's buffer was full.
  virtual Waiting receive(Batch& batch, bool shed) = 0;
  /// Whether receive() would find something now.
  virtual bool readable() const = 0;
  /// Sends one datagram now. Never queues: kBlocked is a lost packet.
  virtual SendResult send(const Send& send) = 0;
  /// As send(), but may keep it (kWaiting) until end_turn(), to send it together with others. Those
  /// of one socket and component stay in order.
  virtual SendResult post(const Send& send) { return this->send(send); }
  /// Only what the kernel tells: of ICMP, what concerns an address that is sent to often.
  virtual SendErrors errors_of(const SocketTag& tag) const {
    static_cast<void>(tag);
    return {};
  }
};

}  // namespace turnpike
