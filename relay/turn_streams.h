// The connections of one shard's TURN clients (RFC 8656 section 3.1): accepted here, or handed over
// with TLS done; cut into messages, written in as few pieces as possible, closed in time.
// Hides: framing, buffers, back-pressure, limits. Is not: TURN; a message goes to the engine in a
// batch as a datagram does, with a tag that names its connection.
//
// A connection holds two buffers of fixed size and nothing else. What does not fit the one to the
// client is dropped; who sends what is no message is closed.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "relay/core/byte_stream.h"
#include "relay/core/packet.h"
#include "relay/core/slot_ring.h"
#include "relay/core/stream_output.h"
#include "relay/core/timer_wheel.h"
#include "relay/io/stream_poll.h"
#include "relay/io/udp_io.h"
#include "relay/turn/source_gate.h"
#include "turnpike/turn.h"

namespace turnpike {

constexpr std::uint32_t kStreamSlot = 0x80000000;
constexpr bool is_stream(const SocketTag& tag) {
  return (tag.slot & 0xc0000000) == kStreamSlot;  // the rest: turn_dtls.h
}

/// A client's data connection (RFC 6062) on its way from a shard, with what was read and not cut,
/// and written and not sent.
struct TurnTcpClient {
  std::unique_ptr<ByteStream> stream;
  std::uint64_t source = 0;  ///< counted at the gate, with its place
  turn::ListenerTransport transport = turn::ListenerTransport::kTcp;
  std::vector<std::uint8_t> input;
  std::vector<std::uint8_t> output;
};

class TurnStreams {
 public:
  /// Until the first whole STUN message.
  static constexpr Seconds kFirstMessage{10};
  /// Without an allocation.
  static constexpr Seconds kAlone{60};
  /// Without taking a byte of what waits for the client.
  static constexpr Seconds kStalled{20};
  /// The three are looked at so often.
  static constexpr Seconds kLook{5};
  /// When no descriptor was left for a connection.
  static constexpr Milliseconds kAcceptPause{500};
  /// Of one listening socket at a time: messages of those who are there come in between.
  static constexpr int kAcceptsMax = 8;
  /// One of so many places is kept for those who come: who is there longest without an allocation
  /// makes room.
  static constexpr std::uint32_t kSpareShare = 16;
  /// Of one connection at a time.
  static constexpr std::size_t kMessagesMax = 16;
  static constexpr std::size_t kInputBytes = 8192;

  struct Handlers {
    /// The connection has an allocation.
    std::function<bool(const SocketTag&)> has_allocation;
    /// It is gone.
    std::function<void(const SocketTag&)> closed;
  };
  /// Null when the kernel has no descriptor for it.
  static std::unique_ptr<TurnStreams> make(std::uint32_t connections_max, turn::SourceGate gate,
                                           turn::Counters& counters, Handlers handlers);
  ~TurnStreams();

  /// A listening socket, from now on owned; `listener` is its index in turn::Config::listeners.
  bool add_listener(int fd, std::uint32_t listener, turn::ListenerTransport transport);
  /// A connection that others have accepted and counted at the gate under `source`. False, and it
  /// is closed, when there is no room for it.
  bool adopt(std::unique_ptr<ByteStream> stream, const SocketAddress& client, std::uint64_t source,
             std::uint32_t listener, turn::ListenerTransport transport, Instant now);

  /// Readable when receive() would find something.
  int poll_fd() const { return poll_->fd(); }
  /// Messages wait that were read already; poll_fd() says so as well.
  bool has_unread() const { return !unread_.empty(); }
  /// Appends whole messages, accepts and writes what waits. True when more may wait. Ends nothing:
  /// after the batch was handled, reap() does.
  bool receive(Batch& batch, Instant now);
  void reap();
  /// Takes a connection out, with what it holds, for somebody else to read and write; null when it
  /// has ended. It stays counted at the gate.
  std::unique_ptr<TurnTcpClient> release(const SocketTag& tag);
  /// After a ConnectionBind request nothing is cut: what follows may be data (RFC 6062 section
  /// 5.4). Who was not released is read on.
  void go_on_after_binds();
  /// The listener by which the connection of a packet came.
  std::uint32_t listener_of(const SocketTag& tag) const;

  /// Puts it behind what waits for the client. Nothing leaves before write_out().
  SendResult post(const Send& send, Instant now);
  void write_out(Instant now);

  Instant next_deadline() const { return timers_.next_deadline(); }
  void on_deadline(Instant now);
  std::size_t size() const { return size_; }

 private:
  struct Connection;
  struct Listener {
    int fd = -1;
    std::uint32_t listener = 0;
    turn::ListenerTransport transport = turn::ListenerTransport::kTcp;
  };

  TurnStreams(std::unique_ptr<StreamPoll> poll, std::uint32_t connections_max,
              turn::SourceGate gate, turn::Counters& counters, Handlers handlers);
  Connection* find(const SocketTag& tag) const;
  SocketTag tag_of(std::uint32_t slot) const;
  bool accept_some(std::uint32_t index, Instant now);
  void pause(std::uint32_t index, Instant now);
  bool read(std::uint32_t slot, Batch& batch);
  /// Nothing whole is left; no message begins there; as many as may be at a time.
  enum class Cut : std::uint8_t { kAll, kBroken, kEnough, kHeld };
  Cut cut(std::uint32_t slot, Batch& batch, std::size_t& left);
  void write(std::uint32_t slot, Instant now);
  void doom(std::uint32_t slot, turn::StreamClose why);
  void close(std::uint32_t slot);
  void forget(std::uint32_t slot);
  void tell_whether_unread();
  void look_at(std::uint32_t slot, Instant now);
  void make_room();
  void count(turn::StreamClose why) { counters_.closes[static_cast<std::size_t>(why)].add(); }

  std::unique_ptr<StreamPoll> poll_;
  turn::SourceGate gate_;
  turn::Counters& counters_;
  Handlers handlers_;
  std::vector<Listener> listeners_;
  std::vector<std::unique_ptr<Connection>> connections_;  // by slot
  std::vector<std::uint32_t> generations_;                // by slot
  std::vector<std::uint32_t> free_;                       // slots
  SlotRing lonely_;                                       // not yet seen with an allocation
  std::vector<std::uint32_t> unread_;                     // slots: more in the input than was cut
  std::vector<std::uint32_t> reading_;                    // scratch of receive()
  std::vector<std::uint32_t> unwritten_;                  // slots: posted to since write_out()
  std::vector<std::uint32_t> doomed_;                     // slots
  std::vector<std::uint32_t> held_;                       // slots: wait for a verdict
  bool stays_ready_ = false;
  std::uint32_t size_ = 0;
  TimerWheel timers_;  // connections by slot, then listeners that pause
};

}  // namespace turnpike
