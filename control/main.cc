// turnpiked: the command line, then the daemon.
#include <cstdio>
#include <string>
#include <system_error>

#include <CLI/CLI.hpp>

#include "control/cli/completion.h"
#include "control/config/accounts.h"
#include "control/config/api_tokens.h"
#include "control/config/host.h"
#include "control/config/identities.h"
#include "control/config/load.h"
#include "control/config/turn_products.h"
#include "control/daemon.h"
#include "control/firewall/rules.h"
#include "control/log/log.h"
#include "control/man_pages.h"
#include "control/ng/reference.h"
#include "control/process.h"
#include "control/provision.h"
#include "control/reload.h"
#include "turnpike/standard_descriptors.h"

namespace {

using namespace turnpike;

struct CommandLine {
  std::string config = "/etc/turnpike/turnpike.toml";
  bool check = false;
  bool print_reference = false;
  bool print_ng_reference = false;
  std::string man_page;
  std::string shell;
  bool write_sidecar = false;
  std::string sidecar_directory;
  std::string certificate_directory;
  std::string firewall_place;
  firewall::Surroundings surroundings;
};

void print(std::FILE* to, const std::vector<std::string>& lines, const char* prefix) {
  for (const std::string& line : lines) std::fprintf(to, "%s%s\n", prefix, line.c_str());
}

/// What a start with these mistakes means: this account may see less than the daemon's.
std::vector<std::string> closing(const char* listener, std::vector<std::string> mistakes) {
  for (std::string& mistake : mistakes) {
    mistake += std::string("; ") + listener + " would stay closed";
  }
  return mistakes;
}

/// Mistakes and warnings to standard error, one line for each.
int check(const std::string& path) {
  config::Loaded loaded = config::load_file(path);
  const bool readable = !loaded.findings.has_mistakes();
  if (readable) config::check_accounts(loaded.settings, loaded.findings);
  const config::UsersFile users =
      readable ? judge_users_file(loaded.settings) : config::UsersFile{};
  print(stderr, loaded.findings.mistakes(), "");
  if (!users.out_of_reach) print(stderr, users.mistakes, "");
  if (loaded.findings.has_mistakes() || (!users.out_of_reach && !users.mistakes.empty())) {
    return kExitMisconfigured;
  }
  config::check_host(loaded.settings, config::Host::read(loaded.settings), loaded.findings);
  const std::vector<std::string> warnings = loaded.findings.warnings();
  const pki::Judgement files = judge_sidecar_files(loaded.settings);
  const pki::Judgement zone_files = config::judge_zone_files(loaded.settings);
  const pki::Judgement api_files = config::judge_api_files(loaded.settings.api);
  const std::vector<std::string> api_closed = closing("api.listen", api_files.mistakes);
  const pki::Judgement ng_files = config::judge_ng_certificates(loaded.settings);
  const std::vector<std::string> ng_closed = closing("ng.http", ng_files.mistakes);
  const std::vector<std::string> ng_token = config::judge_ng_token(loaded.settings);
  const std::vector<std::string> homer_key = config::judge_homer_key(loaded.settings);
  const pki::Judgement turn_files = config::judge_turn_files(loaded.settings);
  std::size_t count = 0;
  for (const auto* lines :
       {&warnings, &api_closed, &api_files.warnings, &files.mistakes, &files.warnings,
        &users.mistakes, &zone_files.mistakes, &zone_files.warnings, &ng_token, &ng_closed,
        &ng_files.warnings, &homer_key, &turn_files.mistakes, &turn_files.warnings}) {
    print(stderr, *lines, "warning: ");
    count += lines->size();
  }
  std::printf("%s: no mistakes, %zu warnings\n", path.c_str(), count);
  return kExitDone;
}

/// Makes what others need to run beside the daemon.
int provide(const CommandLine& options) {
  const config::Loaded loaded = config::load_file(options.config);
  print(stderr, loaded.findings.mistakes(), "");
  if (loaded.findings.has_mistakes()) return kExitMisconfigured;
  if (!options.certificate_directory.empty()) {
    const int code = make_development_certificates(loaded.settings, options.certificate_directory);
    if (code != kExitDone || !options.write_sidecar) return code;
  }
  return write_sidecar_files(loaded.settings, options.sidecar_directory);
}

int print_firewall(const CommandLine& options) {
  const config::Loaded loaded = config::load_file(options.config);
  print(stderr, loaded.findings.mistakes(), "");
  const auto place = firewall::place_of(options.firewall_place);
  if (loaded.findings.has_mistakes() || !place) return kExitMisconfigured;
  firewall::Surroundings around = options.surroundings;
  around.session = firewall::find_session();
  firewall::look_around(loaded.settings, *place, around);
  const auto rules = firewall::rules(loaded.settings, *place, around);
  if (!rules) {
    std::fprintf(stderr, "turnpiked: %s\n", rules.error().message.c_str());
    return kExitFailed;
  }
  const std::string warning = firewall::session_warning(loaded.settings, *place, around);
  if (!warning.empty()) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  std::fputs(rules->c_str(), stdout);
  return kExitDone;
}

log::Options log_options(const config::LogSection& section) {
  log::Options options;
  options.level = level_of(section);
  if (section.target == "journal") options.target = log::Target::kJournal;
  const auto facility =
      log::parse_facility(section.syslog_facility).value_or(log::SyslogFacility::kDaemon);
  if (!section.syslog_unix.empty()) options.syslog.push_back({section.syslog_unix, {}, facility});
  if (section.syslog_udp.is_set()) options.syslog.push_back({"", section.syslog_udp, facility});
  return options;
}

int run(const std::string& path) {
  if (const Result<void> hardened = harden_process(); !hardened) {
    std::fprintf(stderr, "turnpiked: %s\n", hardened.error().message.c_str());
    return kExitFailed;
  }
  config::Loaded loaded = config::load_file(path);
  if (!loaded.findings.has_mistakes()) config::check_accounts(loaded.settings, loaded.findings);
  print(stderr, loaded.findings.mistakes(), "");
  if (loaded.findings.has_mistakes()) return kExitMisconfigured;
  hold_stop_signals(true);
  log::Log log(log_options(loaded.settings.log));
  for (const std::string& warning : loaded.findings.warnings()) {
    log.warning("configuration", {{"warning", warning}});
  }
  return run_daemon(loaded, path, log);
}

void add_firewall_options(CLI::App& app, CommandLine& options) {
  app.add_option("--print-firewall", options.firewall_place,
                 "print packet filter rules (nft) for a place of the traversal pair")
      ->check(CLI::IsMember({"edge", "firewall", "core"}));
  const auto add = [&app](const char* name, std::vector<std::string>& list, const char* about) {
    app.add_option(name, list, about)->delimiter(',')->needs("--print-firewall");
  };
  add("--cores", options.surroundings.cores,
      "addresses of the cores as edge and firewall see them");
  add("--trusted", options.surroundings.trusted,
      "networks that may reach all of the place: administration, monitoring");
  add("--edge-interfaces", options.surroundings.edge_interfaces,
      "for firewall and core: its interfaces that lead to edges and to nobody inside");
  add("--open", options.surroundings.open,
      "for edge and core: what it offers to everybody besides; default for the edge tcp/22");
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  CommandLine options;
  CLI::App app{"Turnpike, a media edge: relays RTP and SRTP for SIP servers.", "turnpiked"};
  app.add_option("--config", options.config, "configuration file")->capture_default_str();
  app.add_flag("--check", options.check, "check the configuration, start nothing");
  CLI::Option* sidecar =
      app.add_option("--write-sidecar", options.sidecar_directory,
                     "write the SIP sidecar's files to a directory (default: sip.directory)")
          ->expected(0, 1);
  app.add_option("--make-dev-certs", options.certificate_directory,
                 "make an authority and certificates for trials in a directory");
  add_firewall_options(app, options);
  app.add_flag("--print-config-reference", options.print_reference,
               "print the reference of all configuration keys (Markdown)");
  app.add_flag("--print-ng-reference", options.print_ng_reference,
               "print the reference of NG's commands, keys and flags (Markdown)");
  app.add_option("--print-man", options.man_page, "print a manual page")
      ->check(CLI::IsMember({"turnpiked", "turnpike.toml"}));
  app.add_option("--print-completion", options.shell, "print what completes this for a shell")
      ->check(CLI::IsMember({"bash", "zsh"}));
  app.set_version_flag("--version", "turnpiked " TURNPIKE_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitDone : kExitMisconfigured;
  }
  options.write_sidecar = sidecar->count() > 0;
  if (options.print_reference || options.print_ng_reference) {
    std::fputs((options.print_reference ? config::reference() : ng::reference()).c_str(), stdout);
    return kExitDone;
  }
  if (!options.man_page.empty()) {
    const bool daemon = options.man_page == "turnpiked";
    std::fputs((daemon ? daemon_man_page(app) : config_man_page()).c_str(), stdout);
    return kExitDone;
  }
  if (const auto completion = cli::completion(app, options.shell)) {
    std::fputs(completion->c_str(), stdout);
    return kExitDone;
  }
  if (!options.firewall_place.empty()) return print_firewall(options);
  if (options.write_sidecar || !options.certificate_directory.empty()) return provide(options);
  try {
    return options.check ? check(options.config) : run(options.config);
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "turnpiked: the system refuses a thread: %s; raise LimitNPROC or memory\n",
                 error.what());
    return kExitFailed;
  }
}
