// turnpikectl: what the running daemon is doing.
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>

#include "control/ctl/client.h"
#include "control/ctl/print.h"

namespace {

using namespace turnpike;

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kWrongUse = 2;

int fail(const std::string& message) {
  std::fprintf(stderr, "turnpikectl: %s\n", message.c_str());
  return kFailed;
}

int show(const std::string& socket_path, const std::string& path, bool json,
         Result<std::string> (*print)(const std::string&)) {
  const Result<ctl::Answer> answer = ctl::ask(socket_path, path);
  if (!answer) return fail(answer.error().message);
  if (answer->status != 200) return fail(ctl::print_failure(answer->body));
  const Result<std::string> text = json ? Result<std::string>(answer->body) : print(answer->body);
  if (!text) return fail(text.error().message);
  std::fputs(text->c_str(), stdout);
  return kDone;
}

}  // namespace

int main(int argc, char** argv) {
  std::string socket_path = "/run/turnpike/api.sock";
  std::string id;
  bool json = false;
  CLI::App app{"Shows what turnpiked is doing.", "turnpikectl"};
  app.add_option("--socket", socket_path, "unix socket of the daemon's API")->capture_default_str();
  app.add_flag("--json", json, "print the API's answer as it is");
  app.set_version_flag("--version", "turnpikectl " TURNPIKE_VERSION);
  app.require_subcommand(1);
  const CLI::App* status = app.add_subcommand("status", "calls, sessions, ports, drops");
  const CLI::App* sessions = app.add_subcommand("sessions", "one line for each session");
  CLI::App* session = app.add_subcommand("session", "figures of one session, by leg and stream");
  session->add_option("ID", id, "as `turnpikectl sessions` shows it")
      ->required()
      ->check([](const std::string& text) {
        const bool clean = text.find_first_not_of("0123456789-") == std::string::npos;
        return clean ? "" : "an ID has digits and hyphens only";
      });
  app.fallthrough();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kWrongUse;
  }
  if (status->parsed()) return show(socket_path, "/v1/status", json, ctl::print_status);
  if (sessions->parsed()) return show(socket_path, "/v1/sessions", json, ctl::print_sessions);
  return show(socket_path, "/v1/sessions/" + id, json, ctl::print_session);
}
