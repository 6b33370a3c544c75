#include "control/ng_access.h"

#include <utility>

#include "control/config/identities.h"
#include "control/config/products.h"
#include "control/config/secret_file.h"

namespace turnpike {
namespace {

/// "", or why the token read before stays in use.
std::string reload_token(const std::string& path, ng::Gate& gate, log::Log& log) {
  if (path.empty()) {
    gate.set_token({});
    return {};
  }
  const auto token = config::read_secret_file(path);
  if (token) {
    gate.set_token(std::string(token->reveal()));
    return {};
  }
  log.warning("ng_token_kept", {{"reason", token.error().message},
                                {"hint", "the token read before goes on to admit"}});
  return "ng.token_file: " + token.error().message;
}

/// "", or why the files read before stay in use.
std::string reload_certificates(const config::Settings& settings, api::NgDoor* door,
                                log::Log& log) {
  if (door == nullptr) return "ng.http is closed: a file had a fault at start; restart";
  const pki::Judgement files = config::judge_ng_certificates(settings);
  const Result<void> renewed =
      files.mistakes.empty() ? door->renew_certificates() : Error{files.mistakes.front()};
  if (renewed) return {};
  log.warning("ng_certificate_kept",
              {{"reason", renewed.error().message}, {"hint", "the files read before stay in use"}});
  return renewed.error().message;
}

}  // namespace

Result<std::unique_ptr<api::NgDoor>> open_ng_door(loop::EventLoop& loop,
                                                  const config::Settings& settings, ng::Gate& gate,
                                                  log::Log& log) {
  if (!settings.ng.http.is_set()) return std::unique_ptr<api::NgDoor>();
  const pki::Judgement files = config::judge_ng_certificates(settings);
  if (files.mistakes.empty()) {
    return api::NgDoor::open(loop, config::ng_door_options(settings), gate);
  }
  log.error("ng_http_closed", {{"listen", to_string(settings.ng.http)},
                               {"reason", files.mistakes.front()},
                               {"hint", "going on without this door; mend it and restart"}});
  return std::unique_ptr<api::NgDoor>();
}

std::vector<std::string> reload_ng(const config::Settings& settings, ng::Gate& gate,
                                   api::NgDoor* door, log::Log& log) {
  std::vector<std::string> kept;
  kept.push_back(reload_token(settings.ng.token_file, gate, log));
  if (settings.ng.http.is_set()) kept.push_back(reload_certificates(settings, door, log));
  std::erase(kept, "");
  if (door != nullptr) door->end_withdrawn();
  return kept;
}

}  // namespace turnpike
