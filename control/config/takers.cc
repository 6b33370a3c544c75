// How one value of the file becomes a typed one, and what is said when it cannot.
#include <algorithm>

#include "control/config/host_address.h"
#include "control/config/schema.h"

namespace turnpike::config {
namespace {

constexpr std::string_view kAutoAddress = "auto";
constexpr std::size_t kTextBytesMax = 1024;
constexpr std::size_t kListItemsMax = 64;
constexpr std::size_t kSocketPathBytesMax = 107;  // sockaddr_un::sun_path with its final NUL

bool has_control_bytes(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

/// `automatic` is the word that stands for default_route_address(); empty: there is none.
std::string take_addresses_with(const Node& node, std::string_view automatic,
                                std::vector<IpAddress>& value) {
  std::vector<std::string> texts;
  if (std::string complaint = take_texts(node, texts); !complaint.empty()) return complaint;
  std::vector<IpAddress> addresses;
  for (const std::string& text : texts) {
    const bool asks_host = !automatic.empty() && text == automatic;
    const Result<IpAddress> address = asks_host ? default_route_address() : parse_ip(text);
    if (!address && asks_host) {
      return "is \"auto\", but " + address.error().message + "; give the host's addresses";
    }
    if (!address) {
      return "holds " + describe(Node::of_text(text)) +
             ", which is not an IP address; give literal addresses such as \"192.0.2.10\" or "
             "\"2001:db8::10\"";
    }
    addresses.push_back(*address);
  }
  value = std::move(addresses);
  return {};
}

}  // namespace

std::string integer_type(Range range) {
  return "integer " + std::to_string(range.min) + "-" + std::to_string(range.max);
}

std::string words_type(const std::vector<std::string_view>& words) {
  std::string type;
  for (const std::string_view word : words) {
    if (!type.empty()) type += ", ";
    type += "\"" + std::string(word) + "\"";
  }
  return type;
}

std::string take_integer(const Node& node, Range range, std::int64_t& value) {
  const bool fits =
      node.kind == Node::Kind::kInteger && node.integer >= range.min && node.integer <= range.max;
  if (!fits) {
    return "is " + describe(node) + "; give a whole number from " + std::to_string(range.min) +
           " to " + std::to_string(range.max);
  }
  value = node.integer;
  return {};
}

std::string take_text(const Node& node, std::string& value) {
  if (node.kind != Node::Kind::kText) return "is " + describe(node) + "; give text in quotes";
  if (node.text.size() > kTextBytesMax) {
    return "is longer than " + std::to_string(kTextBytesMax) + " bytes; shorten it";
  }
  if (has_control_bytes(node.text)) return "holds control characters; remove them";
  value = node.text;
  return {};
}

std::string take_texts(const Node& node, std::vector<std::string>& value) {
  if (node.kind != Node::Kind::kList) {
    return "is " + describe(node) + "; give a list such as [\"a\", \"b\"]";
  }
  if (node.items.size() > kListItemsMax) {
    return "has more than " + std::to_string(kListItemsMax) + " entries; shorten the list";
  }
  std::vector<std::string> texts;
  for (const Node& item : node.items) {
    std::string text;
    if (std::string complaint = take_text(item, text); !complaint.empty()) {
      return "has an entry that " + complaint;
    }
    texts.push_back(std::move(text));
  }
  value = std::move(texts);
  return {};
}

std::string take_boolean(const Node& node, bool& value) {
  if (node.kind != Node::Kind::kBoolean) {
    return "is " + describe(node) + "; give true or false (without quotes)";
  }
  value = node.boolean;
  return {};
}

std::string take_word(const Node& node, const std::vector<std::string_view>& words,
                      std::size_t& index) {
  const auto found = std::find(words.begin(), words.end(), node.text);
  if (node.kind == Node::Kind::kText && found != words.end()) {
    index = static_cast<std::size_t>(found - words.begin());
    return {};
  }
  std::string complaint = "is " + describe(node) + "; give one of " + words_type(words);
  if (node.kind == Node::Kind::kText) {
    const std::string_view near = nearest(node.text, words);
    if (!near.empty()) complaint += ", did you mean \"" + std::string(near) + "\"?";
  }
  return complaint;
}

std::string take_addresses(const Node& node, std::vector<IpAddress>& value) {
  return take_addresses_with(node, "", value);
}

std::string take_local_addresses(const Node& node, std::vector<IpAddress>& value) {
  return take_addresses_with(node, kAutoAddress, value);
}

std::string take_socket_address(const Node& node, SocketAddress& value) {
  std::string text;
  if (std::string complaint = take_text(node, text); !complaint.empty()) return complaint;
  if (text.empty()) {
    value = {};
    return {};
  }
  const Result<SocketAddress> address = parse_socket_address(text);
  if (!address) {
    return "is " + describe(node) +
           ", which is not an address and port; give one such as \"127.0.0.1:9464\" or "
           "\"[::1]:9464\"";
  }
  value = *address;
  return {};
}

std::string take_path(const Node& node, const ValueContext& context, std::string& value) {
  std::string text;
  if (std::string complaint = take_text(node, text); !complaint.empty()) return complaint;
  const bool relative = !text.empty() && text.front() != '/';
  value = relative && !context.folder.empty() ? context.folder + "/" + text : text;
  return {};
}

std::string take_paths(const Node& node, const ValueContext& context,
                       std::vector<std::string>& value) {
  std::vector<std::string> texts;
  if (std::string complaint = take_texts(node, texts); !complaint.empty()) return complaint;
  for (std::string& text : texts) {
    static_cast<void>(take_path(Node::of_text(std::string(text)), context, text));
  }
  value = std::move(texts);
  return {};
}

std::string take_socket_path(const Node& node, const ValueContext& context, std::string& value) {
  std::string path;
  if (std::string complaint = take_path(node, context, path); !complaint.empty()) return complaint;
  if (path.size() > kSocketPathBytesMax) {
    return "is a path of " + std::to_string(path.size()) +
           " bytes, too long for a unix socket; give one of at most " +
           std::to_string(kSocketPathBytesMax) + " bytes";
  }
  value = std::move(path);
  return {};
}

}  // namespace turnpike::config
