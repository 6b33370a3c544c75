// Answers to what an operator asked the daemon to do.
#include "control/ctl/print.h"
#include "control/ctl/text.h"

namespace turnpike::ctl {
namespace {

/// The changes of one effect, a line for each below the title; "" when there are none.
std::string changes_text(const Json& changes, const char* effect, const char* title) {
  std::string text;
  for (const Json& change : changes) {
    if (change.at("effect") != effect) continue;
    if (text.empty()) text = std::string(title) + "\n";
    text += "  " + shown(change.at("key")) + ": " + shown(change.at("from")) + " -> " +
            shown(change.at("to")) + "\n";
  }
  return text;
}

std::string reload_text(const Json& answer, bool check) {
  std::string text;
  for (const Json& mistake : answer.at("mistakes")) text += shown(mistake) + "\n";
  if (!text.empty()) {
    return text + (check ? "a reload would change nothing" : "nothing has changed") +
           ": mend the file first\n";
  }
  const Json& changes = answer.at("changes");
  text += changes_text(changes, "hot", check ? "a reload would put into force:" : "in force now:");
  text += changes_text(changes, "restart", "holds from the next restart of turnpiked on:");
  text += changes_text(changes, "sidecar", "holds when turnpike-sip is restarted:");
  if (text.empty()) text = "the configuration has not changed\n";
  for (const Json& warning : answer.at("warnings")) text += "warning: " + shown(warning) + "\n";
  return text;
}

std::string note_of(const Json& limit) {
  if (limit.at("value") != limit.at("configured")) {
    return "the file says " + number(limit.at("configured")) + ": until the next reload or restart";
  }
  return limit.at("settable").get<bool>() ? "" : "changes with a restart";
}

std::string limits_text(const Json& answer) {
  std::vector<Row> rows{{"LIMIT", "VALUE", "IN USE", ""}};
  for (const Json& limit : answer.at("limits")) {
    const Json& in_use = limit.at("in_use");
    rows.push_back({shown(limit.at("key")), number(limit.at("value")),
                    in_use.is_null() ? "-" : number(in_use), note_of(limit)});
  }
  return table(rows);
}

}  // namespace

Result<std::string> print_limits(const std::string& body) {
  return read(body, limits_text);
}

Result<std::string> print_reload(const std::string& body, bool check) {
  return read(body, [check](const Json& answer) { return reload_text(answer, check); });
}

Result<std::string> print_log_level(const std::string& body) {
  return read(body, [](const Json& answer) { return shown(answer.at("level")) + "\n"; });
}

Result<std::string> print_end(const std::string& body) {
  return read(body, [](const Json& answer) {
    return "ended " + shown(answer.at("ended")) +
           ": its media has stopped; the SIP server was told nothing\n";
  });
}

}  // namespace turnpike::ctl
