// The parser half of sdp.h.
#include "control/sdp/sdp.h"

#include <algorithm>
#include <cstring>

#include "control/sdp/text.h"

namespace turnpike::sdp {
namespace {

constexpr std::size_t kWordBytesMax = 64;  // "UDP/TLS/RTP/SAVPF" has 17
constexpr std::size_t kUsualAttributes = 24;

bool is_token(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (c <= ' ' || c == 0x7f) return false;  // bytes above 0x7f are negative, so refused too
  }
  return true;
}

/// RFC 8866 section 9, token: what an m= line is made of.
bool is_strict_token(std::string_view text) {
  return is_token(text) && text.find_first_of("\"(),/:;<=>?@[\\]") == std::string_view::npos;
}

/// token *("/" token), the protocol of an m= line.
bool is_protocol(std::string_view text) {
  const auto pieces = pieces_of(text, '/');
  return std::all_of(pieces.begin(), pieces.end(), is_strict_token);
}

/// As number_of, but each number has one spelling: no leading zeros.
template <std::unsigned_integral T>
std::optional<T> plain_number_of(std::string_view text) {
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return number_of<T>(text);
}

bool is_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// Reads line by line; knows where it is for the sake of messages.
class Parser {
 public:
  Parser(std::string_view text, const Limits& limits) : rest_(text), limits_(limits) {}

  Result<Session> run() {
    while (failure_.empty() && next_line()) {
      if (line_.empty()) continue;
      take_line();
    }
    if (failure_.empty() && !seen_origin_) fail("no o= line in the description", false);
    if (!failure_.empty()) {
      wipe_keys(session_);
      return Error{failure_};
    }
    return std::move(session_);
  }

 private:
  bool next_line() {
    if (rest_.empty()) return false;
    const std::size_t end = rest_.find('\n');
    line_ = rest_.substr(0, end);
    rest_ = end == std::string_view::npos ? std::string_view{} : rest_.substr(end + 1);
    if (!line_.empty() && line_.back() == '\r') line_.remove_suffix(1);
    ++line_number_;
    return true;
  }

  void fail(std::string_view reason, bool with_line = true) {
    if (!failure_.empty()) return;
    failure_ = with_line ? "SDP line " + std::to_string(line_number_) + ": " : "SDP: ";
    failure_ += reason;
  }

  void take_line() {
    if (line_.size() < 2 || line_[1] != '=' || line_[0] < 'a' || line_[0] > 'z') {
      return fail("is not of the form x=value");
    }
    for (const char c : line_) {
      if ((c >= 0 && c < ' ' && c != '\t') || c == 0x7f) return fail("holds a control character");
    }
    const char type = line_[0];
    const std::string_view value = line_.substr(2);
    if (!seen_version_) return take_version(type, value);
    if (type == 'm') return take_media(value);
    if (session_.media.empty()) {
      take_session_line(type, value);
    } else {
      take_media_line(type, value);
    }
  }

  void take_version(char type, std::string_view value) {
    if (type != 'v') return fail("description does not begin with v=");
    if (value != "0") return fail("unknown version in v= (only 0 exists)");
    seen_version_ = true;
  }

  void take_session_line(char type, std::string_view value) {
    switch (type) {
      case 'v':
        return fail("second v= line");
      case 'o':
        return take_origin(value);
      case 's':
        session_.name = std::string(value);
        return;
      case 'c':
        return take_connection(value, session_.connection);
      case 'b':
        session_.bandwidths.emplace_back(value);
        return;
      case 'i':
      case 'u':
      case 'e':
      case 'p':
        session_.about.push_back({type, std::string(value)});
        return;
      case 't':
      case 'r':
      case 'z':
        session_.times.push_back({type, std::string(value)});
        return;
      case 'k':
        return;
      case 'a':
        return take_attribute(value, session_.attributes);
      default:
        session_.unknown.push_back({type, std::string(value)});
    }
  }

  void take_media_line(char type, std::string_view value) {
    Media& media = session_.media.back();
    switch (type) {
      case 'v':
      case 'o':
        return fail("session line below an m= line");
      case 'i':
        media.titles.push_back({type, std::string(value)});
        return;
      case 'c':
        return take_connection(value, media.connection);
      case 'b':
        media.bandwidths.emplace_back(value);
        return;
      case 'k':
        return;
      case 'a':
        return take_attribute(value, media.attributes);
      default:
        media.unknown.push_back({type, std::string(value)});
    }
  }

  void take_origin(std::string_view value) {
    if (seen_origin_) return fail("second o= line");
    const auto words = words_of(value);
    if (words.size() < 6) return fail("o= needs six fields");
    // User names with blanks occur in the field: the last five words are what they must be.
    const auto* last = words.data() + words.size() - 5;
    if (!is_digits(last[0]) || !is_digits(last[1])) {
      return fail("session id or version in o= is not a number");
    }
    Origin& origin = session_.origin;
    origin.username = std::string(words[0].data(), words[words.size() - 6].end());
    origin.session_id = std::string(last[0]);
    origin.session_version = std::string(last[1]);
    origin.network_type = std::string(last[2]);
    origin.address_type = std::string(last[3]);
    origin.address = std::string(last[4]);
    seen_origin_ = true;
  }

  void take_connection(std::string_view value, std::optional<Connection>& connection) {
    const auto words = words_of(value);
    if (words.size() != 3) return fail("c= needs three fields");
    if (words[0] != "IN") return fail("network type in c= is not IN");
    if (words[1] != "IP4" && words[1] != "IP6") return fail("address type in c= is not IP4 or IP6");
    if (connection) return;  // further ones are layers of multicast, which is refused anyway
    Connection parsed{std::string(words[1]), std::string(words[2]), {}};
    if (auto ip = parse_ip(words[2].substr(0, words[2].find('/')))) parsed.ip = *ip;
    connection = std::move(parsed);
  }

  void take_attribute(std::string_view value, std::vector<Attribute>& attributes) {
    const std::size_t colon = value.find(':');
    const std::string_view name = value.substr(0, colon);
    if (!is_token(name)) return fail("attribute name is not a token");
    Attribute attribute{std::string(name), {}, colon != std::string_view::npos};
    if (attribute.has_value) attribute.value = std::string(value.substr(colon + 1));
    attributes.push_back(std::move(attribute));
  }

  void take_media(std::string_view value) {
    if (session_.media.size() >= limits_.media_max) {
      return fail("more than " + std::to_string(limits_.media_max) + " m= lines");
    }
    // Strict, unlike other lines: a policy in front of us that judges this line by its text must
    // not see another one than we do.
    const auto words = pieces_of(value, ' ');
    if (words.size() < 4) return fail("m= needs media, port, protocol and a format");
    if (std::find(words.begin(), words.end(), "") != words.end()) {
      return fail("m= has a blank too many; one stands between fields");
    }
    if (!is_strict_token(words[0])) return fail("media in m= is not a token");
    if (!is_protocol(words[2])) return fail("protocol in m= is not made of tokens");
    // Both are kept with the call, used or not.
    if (words[0].size() > kWordBytesMax || words[2].size() > kWordBytesMax) {
      return fail("media or protocol in m= is longer than 64 bytes");
    }
    Media media;
    media.attributes.reserve(kUsualAttributes);
    media.formats.reserve(words.size());
    media.line = line_number_;
    media.kind = std::string(words[0]);
    if (!take_port(words[1], media)) return;
    media.protocol = std::string(words[2]);
    for (std::size_t i = 3; i < words.size(); ++i) {
      if (!is_strict_token(words[i])) return fail("format in m= is not a token");
      media.formats.emplace_back(words[i]);
    }
    session_.media.push_back(std::move(media));
  }

  /// port ["/" count]
  bool take_port(std::string_view text, Media& media) {
    const std::size_t slash = text.find('/');
    const auto port = plain_number_of<std::uint16_t>(text.substr(0, slash));
    if (!port) {
      fail("port in m= is not a number from 0 to 65535 without leading zeros");
      return false;
    }
    media.port = *port;
    if (slash == std::string_view::npos) return true;
    const auto count = plain_number_of<unsigned>(text.substr(slash + 1));
    if (!count || *count == 0) {
      fail("port count in m= is not a positive number");
      return false;
    }
    media.port_count = *count;
    return true;
  }

  std::string_view rest_;
  const Limits& limits_;
  std::string_view line_;
  std::size_t line_number_ = 0;
  bool seen_version_ = false;
  bool seen_origin_ = false;
  std::string failure_;
  Session session_;
};

bool carries_key(const Attribute& attribute) {
  return attribute.name == "crypto" || attribute.name == "ice-pwd" ||
         attribute.name == "key-mgmt" || attribute.name == "acap";
}

}  // namespace

Connection Connection::of(const IpAddress& ip) {
  return {ip.is_v6() ? "IP6" : "IP4", to_string(ip), ip};
}

Result<Session> parse(std::string_view text, const Limits& limits) {
  if (text.size() > limits.bytes_max) {
    return Error{"SDP: longer than " + std::to_string(limits.bytes_max) + " bytes"};
  }
  if (text.empty()) return Error{"SDP: empty"};
  return Parser(text, limits).run();
}

const Attribute* find(const std::vector<Attribute>& attributes, std::string_view name) {
  for (const Attribute& attribute : attributes) {
    if (attribute.name == name) return &attribute;
  }
  return nullptr;
}

bool has(const std::vector<Attribute>& attributes, std::string_view name) {
  return find(attributes, name) != nullptr;
}

void remove(std::vector<Attribute>& attributes, std::string_view name) {
  std::erase_if(attributes, [&](const Attribute& attribute) { return attribute.name == name; });
}

void wipe(std::string& text) {
  explicit_bzero(text.data(), text.size());
  text.clear();
}

void wipe_keys(Session& session) {
  const auto wipe_in = [](std::vector<Attribute>& attributes) {
    for (Attribute& attribute : attributes) {
      if (carries_key(attribute)) wipe(attribute.value);
    }
  };
  wipe_in(session.attributes);
  for (Media& media : session.media) wipe_in(media.attributes);
}

}  // namespace turnpike::sdp
