// The TLS connections, one line for each.
#include <cstdint>

#include "control/ctl/print.h"
#include "control/ctl/text.h"

namespace turnpike::ctl {
namespace {

std::string name_or_dash(const Json& value) {
  return value.is_null() ? "-" : shown(value);
}

std::string end_of(const Json& certificate) {
  if (certificate.is_null()) return "-";
  const double days = certificate.at("expires_in_days").get<double>();
  return days < 0 ? "EXPIRED" : std::to_string(static_cast<std::int64_t>(days)) + " days";
}

std::string connections_text(const Json& answer) {
  std::vector<Row> rows{{"ZONE", "PEER", "ADDRESS", "DIALLED BY", "VERSION", "CIPHER", "VERIFIED",
                         "NAME", "SNI", "ENDS IN", "AGE", "CARRIES"}};
  for (const Json& one : answer.at("connections")) {
    const bool by_alternative_name = one.at("verified") == "subject alternative name";
    rows.push_back({shown(one.at("zone")), shown(one.at("peer")), name_or_dash(one.at("address")),
                    shown(one.at("dialled_by")), shown(one.at("version")), shown(one.at("cipher")),
                    by_alternative_name ? "SAN" : "CN", name_or_dash(one.at("matched_name")),
                    name_or_dash(one.at("server_name")), end_of(one.at("certificate")),
                    duration(one.at("age_seconds")), shown(one.at("purpose"))});
  }
  std::string text = rows.size() == 1 ? "no TLS connections\n" : table(rows);
  const auto waiting = answer.at("handshakes_waiting").get<std::uint64_t>();
  if (waiting > 0) text += std::to_string(waiting) + " more are in their handshake\n";
  return text;
}

}  // namespace

Result<std::string> print_tls_connections(const std::string& body) {
  return read(body, connections_text);
}

}  // namespace turnpike::ctl
