// The zones, as paragraphs.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "control/ctl/print.h"
#include "control/ctl/text.h"

namespace turnpike::ctl {
namespace {

std::string fixed(double value, const char* format) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string certificate_text(const Json& certificate) {
  if (certificate.is_null()) return "none";
  std::string names;
  for (const Json& name : certificate.at("names")) {
    names += (names.empty() ? "" : ", ") + shown(name);
  }
  const double days = certificate.at("expires_in_days").get<double>();
  return shown(certificate.at("subject")) + ", names " + (names.empty() ? "none" : names) +
         (days < 0 ? ", EXPIRED " + fixed(-days, "%.0f") + " days ago"
                   : ", ends in " + fixed(std::floor(days), "%.0f") + " days");
}

std::string trouble_text(const Json& trouble) {
  const std::string detail = shown(trouble.at("detail"));
  const Json& address = trouble.at("address");
  return shown(trouble.at("meaning")) + (detail.empty() ? "" : " (" + detail + ")") +
         (address.is_null() ? "" : ", " + shown(address)) + ", " + ago(trouble.at("age_seconds"));
}

std::string connection_text(const Json& one) {
  const bool up = one.at("state") == "up";
  std::string text = "    " + shown(one.at("purpose")) + ": " + shown(one.at("state")) + " for " +
                     duration(one.at("since_seconds"));
  if (up) {
    const Json& trip = one.at("round_trip_ms");
    text += ", " + shown(one.at("address")) + ", " + shown(one.at("tls")) + ", round trip " +
            (trip.is_null() ? "unknown" : fixed(trip.get<double>(), "%.1f ms")) + ", " +
            number(one.at("streams")) + " streams";
  }
  text += ", " + number(one.at("bytes_received")) + " bytes received, " +
          number(one.at("bytes_sent")) + " sent, connected " + number(one.at("connected")) +
          " times\n";
  const Json& trouble = one.at("last_error");
  if (!trouble.is_null()) text += "      last error: " + trouble_text(trouble) + "\n";
  return text;
}

std::string flows_text(const Json& flows) {
  std::size_t bound = 0;
  std::string text;
  for (const Json& flow : flows) {
    if (flow.at("state") == "bound") ++bound;
    if (flow.at("round_trip_ms").is_null() || !text.empty()) continue;
    text = ", round trip " + fixed(flow.at("round_trip_ms").get<double>(), "%.1f ms");
  }
  text = "    media: " + std::to_string(bound) + " of " + std::to_string(flows.size()) +
         " flows bound" + text + "\n";
  if (bound == flows.size() && bound > 0) return text;
  const bool agreed = std::any_of(flows.begin(), flows.end(),
                                  [](const Json& flow) { return flow.at("number") != 0; });
  return text + (agreed
                     ? "      no calls: the UDP ports of the edge are not reached from the core; "
                       "look at the firewall's rule for them\n"
                     : "      no calls: they are agreed on when the zone is up\n");
}

std::string peer_text(const Json& peer) {
  std::string text = "  peer " + shown(peer.at("name")) + " (" + shown(peer.at("tls_name")) +
                     "): " + shown(peer.at("state"));
  if (!peer.at("address").is_null()) text += ", dialled at " + shown(peer.at("address"));
  if (!peer.at("node").is_null()) text += ", calls itself " + shown(peer.at("node"));
  text += "\n    certificate: " + certificate_text(peer.at("certificate")) + "\n";
  for (const Json& one : peer.at("connections")) text += connection_text(one);
  const Json bulk = peer.value("bulk", Json());  // an older daemon knows none
  if (!bulk.is_null()) text += connection_text(bulk);
  return text + flows_text(peer.at("flows"));
}

std::string reasons_text(const char* title, const Json& reasons) {
  std::string text;
  for (const Json& one : reasons) {
    text += std::string("  ") + title + " " + number(one.at("count")) + ": " +
            shown(one.at("meaning")) + " (" + shown(one.at("reason")) + ")\n";
  }
  return text;
}

std::string refused_streams_text(const Json& refused) {
  std::string text;
  for (const auto& [reason, count] : refused.items()) {
    if (count == 0) continue;
    text += (text.empty() ? "" : ", ") + number(count) + " " + reason;
  }
  return text.empty() ? "none refused" : "refused: " + text;
}

std::string zone_text(const Json& zone) {
  std::string text = "zone " + shown(zone.at("name")) + ", kind " + shown(zone.at("kind")) + ": " +
                     shown(zone.at("state")) + ", this node is the " + shown(zone.at("role"));
  if (!zone.at("listen").is_null()) text += ", listens on " + shown(zone.at("listen"));
  text += "\n  certificate: " + certificate_text(zone.at("certificate")) + "\n";
  if (!zone.at("files_trouble").is_null()) {
    text += "  files: " + shown(zone.at("files_trouble")) + "\n";
  }
  std::string domains;
  for (const Json& domain : zone.at("domains")) domains += " " + shown(domain);
  if (!domains.empty()) text += "  domains:" + domains + "\n";
  text += "  streams: " + number(zone.at("streams_opened")) + " opened, " +
          refused_streams_text(zone.at("streams_refused")) + "\n";
  for (const Json& peer : zone.at("peers")) text += peer_text(peer);
  text += reasons_text("refused", zone.at("refused")) + reasons_text("ended", zone.at("ended"));
  const Json& last = zone.at("last_refusal");
  if (!last.is_null()) text += "  last refusal: " + trouble_text(last) + "\n";
  return text;
}

std::string zones_text(const Json& answer) {
  std::string text;
  for (const Json& zone : answer.at("zones")) text += (text.empty() ? "" : "\n") + zone_text(zone);
  return text.empty() ? "no zones: this node is no part of a traversal pair\n" : text;
}

/// A line of the table of a measurement.
Row measured_row(const char* what, const Json& rate, const Json& trips) {
  const auto cell = [](const Json& value, const char* format) {
    return value.is_null() ? "-" : fixed(value.get<double>(), format);
  };
  return {what, cell(rate, "%.1f Mbit/s"), cell(trips.at("median_ms"), "%.1f ms"),
          cell(trips.at("longest_ms"), "%.1f ms"), number(trips.at("count"))};
}

std::string measurement_text(const std::string& peer, const Json& one) {
  const auto of_way = [&one](const char* what, const char* name) {
    return measured_row(what, one.at(name).at("mbit_per_second"), one.at(name).at("round_trips"));
  };
  return peer + ", " + number(one.at("mbit")) + " Mbit/s at most, " + number(one.at("seconds")) +
         " s each way\n" +
         table({{"", "GOODPUT", "ROUND TRIP", "LONGEST", "TIMES"},
                measured_row("idle", Json(), one.at("idle")),
                of_way("to the edge", "sent"),
                of_way("from the edge", "received")}) +
         "Round trips are those of the signalling connection.\n";
}

/// Null: there is none.
Json measurement_of(const Json& answer, const std::string& peer) {
  for (const Json& zone : answer.at("zones")) {
    for (const Json& one : zone.at("peers")) {
      const std::string name =
          zone.at("name").get<std::string>() + "/" + one.at("name").get<std::string>();
      if (name == peer) return one.value("measurement", Json());
    }
  }
  return {};
}

}  // namespace

Result<BegunMeasurement> begun_measurement(const std::string& body) {
  return read(body, [](const Json& answer) {
    return BegunMeasurement{answer.at("peer").get<std::string>(),
                            answer.value("id", std::uint64_t{0})};
  });
}

Result<std::string> print_measurement(const std::string& body, const BegunMeasurement& begun,
                                      bool json) {
  const auto found = read(body, [&](const Json& answer) {
    const Json one = measurement_of(answer, begun.peer);
    const bool is_ours = !one.is_null() && one.value("id", std::uint64_t{0}) == begun.id;
    return is_ours ? one : Json();
  });
  if (!found) return found.error();
  if (found->is_null()) {
    return Error{
        "turnpiked knows nothing of this measurement any more: it has begun another one, or "
        "was restarted"};
  }
  const std::string& state = found->at("state").get_ref<const std::string&>();
  if (state == "running") return std::string();
  if (state == "failed") return Error{"the measurement failed: " + shown(found->at("trouble"))};
  if (json) return found->dump(2) + "\n";
  return read(found->dump(), [&](const Json& one) { return measurement_text(begun.peer, one); });
}

Result<std::string> print_zones(const std::string& body) {
  return read(body, zones_text);
}

}  // namespace turnpike::ctl
