// Copies settings into the configurations that the parts of the daemon take.
#include "control/config/products.h"

#include <algorithm>

#include "control/config/secret_file.h"
#include "control/config/turn_products.h"

namespace turnpike::config {
namespace {

std::vector<Interface> interfaces(const Settings& settings) {
  std::vector<Interface> all;
  for (const InterfaceSection& section : settings.interfaces) {
    Interface interface;
    interface.name = section.name;
    for (std::size_t i = 0; i < section.addresses.size(); ++i) {
      const bool behind_nat = i < section.advertised.size();
      interface.addresses.push_back(
          {section.addresses[i], behind_nat ? section.advertised[i] : section.addresses[i]});
    }
    all.push_back(std::move(interface));
  }
  return all;
}

}  // namespace

RelayConfig relay_config(const Settings& settings) {
  const MediaSection& media = settings.media;
  RelayConfig config;
  config.interfaces = interfaces(settings);
  config.shards = media.shards;
  config.pin_shards = media.pin_shards;
  config.port_min = media.port_min;
  config.port_max = media.port_max;
  config.port_quarantine = media.quarantine;
  config.sessions_max = media.sessions_max;
  config.streams_per_leg_max = media.streams_per_leg_max;
  config.media_timeout = media.media_timeout;
  config.keepalive_interval = media.keepalive;
  config.socket_buffer_bytes = media.socket_buffer_bytes;
  config.tick = std::chrono::microseconds{media.tick_us};
  config.busy_max_percent = media.busy_max_percent;
  config.connect_after = media.connect_after;
  config.srtp_library = media.srtp_backend;
  config.holder_socket = settings.holder.unix_path;
  config.pair_role = pair_role(settings);
  config.flow_ports = flow_ports(settings);
  return config;
}

namespace {

/// What lies behind an interface, as far as configuration and host tell.
std::vector<call::Network> networks_of(const InterfaceSection& section, const Settings& settings,
                                       const Host& host) {
  std::vector<call::Network> networks;
  const auto add = [&networks](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      if (const auto network = call::parse_network(text)) networks.push_back(*network);
    }
  };
  add(section.networks);
  if (section.name == "inside") add(settings.sip.inside_networks);
  for (const call::Network& connected : host.networks) {
    const auto& ours = section.addresses;
    if (std::find(ours.begin(), ours.end(), connected.address) == ours.end()) continue;
    networks.push_back(connected);
  }
  return networks;
}

call::OwnRelays own_relays(const Settings& settings, const Host& host) {
  const turn::Config turn = turn_config(settings, host);
  call::OwnRelays relays;
  for (const turn::RelayAddress& one : turn.relay_addresses) {
    relays.addresses.push_back({one.local, one.advertised});
  }
  if (relays.addresses.empty()) return relays;
  relays.port_min = turn.port_min;
  relays.port_max = turn.port_max;
  return relays;
}

}  // namespace

call::CallServiceConfig call_config(const Settings& settings, const Host& host) {
  const MediaSection& media = settings.media;
  call::CallServiceConfig config;
  config.calls_max = media.calls_max;
  config.interfaces = interfaces(settings);
  for (const InterfaceSection& section : settings.interfaces) {
    if (section.srtp == SrtpRule::kRequired) config.srtp_interfaces.insert(section.name);
    config.networks[section.name] = networks_of(section, settings, host);
  }
  config.pair_role = pair_role(settings);
  for (const ZoneSection& zone : settings.zones) {
    for (const ZonePeerSection& peer : zone.peers) {
      const std::string name = zone.name + "/" + peer.name;
      config.interfaces.push_back({name, {}});
      ++config.zone_peers;
      config.srtp_interfaces.insert(name);
      if (zone.require_dtls) config.dtls_interfaces.insert(name);
    }
  }
  config.host_addresses = host.addresses;
  config.media_port_min = media.port_min;
  config.media_port_max = media.port_max;
  config.relays = own_relays(settings, host);
  config.dscp = {media.dscp_audio, media.dscp_video, media.dscp_other};
  config.offer_timeout = media.offer_timeout;
  config.hold_timeout = media.hold_timeout;
  config.source_policy = media.source_policy;
  config.ice_preferred_family =
      media.ice_prefer == IcePreference::kIpv4 ? AddressFamily::kIpv4 : AddressFamily::kIpv6;
  config.delete_delay = media.delete_delay;
  return config;
}

api::HttpServerOptions api_config(const Settings& settings) {
  return {.unix_path = settings.api.unix_path,
          .unix_group = settings.api.unix_group,
          .tcp = settings.api.metrics,
          .host_names = settings.api.host_names,
          .api = settings.api.listen,
          .tls = {settings.api.certificate_file, settings.api.private_key_file,
                  settings.api.client_trust_file}};
}

namespace {

LiveSettings::Ng live_ng(const NgSection& section) {
  return {section.token_file, section.clients, section.host_names, section.client_requests_max,
          section.client_requests_per_second_max};
}

TurnSection live_turn(TurnSection section) {
  section.interface.clear();
  section.udp_port = section.tcp_port = section.tls_port = section.dtls_port =
      section.discovery_port = section.port_min = section.port_max = 0;
  section.quarantine = {};
  section.allocations_max = section.permissions_max = 0;
  section.connections_max = section.connections_per_source_max = 0;
  section.tcp_allocations = false;
  section.tcp_connections_max = section.tcp_connections_per_allocation_max = 0;
  for (TurnRealmSection& realm : section.realms) {
    realm.realm.clear();
    realm.addresses.clear();
    realm.port = realm.tls_port = realm.dtls_port = 0;
  }
  return section;
}

}  // namespace

LiveSettings live_settings(const Settings& settings, const Host& host) {
  const MediaSection& media = settings.media;
  LiveSettings live;
  live.drain_timeout = settings.node.drain_timeout;
  live.log_level = settings.log.level;
  live.relay = {interfaces(settings), media.streams_per_leg_max, media.media_timeout,
                media.keepalive, media.busy_max_percent};
  live.calls = call_config(settings, host);
  live.ng = live_ng(settings.ng);
  live.api = {settings.api.host_names, settings.api.tokens_file, settings.api.captures};
  live.records = {settings.records.file, settings.records.file_bytes_max,
                  settings.records.files_max};
  live.turn = live_turn(settings.turn);
  return live;
}

ng::GateRules gate_rules(const LiveSettings::Ng& section) {
  ng::GateRules rules;
  rules.requests_in_work_max = section.client_requests_max;
  rules.requests_per_second_max = section.client_requests_per_second_max;
  std::vector<call::Network> clients;
  for (const std::string& text : section.clients) {
    if (const auto network = call::parse_network(text)) clients.push_back(*network);
  }
  if (!clients.empty()) {
    rules.is_client = [clients](const IpAddress& ip) {
      return std::any_of(clients.begin(), clients.end(),
                         [&ip](const call::Network& network) { return network.contains(ip); });
    };
  }
  return rules;
}

Result<ng::ServerConfig> ng_config(const Settings& settings) {
  const NgSection& section = settings.ng;
  ng::ServerConfig config;
  config.unix_path = section.unix_path;
  config.unix_group = section.unix_group;
  if (section.udp.is_set()) config.udp = {section.udp};
  if (section.tcp.is_set()) config.tcp = {section.tcp};
  config.gate = gate_rules(live_ng(section));
  if (!section.token_file.empty()) {
    const auto token = read_secret_file(section.token_file);
    if (!token) return Error{"ng.token_file: " + token.error().message};
    config.gate.token = token->reveal();
  }
  return config;
}

api::NgDoorOptions ng_door_options(const Settings& settings) {
  return {.tcp = settings.ng.http,
          .host_names = settings.ng.host_names,
          .token_in_path = settings.ng.token_in_path,
          .tls = {settings.ng.certificate_file, settings.ng.private_key_file,
                  settings.ng.client_trust_file}};
}

}  // namespace turnpike::config
