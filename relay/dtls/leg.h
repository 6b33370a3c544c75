// The handshakes of one leg: the association that has keys, those that compete for the next, and
// those of forks that may be answered last. Hides: which of them a datagram is for, and who wins.
// Part of relay/dtls/handshakes.h.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "relay/crypto/dtls.h"
#include "relay/crypto/dtls_cookie.h"
#include "relay/dtls/handshakes.h"
#include "relay/dtls/records.h"

namespace turnpike {

/// What all legs have in common.
struct HandshakesShared {
  HandshakeLimits limits;
  HandshakeCounters counters;
  CookieSecrets cookies;
  std::map<std::uint32_t, std::shared_ptr<const DtlsCertificate>> certificates;
  std::size_t half_open = 0;
};

class HandshakeLeg {
 public:
  /// For the SDP with the remote end's fingerprint, which a complete association waits for.
  static constexpr Seconds kHold{60};
  /// An active association that broke is begun again: what broke it may not have been from the
  /// remote end.
  static constexpr unsigned kAttemptsMax = 3;
  static constexpr Seconds kRetryAfter{1};
  /// A candidate that has not completed its handshake for so long gives way to a new one.
  static constexpr Seconds kStale{5};

  HandshakeLeg(const LegKey& key, HandshakesShared& shared) : key_(key), shared_(shared) {}
  ~HandshakeLeg() { drop_candidates(); }
  HandshakeLeg(const HandshakeLeg&) = delete;
  HandshakeLeg& operator=(const HandshakeLeg&) = delete;

  void update(DtlsConfig config, const SocketAddress& peer, Instant now, HandshakeSink& sink);
  void close(HandshakeSink& sink);
  void renew(std::uint32_t association, Instant now, HandshakeSink& sink);
  void handle(const SocketAddress& source, bool ice_validated,
              std::span<const std::uint8_t> datagram, Instant now, HandshakeSink& sink);
  void on_deadline(Instant now, HandshakeSink& sink);
  /// Instant::max() when there is none.
  Instant next_deadline() const;

  const Handshakes::Report& report() const { return report_; }
  /// Instant::max() when no association is kept after its handshake.
  Instant lingers_since() const { return lingers_since_; }
  void stop_lingering(HandshakeSink& sink);
  /// Says what has changed of the goodbyes.
  void tell_goodbyes(HandshakeSink& sink);

 private:
  /// An association, and where its remote end is.
  struct Candidate {
    std::unique_ptr<DtlsAssociation> association;  ///< null: established, and forgotten
    bool active = false;                           ///< we sent the ClientHello
    SocketAddress source;                          ///< passive: where it was heard from last
    bool ice_validated = false;             ///< and may be heard from everywhere that is validated
    std::array<std::uint8_t, 32> random{};  ///< passive: of its ClientHello
    Instant started{};
    Instant completed{};
    Instant gives_up{};
    DtlsFlights flights;
    bool had_keys = false;
    std::uint64_t session = 0;  ///< DtlsConfig::session for which it had them
    Goodbye goodbye;            ///< once it is complete and until it is said
  };
  using CandidatePtr = std::unique_ptr<Candidate>;
  enum class Fate : std::uint8_t { kStays, kGone, kWon };
  /// Sends where the candidate is. A candidate that is not the last chance keeps its plaintext
  /// alerts to itself: they would end the remote end's part in another one.
  class Out final : public DatagramOut {
   public:
    Out(const LegKey& key, const SocketAddress& to, bool is_last, Candidate& candidate,
        HandshakeSink& sink)
        : key_(key), to_(to), is_last_(is_last), candidate_(candidate), sink_(sink) {}
    void datagram(std::span<const std::uint8_t> bytes) override;

   private:
    const LegKey& key_;
    SocketAddress to_;
    bool is_last_;
    Candidate& candidate_;
    HandshakeSink& sink_;
  };

  bool is_again(const Candidate& finished) const;
  bool is_active() const { return config_.role == DtlsRole::kActive; }
  bool has_present_keys() const { return keys_are_present_; }
  bool is_for(const Candidate& candidate, const SocketAddress& source, bool ice_validated) const;
  bool is_taken(const SocketAddress& source) const;
  SocketAddress address_of(const Candidate& candidate) const;
  Out out_of(Candidate& candidate, HandshakeSink& sink) const;

  void begin_anew(const DtlsConfig& before, Instant now, HandshakeSink& sink);
  void go_on(bool peer_moved, Instant now, HandshakeSink& sink);
  bool reinstate(Instant now, HandshakeSink& sink);
  std::shared_ptr<const DtlsCertificate> certificate() const;
  void expect_hello(Instant now);
  void start_active(Instant now, HandshakeSink& sink);
  void handle_hello(const DtlsRecord& record, const HelloStart& hello, const SocketAddress& source,
                    bool ice_validated, std::span<const std::uint8_t> datagram, Instant now,
                    HandshakeSink& sink);
  bool may_begin_again(const HelloStart& hello, bool ice_validated) const;
  void ask_for_cookie(const DtlsRecord& record, const HelloStart& hello,
                      const SocketAddress& source, Instant now, HandshakeSink& sink);
  Candidate* add_passive(const SocketAddress& source, Instant now, HandshakeSink& sink);
  bool make_room(const SocketAddress& source, Instant now);
  bool handle_finished(const SocketAddress& source, bool ice_validated,
                       std::span<const std::uint8_t> datagram, Instant now, HandshakeSink& sink);
  void feed_finished(Candidate& candidate, const SocketAddress& source,
                     std::span<const std::uint8_t> datagram, Instant now, HandshakeSink& sink);
  void note_plain_alerts(std::span<const std::uint8_t> datagram);

  Fate feed(std::size_t index, std::span<const std::uint8_t> datagram, Instant now,
            HandshakeSink& sink);
  Fate settle(std::size_t index, Instant now, HandshakeSink& sink);
  bool try_to_win(CandidatePtr& candidate, Instant now, HandshakeSink& sink);
  void win(CandidatePtr winner, Instant now, HandshakeSink& sink);
  bool begins_again(const Candidate& finished) const;
  void replace(CandidatePtr before, Instant now, HandshakeSink& sink);
  void count(const Candidate& winner);
  void release_losers(Instant now, HandshakeSink& sink);
  void end(std::size_t index, DtlsFailure failure, Instant now, HandshakeSink& sink);
  void fail(DtlsFailure failure, HandshakeSink& sink, const DtlsFlights& flights = {});
  CandidatePtr take_candidate(std::size_t index);
  void drop_candidates();
  void part_with_candidates(HandshakeSink& sink);

  // What is complete.
  void note_completion(Candidate& candidate, Instant now);
  void part_with(Candidate& candidate, HandshakeSink& sink);
  void put_aside(CandidatePtr candidate, Instant now, HandshakeSink& sink);
  std::size_t least_wanted(const Candidate& newcomer) const;
  void expire_reserve(Instant now, HandshakeSink& sink);
  void empty_reserve(HandshakeSink& sink);
  void settle_lingering();
  void note_end(HandshakeSink& sink);
  DtlsFailure why_it_timed_out() const;
  void note(DtlsState state, HandshakeSink& sink);
  void note(const Handshakes::Report& report, HandshakeSink& sink);
  void drop_datagram() { shared_.counters.datagrams_dropped.add(); }

  LegKey key_;
  HandshakesShared& shared_;
  DtlsConfig config_;
  SocketAddress peer_;
  Handshakes::Report report_;

  std::vector<CandidatePtr> candidates_;  // in their handshake, or complete before the SDP is
  CandidatePtr established_;              // had keys last
  std::vector<CandidatePtr> reserve_;     // complete, not of the SDP's certificate; oldest first,
                                          // as they were put there
  bool keys_are_present_ = false;         // of the association that is configured now
  bool goodbyes_changed_ = false;
  Instant lingers_since_ = Instant::max();
  Instant hello_due_ = Instant::max();  // passive: everything is known, only it has not come
  bool has_asked_for_cookie_ = false;   // since then

  unsigned attempts_ = 0;  // active
  Instant first_attempt_{};
  Instant retry_at_ = Instant::max();
  DtlsFailure earlier_failure_ = DtlsFailure::kNone;  // of an attempt that was begun again
  bool has_alert_ = false;                            // a fatal one, in plaintext
  std::uint8_t alert_ = 0;
};

}  // namespace turnpike
