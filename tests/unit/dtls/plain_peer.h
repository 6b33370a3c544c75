// A DTLS-SRTP client or server made of OpenSSL alone, without any code of ours but the clock: the
// other end that the tests speak to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <openssl/ssl.h>

#include "turnpike/keying.h"
#include "turnpike/time.h"
#include "turnpike/transport.h"

namespace turnpike::dtls_testing {

using Bytes = std::vector<std::uint8_t>;

struct PlainOptions {
  bool server = false;
  std::string profiles = "SRTP_AES128_CM_SHA1_80";  ///< empty: no use_srtp
  std::string ciphers = "DEFAULT:@SECLEVEL=0";
  std::string key = "P-256";  ///< or "RSA"; empty: no certificate
  int version = DTLS1_2_VERSION;
  long mtu = 1200;
};

inline constexpr const char* kSealedAlertCipher = "ECDHE-ECDSA-AES128-GCM-SHA256";

class PlainPeer {
 public:
  explicit PlainPeer(const PlainOptions& options) : PlainPeer(options, nullptr) {}
  ~PlainPeer();
  /// Has the certificate of `other`, and nothing else of it.
  explicit PlainPeer(const PlainPeer& other);
  PlainPeer& operator=(const PlainPeer&) = delete;

  void start(Instant now) { turn({}, now); }
  void deliver(const Bytes& datagram, Instant now) { turn(datagram, now); }
  Instant next_deadline(Instant now) const;
  void on_deadline(Instant now);
  void close(Instant now);
  /// Starts a handshake within the association; true when the library was willing.
  bool renegotiate(Instant now);

  /// An alert within the association, such as the library sends only when it is in trouble. The
  /// association must use kSealedAlertCipher.
  Bytes sealed_alert(std::uint8_t level, std::uint8_t description) const;

  /// What it has sent since the last call.
  std::vector<Bytes> take_sent();

  bool complete() const { return complete_; }
  bool failed() const { return failed_; }
  bool closed_by_peer() const { return closed_; }
  /// Of its certificate, as hex digits as in SDP but without colons; "sha1" too.
  Fingerprint fingerprint(FingerprintHash hash) const;
  Bytes sha1_of_certificate() const;
  /// Of the certificate that it was shown.
  Fingerprint peer_fingerprint() const;
  /// The keys that it sends with and receives with.
  SrtpKeying sending() const { return keying(!options_.server); }
  SrtpKeying receiving() const { return keying(options_.server); }

 private:
  PlainPeer(const PlainOptions& options, X509* certificate);
  struct Io {
    const Bytes* in = nullptr;
    std::vector<Bytes> sent;
  };
  static BIO_METHOD* method();
  void turn(const Bytes& datagram, Instant now);
  SrtpKeying keying(bool of_client) const;
  Bytes key_block(std::size_t bytes) const;

  PlainOptions options_;
  Io io_;
  SSL_CTX* context_ = nullptr;
  X509* certificate_ = nullptr;
  SSL* ssl_ = nullptr;
  bool complete_ = false;
  bool failed_ = false;
  bool closed_ = false;
};

}  // namespace turnpike::dtls_testing
