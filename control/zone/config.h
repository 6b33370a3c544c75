// What the zones of this node are configured to be.
#pragma once

#include <string>
#include <vector>

#include "control/tls/context.h"
#include "control/zone/admission.h"
#include "control/zone/http2.h"
#include "control/zone/message.h"

namespace turnpike::zone {

/// The wire protocol's name in TLS (ALPN).
inline constexpr const char* kTlsProtocol = "turnpike-zone/1";
/// What a stream that carries SIP asks for.
inline constexpr const char* kSipTarget = "sip";
/// What the stream asks for on which the two programs talk to each other; opened by the core.
inline constexpr const char* kChannelTarget = "turnpike";
/// Of one message on it.
inline constexpr std::size_t kChannelMessageBytesMax = 65536;
/// Messages of the other end: so many at once, and one more every kChannelMessageInterval.
inline constexpr unsigned kChannelMessagesBurst = 8;
inline constexpr Milliseconds kChannelMessageInterval{2000};

struct PeerConfig {
  std::string name;
  SocketAddress address;     ///< dialled by the core; unset on the edge
  std::string tls_name;      ///< what its certificate must name
  SocketAddress sip_listen;  ///< loopback: what connects here reaches the peer; unset: none
  SocketAddress sip_target;  ///< loopback: where the peer's SIP streams are connected to; or unset
};

struct ZoneConfig {
  std::string name;
  std::string kind;      ///< "uc", "traversal"
  SocketAddress listen;  ///< of the edge; unset on the core
  tls::ContextOptions tls;
  std::string tls_verify_subject;  ///< every node's certificate must have it; empty: none
  bool accept_common_name = false;
  std::string user;
  std::string password_file;
  std::vector<std::string> domains;
  std::vector<PeerConfig> peers;
  Milliseconds keepalive{10000};
  Milliseconds handshake_timeout{10000};
  AdmissionLimits admission;
  Http2Limits http2;
};

struct ServiceConfig {
  Role role = Role::kCore;
  std::string node;
  std::string sip_user;  ///< account that may use the loopback listeners
  std::vector<ZoneConfig> zones;
};

}  // namespace turnpike::zone
