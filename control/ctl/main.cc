// turnpikectl: what the running daemon is doing, and what keeps a node from its work.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>

#include "control/ctl/client.h"
#include "control/ctl/print.h"
#include "control/doctor/examine.h"
#include "turnpike/standard_descriptors.h"

namespace {

using namespace turnpike;

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kWrongUse = 2;

int fail(const std::string& message) {
  std::fprintf(stderr, "turnpikectl: %s\n", message.c_str());
  return kFailed;
}

struct Options {
  std::string socket_path = "/run/turnpike/api.sock";
  bool json = false;
};

/// The body of a successful answer.
Result<std::string> body_of(Result<ctl::Answer> answer) {
  if (!answer) return answer.error();
  if (answer->status != 200) return Error{ctl::print_failure(answer->body)};
  return std::move(answer->body);
}

Result<std::string> fetch(const Options& options, const std::string& path) {
  return body_of(ctl::ask(options.socket_path, path));
}

int show(const Options& options, const Result<std::string>& body,
         Result<std::string> (*print)(const std::string&)) {
  if (!body) return fail(body.error().message);
  const Result<std::string> text = options.json ? body : print(*body);
  if (!text) return fail(text.error().message);
  std::fputs(text->c_str(), stdout);
  return kDone;
}

/// `name` is the ID of a session, or a call-id: then all sessions of that call are shown.
int show_sessions(const Options& options, const std::string& name) {
  if (name.find_first_not_of("0123456789-") == std::string::npos) {
    // It may still be a call-id: some devices make theirs of digits alone.
    Result<ctl::Answer> answer = ctl::ask(options.socket_path, "/v1/sessions/" + name);
    if (!answer || answer->status == 200) {
      return show(options, body_of(std::move(answer)), ctl::print_session);
    }
  }
  const Result<std::string> list = fetch(options, "/v1/sessions");
  if (!list) return fail(list.error().message);
  const auto ids = ctl::sessions_of_call(*list, name);
  if (!ids) return fail(ids.error().message);
  if (ids->empty()) return fail("there is no such call (any more)");
  for (const std::string& id : *ids) {
    const int code = show(options, fetch(options, "/v1/sessions/" + id), ctl::print_session);
    if (code != kDone) return code;
  }
  return kDone;
}

int examine(const Options& options, doctor::ExamineOptions what, bool socket_given) {
  if (socket_given) what.socket_path = options.socket_path;
  const doctor::Report report = doctor::examine(what);
  const std::string text = options.json ? doctor::to_json(report) : doctor::to_text(report);
  std::fputs(text.c_str(), stdout);
  const bool well =
      report.count(doctor::Verdict::kFailed) == 0 && report.count(doctor::Verdict::kUnclear) == 0;
  return well ? kDone : kFailed;
}

/// What was printed may have met a full disk or a closed pipe.
int finish(int code) {
  std::cout.flush();
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good()) return code;
  return fail(std::string("the output cannot be written (") +
              (errno == 0 ? "write error" : std::strerror(errno)) + ")");
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  Options options;
  std::string name;
  CLI::App app{"Shows what turnpiked is doing, and tells it to take calls or not.", "turnpikectl"};
  const CLI::Option* socket =
      app.add_option("--socket,--api", options.socket_path, "unix socket of the daemon's API")
          ->capture_default_str();
  app.add_flag("--json", options.json, "print the API's answer as it is");
  app.set_version_flag("--version", "turnpikectl " TURNPIKE_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  const CLI::App* status = app.add_subcommand("status", "calls, sessions, ports, drops");
  const CLI::App* sessions = app.add_subcommand("sessions", "one line for each session");
  const CLI::App* drain = app.add_subcommand("drain", "refuse new calls until `resume`");
  const CLI::App* resume = app.add_subcommand("resume", "take new calls again");
  const CLI::App* zone = app.add_subcommand("zone", "zones, peers, certificates, last errors");
  CLI::App* session = app.add_subcommand("session", "figures of one session, by leg and stream");
  session->add_option("ID", name, "as `turnpikectl sessions` shows it, or a call-id")->required();
  CLI::App* tls = app.add_subcommand("tls", "what is encrypted, and how");
  tls->require_subcommand(1);
  const CLI::App* tls_connections = tls->add_subcommand(
      "connections", "every TLS connection of turnpiked: peer, cipher, how it was verified");
  doctor::ExamineOptions what;
  what.config_path = "/etc/turnpike/turnpike.toml";
  CLI::App* doctor =
      app.add_subcommand("doctor", "what is wrong with this node and its zone, and how to mend it");
  doctor->add_option("--config", what.config_path, "configuration file of this node")
      ->capture_default_str();
  doctor->add_option("--account", what.account,
                     "account that turnpiked runs under (default: as it runs, or as configured)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return finish(app.exit(error) == 0 ? kDone : kWrongUse);
  }
  if (status->parsed()) {
    return finish(show(options, fetch(options, "/v1/status"), ctl::print_status));
  }
  if (sessions->parsed()) {
    return finish(show(options, fetch(options, "/v1/sessions"), ctl::print_sessions));
  }
  if (drain->parsed() || resume->parsed()) {
    const std::string path = drain->parsed() ? "/v1/drain" : "/v1/resume";
    return finish(show(options, body_of(ctl::tell(options.socket_path, path)), ctl::print_status));
  }
  if (zone->parsed()) {
    return finish(show(options, fetch(options, "/v1/zones"), ctl::print_zones));
  }
  if (tls_connections->parsed()) {
    return finish(show(options, fetch(options, "/v1/tls/connections"), ctl::print_tls_connections));
  }
  if (doctor->parsed()) return finish(examine(options, what, socket->count() > 0));
  return finish(show_sessions(options, name));
}
