// What the [sip] part of turnpike.toml says, as plain values: the input of the generator.
// Is not: a parser. control/config fills it; check() judges what the values mean.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "turnpike/address.h"
#include "turnpike/config.h"
#include "turnpike/time.h"

namespace turnpike::sidecar {

/// How a leg of the inside network carries media. Outside legs are always SRTP.
enum class InsideMedia : std::uint8_t { kRtp, kSrtp };

/// How a TLS client is offered the keys of SRTP before it has shown by an SDP of its own what it
/// does: in the SDP (RFC 4568) or by DTLS (RFC 5764). Browsers always do DTLS.
enum class OutsideMedia : std::uint8_t { kSdes, kDtls };

/// Which names of a peer's certificate count (RFC 6125): the subject alternative names alone, or
/// the common name too, for peers whose certificates have no better one.
enum class VerifyName : std::uint8_t { kSan, kSanOrCn };

/// HTTP digest algorithm of SIP (RFC 8760). Most softphones know MD5 only; it never leaves TLS.
enum class DigestAlgorithm : std::uint8_t { kMd5, kSha256 };

/// A user who may register. `ha1` is H(name ":" domain ":" password) in lower-case hexadecimal:
/// 32 digits for MD5, 64 for SHA-256. See pki::digest_ha1().
struct SipUser {
  std::string name;    ///< user part: letters, digits and . _ + -
  std::string domain;  ///< one of SipConfig::domains; also the realm
  std::string ha1;
};

/// What a TLS server is shown by us, and by which authorities we know it. "" = as SipConfig says
/// for all of them: the identity for peers, its trust file.
struct TlsIdentity {
  std::string certificate_file{};
  std::string private_key_file{};
  std::string trust_file{};
  bool operator==(const TlsIdentity&) const = default;
};

/// One or more servers or phones of the inside network that take calls together: the first that
/// answers OPTIONS is used, the next ones when it fails.
struct InsideServers {
  std::string name;               ///< word by which routes name it: letters, digits, _ and -
  std::vector<std::string> uris;  ///< "sip:10.0.0.10:5060", ";transport=udp|tcp|tls" allowed
  TlsIdentity identity{};         ///< towards those of `uris` with TLS
};

/// Numbers or names that are called from outside go to `servers`. The first match wins; what
/// matches nothing is refused.
struct DialRoute {
  /// An extended regular expression (POSIX) for the whole user part: "[1-9][0-9]{3}". Allowed are
  /// letters, digits and + * # . _ - [ ] ( ) { } ^ | ? , and a backslash before one of . + * # ?
  std::string pattern;
  std::string servers;  ///< name of an InsideServers
};

/// A foreign SIP server that connects with mutual TLS and may speak for its domains only.
struct SipPeer {
  std::string name;                  ///< letters, digits, _ and -
  std::vector<std::string> domains;  ///< what follows @ in its From and P-Asserted-Identity
  std::vector<std::string> certificate_names;  ///< DNS names; one must be the certificate's first
  VerifyName verify_name = VerifyName::kSan;
  std::string uri;  ///< where calls to its domains go: "sip:host:5062;transport=tls"; "" = nowhere
  TlsIdentity identity{};  ///< towards `uri`
  /// On an edge the zone whose cores it calls and is called by; "" = the only one. A core knows
  /// name and domains, what is about certificates and addresses stands on the edges.
  std::string zone{};
  /// On a core the zone's peers over which it may come; empty = all of them.
  std::vector<std::string> edges{};
};

/// A further certificate of the client listener, chosen by the name that a client asks for (SNI).
struct SniCertificate {
  std::string server_name;
  std::string certificate_file;
  std::string private_key_file;
};

/// What this node is: both networks on one host, or one end of a traversal pair.
enum class NodeRole : std::uint8_t { kSingle, kEdge, kCore };

/// A node at the other end of a zone. Each has loopback ports of its own here, so that a listener
/// tells who it is.
struct ZonePeer {
  std::string name;
  SocketAddress listen;  ///< of turnpiked: what the SIP server sends there reaches the peer's
  SocketAddress target;  ///< of the SIP server: what the peer's sends arrives there
};

struct SipZone {
  std::string name;
  std::vector<std::string> domains;  ///< on an edge: calls of these go there; empty: all of them
  std::vector<ZonePeer> peers;       ///< the first that lives is used
};

/// Zones' peers of one node: each has a listener of its own.
inline constexpr std::size_t kZoneSidesMax = 34;

/// Everything that the generated sidecar depends on.
struct SipConfig {
  std::vector<std::string> domains;  ///< SIP domains of this edge; the first is the main one

  NodeRole role = NodeRole::kSingle;
  std::vector<SipZone> zones;  ///< of an edge or a core

  Interface outside;  ///< clients and peers come here; unused on a core
  Interface inside;   ///< servers and phones of the inside network; unused on an edge
  std::vector<std::string> inside_networks;  ///< "10.0.0.0/8": sources that are trusted inside
  bool trust_local_processes = false;        ///< also SIP from this host's own inside addresses
  std::uint16_t tls_port = 5061;             ///< TLS, no client certificate; 0 = no clients
  std::uint16_t wss_port = 0;                ///< SIP over WebSocket over TLS (RFC 7118); 0 = off
  bool wss_at_door = false;  ///< also on loopback, for browsers that come by the front door
  /// "https://phone.example.com": pages that may open a WebSocket, as browsers name them (RFC
  /// 6454).
  std::vector<std::string> websocket_origins;
  std::uint16_t mtls_port = 5062;     ///< mutual TLS; opened when there are peers; 0 = never
  std::uint16_t inside_port = 5060;   ///< UDP and TCP on the inside addresses
  std::uint16_t inside_tls_port = 0;  ///< TLS on the inside addresses; 0 = off

  std::string certificate_file;  ///< PEM chain that clients are shown
  std::string private_key_file;  ///< its key, PEM without passphrase
  std::vector<SniCertificate> sni_certificates;
  /// What peers and inside TLS servers are shown: an identity for both purposes (serverAuth and
  /// clientAuth). "" = the same as for clients.
  std::string peer_certificate_file;
  std::string peer_private_key_file;
  std::string trust_file;  ///< PEM: authorities of peers and of inside TLS servers

  /// Where registrations go: "" = kept by the sidecar itself, else a server of the inside network
  /// ("sip:10.0.0.10:5060") that authenticates its users; it gets a Path (RFC 3327).
  std::string upstream;
  DigestAlgorithm digest = DigestAlgorithm::kMd5;
  std::vector<SipUser> users;  ///< unused with `upstream`
  std::vector<InsideServers> servers;
  std::vector<DialRoute> routes;
  std::vector<SipPeer> peers;
  std::vector<std::string> emergency_numbers;  ///< exempt from `routes` and from call limits
  std::string emergency_servers;               ///< name of the InsideServers that takes them
  InsideMedia inside_media = InsideMedia::kRtp;
  OutsideMedia outside_media = OutsideMedia::kSdes;

  std::string ng_endpoint = "unix:/run/turnpike/ng.sock";  ///< or "udp:127.0.0.1:2223"
  /// Where turnpiked answers GET /healthz; unset = nowhere. A relay that is stopped but not dead
  /// would hold every SIP worker that asks it something over a unix socket.
  SocketAddress health;
  std::uint32_t calls_per_minute_max = 30;        ///< of one outside user; more get 503
  std::uint32_t peer_calls_per_minute_max = 600;  ///< of one peer; more get 503
  std::uint32_t requests_per_second_max = 50;     ///< of one outside address; more are ignored
  Seconds keepalive_interval{10};                 ///< OPTIONS to inside servers and peers
  std::uint32_t keepalive_failures_max = 2;       ///< unanswered in a row: counts as down
  Seconds registration_max{3600};
  std::uint32_t worker_processes = 4;  ///< of the SIP server, for each UDP listener

  std::string run_user = "kamailio";                ///< account and group of the SIP server
  std::string relay_user = "turnpike";              ///< account of turnpiked
  std::string runtime_directory = "/run/kamailio";  ///< of its pid file and control socket
};

/// A value that cannot be used. `key` is the member's name in the file, relative to [sip]:
/// "domains", "users[2].ha1", "routes[0].pattern".
struct Mistake {
  std::string key;
  std::string message;  ///< what is wrong; what to do
};

/// Every mistake in `config`; empty when a sidecar can be generated from it. Never holds a secret.
std::vector<Mistake> check(const SipConfig& config);

}  // namespace turnpike::sidecar
