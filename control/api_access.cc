#include "control/api_access.h"

#include <string>
#include <utility>
#include <vector>

#include "control/config/api_tokens.h"
#include "control/loop/event_loop.h"
#include "control/process.h"

namespace turnpike {

Result<std::unique_ptr<api::Gate>> make_gate(const config::ApiSection& section, log::Log& log) {
  std::vector<api::Token> tokens;
  const pki::Judgement files = config::judge_api_files(section);
  if (!files.mistakes.empty()) return Error{files.mistakes.front()};
  if (section.listen.is_set() && !section.tokens_file.empty()) {
    auto read = config::read_tokens_file(section.tokens_file);
    if (!read) return read.error();
    tokens = std::move(*read);
  }
  api::GateContext context;
  context.clock = [] { return loop::EventLoop::now(); };
  context.random_bytes = random_bytes;
  context.refused = [&log](api::Refusal why, const IpAddress& source, const std::string& name) {
    log.warning("api_refused", {{"reason", api::kRefusals[static_cast<std::size_t>(why)]},
                                {"address", to_string(source)},
                                {"token", name}});
  };
  return std::make_unique<api::Gate>(std::move(context), tokens);
}

namespace {

/// "", or why the tokens read before stay in use.
std::string reload_tokens(const config::ApiSection& section, api::Gate& gate, log::Log& log) {
  if (section.tokens_file.empty()) {
    gate.replace({});
    return {};
  }
  const auto tokens = config::read_tokens_file(section.tokens_file);
  if (tokens) {
    gate.replace(*tokens);
    return {};
  }
  log.warning("tokens_kept", {{"reason", tokens.error().message},
                              {"hint", "the tokens read before go on to admit"}});
  return tokens.error().message;
}

/// "", or why the files read before stay in use.
std::string reload_certificates(const config::ApiSection& section, api::HttpServer& server,
                                log::Log& log) {
  const pki::Judgement files = config::judge_api_files(section);
  Result<void> renewed;
  if (!files.mistakes.empty()) {
    renewed = Error{files.mistakes.front()};
  } else {
    renewed = server.renew_certificates();
  }
  if (renewed) return {};
  log.warning("api_certificate_kept",
              {{"reason", renewed.error().message}, {"hint", "the files read before stay in use"}});
  return renewed.error().message;
}

}  // namespace

std::vector<std::string> reload_api(const config::ApiSection& section, api::Gate& gate,
                                    api::HttpServer& server, log::Log& log) {
  if (!section.listen.is_set()) return {};
  if (!server.api_address().is_set()) {
    log.warning("api_closed", {{"listen", to_string(section.listen)},
                               {"hint", "a file had a fault at start; restart"}});
    return {"api.listen is closed: a file had a fault at start; restart"};
  }
  std::vector<std::string> kept;
  kept.push_back(reload_tokens(section, gate, log));
  kept.push_back(reload_certificates(section, server, log));
  std::erase(kept, "");
  return kept;
}

}  // namespace turnpike
