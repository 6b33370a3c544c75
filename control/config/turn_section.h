// The [turn] section and its realms as typed values; turn_sections.cc says what the keys mean.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "turnpike/address.h"
#include "turnpike/time.h"

namespace turnpike::config {

enum class SecretHash : std::uint8_t { kSha1 = 0, kSha256 = 1 };

/// [turn.realm.NAME]
struct TurnRealmSection {
  std::string name;
  std::string realm;                 ///< empty: the name
  std::vector<IpAddress> addresses;  ///< whose listeners are the realm's; none: of all, with a port
  std::uint16_t port = 0;            ///< of its own, UDP and TCP; 0: none
  std::uint16_t tls_port = 0;        ///< 0: none
  std::uint16_t dtls_port = 0;       ///< 0: none
  std::string users_file;
  std::vector<std::string> secret_files;
  SecretHash secret_hash = SecretHash::kSha1;
  std::string token_keys_file;
  std::string token_server_name;           ///< empty: that of the realm
  std::vector<std::string> allowed_peers;  ///< networks
  std::vector<std::string> denied_peers;
  bool only_allowed_peers = false;
  bool own_media = false;
  std::uint16_t peer_port_min = 0;
  std::uint32_t allocations_max = 0;
  std::uint32_t allocations_per_user_max = 0;
  std::uint32_t new_peers_per_minute_max = 0;
  std::uint32_t tcp_connections_per_user_max = 0;
  std::uint64_t bytes_per_second_max = 0;

  bool operator==(const TurnRealmSection&) const = default;
  const std::string& realm_name() const { return realm.empty() ? name : realm; }
  bool has_own_port() const { return port != 0 || tls_port != 0 || dtls_port != 0; }
};

struct TurnSection {
  std::string interface;
  std::string default_realm;  ///< a section's name; empty: the only one
  std::uint16_t udp_port = 0;
  std::uint16_t tcp_port = 0;  ///< 0: none
  std::uint16_t tls_port = 0;
  std::uint16_t dtls_port = 0;
  std::uint16_t discovery_port = 0;  ///< 0: none
  std::string certificate_file;      ///< empty: neither TLS nor DTLS
  std::string private_key_file;
  std::string server_name;  ///< of the certificate; empty: clients are given addresses
  std::uint16_t port_min = 0;
  std::uint16_t port_max = 0;
  Seconds quarantine{};
  std::uint32_t allocations_max = 0;
  std::uint32_t permissions_max = 0;
  std::uint32_t connections_max = 0;
  std::uint32_t connections_per_source_max = 0;
  bool tcp_allocations = false;
  std::uint32_t tcp_connections_max = 0;
  std::uint32_t tcp_connections_per_allocation_max = 0;
  Seconds lifetime{};
  Seconds lifetime_max{};
  Seconds allocation_age_max{};
  Seconds nonce_lifetime{};
  bool strict_expiry = false;
  bool mobility = false;
  Seconds credentials_max{};
  SocketAddress alternate;               ///< unset: none
  std::vector<TurnRealmSection> realms;  ///< in the order of their names; none: no TURN server

  bool operator==(const TurnSection&) const = default;
  bool has_tls_port() const { return has_port(tls_port, &TurnRealmSection::tls_port); }
  bool has_dtls_port() const { return has_port(dtls_port, &TurnRealmSection::dtls_port); }
  bool has_tls() const { return has_tls_port() && !certificate_file.empty(); }
  bool has_dtls() const { return has_dtls_port() && !certificate_file.empty(); }

 private:
  bool has_port(std::uint16_t shared, std::uint16_t TurnRealmSection::*own) const {
    return shared != 0 || std::any_of(realms.begin(), realms.end(),
                                      [own](const auto& realm) { return realm.*own != 0; });
  }
};

}  // namespace turnpike::config
