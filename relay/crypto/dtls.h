// One DTLS association (RFC 6347), and the certificate that it shows: of DTLS-SRTP (RFC 5764),
// where both ends show certificates and the remote one is judged by its fingerprint alone (RFC 5763
// section 5), or of a server's client, which shows none and sends data (RFC 7350).
// Hides: OpenSSL. DTLS 1.2 only; no resumption, no renegotiation.
// Is not: a judge of where records come from, or of alerts that anybody could have sent: what must
// not reach the association is kept from it by its owner (relay/dtls).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "relay/crypto/tls_server.h"
#include "turnpike/keying.h"
#include "turnpike/time.h"
#include "turnpike/transport.h"

namespace turnpike {

/// Flights are cut into datagrams of at most this many bytes: what passes every path with IPv6,
/// tunnels and TURN's headers.
constexpr std::size_t kDtlsMtuBytes = 1200;
/// A close_notify has at most so many: header, explicit nonce, alert, tag.
constexpr std::size_t kGoodbyeBytesMax = 64;

/// An ECDSA P-256 key and a self-signed certificate, in memory only. Immutable; associations of
/// one thread may share it.
class DtlsCertificate {
 public:
  /// Null when the library fails.
  static std::shared_ptr<const DtlsCertificate> make();
  /// What bytes() gave, perhaps of another process; null when it is damaged.
  static std::shared_ptr<const DtlsCertificate> read(std::span<const std::uint8_t> bytes);
  ~DtlsCertificate();
  DtlsCertificate(const DtlsCertificate&) = delete;
  DtlsCertificate& operator=(const DtlsCertificate&) = delete;

  /// SHA-256 (RFC 8122 section 5).
  const Fingerprint& fingerprint() const { return fingerprint_; }
  /// Key and certificate, to be kept in memory: a secret.
  std::span<const std::uint8_t> bytes() const { return bytes_; }

 private:
  friend class DtlsAssociation;
  struct Library;
  struct Parts;
  DtlsCertificate();
  static std::shared_ptr<const DtlsCertificate> of(const Parts& parts);

  std::unique_ptr<Library> library_;
  Fingerprint fingerprint_;
  std::vector<std::uint8_t> bytes_;
};

/// Where the datagrams of an association go.
class DatagramOut {
 public:
  virtual void datagram(std::span<const std::uint8_t> bytes) = 0;

 protected:
  ~DatagramOut() = default;
};

class DtlsAssociation {
 public:
  enum class Phase : std::uint8_t {
    kHandshaking,
    kComplete,  ///< the remote end holds the key of its certificate; whose it is nobody knows yet
    kClosed,    ///< was complete; then came close_notify or a fatal alert
    kFailed,
  };
  /// The first retransmission comes after this, each later one after twice the time.
  static constexpr Milliseconds kRetransmitFirst{400};
  static constexpr Milliseconds kRetransmitMax{3000};

  /// `role`: kActive or kPassive.
  DtlsAssociation(std::shared_ptr<const DtlsCertificate> certificate, DtlsRole role);
  /// Of a server's client. `server` is made for TlsOver::kDatagrams.
  explicit DtlsAssociation(std::shared_ptr<const TlsServerContext> server);
  ~DtlsAssociation();
  DtlsAssociation(const DtlsAssociation&) = delete;
  DtlsAssociation& operator=(const DtlsAssociation&) = delete;

  /// Active: sends the ClientHello.
  void start(Instant now, DatagramOut& out);
  /// Passive, at first: the remote end has already been asked for `cookie` (at most 32 bytes), and
  /// its ClientHello with it, record `sequence`, is what will be handled next
  /// (RFC 6347 section 4.2.1).
  void expect_cookie(std::span<const std::uint8_t> cookie, std::uint64_t sequence, Instant now);
  /// One record, with its header.
  void handle(std::span<const std::uint8_t> record, Instant now, DatagramOut& out);
  /// Of a server's client, complete: as handle(), and what it has sent goes to `data`, as many
  /// times as it sent.
  void receive(std::span<const std::uint8_t> record, Instant now, DatagramOut& out,
               DatagramOut& data);
  /// Of a server's client, complete: `data`, at most kPayloadBytesMax, as one record. False when
  /// the library cannot.
  bool send(std::span<const std::uint8_t> data, Instant now, DatagramOut& out);
  /// Instant::max() when no flight of ours waits for an answer.
  Instant next_deadline() const { return deadline_; }
  void on_deadline(Instant now, DatagramOut& out);
  /// Handshaking: sends the last flight once more, before its time.
  void resend(Instant now, DatagramOut& out);
  /// Complete: writes close_notify, to be sent once the association is over, perhaps when it is no
  /// longer there. Until then it goes on as if nothing had been written. Returns the bytes; 0 when
  /// the library cannot.
  std::size_t write_goodbye(Instant now, std::span<std::uint8_t, kGoodbyeBytesMax> out);

  Phase phase() const { return phase_; }
  /// Why it failed.
  DtlsFailure failure() const { return failure_; }
  /// Complete, but the library cannot go on: nothing is taken or sent any more.
  bool is_deaf() const { return deaf_; }
  /// kClosed: by a fatal alert, not by close_notify.
  bool closed_by_alert() const { return closed_by_alert_; }
  /// Passive: an answer to our first flight has been taken.
  bool is_past_first_flight() const;

  /// Complete: `remote` is the fingerprint of the certificate that the remote end has proven to
  /// hold.
  bool is_of(const Fingerprint& remote) const;
  /// Complete: the keys of both directions (RFC 5764 section 4.2), if it is of `remote`; else
  /// false, and nothing is written. The caller wipes them.
  bool export_keys(const Fingerprint& remote, SrtpKeying& receive, SrtpKeying& send) const;

 private:
  struct Library;
  class Scope;

  void prepare();
  void advance(Instant now);
  void read_on();
  void complete();
  void fail(DtlsFailure failure);
  void note_deadline(Instant now);
  bool reads_ciphertext() const;

  std::unique_ptr<Library> library_;
  Phase phase_ = Phase::kHandshaking;
  DtlsFailure failure_ = DtlsFailure::kNone;
  bool closed_by_alert_ = false;
  const bool serves_;            // a server's client
  DatagramOut* data_ = nullptr;  // within receive()
  bool deaf_ = false;            // complete, but the library cannot go on
  unsigned early_records_ = 0;
  Instant deadline_ = Instant::max();
};

}  // namespace turnpike
