// Tables and paragraphs from JSON.
#include "control/ctl/print.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "control/ctl/text.h"

namespace turnpike::ctl {
namespace {

std::string drops_text(const Json& drops, const std::string& indent) {
  std::string text;
  for (const Json& drop : drops) {
    text += indent + "dropped " + number(drop.at("packets")) + ": " + shown(drop.at("meaning")) +
            " (" + shown(drop.at("reason")) + ")\n";
  }
  return text;
}

std::string status_text(const Json& status) {
  const Json& ports = status.at("ports");
  const Json& holder = status.at("holder");
  std::uint64_t received = 0;
  std::uint64_t forwarded = 0;
  for (const Json& shard : status.at("shards")) {
    received += shard.at("packets_received").get<std::uint64_t>();
    forwarded += shard.at("packets_forwarded").get<std::uint64_t>();
  }
  std::string text = shown(status.at("name")) + ": " + shown(status.at("state")) + " for " +
                     duration(status.at("uptime_seconds")) + ", version " +
                     shown(status.at("version")) + ", role " + shown(status.at("role")) + "\n";
  text += table({
      {"calls", number(status.at("calls")) + " of " + number(status.at("calls_max"))},
      {"sessions", number(status.at("sessions")) + " of " + number(status.at("sessions_max"))},
      {"ports", number(ports.at("in_use")) + " of " + number(ports.at("total")) + " in use, " +
                    number(ports.at("quarantined")) + " resting, " +
                    number(ports.at("bind_failures")) + " bind failures"},
      {"packets", std::to_string(received) + " received, " + std::to_string(forwarded) +
                      " forwarded, on " + std::to_string(status.at("shards").size()) + " shards"},
      {"holder", holder.at("connected").get<bool>()
                     ? "connected, " + number(holder.at("sessions_adopted")) + " sessions adopted"
                     : "none"},
  });
  const std::string refused = shown(holder.at("refused"));
  if (!refused.empty()) text += "state of the holder was refused: " + refused + "\n";
  return text + drops_text(status.at("drops"), "");
}

std::string sessions_text(const Json& answer) {
  std::vector<Row> rows{{"ID", "KIND", "AGE", "STATE", "CALL-ID", "FROM-TAG", "TO-TAG"}};
  for (const Json& one : answer.at("sessions")) {
    rows.push_back({shown(one.at("id")), shown(one.at("kind")), duration(one.at("age_seconds")),
                    one.at("answered").get<bool>() ? "answered" : "offered",
                    shown(one.at("call_id")), shown_or_dash(one.at("from_tag")),
                    shown_or_dash(one.at("to_tag"))});
  }
  return rows.size() == 1 ? "no sessions\n" : table(rows);
}

std::string address(const Json& value) {
  return value.is_null() ? "nowhere" : shown(value);
}

std::string protection(const Json& leg) {
  const Json& suite = leg.at("suite");
  if (suite != "none") return "SRTP " + shown(suite);
  const std::string keying = leg.value("keying", "plain");
  if (keying == "plain") return "plain RTP";
  // At the edge of a traversal pair there is never a key to wait for.
  if (keying == "keyless: dtls" || keying == "signalling-sees-keys") {
    return "SRTP of others, passed on (" + keying + ")";
  }
  return "SRTP by " + keying + ", no key yet";
}

/// Between which addresses the leg is. One to the other node of a traversal pair has none.
std::string place(const Json& leg) {
  if (leg.at("local").is_null()) return "over the zone";
  return address(leg.at("local")) + " to " + address(leg.at("remote"));
}

std::string ice_text(const Json& ice) {
  if (ice.is_null()) return {};
  std::string text = "  ICE " + shown(ice.at("state")) + ", we are " + shown(ice.at("role"));
  const Json& consent = ice.at("consent_seconds_left");
  if (!consent.is_null()) text += ", consent for " + duration(consent);
  text += "\n";
  for (const Json& pair : ice.at("pairs")) {
    text += "    " + shown(pair.at("component")) + " " + address(pair.at("local")) + " to " +
            address(pair.at("remote")) + " (" + shown(pair.at("type")) +
            "): " + shown(pair.at("state")) +
            (pair.at("selected").get<bool>() ? ", selected" : "") + "\n";
  }
  return text;
}

std::string dtls_text(const Json& dtls) {
  if (dtls.is_null()) return {};
  std::string text = "  DTLS " + shown(dtls.at("state"));
  const Json& failure = dtls.at("last_failure");
  if (!failure.is_null()) {
    text += "; last failure: " + shown(failure.at("meaning")) + " (" + shown(failure.at("reason")) +
            ")";
  }
  return text + "\n";
}

// Of answers of a daemon that judges; an older one does not.
std::string verdict_text(const char* direction, const Json& verdicts, const char* which) {
  if (!verdicts.is_object()) return {};
  const Json& verdict = verdicts.at(which);
  std::string text = std::string("  ") + direction + shown(verdict.at("verdict")) + ": " +
                     shown(verdict.at("meaning"));
  const std::string evidence = shown(verdict.at("evidence"));
  if (!evidence.empty()) text += " (" + evidence + ")";
  text += "\n";
  const std::string remedy = shown(verdict.at("remedy"));
  return remedy.empty() ? text : text + "            " + remedy + "\n";
}

// A number with one or two decimals as JSON has it, cut there.
std::string decimal(const Json& value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", value.get<double>());
  return text.data();
}

std::string quality_text(const Json& quality) {
  if (!quality.is_object()) return {};
  const Json& average = quality.at("average");
  std::string text = "    quality: MOS " + decimal(average.at("mos")) + " (lowest " +
                     decimal(quality.at("lowest").at("mos")) + ", " +
                     ago(quality.at("lowest").at("age_seconds")) + "), loss " +
                     decimal(average.at("loss_percent")) + " %, jitter " +
                     decimal(average.at("jitter_ms")) + " ms";
  const Json& round_trip = average.at("round_trip_ms");
  if (!round_trip.is_null()) text += ", round trip " + decimal(round_trip) + " ms";
  return text + "\n";
}

std::string leg_text(const char* title, const Json& leg) {
  std::string text = std::string(title) + ", last packet " + ago(leg.at("last_packet_age_seconds"));
  // Reports of an end that sends no media (any more).
  const Json rtp = leg.value("last_rtp_age_seconds", leg.at("last_packet_age_seconds"));
  if (rtp != leg.at("last_packet_age_seconds")) text += ", of RTP " + ago(rtp);
  text += "\n";
  text += "  " + shown(leg.at("interface")) + ", " + place(leg) + ", " + protection(leg) + "\n";
  const Json verdicts = leg.value("verdicts", Json());
  text += verdict_text("from it   ", verdicts, "received");
  text += verdict_text("to it     ", verdicts, "sent");
  text += ice_text(leg.value("ice", Json())) + dtls_text(leg.value("dtls", Json()));
  text += "  received  " + number(leg.at("packets_received")) + " packets, " +
          number(leg.at("bytes_received")) + " bytes, " + number(leg.at("rtcp_received")) +
          " RTCP\n";
  text += "  sent      " + number(leg.at("packets_sent")) + " packets, " +
          number(leg.at("bytes_sent")) + " bytes, " + number(leg.at("rtcp_sent")) + " RTCP\n";
  for (const Json& stream : leg.at("streams")) {
    text += "  stream " + number(stream.at("ssrc")) + ": payload type " +
            number(stream.at("payload_type")) + ", " + number(stream.at("packets")) + " packets, " +
            number(stream.at("packets_lost")) + " lost, jitter " +
            number(stream.at("jitter_timestamp_units")) + " timestamp units, " +
            number(stream.at("replays")) + " replayed, " + number(stream.at("auth_failures")) +
            " not authentic, last " + ago(stream.at("last_packet_age_seconds")) + "\n";
    text += quality_text(stream.value("quality", Json()));
  }
  return text + drops_text(leg.at("drops"), "  ");
}

std::string session_text(const Json& session) {
  std::string text = table({
      {"session", shown(session.at("id")) + ", " + shown(session.at("kind"))},
      {"call-id", shown(session.at("call_id"))},
      {"from-tag", shown(session.at("from_tag"))},
      {"to-tag", shown_or_dash(session.at("to_tag"))},
      {"age", duration(session.at("age_seconds"))},
      {"state", session.at("answered").get<bool>() ? "answered" : "offered"},
  });
  text += leg_text("leg A (made the offer)", session.at("legs").at("a"));
  text += leg_text("leg B (answered)", session.at("legs").at("b"));
  return text;
}

std::vector<std::string> ids_of(const Json& answer, const std::string& call_id) {
  std::vector<std::string> ids;
  for (const Json& one : answer.at("sessions")) {
    const auto known = one.at("call_id").get<std::string>();
    if (known == call_id || known.starts_with(call_id + ",")) {
      ids.push_back(one.at("id").get<std::string>());
    }
  }
  return ids;
}

}  // namespace

Result<std::string> print_status(const std::string& body) {
  return read(body, status_text);
}

Result<std::string> print_sessions(const std::string& body) {
  return read(body, sessions_text);
}

Result<std::string> print_session(const std::string& body) {
  return read(body, session_text);
}

Result<std::vector<std::string>> sessions_of_call(const std::string& body,
                                                  const std::string& call_id) {
  return read(body, [&call_id](const Json& answer) { return ids_of(answer, call_id); });
}

std::string print_failure(const std::string& body) {
  const Json answer = Json::parse(body, nullptr, false);
  return answer.is_object() && answer.contains("error") ? shown(answer.at("error"))
                                                        : "the request was refused";
}

}  // namespace turnpike::ctl
