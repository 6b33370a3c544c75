// The configuration file as typed values. Which keys there are, their defaults and their meaning
// stand in the tables of sections.cc; the members here only give each a type.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/config/front_door_section.h"
#include "control/config/sip_section.h"
#include "control/config/turn_section.h"
#include "control/tls/context.h"
#include "turnpike/address.h"
#include "turnpike/command.h"
#include "turnpike/config.h"
#include "turnpike/stats.h"
#include "turnpike/time.h"

namespace turnpike::config {

struct NodeSection {
  std::string name;
  std::string role;
  Seconds drain_timeout{};
};

enum class SrtpRule : std::uint8_t { kRequired = 0, kOptional = 1 };

/// [interface.NAME]
struct InterfaceSection {
  std::string name;
  std::vector<IpAddress> addresses;
  std::vector<IpAddress> advertised;  ///< as many as addresses, or none
  SrtpRule srtp = SrtpRule::kOptional;
  std::vector<std::string> networks;  ///< "10.0.0.0/8"
};

/// The address family whose candidate of ours ICE tries first.
enum class IcePreference : std::uint8_t { kIpv6 = 0, kIpv4 = 1 };

struct MediaSection {
  std::uint16_t port_min = 0;
  std::uint16_t port_max = 0;
  Seconds quarantine{};
  unsigned shards = 0;
  bool pin_shards = false;
  std::uint32_t sessions_max = 0;
  std::uint32_t calls_max = 0;
  std::uint32_t streams_per_leg_max = 0;
  Seconds media_timeout{};
  Seconds offer_timeout{};
  Seconds hold_timeout{};
  Seconds keepalive{};
  Seconds delete_delay{};
  std::uint32_t socket_buffer_bytes = 0;
  std::uint32_t tick_us = 0;
  std::uint32_t connect_after = 0;
  std::uint32_t busy_max_percent = 0;
  SrtpLibrary srtp_backend = SrtpLibrary::kAuto;
  SourcePolicy source_policy = SourcePolicy::kStrict;
  IcePreference ice_prefer = IcePreference::kIpv6;
  std::uint8_t dscp_audio = 0;
  std::uint8_t dscp_video = 0;
  std::uint8_t dscp_other = 0;
};

struct NgSection {
  std::string unix_path;
  std::string unix_group;
  SocketAddress udp;   ///< unset: no UDP listener
  SocketAddress tcp;   ///< unset: none
  SocketAddress http;  ///< unset: none
  std::string token_file;
  bool token_in_path = false;
  std::string certificate_file;  ///< of `http`; empty: no TLS
  std::string private_key_file;
  std::string client_trust_file;
  std::vector<std::string> clients;  ///< networks; none: this host
  std::vector<std::string> host_names;
  std::uint32_t client_requests_max = 0;
  std::uint32_t client_requests_per_second_max = 0;
};

struct ApiSection {
  std::string unix_path;
  std::string unix_group;
  SocketAddress metrics;  ///< unset: no TCP listener
  bool metrics_public = false;
  std::vector<std::string> host_names;
  std::string captures;
  SocketAddress listen;  ///< unset: no TCP listener
  std::string tokens_file;
  std::string certificate_file;
  std::string private_key_file;
  std::string client_trust_file;
};

struct LogSection {
  std::string level;
  std::string target;
  std::string syslog_unix;   ///< empty: none
  SocketAddress syslog_udp;  ///< unset: none
  std::string syslog_facility;
};

struct RecordsSection {
  std::string file;  ///< empty: none
  std::uint64_t file_bytes_max = 0;
  std::uint32_t files_max = 0;
};

struct HomerSection {
  SocketAddress address;  ///< unset: nothing is reported
  std::uint32_t capture_id = 0;
  std::string key_file;  ///< empty: no key
  Seconds interval{};
  std::uint32_t reports_per_second_max = 0;
};

struct HolderSection {
  std::string unix_path;  ///< empty: no holder
};

enum class ZoneKind : std::uint8_t { kUc = 0, kTraversal = 1 };
enum class NameRule : std::uint8_t { kSan = 0, kSanOrCommonName = 1 };

/// [zone.ZONE.peer.PEER]
struct ZonePeerSection {
  std::string name;
  std::string tls_name;
  SocketAddress address;     ///< unset: not dialled
  SocketAddress sip_listen;  ///< unset: none
  SocketAddress sip_target;  ///< unset: none
};

/// [zone.ZONE]
struct ZoneSection {
  std::string name;
  ZoneKind kind = ZoneKind::kUc;
  SocketAddress listen;  ///< unset: none
  std::string tls_name;
  std::string certificate_file;
  std::string private_key_file;
  std::string trust_file;
  std::string tls_verify_subject;
  NameRule verify_name = NameRule::kSan;
  tls::Version tls_min_version = tls::Version::kTls12;
  std::string user;
  std::string password_file;
  std::vector<std::string> domains;
  Seconds keepalive{};
  Seconds handshake_timeout{};
  std::uint32_t waiting_max = 0;
  std::uint32_t waiting_per_source_max = 0;
  std::uint32_t streams_max = 0;
  bool require_dtls = false;
  std::uint16_t flow_port_min = 0;
  std::uint16_t flow_port_max = 0;
  std::vector<ZonePeerSection> peers;  ///< in the order of their names
};

struct Settings {
  NodeSection node;
  std::vector<InterfaceSection> interfaces;  ///< in the order of their names
  MediaSection media;
  NgSection ng;
  ApiSection api;
  LogSection log;
  RecordsSection records;
  HomerSection homer;
  HolderSection holder;
  SipSection sip;
  std::vector<ZoneSection> zones;  ///< in the order of their names
  TurnSection turn;
  FrontDoorSection front_door;
};

}  // namespace turnpike::config
