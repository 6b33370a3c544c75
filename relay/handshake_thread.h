// The thread on which DTLS handshakes are made, for all shards: public-key work never keeps media
// waiting. Hides the thread, its queues to and from the shards, and when it sleeps.
// Is not: a protocol (relay/dtls) nor a socket: datagrams come from a shard and leave through it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "relay/core/mailbox.h"
#include "relay/core/packet.h"
#include "relay/dtls/handshakes.h"
#include "relay/io/doorbell.h"
#include "turnpike/transport.h"

namespace turnpike {

enum class HandshakeAsk : std::uint8_t { kNone, kUpdate, kClose, kRenew, kDatagram };

/// What a shard asks for. Plain data, copied through the queue.
struct HandshakeRequest {
  HandshakeAsk ask = HandshakeAsk::kNone;
  SocketTag leg;
  DtlsConfig config;              ///< kUpdate; kRenew: its association
  SocketAddress address;          ///< kUpdate: where an active end begins; kDatagram: its source
  bool address_is_valid = false;  ///< kDatagram: ICE has validated the source
  std::uint32_t length = 0;
  std::array<std::uint8_t, kDtlsDatagramBytesMax> data;
};

enum class HandshakeAnswer : std::uint8_t { kNone, kDatagram, kEstablished, kChanged, kGoodbyes };

struct HandshakeResult {
  HandshakeAnswer answer = HandshakeAnswer::kNone;
  SocketTag leg;
  SocketAddress address;  ///< kDatagram: destination; kEstablished: who proved to be the remote end
  std::uint32_t association = 0;  ///< kEstablished, kChanged: DtlsConfig::association
  SrtpKeying receive;             ///< kEstablished
  SrtpKeying send;
  DtlsState state = DtlsState::kOff;  ///< kChanged
  DtlsFailure failure = DtlsFailure::kNone;
  DtlsFlights flights;
  std::uint32_t length = 0;  ///< bytes of `data`
  /// kDatagram: what to send; kGoodbyes: an array of Goodbye, see goodbyes_of().
  std::array<std::uint8_t, kDtlsDatagramBytesMax> data;
};
std::vector<Goodbye> goodbyes_of(const HandshakeResult& result);

class HandshakeThread {
 public:
  static constexpr std::size_t kRequestsMax = 256;
  static constexpr std::size_t kResultsMax = 256;

  /// A certificate serves new associations for so long, and can be gone back to by legs that name
  /// it for kIdentitiesMax times as long.
  static constexpr Seconds kIdentityLife{24 * 3600};
  static constexpr std::size_t kIdentitiesMax = 8;

  /// `wake_shard` is called on the thread when a shard has results, or room for requests again.
  /// `kept`: the certificate of a process before this one, as kept_identity() gave it; a new one is
  /// made when it is empty or damaged.
  HandshakeThread(std::size_t shards, std::function<void(std::size_t shard)> wake_shard,
                  std::span<const std::uint8_t> kept = {},
                  Nanoseconds identity_life = kIdentityLife);
  ~HandshakeThread();
  HandshakeThread(const HandshakeThread&) = delete;
  HandshakeThread& operator=(const HandshakeThread&) = delete;

  /// Of the certificate that new associations use. From any thread.
  DtlsIdentity identity() const { return newest().identity; }
  /// The same with its key, for a process after this one: a secret.
  std::span<const std::uint8_t> kept_identity() const { return newest().kept; }
  const HandshakeCounters& counters() const { return handshakes_.counters(); }
  /// Ends the thread. Call it when no shard runs any more.
  void stop();

  // A shard's side; each by that shard's thread only.
  /// Requests that can be pushed now.
  std::size_t room(std::size_t shard) const { return lanes_[shard]->requests.room(); }
  /// False when full: the request is lost.
  bool push(std::size_t shard, const HandshakeRequest& request);
  /// Asks for a wake-up as soon as there is room.
  void want_room(std::size_t shard) { lanes_[shard]->room_wanted.store(true); }
  const HandshakeResult* next_result(std::size_t shard) const {
    return lanes_[shard]->results.front();
  }
  void pop_result(std::size_t shard) { lanes_[shard]->results.pop(); }

 private:
  struct Lane {
    Mailbox<HandshakeRequest> requests{kRequestsMax};
    Mailbox<HandshakeResult> results{kResultsMax};
    std::atomic<bool> room_wanted{false};
    bool has_results = false;  // the thread's own
  };
  struct Identity {
    DtlsIdentity identity;
    std::vector<std::uint8_t> kept;
    ~Identity();
  };
  class ToShards;

  void run();
  const Identity& newest() const { return identities_[newest_.load(std::memory_order_acquire)]; }
  void renew_identity(Instant now);
  void put_identity(std::size_t place, const DtlsIdentity& identity);
  bool serve(std::size_t shard, ToShards& sink);
  void wake_shards();

  std::function<void(std::size_t)> wake_shard_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  Handshakes handshakes_;
  Nanoseconds identity_life_;
  Instant identity_made_{};
  // The place behind the newest is filled before the newest moves there, a life later: who reads
  // the newest is long done.
  std::array<Identity, kIdentitiesMax> identities_;
  std::atomic<std::size_t> newest_{0};
  Doorbell doorbell_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace turnpike
