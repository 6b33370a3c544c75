// One connection of a zone from its first byte to its last: TLS, the challenge, then HTTP/2 with
// keep-alives. An engine: bytes, the time and randomness in; bytes, events and a verdict out.
// Is not: sockets, the table of peers (service.h).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/tls/session.h"
#include "control/zone/challenge.h"
#include "control/zone/http2.h"

namespace turnpike::zone {

/// What a connection shows and demands; read anew for each, so a reload reaches the next one.
struct Credentials {
  std::shared_ptr<const tls::Context> tls;
  std::shared_ptr<const Secret> password;
};

struct ConnectionOptions {
  bool dials = false;
  Hello hello;  ///< ours; the nonce is fresh
  tls::PeerRule peer_rule;
  std::string server_name;  ///< of the end that is dialled
  Milliseconds handshake_timeout{10000};
  Milliseconds keepalive{10000};
  Http2Limits http2;
  /// Of the end that listens: whether the peer whose certificate has this name may try a password.
  std::function<Reason(const std::string& name)> may_try_password{};
};

class Connection {
 public:
  enum class Phase : std::uint8_t { kTls, kChallenge, kOpen, kClosed };

  Connection(ConnectionOptions options, const Credentials& credentials, Instant now);

  void receive(std::string_view bytes, Instant now);
  /// TCP has ended or broken.
  void on_transport_end(Instant now);
  Instant next_deadline() const { return deadline_; }
  void on_deadline(Instant now);
  /// Good-bye; the phase is kClosed afterwards.
  void close(Reason reason);

  /// Bytes for the network, about `enough` of them at most while open. After kClosed the last ones.
  std::string take_output(std::size_t enough);
  std::vector<StreamEvent> take_events();

  Phase phase() const { return phase_; }
  /// Why the phase is kClosed.
  Reason reason() const { return reason_; }
  /// More about that, for people; may be empty.
  const std::string& detail() const { return detail_; }

  /// Only in the phase kOpen.
  Http2& streams() { return *http2_; }
  /// Whether this end opens the streams.
  bool opens_streams() const;
  /// Only in the phase kOpen.
  const Hello& peer_hello() const { return *challenge_->peer(); }
  const pki::CertificateFacts& peer_certificate() const { return tls_.peer(); }
  const std::string& peer_name() const { return tls_.peer_name(); }
  const tls::Session& tls() const { return tls_; }
  /// "TLSv1.3 TLS_AES_256_GCM_SHA384"; empty before TLS is up.
  std::string tls_description() const;
  /// Of the last keep-alive; zero before the first answer.
  Nanoseconds round_trip() const { return round_trip_; }
  /// How many answers to keep-alives have come.
  std::uint64_t round_trips() const { return round_trips_; }
  /// A keep-alive now, unless the answer to the last one is still due.
  void ask_round_trip(Instant now);
  std::uint64_t bytes_received() const { return bytes_received_; }
  std::uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  void advance(Instant now);
  void begin_challenge();
  void take_challenge(Instant now);
  void take_streams(Instant now);
  void flush_challenge();
  void end(Reason reason, std::string detail);
  void ping(Instant now);

  ConnectionOptions options_;
  std::shared_ptr<const Secret> password_;
  tls::Session tls_;
  std::unique_ptr<Challenge> challenge_;
  std::unique_ptr<Http2> http2_;
  Phase phase_ = Phase::kTls;
  Reason reason_ = Reason::kNone;
  std::string detail_;
  tls::WipedText plaintext_;  // received and not used yet
  std::vector<StreamEvent> events_;
  Instant deadline_{};
  Instant last_heard_{};
  Instant pinged_{};
  std::uint64_t pings_ = 0;
  Nanoseconds round_trip_{};
  std::uint64_t round_trips_ = 0;
  bool answer_is_due_ = false;
  std::uint64_t bytes_received_ = 0;
  std::uint64_t bytes_sent_ = 0;
};

}  // namespace turnpike::zone
