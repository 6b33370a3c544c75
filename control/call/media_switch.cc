// Service: NG "block media", "silence media" and what takes them back.
#include <algorithm>
#include <array>
#include <utility>

#include "control/call/bundle.h"
#include "control/call/dict.h"
#include "control/call/legs.h"
#include "control/call/service.h"

namespace turnpike::call {
namespace {

ng::Value::Dict result_of(const std::string& error) {
  ng::Value::Dict dict;
  put_text(dict, "result", error.empty() ? "ok" : "error");
  if (!error.empty()) put_text(dict, "error-reason", error);
  return dict;
}

bool sends_from(const Call& call, Side side, const IpAddress& address) {
  return std::any_of(call.media.begin(), call.media.end(), [&](const CallMedia& media) {
    const MediaSide& own = media.sides[index_of(side)];
    return media.has_session() && own.remote.address.rtp.ip == address;
  });
}

/// Whose media is meant; neither: that of the whole call.
struct Participants {
  std::array<bool, 2> chosen{};
  bool whole() const { return !chosen[0] && !chosen[1]; }
};

/// The most certain of what names somebody counts: label, address, tag.
std::string choose(const Call& call, const CallRequest& request, Participants& who) {
  const bool by_address = request.address.is_set();
  const bool by_tag = request.directional;
  if (request.label.empty() && !by_address && !by_tag) return {};
  for (const Side side : {Side::kA, Side::kB}) {
    const CallSide& end = call.side(side);
    bool& chosen = who.chosen[index_of(side)];
    if (!request.label.empty()) {
      chosen = end.label == request.label;
    } else if (by_address) {
      chosen = sends_from(call, side, request.address);
    } else {
      chosen = !request.from_tag.empty() && end.tag == request.from_tag;
    }
  }
  if (who.whole()) return "No participant of this call has that label, address or from-tag";
  for (const Side side : {Side::kA, Side::kB}) {
    if (!who.chosen[index_of(side)]) continue;
    const CallSide& receiver = call.side(other(side));
    if (!request.to_label.empty() && receiver.label != request.to_label) {
      return "to-label is not that of the other participant";
    }
    if (!request.to_tag.empty() && receiver.tag != request.to_tag) {
      return "to-tag is not that of the other participant";
    }
  }
  return {};
}

constexpr std::uint64_t kPcmuAndPcma = 1U << 0U | 1U << 8U;

/// Why what `side` sends cannot be withheld; empty: it can. Of SRTP that passes, who has the keys
/// would lose count of a stream that stops and goes on (RFC 3711 section 3.3.1).
std::string why_not_blocked(const Call& call, Side side) {
  for (std::size_t i = 0; i < call.media.size(); ++i) {
    const CallMedia& media = call.media[i];
    if (!media.has_session() || !is_passed(transport_side(call, media, side).keying)) continue;
    return "m-line " + std::to_string(i + 1) +
           " passes this node as it is: block it at the node that has its keys";
  }
  return {};
}

/// Why what `side` sends cannot be made silent; empty: it can.
std::string why_not_silent(const Call& call, Side side) {
  bool any = false;
  for (std::size_t i = 0; i < call.media.size(); ++i) {
    const CallMedia& media = call.media[i];
    if (!media.has_session() || media.kind != "audio") continue;
    const std::string line = "m-line " + std::to_string(i + 1);
    if (is_passed(transport_side(call, media, side).keying)) {
      return line + " passes this node as it is: it has no keys to change anything";
    }
    const RemoteMedia& receiver = media.sides[index_of(other(side))].remote;
    const bool known = (receiver.payload_types[0] | receiver.payload_types[1]) != 0;
    if (known && (receiver.payload_types[0] & kPcmuAndPcma) == 0) {
      return line + " has neither PCMU nor PCMA, and no other payload can be made silent here";
    }
    any = true;
  }
  return any ? std::string() : "The call has no audio";
}

const char* name_of(MediaCommand what) {
  constexpr std::array kNames = {"block media", "unblock media", "silence media",
                                 "unsilence media"};
  return kNames[static_cast<std::size_t>(what)];
}

}  // namespace

void Service::switch_media(MediaCommand what, const CallRequest& request, ReplyFunction reply) {
  if (request.call_id.empty()) return reply(result_of("No call-id in message"));
  const auto known = call_by_id_.find(request.call_id);
  if (known == call_by_id_.end()) return reply(result_of("Unknown call-id"));
  Call& call = known->second;
  Participants who;
  if (const std::string fault = choose(call, request, who); !fault.empty()) {
    return reply(result_of(fault));
  }
  const bool on = what == MediaCommand::kBlock || what == MediaCommand::kSilence;
  const bool blocks = what == MediaCommand::kBlock || what == MediaCommand::kUnblock;
  for (const Side side : {Side::kA, Side::kB}) {
    if (!on || !(who.whole() || who.chosen[index_of(side)])) continue;
    const std::string fault = blocks ? why_not_blocked(call, side) : why_not_silent(call, side);
    if (!fault.empty()) return reply(result_of(fault));
  }
  const auto set = [&](MediaSwitches& switches) {
    (blocks ? switches.blocked : switches.silenced) = on;
  };
  if (who.whole()) set(call.switches);
  for (const Side side : {Side::kA, Side::kB}) {
    const bool cleared = who.whole() && request.all && !on;
    if (who.chosen[index_of(side)] || cleared) set(call.side(side).switches);
  }
  store(call);
  update_switches(relay_, call, true);
  relay_.flush();
  const char* whose = who.whole()                      ? ""
                      : who.chosen[0] && who.chosen[1] ? " of both legs"
                      : who.chosen[0]                  ? " of leg a"
                                                       : " of leg b";
  log(call, std::string(name_of(what)) + whose);
  reply(result_of({}));
}

}  // namespace turnpike::call
