#include "control/config/turn_products.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "control/call/network.h"
#include "control/config/read_file.h"
#include "control/config/secret_file.h"
#include "control/config/turn_listeners.h"
#include "control/pki/turn_keys.h"

namespace turnpike::config {
namespace {

constexpr std::size_t kFileBytesMax = 1 << 20;  // of some ten thousand users
constexpr std::size_t kSecretBytesMax = 256;
constexpr std::size_t kNameBytesMax = 256;  // RFC 8489 section 14.3: less than 509

void wipe(std::string& text) {
  volatile char* bytes = text.data();
  for (std::size_t i = 0; i < text.size(); ++i) bytes[i] = 0;
}

void wipe(turn::Realm& realm) {
  for (turn::SharedSecret& secret : realm.secrets) wipe(secret.secret);
  for (turn::TokenKey& token : realm.token_keys) wipe(token.key);
  for (auto& [name, keys] : realm.users) {
    for (volatile std::uint8_t& byte : keys.md5) byte = 0;
    for (volatile std::uint8_t& byte : keys.sha256) byte = 0;
  }
}

void dispose(turn::Settings* settings) {
  wipe(settings->private_key);
  for (turn::Realm& realm : settings->realms) wipe(realm);
  delete settings;
}

std::vector<turn::Prefix> prefixes(const std::vector<std::string>& networks) {
  std::vector<turn::Prefix> all;
  for (const std::string& text : networks) {
    const auto network = call::parse_network(text);
    if (network) all.push_back({network->address, static_cast<std::uint8_t>(network->bits)});
  }
  return all;
}

/// "" or what is wrong with the line.
std::string take_user(std::string_view line, turn::Realm& realm) {
  const std::size_t end = line.find_first_of(" \t");
  const std::size_t begin = line.find_first_not_of(" \t", end);
  if (end == std::string::npos || begin == std::string::npos) return "is not \"NAME PASSWORD\"";
  const std::string name(line.substr(0, end));
  if (name.size() > kNameBytesMax) return "has a name of more than 256 bytes";
  const std::string_view password = line.substr(begin);
  if (password.find_first_of(" \t") != std::string_view::npos) {
    return "is not \"NAME PASSWORD\"; passwords have no blanks";
  }
  const bool is_new =
      realm.users.emplace(name, pki::long_term_keys(name, realm.name, password)).second;
  return is_new ? "" : "has the name of another line";
}

/// Unix seconds; 0 when there is nothing. False when it is no number.
bool take_time(std::string_view text, Seconds& time) {
  std::int64_t seconds = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, seconds);
  if (!text.empty() && (error != std::errc{} || at != end || seconds < 1)) return false;
  time = Seconds(std::min<std::int64_t>(seconds, 4'000'000'000));
  return true;
}

/// The next word of a line, which loses it.
std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

/// "" or what is wrong with the line.
std::string take_token_key(std::string_view line, turn::Realm& realm) {
  turn::TokenKey key;
  key.kid = next_word(line);
  const std::string_view algorithm = next_word(line);
  auto bytes = pki::token_key_of(algorithm, next_word(line));
  const std::string_view times = next_word(line);
  if (!bytes) {
    return "is not \"KID ALGORITHM KEY FROM-UNTIL\"; A256GCM has keys of 32 bytes, A128GCM of 16, "
           "in "
           "base64";
  }
  key.key = *bytes;
  wipe(*bytes);
  const std::size_t dash = std::min(times.find('-'), times.size());
  const bool two = times.empty() || dash != times.size();
  const bool read = two && next_word(line).empty() &&
                    take_time(times.substr(0, dash), key.not_before) &&
                    take_time(times.empty() ? times : times.substr(dash + 1), key.not_after);
  const auto same = [&key](const turn::TokenKey& other) { return other.kid == key.kid; };
  std::string complaint;
  if (!read) {
    complaint = "has a time that is not FROM-UNTIL in Unix seconds";
  } else if (key.not_after != Seconds{0} && key.not_before >= key.not_after) {
    complaint = "has a time that is over before it begins; write FROM-UNTIL";
  } else if (key.kid.size() > kNameBytesMax) {
    complaint = "has a KID of more than 256 bytes";
  } else if (std::any_of(realm.token_keys.begin(), realm.token_keys.end(), same)) {
    complaint = "has the KID of another line";
  } else {
    realm.token_keys.push_back(key);
  }
  wipe(key.key);
  return complaint;
}

/// Gives each line that says something to `take`, which answers what is wrong with it.
Result<void> read_lines(const std::string& path, const char* what,
                        std::string (*take)(std::string_view line, turn::Realm& realm),
                        turn::Realm& realm) {
  std::string text;
  UnreadableFile why;
  if (!read_private_file(path, kFileBytesMax, what, text, why)) {
    return Error{path + ": " + why.reason};
  }
  std::string complaint;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size() && complaint.empty();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty() && line[0] != '#') complaint = take(line, realm);
    wipe(line);
  }
  wipe(text);
  if (complaint.empty()) return {};
  return Error{path + ": line " + std::to_string(number) + " " + complaint};
}

Result<void> read_users(const std::string& path, turn::Realm& realm) {
  auto read = read_lines(path, "these passwords", take_user, realm);
  if (read && realm.users.empty()) return Error{path + ": holds no user"};
  return read;
}

Result<void> read_token_keys(const TurnRealmSection& section, turn::Realm& realm) {
  const std::string& path = section.token_keys_file;
  realm.token_server = section.token_server_name.empty() ? realm.name : section.token_server_name;
  auto read = read_lines(path, "these keys", take_token_key, realm);
  if (read && realm.token_keys.empty()) return Error{path + ": holds no key"};
  return read;
}

Result<void> read_secrets(const TurnRealmSection& section, turn::Realm& realm) {
  for (const std::string& path : section.secret_files) {
    const auto read = read_secret_file(path);
    if (!read) return read.error();
    if (read->reveal().size() > kSecretBytesMax) {
      return Error{path + ": the secret is longer than 256 characters; shorten it"};
    }
    turn::SharedSecret secret;
    secret.id = path.substr(path.rfind('/') + 1);
    secret.secret = read->reveal();
    secret.sha256 = section.secret_hash == SecretHash::kSha256;
    realm.secrets.push_back(std::move(secret));
  }
  return {};
}

Result<void> fill_realm(const TurnSection& turn, const TurnRealmSection& section,
                        turn::Realm& realm) {
  realm.name = section.realm_name();
  realm.peers.allowed = prefixes(section.allowed_peers);
  realm.peers.denied = prefixes(section.denied_peers);
  realm.peers.only_allowed = section.only_allowed_peers;
  realm.peers.port_min = section.peer_port_min;
  realm.peers.own_media = section.own_media;
  const bool limited = section.allocations_max != 0;
  realm.quotas.allocations = limited ? section.allocations_max : turn.allocations_max;
  realm.quotas.allocations_per_user = section.allocations_per_user_max;
  realm.quotas.new_peers_per_minute = section.new_peers_per_minute_max;
  realm.quotas.tcp_connections_per_user = section.tcp_connections_per_user_max;
  realm.quotas.bytes_per_second = section.bytes_per_second_max;
  if (!section.users_file.empty()) {
    if (auto read = read_users(section.users_file, realm); !read) return read;
  }
  if (!section.token_keys_file.empty()) {
    if (auto read = read_token_keys(section, realm); !read) return read;
  }
  return read_secrets(section, realm);
}

/// The number of the UDP listener there; nothing when the host lacks the address.
std::optional<std::uint32_t> listener_at(const turn::Config& config, const SocketAddress& local) {
  for (std::uint32_t i = 0; i < config.listeners.size(); ++i) {
    const turn::Listener& one = config.listeners[i];
    if (one.transport == turn::ListenerTransport::kUdp && one.local == local) return i;
  }
  return std::nullopt;
}

void add_discovery(const TurnSection& turn, const InterfaceSection& interface,
                   turn::Config& config) {
  for (const AddressFamily family : {AddressFamily::kIpv4, AddressFamily::kIpv6}) {
    std::array<std::uint32_t, 4> places{};
    std::size_t found = 0;
    for (const std::size_t number : discovery_pair(interface, family)) {
      for (const std::uint16_t port : {turn.udp_port, turn.discovery_port}) {
        const auto at = listener_at(config, {interface.addresses[number], port});
        if (at) places[found++] = *at;
      }
    }
    if (found == places.size()) config.discovery.push_back(places);
  }
}

}  // namespace

turn::Config turn_config(const Settings& settings, const Host& host) {
  const TurnSection& turn = settings.turn;
  turn::Config config;
  if (turn.realms.empty()) return config;
  config.port_min = turn.port_min;
  config.port_max = turn.port_max;
  config.media_port_min = settings.media.port_min;
  config.media_port_max = settings.media.port_max;
  config.port_quarantine = turn.quarantine;
  config.allocations_max = turn.allocations_max;
  config.permissions_max = turn.permissions_max;
  config.connections_max = turn.connections_max;
  config.connections_per_source_max = turn.connections_per_source_max;
  config.tcp_allocations = turn.tcp_allocations;
  config.tcp_connections_max = turn.tcp_connections_max;
  config.tcp_connections_per_allocation_max = turn.tcp_connections_per_allocation_max;
  config.own_addresses = host.addresses;
  for (const InterfaceSection& section : settings.interfaces) {
    for (std::size_t i = 0; i < section.addresses.size(); ++i) {
      const bool behind_nat = i < section.advertised.size();
      const IpAddress& local = section.addresses[i];
      const IpAddress& advertised = behind_nat ? section.advertised[i] : local;
      config.own_addresses.push_back(local);
      config.own_addresses.push_back(advertised);
      // What the host lacks (now) it goes on without, as media does.
      if (section.name != turn.interface || !has_address(host, local)) continue;
      config.relay_addresses.push_back({local, advertised});
    }
  }
  for (const TurnListener& one : turn_listeners(settings)) {
    if (!has_address(host, one.local.ip)) continue;
    config.listeners.push_back({one.transport, one.local, one.realm, one.at_door});
  }
  for (const InterfaceSection& section : settings.interfaces) {
    if (section.name == turn.interface) add_discovery(turn, section, config);
  }
  return config;
}

Result<std::shared_ptr<turn::Settings>> turn_settings(const Settings& settings) {
  const TurnSection& turn = settings.turn;
  std::shared_ptr<turn::Settings> made(new turn::Settings(), dispose);
  made->lifetime_default = turn.lifetime;
  made->lifetime_max = turn.lifetime_max;
  made->allocation_age_max = turn.allocation_age_max;
  made->nonce_lifetime = turn.nonce_lifetime;
  made->strict_expiry = turn.strict_expiry;
  made->mobility = turn.mobility;
  made->alternate = turn.alternate;
  for (const TurnRealmSection& section : turn.realms) {
    turn::Realm realm;
    if (auto filled = fill_realm(turn, section, realm); !filled) {
      wipe(realm);
      return Error{"turn.realm." + section.name + ": " + filled.error().message};
    }
    const bool is_default = &section == &default_realm(turn);
    made->realms.insert(is_default ? made->realms.begin() : made->realms.end(), std::move(realm));
  }
  return made;
}

std::shared_ptr<turn::Settings> copy_of(const turn::Settings& settings) {
  return {new turn::Settings(settings), dispose};
}

Result<void> read_turn_certificate(const Settings& settings, turn::Settings& into) {
  const TurnSection& turn = settings.turn;
  if (!shows_turn_certificate(settings)) return {};
  const pki::Judgement judgement = pki::check_identity(turn.certificate_file, turn.private_key_file,
                                                       {}, std::chrono::system_clock::now());
  if (!judgement.mistakes.empty()) return Error{judgement.mistakes.front()};
  UnreadableFile why;
  std::string certificate;
  std::string private_key;
  for (const auto& [path, text] : {std::pair{&turn.certificate_file, &certificate},
                                   std::pair{&turn.private_key_file, &private_key}}) {
    if (!read_regular_file(*path, kFileBytesMax, *text, why)) {
      return Error{*path + ": " + why.reason};
    }
  }
  wipe(into.private_key);
  into.certificate = std::move(certificate);
  into.private_key = std::move(private_key);
  return {};
}

std::string turn_name_trouble(const Settings& settings) {
  const TurnSection& turn = settings.turn;
  if (turn.server_name.empty() || !shows_turn_certificate(settings)) return {};
  const auto mistakes = [&turn](const pki::Purpose& purpose) {
    return pki::check_identity(turn.certificate_file, turn.private_key_file, purpose,
                               std::chrono::system_clock::now())
        .mistakes;
  };
  if (!mistakes({}).empty()) return {};
  const std::vector<std::string> lacks = mistakes({.names = {turn.server_name}});
  return lacks.empty() ? std::string() : lacks.front();
}

pki::Judgement judge_turn_files(const Settings& settings) {
  pki::Judgement judgement;
  const TurnSection& turn = settings.turn;
  if (turn.realms.empty()) return judgement;
  if (shows_turn_certificate(settings)) {
    judgement = pki::check_identity(turn.certificate_file, turn.private_key_file, {},
                                    std::chrono::system_clock::now());
    for (std::string& mistake : judgement.mistakes) {
      mistake += "; turn.tls_port and turn.dtls_port would serve nobody";
    }
    if (const std::string lack = turn_name_trouble(settings); !lack.empty()) {
      judgement.warnings.push_back(lack + "; clients that are told that name go away");
    }
  }
  if (const auto made = turn_settings(settings); !made) {
    judgement.mistakes.push_back(made.error().message);
  }
  return judgement;
}

}  // namespace turnpike::config
