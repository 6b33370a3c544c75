#include "control/man_pages.h"

#include "control/cli/man_page.h"
#include "control/config/reference.h"

namespace turnpike {

std::string daemon_man_page(const CLI::App& app) {
  return cli::man_page(
      app,
      {.section = 8,
       .description =
           "turnpiked relays RTP and SRTP between networks, and is told what to relay by a SIP "
           "server through the NG protocol. It needs no privilege. Without options that print or "
           "write something it serves calls until a signal ends it, and logs to standard output "
           "or the journal.",
       .more = {{"SIGNALS",
                 "SIGTERM, SIGINT\tRefuse new calls, wait for the end of those that are up "
                 "(node.drain_timeout_seconds), end. A second one ends the wait.\n"
                 "SIGUSR1\tEnd at once and leave calls to turnpike-holder for the next process.\n"
                 "SIGHUP\tRead the configuration anew, with calls up."},
                {"EXIT STATUS",
                 "0\tEnded as it was told to, or printed what was asked for.\n"
                 "1\tThe host lacks something; the reason is named.\n"
                 "2\tThe command line or the configuration is wrong."},
                {"FILES",
                 "/etc/turnpike/turnpike.toml\tThe configuration: turnpike.toml(5).\n"
                 "/run/turnpike/api.sock\tThe API, for turnpikectl(1).\n"
                 "/run/turnpike/ng.sock\tNG, for the SIP server."},
                {"SEE ALSO", "turnpikectl(1), turnpike.toml(5)"}}});
}

std::string config_man_page() {
  std::string text = cli::man_head("turnpike.toml", 5, "configuration of Turnpike, a media edge");
  text += cli::man_section(
      "DESCRIPTION",
      "A file in TOML, read by turnpiked(8) and by what makes the SIP sidecar's files. Every key "
      "has a section; what is not named has its default. turnpiked --check judges a file and names "
      "every mistake with its line.\n"
      "A key that is hot changes with a reload (turnpikectl reload) while calls are up; restart "
      "waits for the next start of turnpiked, sidecar for one of the SIP sidecar.");
  text += ".SH SECTIONS AND KEYS\n";
  for (const config::SectionReference& section : config::reference_sections()) {
    text += ".SS [" + cli::roff(section.title) + "]\n" + cli::roff(section.meaning) + "\n";
    for (const config::KeyReference& key : section.keys) {
      text += cli::man_item(key.name, key.meaning + " (" + key.type + "; default " + key.initial +
                                          "; " + key.effect + ")");
    }
  }
  text += cli::man_section("SEE ALSO", "turnpiked(8), turnpikectl(1)");
  return text;
}

}  // namespace turnpike
