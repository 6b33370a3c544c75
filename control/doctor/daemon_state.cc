#include "control/doctor/daemon_state.h"

#include <cerrno>
#include <cstring>

#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/ctl/client.h"
#include "control/doctor/words.h"
#include "control/loop/socket_address.h"

namespace turnpike::doctor {
namespace {

using Json = nlohmann::json;

constexpr const char* kOtherVersion =
    "it answers what this version does not expect; is turnpiked of another version?";

std::string text_of(const Json& object, const char* key) {
  const Json& value = object.at(key);
  return value.is_null() ? std::string() : value.get<std::string>();
}

TroubleFacts read_trouble(const Json& json) {
  if (json.is_null()) return {};
  return {.reason = text_of(json, "reason"),
          .meaning = text_of(json, "meaning"),
          .detail = text_of(json, "detail"),
          .address = text_of(json, "address"),
          .age_seconds = json.at("age_seconds").get<double>()};
}

ConnectionState read_connection(const Json& json) {
  ConnectionState one;
  one.up = json.at("state") == "up";
  one.tls = text_of(json, "tls");
  const Json& trip = json.at("round_trip_ms");
  if (!trip.is_null()) one.round_trip_ms = trip.get<double>();
  one.last_error = read_trouble(json.at("last_error"));
  return one;
}

PeerState read_peer(const Json& json) {
  PeerState peer;
  peer.name = text_of(json, "name");
  peer.up = json.at("state") == "up";
  peer.since_seconds = json.at("since_seconds").get<double>();
  for (const Json& one : json.at("connections")) {
    peer.connections.push_back(read_connection(one));
    if (const std::string address = text_of(one, "address"); !address.empty()) {
      peer.address = address;
    }
  }
  for (const Json& flow : json.at("flows")) {
    peer.flows.push_back({flow.at("number") != 0, flow.at("state") == "bound"});
  }
  const Json& certificate = json.at("certificate");
  if (!certificate.is_null()) {
    peer.subject = text_of(certificate, "subject");
    peer.certificate_days = certificate.at("expires_in_days").get<double>();
  }
  return peer;
}

ZoneState read_zone(const Json& json) {
  ZoneState zone;
  zone.name = text_of(json, "name");
  zone.files_trouble = text_of(json, "files_trouble");
  zone.last_refusal = read_trouble(json.at("last_refusal"));
  for (const Json& refused : json.at("refused")) {
    if (reason_of(text_of(refused, "reason")) != zone::Reason::kWrongPassword) continue;
    zone.wrong_passwords = refused.at("count").get<std::uint64_t>();
  }
  for (const Json& peer : json.at("peers")) zone.peers.push_back(read_peer(peer));
  return zone;
}

/// The process at the other end of the daemon's socket; 0 when that is not to be had.
pid_t process_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return 0;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  ucred peer{};
  socklen_t size = sizeof peer;
  const bool known = ::connect(fd, loop::as_sockaddr(address), sizeof address) == 0 &&
                     ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  ::close(fd);
  return known ? peer.pid : 0;
}

bool read_status(const std::string& body, DaemonState& daemon) {
  try {
    const Json json = Json::parse(body);
    daemon.state = text_of(json, "state");
    daemon.uptime_seconds = json.at("uptime_seconds").get<double>();
    daemon.holder_connected = json.at("holder").at("connected").get<bool>();
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

}  // namespace

bool read_zones(const std::string& body, DaemonState& daemon) {
  try {
    const Json json = Json::parse(body);
    for (const Json& zone : json.at("zones")) daemon.zones.push_back(read_zone(zone));
    return true;
  } catch (const Json::exception&) {
    daemon.zones.clear();
    return false;
  }
}

DaemonState ask_daemon(const std::string& socket_path) {
  DaemonState daemon;
  daemon.has_api = !socket_path.empty();
  daemon.unclear = !daemon.has_api;
  if (!daemon.has_api) return daemon;
  daemon.forbidden = ::access(socket_path.c_str(), W_OK) != 0 && errno == EACCES;
  const auto status = ctl::ask(socket_path, "/v1/status");
  if (!status) {
    daemon.trouble = status.error().message;
    daemon.unclear = daemon.forbidden || process_at(socket_path) != 0;
    return daemon;
  }
  const auto zones = ctl::ask(socket_path, "/v1/zones");
  const bool sound = zones && status->status == 200 && zones->status == 200 &&
                     read_status(status->body, daemon) && read_zones(zones->body, daemon);
  if (!sound) {
    daemon.trouble = kOtherVersion;
    daemon.unclear = true;
    return daemon;
  }
  daemon.running = true;
  daemon.pid = process_at(socket_path);
  return daemon;
}

}  // namespace turnpike::doctor
