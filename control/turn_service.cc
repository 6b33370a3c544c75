#include "control/turn_service.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "control/api/json.h"
#include "control/config/turn_products.h"
#include "control/pki/turn_keys.h"

namespace turnpike {
namespace {

constexpr std::size_t kUserBytesMax = 128;

std::string value_of(const api::Request& request, const char* name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? "" : found->second;
}

/// Of the characters that go through every URL, file and SDP unchanged.
bool is_user_name(const std::string& name) {
  return !name.empty() && name.size() <= kUserBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

std::unique_ptr<TurnService> TurnService::start(const config::Settings& settings,
                                                TurnServer* server, log::Log& log) {
  const config::TurnSection& turn = settings.turn;
  if (turn.realms.empty()) return nullptr;
  if (server == nullptr) {
    log.warning("turn_closed",
                {{"reason",
                  "a listener of [turn] cannot be opened: another program has its port, "
                  "its address is not there, or LimitNOFILE is too low"},
                 {"udp_port", turn.udp_port},
                 {"tcp_port", turn.tcp_port},
                 {"hint", "calls go on without it; mend that and restart the daemon"}});
    return nullptr;
  }
  std::unique_ptr<TurnService> service(new TurnService(settings, *server, log));
  Result<void> certificate;
  if (const auto loaded = service->load(settings, certificate); !loaded) {
    log.warning("turn_closed", {{"reason", loaded.error().message},
                                {"hint",
                                 "calls go on, TURN refuses everybody; mend the file and "
                                 "reload"}});
    return service;
  }
  log.info("turn_started", {{"realms", turn.realms.size()},
                            {"udp_port", turn.udp_port},
                            {"tcp_port", turn.tcp_port},
                            {"tls_port", turn.has_tls() ? turn.tls_port : 0},
                            {"dtls_port", turn.has_dtls() ? turn.dtls_port : 0},
                            {"port_min", turn.port_min},
                            {"port_max", turn.port_max}});
  return service;
}

TurnService::TurnService(const config::Settings& settings, TurnServer& server, log::Log& log)
    : section_(settings.turn),
      server_(server),
      log_(log),
      listeners_(config::turn_listeners(settings)) {}

// A realm keeps its place: counters only ever grow.
std::uint8_t TurnService::figures_of(const std::string& realm) {
  const auto found = std::find(realm_figures_.begin(), realm_figures_.end(), realm);
  const auto place = static_cast<std::size_t>(found - realm_figures_.begin());
  const std::size_t shared = turn::kRealmFiguresMax - 1;
  if (found == realm_figures_.end() && place < shared) realm_figures_.push_back(realm);
  return static_cast<std::uint8_t>(std::min(place, shared));
}

Result<void> TurnService::load(const config::Settings& settings, Result<void>& certificate) {
  auto made = config::turn_settings(settings);
  if (!made) return made.error();
  for (turn::Realm& realm : (*made)->realms) realm.figures = figures_of(realm.name);
  // What cannot be replaced goes on.
  const bool wanted = config::shows_turn_certificate(settings);
  const bool has_old = wanted && settings_ != nullptr && !settings_->certificate.empty();
  if (has_old) {
    (*made)->certificate = settings_->certificate;
    (*made)->private_key = settings_->private_key;
  }
  certificate = config::read_turn_certificate(settings, **made);
  // Every reload comes here: where nothing has changed, no allocation has to be looked at.
  if (settings_ == nullptr || **made != *settings_) {
    const auto taken = server_.configure(config::copy_of(**made));
    if (!taken) {
      // The library is another judge, and has the last word. The next reload asks it anew.
      certificate = Error{settings.turn.certificate_file + ": " + taken.error().message};
      (*made)->certificate = has_old ? settings_->certificate : "";
      (*made)->private_key = has_old ? settings_->private_key : "";
    }
    settings_ = std::move(*made);
  }
  if (!certificate) {
    log_.warning("turn_certificate_unusable",
                 {{"reason", certificate.error().message},
                  {"hint", has_old ? "clients are shown the one from before"
                                   : "no client over TLS or DTLS is served; repair it and "
                                     "reload"}});
  } else if (const std::string lack = config::turn_name_trouble(settings); !lack.empty()) {
    log_.warning("turn_certificate_name",
                 {{"reason", lack},
                  {"hint",
                   "clients that are given turns: URIs with that name go away; get a "
                   "certificate with it, or set turn.server_name to one that it has"}});
  }
  return {};
}

Result<void> TurnService::reload(const config::Settings& settings) {
  Result<void> certificate;
  const Result<void> loaded = load(settings, certificate);
  if (!loaded) {
    log_.warning("turn_kept", {{"reason", loaded.error().message},
                               {"hint", "realms, users and secrets stay as they were"}});
    return loaded;
  }
  section_ = settings.turn;
  log_.info("turn_reloaded", {{"realms", settings_->realms.size()}});
  return certificate;
}

// Where a client is told this realm.
std::vector<std::string> TurnService::uris(const std::string& realm) const {
  using turn::ListenerTransport;
  const bool is_default = realm == settings_->realms.front().name;
  const std::string& name = section_.server_name;
  std::vector<std::string> all;
  const auto add = [&](ListenerTransport transport, const char* scheme, const char* below) {
    for (const config::TurnListener& one : listeners_) {
      if (one.transport != transport || one.is_second) continue;
      if (one.realm.empty() ? !is_default : one.realm != realm) continue;
      const bool is_sealed =
          transport == ListenerTransport::kTls || transport == ListenerTransport::kDtls;
      // Its name is one for all addresses.
      const std::string at = is_sealed && !name.empty()
                                 ? name + ":" + std::to_string(one.local.port)
                                 : to_string(SocketAddress{one.advertised, one.local.port});
      const std::string uri = scheme + at + "?transport=" + below;
      if (std::find(all.begin(), all.end(), uri) == all.end()) all.push_back(uri);
    }
  };
  add(ListenerTransport::kUdp, "turn:", "udp");
  add(ListenerTransport::kTcp, "turn:", "tcp");
  add(ListenerTransport::kTls, "turns:", "tcp");
  add(ListenerTransport::kDtls, "turns:", "udp");
  return all;
}

api::Response TurnService::credentials(const api::Request& request) const {
  if (settings_ == nullptr) return api::failure(503, "TURN is closed; the log says why");
  const std::string wanted = value_of(request, "realm");
  const auto realm = std::find_if(
      settings_->realms.begin(), settings_->realms.end(),
      [&wanted](const turn::Realm& one) { return wanted.empty() || one.name == wanted; });
  if (realm == settings_->realms.end()) return api::failure(404, "there is no such realm");
  if (realm->secrets.empty()) {
    return api::failure(409, "the realm has no secret_files to make credentials with");
  }
  const std::string user = value_of(request, "user");
  if (!is_user_name(user)) {
    return api::failure(400, "give a user: up to 128 letters, digits and signs, without blanks");
  }
  std::int64_t ttl = section_.credentials_max.count();
  if (const std::string text = value_of(request, "ttl_seconds"); !text.empty()) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ttl);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    if (!whole || ttl < 1 || ttl > section_.credentials_max.count()) {
      return api::failure(400, "ttl_seconds is a number from 1 to " +
                                   std::to_string(section_.credentials_max.count()));
    }
  }
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto expiry = std::chrono::duration_cast<Seconds>(now).count() + ttl;
  const std::string name = std::to_string(expiry) + ":" + user;
  api::Response response = api::json_response(
      200, {{"username", name},
            {"password", pki::time_limited_password(realm->secrets.front(), name)},
            {"ttl_seconds", ttl},
            {"realm", realm->name},
            {"uris", uris(realm->name)}});
  response.headers.emplace_back("cache-control", "no-store");
  return response;
}

}  // namespace turnpike
