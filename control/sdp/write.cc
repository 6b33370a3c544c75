// The writer half of sdp.h: one order for everything that has a fixed place.
#include <algorithm>
#include <array>
#include <limits>
#include <tuple>

#include "control/sdp/sdp.h"

namespace turnpike::sdp {
namespace {

/// Sort key of an attribute: place, then payload type by position in m=, then place within it.
using Place = std::tuple<unsigned, std::size_t, unsigned>;

constexpr unsigned kPerFormat = 2;
constexpr unsigned kExtmap = 4;
constexpr unsigned kUnknown = 5;

struct Fixed {
  std::string_view name;
  unsigned place;
};
constexpr std::array<Fixed, 24> kFixed = {{
    {"mid", 0},
    {"label", 1},
    {"extmap", kExtmap},
    {"sendrecv", 6},
    {"sendonly", 6},
    {"recvonly", 6},
    {"inactive", 6},
    {"rtcp", 7},
    {"rtcp-mux", 8},
    {"rtcp-mux-only", 9},
    {"crypto", 10},
    {"setup", 11},
    {"fingerprint", 12},
    {"tls-id", 13},
    {"ptime", 14},
    {"maxptime", 15},
    {"ice-ufrag", 16},
    {"ice-pwd", 17},
    {"ice-options", 18},
    {"candidate", 19},
    {"end-of-candidates", 20},
    {"rtpmap", kPerFormat},
    {"fmtp", kPerFormat},
    {"rtcp-fb", kPerFormat},
}};

Place place_of(const Attribute& attribute, const std::vector<std::string>& formats) {
  const auto* fixed = std::find_if(kFixed.begin(), kFixed.end(), [&](const Fixed& candidate) {
    return candidate.name == attribute.name;
  });
  if (fixed == kFixed.end()) return {kUnknown, 0, 0};
  if (fixed->place != kPerFormat) return {fixed->place, 0, 0};
  const std::string_view value = attribute.value;
  const std::string_view format = value.substr(0, value.find_first_of(" \t"));
  const unsigned within = attribute.name == "rtpmap" ? 0 : attribute.name == "fmtp" ? 1 : 2;
  const auto position = std::find(formats.begin(), formats.end(), format);
  if (position != formats.end()) {
    return {kPerFormat, static_cast<std::size_t>(position - formats.begin()), within};
  }
  // "rtcp-fb:*" speaks of all formats and follows them; a line about a format that m= does not
  // list is none of ours.
  if (format == "*") return {kPerFormat, std::numeric_limits<std::size_t>::max(), within};
  return {kUnknown, 0, 0};
}

void append_line(std::string& out, char type, std::string_view value) {
  out += type;
  out += '=';
  out += value;
  out += "\r\n";
}

void append_attribute(std::string& out, const Attribute& attribute) {
  out += "a=";
  out += attribute.name;
  if (attribute.has_value) {
    out += ':';
    out += attribute.value;
  }
  out += "\r\n";
}

void append_connection(std::string& out, const std::optional<Connection>& connection) {
  if (connection)
    append_line(out, 'c', "IN " + connection->address_type + ' ' + connection->address);
}

void append_media(std::string& out, const Media& media) {
  std::string head = media.kind + ' ' + std::to_string(media.port);
  if (media.port_count != 1) head += '/' + std::to_string(media.port_count);
  head += ' ' + media.protocol;
  for (const std::string& format : media.formats) head += ' ' + format;
  append_line(out, 'm', head);
  for (const Line& line : media.titles) append_line(out, line.type, line.value);
  append_connection(out, media.connection);
  for (const std::string& value : media.bandwidths) append_line(out, 'b', value);
  for (const Line& line : media.unknown) append_line(out, line.type, line.value);

  std::vector<std::pair<Place, const Attribute*>> placed;
  placed.reserve(media.attributes.size());
  for (const Attribute& attribute : media.attributes) {
    placed.emplace_back(place_of(attribute, media.formats), &attribute);
  }
  std::stable_sort(placed.begin(), placed.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [place, attribute] : placed) append_attribute(out, *attribute);
}

unsigned session_place_of(const Attribute& attribute) {
  if (attribute.name == "ice-lite") return 0;
  return attribute.name == "group" && attribute.value.starts_with("BUNDLE") ? 1 : 2;
}

std::size_t size_estimate(const Session& session) {
  std::size_t bytes = 512;
  const auto add = [&](const std::vector<Attribute>& attributes) {
    for (const Attribute& attribute : attributes) {
      bytes += attribute.name.size() + attribute.value.size() + 5;
    }
  };
  add(session.attributes);
  for (const Media& media : session.media) {
    add(media.attributes);
    bytes += 128 + 8 * media.formats.size();
  }
  return bytes;
}

}  // namespace

std::string write(const Session& session) {
  std::string out;
  // Keys may be among what is written: growing would leave copies of them in freed memory.
  out.reserve(size_estimate(session));
  const Origin& o = session.origin;
  append_line(out, 'v', "0");
  append_line(out, 'o',
              o.username + ' ' + o.session_id + ' ' + o.session_version + ' ' + o.network_type +
                  ' ' + o.address_type + ' ' + o.address);
  append_line(out, 's', session.name);
  for (const char type : {'i', 'u', 'e', 'p'}) {
    for (const Line& line : session.about) {
      if (line.type == type) append_line(out, line.type, line.value);
    }
  }
  append_connection(out, session.connection);
  for (const std::string& value : session.bandwidths) append_line(out, 'b', value);
  if (session.times.empty()) append_line(out, 't', "0 0");
  for (const Line& line : session.times) append_line(out, line.type, line.value);
  for (const Line& line : session.unknown) append_line(out, line.type, line.value);
  for (unsigned place = 0; place < 3; ++place) {
    for (const Attribute& attribute : session.attributes) {
      if (session_place_of(attribute) == place) append_attribute(out, attribute);
    }
  }
  for (const Media& media : session.media) append_media(out, media);
  return out;
}

}  // namespace turnpike::sdp
