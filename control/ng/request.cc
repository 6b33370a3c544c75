// Frames, commands and names.
#include "control/ng/request.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "control/ng/message.h"

namespace turnpike::ng {
namespace {

constexpr std::size_t kIdBytesMax = 1024;

constexpr std::array<std::string_view, kCommandCount> kCommandNames = {
    "ping", "offer", "answer", "delete", "query", "unsupported", "unrecognized"};

constexpr std::array<std::string_view, 28> kUnsupported = {"list",
                                                           "start recording",
                                                           "stop recording",
                                                           "pause recording",
                                                           "block DTMF",
                                                           "start forwarding",
                                                           "stop forwarding",
                                                           "unblock DTMF",
                                                           "block media",
                                                           "unblock media",
                                                           "silence media",
                                                           "unsilence media",
                                                           "play media",
                                                           "stop media",
                                                           "play DTMF",
                                                           "statistics",
                                                           "publish",
                                                           "subscribe request",
                                                           "subscribe answer",
                                                           "unsubscribe",
                                                           "inject start",
                                                           "inject stop",
                                                           "connect",
                                                           "cli",
                                                           "transform",
                                                           "create",
                                                           "create answer",
                                                           "mesh"};

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
  const auto end = kCommandNames.begin() + static_cast<std::ptrdiff_t>(Command::kUnsupported);
  const auto found = std::find(kCommandNames.begin(), end, name);
  if (found != end) return static_cast<Command>(found - kCommandNames.begin());
  const bool known =
      std::find(kUnsupported.begin(), kUnsupported.end(), name) != kUnsupported.end();
  return known ? Command::kUnsupported : Command::kUnrecognized;
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
  if (request.call_id.empty()) return "No call-id in message";
  if ((is_offer || is_answer) && request.sdp.empty()) return "No SDP body in message";
  if ((is_offer || is_answer) && request.from_tag.empty()) return "No from-tag in message";
  if (is_answer && request.to_tag.empty()) return "No to-tag in message";
  for (const auto& [name, value] : {std::pair{"call-id", &request.call_id},
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
