// The TURN server's allocations, as a table.
#include "control/ctl/print.h"
#include "control/ctl/text.h"

namespace turnpike::ctl {
namespace {

std::string reasons_text(const char* title, const Json& reasons) {
  std::string text;
  for (const Json& one : reasons) {
    text += std::string(title) + " " + number(one.at("count")) + ": " + shown(one.at("meaning")) +
            " (" + shown(one.at("reason")) + ")\n";
  }
  return text;
}

/// Where there is more than one.
std::string realms_text(const Json& realms) {
  if (realms.size() < 2) return "";
  std::vector<Row> rows{{"REALM", "ALLOCATIONS", "REFUSED", "BYTES TO PEERS", "TO CLIENTS"}};
  for (const Json& one : realms) {
    rows.push_back({shown(one.at("realm")), number(one.at("allocations")),
                    number(one.at("refused")), number(one.at("bytes_to_peers")),
                    number(one.at("bytes_to_clients"))});
  }
  return table(rows);
}

std::string turn_text(const Json& answer) {
  const Json& list = answer.at("allocations");
  std::string text = number(answer.at("allocations_open")) + " of " +
                     number(answer.at("allocations_max")) + " allocations, " +
                     number(answer.at("connections")) + " connections\n" +
                     realms_text(answer.at("realms"));
  std::vector<Row> rows{{"ID", "USER", "REALM", "CLIENT", "RELAYED", "AGE", "LEFT", "PEERS",
                         "TO PEERS", "TO CLIENT"}};
  for (const Json& one : list) {
    std::string relayed;
    for (const Json& address : one.at("relayed")) {
      relayed += (relayed.empty() ? "" : ",") + shown(address);
    }
    if (one.at("relays") == "tcp") {
      relayed += "/tcp (" + number(one.at("peer_connections")) + " open)";
    }
    rows.push_back({shown(one.at("id")), shown(one.at("user")), shown(one.at("realm")),
                    shown(one.at("client")) + "/" + shown(one.at("transport")) +
                        (one.at("away") == true ? " (away)" : ""),
                    relayed, duration(one.at("age_seconds")),
                    duration(one.at("expires_in_seconds")), number(one.at("permissions")),
                    number(one.at("packets_to_peers")), number(one.at("packets_to_clients"))});
  }
  if (rows.size() > 1) text += table(rows);
  return text + reasons_text("refused", answer.at("refused")) +
         reasons_text("dropped", answer.at("drops")) +
         reasons_text("connections ended", answer.at("connections_ended")) +
         reasons_text("connections with peers ended", answer.at("peer_connections_ended"));
}

}  // namespace

Result<std::string> print_turn(const std::string& body) {
  return read(body, turn_text);
}

Result<std::string> print_done(const std::string& body) {
  return read(body, [](const Json&) { return std::string("done\n"); });
}

}  // namespace turnpike::ctl
