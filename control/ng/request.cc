// Frames, commands and names.
#include "control/ng/request.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "control/ng/message.h"
#include "control/ng/reference.h"

namespace turnpike::ng {
namespace {

constexpr std::size_t kIdBytesMax = 1024;

constexpr std::array<std::string_view, kCommandCount> kCommandNames = {"ping",
                                                                       "offer",
                                                                       "answer",
                                                                       "delete",
                                                                       "query",
                                                                       "list",
                                                                       "statistics",
                                                                       "block media",
                                                                       "unblock media",
                                                                       "silence media",
                                                                       "unsilence media",
                                                                       "publish",
                                                                       "subscribe request",
                                                                       "subscribe answer",
                                                                       "unsubscribe",
                                                                       "connect",
                                                                       "unsupported",
                                                                       "unrecognized"};

constexpr auto kActs = Standing::kActs;
constexpr auto kRefused = Standing::kRefused;
constexpr std::string_view kMedia = "media is not made here: streams pass as they are";
constexpr std::string_view kDigits =
    "media processing: digits lie in the payload, which is not looked at here";
constexpr std::string_view kRecording = "recording is not done here";
constexpr std::string_view kByOffer =
    "ends are joined by offer and answer here, those who only listen by subscribe request";

// In the order of Command; behind kUnsupported those that are refused, with the reason.
constexpr std::array<NameInfo, 33> kCommands = {{
    {"ping", kActs, "–", "`result` is `pong`", "UdpTest.ping_pong"},
    {"offer", kActs, "`call-id`, `sdp`, `from-tag`",
     "the description for the receiver: reply `sdp`", "PlainCall.offer_and_answer_byte_for_byte"},
    {"answer", kActs, "`call-id`, `sdp`, `from-tag`, `to-tag`",
     "the description for the offerer: reply `sdp`", "PlainCall.offer_and_answer_byte_for_byte"},
    {"delete", kActs, "`call-id`",
     "ends the call, or the branch that the tags name; figures as `query`",
     "Lifecycle.delete_knows_calls_by_id_and_tags"},
    {"query", kActs, "`call-id`", "figures", "Lifecycle.figures_are_a_tree"},
    {"list", kActs, "–", "`calls`: call-ids of the calls that are up",
     "NodeStatistics.calls_are_listed"},
    {"statistics", kActs, "–", "figures of the node: [above](#figures-of-the-node)",
     "NodeStatistics.are_a_tree"},
    {"block media", kActs, "`call-id`", "RTP goes no further: [above](#blocked-and-silenced-media)",
     "MediaSwitch.blocks_a_call_or_what_one_participant_sends"},
    {"unblock media", kActs, "`call-id`", "takes that back",
     "MediaSwitch.blocks_a_call_or_what_one_participant_sends"},
    {"silence media", kActs, "`call-id`",
     "silence instead of speech: [above](#blocked-and-silenced-media)",
     "MediaSwitch.silence_is_made_of_g711_only"},
    {"unsilence media", kActs, "`call-id`", "takes that back",
     "MediaSwitch.silence_is_made_of_g711_only"},
    {"publish", kActs, "`sdp`",
     "takes what one end sends, for those who subscribe: [above](#published-media-and-subscribers)",
     "Subscription.what_is_published_is_heard_by_who_subscribes"},
    {"subscribe request", kActs, "`call-id`, and `from-tag`, `from-tags`, `label` or `all`",
     "offers what participants send to one more receiver: "
     "[above](#published-media-and-subscribers)",
     "Subscription.offers_what_participants_send"},
    {"subscribe answer", kActs, "`call-id`, `to-tag`, `sdp`", "begins to send it there",
     "Subscription.answer_begins_it_and_unsubscribe_ends_it"},
    {"unsubscribe", kActs, "`call-id`, `to-tag`", "ends that",
     "Subscription.answer_begins_it_and_unsubscribe_ends_it"},
    {"connect", kActs, "`call-id`, `from-tag`, `to-call-id`, `to-tag`",
     "ends of two calls talk to each other: [above](#connected-calls)",
     "Connection.ends_of_two_calls_talk_to_each_other"},
    {"block DTMF", kRefused, "", kDigits},
    {"unblock DTMF", kRefused, "", kDigits},
    {"play DTMF", kRefused, "", kDigits},
    {"play media", kRefused, "", kMedia},
    {"stop media", kRefused, "", kMedia},
    {"inject start", kRefused, "", kMedia},
    {"inject stop", kRefused, "", kMedia},
    {"transform", kRefused, "", kMedia},
    {"start recording", kRefused, "", kRecording},
    {"stop recording", kRefused, "", kRecording},
    {"pause recording", kRefused, "", kRecording},
    {"start forwarding", kRefused, "", kRecording},
    {"stop forwarding", kRefused, "", kRecording},
    {"mesh", kRefused, "", kByOffer},
    {"create", kRefused, "", kByOffer},
    {"create answer", kRefused, "", kByOffer},
    {"cli", kRefused, "", "the operator's tool is turnpikectl"},
}};

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

std::string defect_of_id(std::string_view name, const std::string& value) {
  if (value.size() > kIdBytesMax) {
    return std::string(name) + " is longer than " + std::to_string(kIdBytesMax) + " bytes";
  }
  if (std::any_of(value.begin(), value.end(), is_control)) {
    return std::string(name) + " holds a control character";
  }
  return {};
}

}  // namespace

Frame parse_frame(std::string_view datagram) {
  Frame frame;
  const std::size_t space = datagram.substr(0, kCookieBytesMax + 1).find(' ');
  if (space == std::string_view::npos) {
    frame.fault =
        datagram.size() > kCookieBytesMax ? ParseFault::kCookieTooLong : ParseFault::kNoCookie;
    return frame;
  }
  if (space == 0) {
    frame.fault = ParseFault::kNoCookie;
    return frame;
  }
  frame.cookie = datagram.substr(0, space);
  frame.body = datagram.substr(space + 1);
  if (frame.body.empty() || !encoding_of(frame.body.front())) {
    frame.fault = ParseFault::kNotADictionary;
  }
  return frame;
}

std::string_view to_string(Command command) {
  return kCommandNames[static_cast<std::size_t>(command)];
}

Command command_of(std::string_view name) {
  const auto found = std::find_if(kCommands.begin(), kCommands.end(),
                                  [name](const NameInfo& info) { return info.name == name; });
  if (found == kCommands.end()) return Command::kUnrecognized;
  return static_cast<Command>(
      std::min(found - kCommands.begin(), static_cast<std::ptrdiff_t>(Command::kUnsupported)));
}

std::string_view why_unsupported(std::string_view name) {
  const auto found = std::find_if(kCommands.begin(), kCommands.end(),
                                  [name](const NameInfo& info) { return info.name == name; });
  return found == kCommands.end() ? "" : found->effect;
}

const std::vector<NameInfo>& commands() {
  static const std::vector<NameInfo> all(kCommands.begin(), kCommands.end());
  return all;
}

std::string normalised(std::string_view name) {
  std::string text(name);
  for (char& c : text) {
    if (c == ' ' || c == '_') c = '-';
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

const Value* find(const Value::Dict& dict, std::string_view key) {
  for (auto entry = dict.rbegin(); entry != dict.rend(); ++entry) {
    if (entry->first.size() == key.size() && normalised(entry->first) == key) {
      return &entry->second;
    }
  }
  return nullptr;
}

std::string text_of(const Value* value) {
  if (value == nullptr) return {};
  if (const auto* text = value->as_string()) return *text;
  if (const auto* number = value->as_integer()) return std::to_string(*number);
  return {};
}

std::string find_defect(Command command, const call::CallRequest& request) {
  const bool is_offer = command == Command::kOffer;
  const bool is_answer = command == Command::kAnswer;
  const bool publishes = command == Command::kPublish;
  const bool of_subscription =
      command == Command::kSubscribeAnswer || command == Command::kUnsubscribe;
  const bool needs_sdp = is_offer || is_answer || publishes || command == Command::kSubscribeAnswer;
  const bool needs_call_id = command != Command::kList && !publishes;
  if (needs_call_id && request.call_id.empty()) return "No call-id in message";
  if (needs_sdp && request.sdp.empty()) return "No SDP body in message";
  if ((is_offer || is_answer) && request.from_tag.empty()) return "No from-tag in message";
  const bool connects = command == Command::kConnect;
  if (connects && request.from_tag.empty()) return "No from-tag in message";
  if ((is_answer || of_subscription || connects) && request.to_tag.empty()) {
    return "No to-tag in message";
  }
  for (const auto& [name, value] : {std::pair{"call-id", &request.call_id},
                                    {"to-call-id", &request.to_call_id},
                                    {"from-tag", &request.from_tag},
                                    {"to-tag", &request.to_tag}}) {
    if (auto defect = defect_of_id(name, *value); !defect.empty()) return defect;
  }
  return {};
}

Value::Dict parse_flags_string(std::string_view text) {
  Value::Dict dict;
  Value::List flags;
  const auto skip_spaces = [&] {
    while (text.starts_with(' ')) text.remove_prefix(1);
  };
  const auto take_until = [&](std::string_view stops) {
    const std::size_t end = std::min(text.find_first_of(stops), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(end);
    return word;
  };
  for (skip_spaces(); !text.empty(); skip_spaces()) {
    const std::string_view name = take_until(" =");
    if (!text.starts_with('=')) {
      flags.emplace_back(name);
      continue;
    }
    text.remove_prefix(1);
    if (!text.starts_with('[')) {
      dict.emplace_back(name, Value(take_until(" ")));
      continue;
    }
    Value::List list;
    int depth = 0;
    // Words of an inner list are passed over; its brackets are counted to find our end.
    do {
      if (text.starts_with('[')) {
        ++depth;
        text.remove_prefix(1);
      } else if (text.starts_with(']')) {
        --depth;
        text.remove_prefix(1);
      } else if (const auto word = take_until(" []"); !word.empty() && depth == 1) {
        list.emplace_back(word);
      }
      skip_spaces();
    } while (depth > 0 && !text.empty());
    dict.emplace_back(name, Value(std::move(list)));
  }
  if (!flags.empty()) dict.emplace_back("flags", Value(std::move(flags)));
  return dict;
}

}  // namespace turnpike::ng
