// ICE on one leg: the state machine behind Engine. agent.cc has configuration, timers and state,
// agent_receive.cc what arrives, agent_checks.cc what is sent and selected. Bounded in memory and
// in what it sends; says everything through the sink of the call that it is in.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "relay/core/packet.h"
#include "relay/ice/check_list.h"
#include "relay/ice/engine.h"
#include "relay/ice/messages.h"

namespace turnpike::ice {

constexpr Milliseconds kPace{50};               ///< Ta, RFC 8445 section 14.2
constexpr Milliseconds kFirstTimeout{500};      ///< RTO at least, section 14.3
constexpr std::uint8_t kSendsMax = 7;           ///< Rc, RFC 8489 section 6.2.1
constexpr int kLastWaitFactor = 16;             ///< Rm
constexpr Milliseconds kSettling{100};          ///< a better pair may still come in
constexpr Seconds kConsentLife{30};             ///< RFC 7675 section 5.1
constexpr Milliseconds kConsentInterval{5000};  ///< times 0.8 to 1.2
constexpr Milliseconds kProbeInterval{500};     ///< while another valid pair could take over
constexpr Milliseconds kPatience{39500};        ///< before a session has failed, RFC 8863

class Agent {
 public:
  struct Turn {
    Instant now;
    Sink& sink;
  };

  Agent(const SocketTag& id, const RandomBytes& random);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  const SocketTag& id() const { return id_; }
  void update(const IceConfig& config, const LegFacts& facts, const Turn& turn);
  /// Nothing: taken.
  std::optional<DropReason> handle(const Packet& packet, const Turn& turn);
  /// Does what is due.
  void run(const Turn& turn);
  Instant deadline() const;
  bool is_validated(Component component, const SocketAddress& source) const;
  void report(TransportReport& out) const;
  /// How long it took to connect, told once: see ShardCounters::ice_connect_durations.
  std::optional<Nanoseconds> take_connect_time();

 private:
  // Where media goes, and the consent for it.
  struct Selection {
    SocketAddress remote;
    bool active = false;    // false with an address: consent was lost there
    bool previous = false;  // by the session before the restart
    Instant consent_until{};
    Instant next_check{};
    std::uint8_t unanswered = 0;
    std::uint8_t sent = 0;                        // checks, modulo the room below
    std::array<stun::TransactionId, 4> checks{};  // all zero: answered or not sent
  };
  struct Stream {
    CheckList list;
    Selection selection;
    Instant first_valid{};
    SocketAddress wanted;  // controlled: of the pair that the remote end has nominated since
    Instant wanted_since{};
  };

  // agent.cc
  void restart(const IceConfig& config, const Turn& turn);
  void adopt(const LegFacts& facts, const Turn& turn);
  void add_candidates(const IceConfig& config, const Turn& turn);
  void leave_rtcp(const Turn& turn);
  void settle_state(const Turn& turn);
  void note_connect_time(Instant now);
  IceState state_now() const;
  void judge_failure(const Turn& turn);
  bool is_full() const { return config_.mode == IceMode::kFull; }
  bool may_check() const { return is_full() && remote_ready_; }
  unsigned components() const { return rtcp_mux_ ? 1 : 2; }
  bool is_done(const Stream& stream) const {
    return stream.selection.active && !stream.selection.previous;
  }
  bool uses_previous() const;
  SocketTag socket(Component component) const;
  bool has_socket_towards(const SocketAddress& remote) const {
    return both_families_ || remote.ip.family == family_;
  }
  /// Of our candidate that pairs with this one.
  std::uint32_t priority_towards(const SocketAddress& remote, CandidateType type,
                                 Component component) const;
  Instant deadline_of(const Stream& stream) const;

  // agent_receive.cc
  std::optional<DropReason> on_request(const stun::Message& message, const Packet& packet,
                                       const Turn& turn);
  std::optional<DropReason> on_response(const stun::Message& message, const Packet& packet,
                                        const Turn& turn);
  const Keys* authenticate(const stun::Message& message);
  bool yields_role(const stun::Message& message);
  void note_check(const stun::Message& message, const Packet& packet, const Turn& turn);
  void note_lite_check(Pair& pair, Component component, const Turn& turn);
  void answered(Pair& pair, Component component, const Turn& turn);
  void refused(Pair& pair, bool sent_controlling, std::uint16_t code);
  void on_consent(const stun::Message& message, Component component, const Turn& turn);
  void reply(const Packet& packet, stun::Bytes message, const Turn& turn);
  void switch_role();
  stun::TransactionId* consent_check(Component component, const stun::TransactionId& transaction);

  // agent_checks.cc
  void transmit(Component component, const SocketAddress& destination, stun::Bytes message,
                const Turn& turn);
  void trigger(Pair& pair);
  void send_check(Pair& pair, Component component, const Turn& turn);
  bool send_one(const Turn& turn);
  void time_out_checks(const Turn& turn);
  bool nomination_goes_on(Stream& stream, Instant now);
  void nominate(Component component, const Turn& turn);
  void follow(Pair& pair, Component component, const Turn& turn);
  void follow_overdue(Component component, const Turn& turn);
  void select(Pair& pair, Component component, const Turn& turn);
  void expire_consent(Component component, const Turn& turn);
  void lose(Component component, const Turn& turn);
  void check_consent(Component component, const Turn& turn);
  bool has_rival(const Stream& stream, Instant now) const;
  bool is_valid(const Pair& pair, Instant now) const;
  std::size_t open_checks() const;
  std::uint64_t priority_of(const Pair& pair, Component component) const;
  Nanoseconds jittered(Nanoseconds interval);
  stun::TransactionId new_transaction();
  std::uint64_t random_u64();

  SocketTag id_;
  const RandomBytes& random_;
  IceConfig config_;
  bool rtcp_mux_ = false;
  AddressFamily family_ = AddressFamily::kIpv4;
  bool both_families_ = false;

  Keys keys_;                  // of this session ...
  Keys previous_;              // ... and of the one before the restart, until this one has a pair
  bool remote_ready_ = false;  // the remote credentials belong to this session
  bool controlling_ = false;
  std::uint64_t tie_breaker_ = 0;
  std::array<Stream, 2> streams_;
  std::uint32_t trigger_count_ = 0;
  Instant next_slot_{};  // of the pace
  Instant patience_until_{};
  Instant last_run_{};
  bool heard_ = false;  // a valid check of this session
  bool lost_ = false;
  bool failed_ = false;
  IceState state_ = IceState::kOff;
  Instant known_since_{};  // first credentials of the remote end
  std::optional<Nanoseconds> connect_time_;
  bool timed_ = false;  // connect_time_ was set, or does not count
};

}  // namespace turnpike::ice
