// The thread on which the DTLS handshakes of TURN clients are made, for all shards: private-key
// work keeps no media waiting. An association that is up goes to its shard for good. Hides: the
// thread, its queues to and from the shards, handshakes and their timers. Is not: cookies, limits
// or sockets (turn_dtls.h); nobody comes here who has not shown a cookie.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "relay/core/mailbox.h"
#include "relay/core/packet.h"
#include "relay/crypto/dtls.h"
#include "relay/crypto/tls_server.h"
#include "relay/io/doorbell.h"
#include "turnpike/turn.h"

namespace turnpike {

enum class DtlsAsk : std::uint8_t { kNone, kBegin, kDatagram, kEnd };

/// What a shard asks for. Plain data, copied through the queue.
struct DtlsRequest {
  DtlsAsk ask = DtlsAsk::kNone;
  SocketTag client;  ///< names the handshake, of its shard
  std::uint32_t length = 0;
  /// kBegin: of its ClientHello with the cookie; kDatagram.
  std::array<std::uint8_t, kSlotBytes> data;
};

enum class DtlsAnswer : std::uint8_t { kNone, kDatagram, kUp, kFailed };

struct DtlsResult {
  DtlsAnswer answer = DtlsAnswer::kNone;
  SocketTag client;
  DtlsAssociation* association = nullptr;             ///< kUp: who takes it owns it
  turn::StreamClose why = turn::StreamClose::kCount;  ///< kFailed
  std::uint32_t length = 0;
  std::array<std::uint8_t, kSlotBytes> data;  ///< kDatagram: what to send
};

class TurnDtlsThread {
 public:
  static constexpr std::size_t kRequestsMax = 128;
  static constexpr std::size_t kResultsMax = 128;
  /// At a time, of all shards, whatever they ask for; more are refused.
  static constexpr std::size_t kHandshakesMax = 1024;
  /// When a shard does not end a handshake, the thread does.
  static constexpr Seconds kHandshakeMax{15};

  /// `wake_shard` is called on the thread when a shard has results.
  TurnDtlsThread(std::size_t shards, std::function<void(std::size_t shard)> wake_shard);
  ~TurnDtlsThread();
  TurnDtlsThread(const TurnDtlsThread&) = delete;
  TurnDtlsThread& operator=(const TurnDtlsThread&) = delete;
  void start();
  void stop();

  /// Of control: for handshakes to come; null: there are none any more. False when there is no
  /// room; ask again soon.
  bool use(std::shared_ptr<const TlsServerContext> context);

  // A shard's side; each by that shard's thread only.
  /// False when full: the request is lost.
  bool push(std::size_t shard, const DtlsRequest& request);
  /// How many pushes would succeed now.
  std::size_t room(std::size_t shard) const { return lanes_[shard]->requests.room(); }
  const DtlsResult* next_result(std::size_t shard) const { return lanes_[shard]->results.front(); }
  void pop_result(std::size_t shard) { lanes_[shard]->results.pop(); }

  /// That it has at the moment. Any thread may ask.
  std::size_t handshakes() const { return handshake_count_.load(std::memory_order_relaxed); }

 private:
  struct Lane {
    Mailbox<DtlsRequest> requests{kRequestsMax};
    Mailbox<DtlsResult> results{kResultsMax};
    bool has_results = false;  // the thread's own
  };
  // A place of a shard has one handshake: the next one there replaces it.
  struct Place {
    std::size_t shard = 0;
    std::uint32_t slot = 0;
    auto operator<=>(const Place&) const = default;
  };
  struct Handshake {
    std::uint32_t generation = 0;
    std::unique_ptr<DtlsAssociation> association;
    Instant gives_up{};
    Instant asks_again = Instant::max();  // complete, and the shard had no room to be told
  };
  using Handshakes = std::map<Place, Handshake>;
  class Out;

  void run();
  void take_contexts();
  bool serve(std::size_t shard, Instant now);
  void handle(std::size_t shard, const DtlsRequest& request, Instant now);
  void begin(std::size_t shard, const SocketTag& client, std::span<const std::uint8_t> datagram,
             Instant now);
  void feed(Handshakes::iterator at, std::span<const std::uint8_t> datagram, Instant now);
  bool hand_over(Handshakes::iterator at, Instant now);
  void fail(std::size_t shard, const SocketTag& client, turn::StreamClose why);
  Instant next_deadline() const;
  void on_deadline(Instant now);
  bool answer(std::size_t shard, const SocketTag& client, DtlsAnswer answer);
  void wake_shards();

  std::function<void(std::size_t)> wake_shard_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  Handshakes handshakes_;
  std::atomic<std::size_t> handshake_count_{0};
  DtlsResult result_;  // scratch
  std::shared_ptr<const TlsServerContext> context_;
  Mailbox<std::shared_ptr<const TlsServerContext>> contexts_{4};
  Doorbell doorbell_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace turnpike
