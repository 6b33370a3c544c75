// One TLS connection as an engine: ciphertext and plaintext go in and out as bytes. Both ends show
// a certificate, and both are judged by the same rules. Hides: OpenSSL. Is not: sockets, deadlines
// (the owner ends what takes too long).
//
// A peer's certificate must be signed by the context's trust file, be valid now, have both purposes
// (clientAuth and serverAuth, explicitly), and name the peer in a subject alternative name.
// The clock that certificates are judged by is the system's, read by the library.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/pki/certificate.h"
#include "control/tls/context.h"
#include "control/tls/refusal.h"
#include "control/tls/wiped_text.h"

namespace turnpike::tls {

enum class Role : std::uint8_t { kClient, kServer };

/// Who the other end must be.
struct PeerRule {
  std::string subject;             ///< a name that the certificate must have; empty: none
  std::vector<std::string> names;  ///< and one of these; empty: none
  /// A common name counts where there is no subject alternative name at all.
  bool accept_common_name = false;
};

class Session {
 public:
  enum class State : std::uint8_t { kHandshake, kOpen, kEnded, kRefused };
  using ChannelBinding = std::array<std::uint8_t, 32>;

  /// `server_name` is what a client sends as SNI (RFC 6066); empty: none.
  Session(std::shared_ptr<const Context> context, Role role, PeerRule rule,
          const std::string& server_name);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Takes bytes of the network, in pieces of any size. Appends what they hold to `plaintext`.
  void receive(std::string_view ciphertext, WipedText& plaintext);
  /// Encrypts; only in the state kOpen.
  void send(std::string_view plaintext);
  /// Says good-bye (close_notify).
  void close();
  /// The transport has ended. Without a good-bye before, an open session is kRefused afterwards:
  /// what was received may have been cut off (RFC 8446 section 6.1).
  void on_transport_end();
  /// What is to be sent now; also in the states kEnded and kRefused, where it holds the alert.
  std::string take_output();
  std::size_t output_bytes() const;

  State state() const { return state_; }
  /// Why the state is kRefused.
  Refusal refusal() const { return refusal_; }
  /// More about that, in words: names or the alert; may be empty. Without control characters.
  const std::string& detail() const { return detail_; }

  /// RFC 5705 with the label "EXPORTER-" `label`, no context. Only in the state kOpen.
  ChannelBinding channel_binding(const std::string& label) const;
  /// The other end's certificate; empty before it has shown one.
  const pki::CertificateFacts& peer() const;
  /// Which of PeerRule::names the certificate has; empty before that is known.
  const std::string& peer_name() const;
  /// The name that the client asked for (SNI); empty: none, or not known yet.
  std::string server_name() const;
  /// "TLSv1.3", "TLS_AES_256_GCM_SHA384"; only in the state kOpen.
  std::string version() const;
  std::string cipher() const;

 private:
  struct Native;

  bool looks_like_tls(std::string_view bytes);
  void advance(WipedText& plaintext);
  void read(WipedText& plaintext);
  void fail_by_library(int result);
  void refuse(Refusal refusal, std::string detail);

  std::shared_ptr<const Context> context_;
  Role role_;
  std::unique_ptr<Native> native_;
  State state_ = State::kHandshake;
  Refusal refusal_ = Refusal::kNone;
  std::string detail_;
  std::string first_bytes_;
};

}  // namespace turnpike::tls
