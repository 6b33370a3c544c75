// The DTLS associations of one shard's TURN clients (RFC 8656 section 3.1, RFC 7350): cookies for
// those who come, their handshakes handed to a thread of their own, then records made into messages
// and messages into records.
// Hides: who is who at a listening socket, limits, times. Is not: TURN; a message goes to the
// engine in a batch as a datagram does, with a tag that names its association. Nor a socket.
//
// Nothing is kept for an address before it has shown a cookie that was sent to it (RFC 6347 section
// 4.2.1), and what answers it till then is shorter than what it sent. An association that is up
// ends only by what its own keys have sealed, by time, or when another handshake of the same
// address has come to its end (section 4.2.8).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "relay/core/packet.h"
#include "relay/core/slot_ring.h"
#include "relay/core/timer_wheel.h"
#include "relay/crypto/dtls_cookie.h"
#include "relay/crypto/siphash.h"
#include "relay/dtls/records.h"
#include "relay/io/udp_io.h"
#include "relay/turn/source_gate.h"
#include "relay/turn_dtls_thread.h"
#include "turnpike/turn.h"

namespace turnpike {

constexpr std::uint32_t kDtlsSlot = 0xc0000000;
constexpr bool is_dtls(const SocketTag& tag) {
  return (tag.slot & kDtlsSlot) == kDtlsSlot && !is_shared(tag);
}

class TurnDtls {
 public:
  /// From the ClientHello with the cookie to the last flight.
  static constexpr Seconds kHandshakeMax{10};
  /// Handshakes at a time, of all shards together. One more, and the oldest is given up.
  static constexpr std::uint32_t kHalfOpenMax = 512;
  static_assert(2 * kHalfOpenMax <= TurnDtlsThread::kHandshakesMax);
  /// Of these, of one IPv4 address or IPv6 /64.
  static constexpr std::uint32_t kHalfOpenPerSourceMax = 16;
  /// Of one handshake; more are dropped.
  static constexpr std::uint32_t kDatagramsPerSecondMax = 20;
  /// Of the queue to the thread, not for datagrams: handshakes that begin and end.
  static constexpr std::size_t kRoomForOthers = TurnDtlsThread::kRequestsMax / 2;
  /// Of one datagram; what is behind is dropped.
  static constexpr std::size_t kMessagesMax = 4;

  struct Setup {
    std::uint32_t associations_max = 0;  ///< of this shard, handshakes included
    std::uint32_t half_open_max = 0;     ///< of this shard
    std::size_t shard = 0;
    TurnDtlsThread* thread = nullptr;  ///< outlives this
    turn::SourceGate gate;
    turn::SourceGate half_open_gate;
    SipHashKey key{};  ///< random, of this shard
  };
  struct Handlers {
    /// Sends datagrams at once: tags are shared_tag()s.
    std::function<void(std::span<const Send>)> send;
    std::function<bool(const SocketTag&)> has_allocation;
    /// An association that was up is gone.
    std::function<void(const SocketTag&)> closed;
  };

  TurnDtls(Setup setup, turn::Counters& counters, Handlers handlers);
  ~TurnDtls();
  TurnDtls(const TurnDtls&) = delete;
  TurnDtls& operator=(const TurnDtls&) = delete;

  /// One datagram with a shared tag, by `listener` of turn::Config::listeners. Appends its messages
  /// to `messages`, which has room for kMessagesMax. Ends nothing that is up: reap() does, once the
  /// messages were handled.
  void receive(const Packet& packet, std::uint32_t listener, Batch& messages, Instant now);
  void reap(Instant now);
  /// The listener by which the association of a message came.
  std::uint32_t listener_of(const SocketTag& tag) const;

  /// Seals a message to a client. Nothing leaves before flush().
  SendResult post(const Send& send, Instant now);
  void flush();

  /// What the thread has done.
  void take_results(Instant now);

  Instant next_deadline() const { return timers_.next_deadline(); }
  void on_deadline(Instant now);
  /// Associations, handshakes included.
  std::size_t size() const { return size_; }
  std::size_t half_open() const { return half_open_; }

 private:
  /// Where a client is: its address, and the listening socket that it speaks to.
  struct Place {
    SocketAddress client;
    std::uint32_t socket = 0;  // index of the shared tag
    bool operator==(const Place&) const = default;
  };
  struct Hash {
    SipHashKey key;
    std::size_t operator()(const Place& place) const;
  };
  using Table = std::unordered_map<Place, std::uint32_t, Hash>;  // slots
  struct Association;
  class Sealed;
  class Opened;

  Association* find(const SocketTag& tag) const;
  SocketTag tag_of(std::uint32_t slot) const;
  void on_hello(const Place& place, std::uint32_t listener, const DtlsRecord& record,
                const HelloStart& hello, std::span<const std::uint8_t> datagram, Instant now);
  void ask_for_cookie(const Place& place, const DtlsRecord& hello, const Cookie& cookie);
  void begin(const Place& place, std::uint32_t listener, const HelloStart& hello,
             std::span<const std::uint8_t> datagram, Instant now);
  bool ask(DtlsAsk ask, const SocketTag& client, std::span<const std::uint8_t> datagram);
  void pass_on(std::uint32_t slot, std::span<const std::uint8_t> datagram, Instant now);
  bool tell_ends();
  void open(std::uint32_t slot, std::span<const std::uint8_t> datagram, Batch& messages,
            Instant now);
  void come_up(std::uint32_t slot, std::unique_ptr<DtlsAssociation> association, Instant now);
  void emit(const Place& place, std::span<const std::uint8_t> datagram);
  void say_goodbye(DtlsAssociation& association, const Place& place, Instant now);
  void make_room();
  void give_up(std::uint32_t slot, turn::StreamClose why, bool tell_thread);
  void doom(std::uint32_t slot, turn::StreamClose why);
  void close(std::uint32_t slot, Instant now);
  void forget(std::uint32_t slot);
  void look_at(std::uint32_t slot, Instant now);
  void count(turn::StreamClose why) { counters_.closes[static_cast<std::size_t>(why)].add(); }
  void drop(turn::Drop why) { counters_.drops[static_cast<std::size_t>(why)].add(); }

  Setup setup_;
  turn::Counters& counters_;
  Handlers handlers_;
  CookieSecrets cookies_;
  std::vector<std::unique_ptr<Association>> associations_;  // by slot
  std::vector<std::uint32_t> generations_;                  // by slot
  std::vector<std::uint32_t> free_;                         // slots
  Table up_;
  Table shaking_;
  SlotRing lonely_;  // up, and not yet seen with an allocation
  SlotRing oldest_;  // handshakes
  std::vector<std::uint32_t> doomed_;
  std::vector<SocketTag> ended_;  // that the thread was not told of yet; none begins till then
  std::uint32_t size_ = 0;
  std::uint32_t half_open_ = 0;
  Batch out_memory_;
  Outbox out_;
  DtlsRequest request_;  // scratch
  TimerWheel timers_;    // by slot
};

}  // namespace turnpike
