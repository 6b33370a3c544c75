// Implements media.h.
#include "control/sdp/media.h"

#include <algorithm>
#include <array>

#include "control/sdp/text.h"

namespace turnpike::sdp {
namespace {

constexpr std::array<std::string_view, 6> kProfileNames = {
    "RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"};
constexpr std::array<std::string_view, 4> kDirectionNames = {"sendrecv", "sendonly", "recvonly",
                                                             "inactive"};

struct StaticPayload {
  std::string_view format;
  std::string_view encoding;
};
constexpr std::array<StaticPayload, 24> kStaticPayloads = {{
    {"0", "PCMU/8000"},    {"3", "GSM/8000"},    {"4", "G723/8000"},   {"5", "DVI4/8000"},
    {"6", "DVI4/16000"},   {"7", "LPC/8000"},    {"8", "PCMA/8000"},   {"9", "G722/8000"},
    {"10", "L16/44100/2"}, {"11", "L16/44100"},  {"12", "QCELP/8000"}, {"13", "CN/8000"},
    {"14", "MPA/90000"},   {"15", "G728/8000"},  {"16", "DVI4/11025"}, {"17", "DVI4/22050"},
    {"18", "G729/8000"},   {"25", "CelB/90000"}, {"26", "JPEG/90000"}, {"28", "nv/90000"},
    {"31", "H261/90000"},  {"32", "MPV/90000"},  {"33", "MP2T/90000"}, {"34", "H263/90000"},
}};

std::optional<Direction> own_direction(const std::vector<Attribute>& attributes) {
  for (const Attribute& attribute : attributes) {
    const auto* name = std::find(kDirectionNames.begin(), kDirectionNames.end(), attribute.name);
    if (name != kDirectionNames.end()) {
      return static_cast<Direction>(name - kDirectionNames.begin());
    }
  }
  return std::nullopt;
}

const StaticPayload* static_payload(std::string_view format) {
  const auto* entry = std::find_if(kStaticPayloads.begin(), kStaticPayloads.end(),
                                   [&](const auto& known) { return known.format == format; });
  return entry == kStaticPayloads.end() ? nullptr : entry;
}

/// "opus/48000/2": from the format's rtpmap, else as a static payload type, else empty.
std::string_view encoding_of(const Media& media, std::string_view format) {
  for (const Attribute& attribute : media.attributes) {
    const auto words = words_of(attribute.value);
    if (attribute.name == "rtpmap" && words.size() >= 2 && words[0] == format) return words[1];
  }
  const StaticPayload* entry = static_payload(format);
  return entry == nullptr ? std::string_view{} : entry->encoding;
}

/// `a=rtcp:PORT [IN IP4|IP6 ADDRESS]`, RFC 3605 section 2.1.
Result<SocketAddress> rtcp_address(const Media& media, std::string_view value, IpAddress ip) {
  const auto words = words_of(value);
  if (words.size() != 1 && words.size() != 4) {
    return error_at(media, "a=rtcp needs a port, or a port and an address");
  }
  const auto port = number_of<std::uint16_t>(words[0]);
  if (!port) return error_at(media, "port in a=rtcp is not a number from 0 to 65535");
  if (words.size() == 4) {
    const auto own = parse_ip(words[3]);
    if (!own) return error_at(media, "address in a=rtcp is not an IP address");
    // An unspecified c= holds the whole stream, whatever a=rtcp says.
    if (!ip.is_unspecified()) ip = *own;
  }
  if (ip.is_multicast()) return error_at(media, "multicast is not relayed");
  return SocketAddress{ip, *port};
}

}  // namespace

Error error_at(const Media& media, std::string_view reason) {
  return Error{"SDP line " + std::to_string(media.line) + " (m=): " + std::string(reason)};
}

std::string_view name_of(Profile profile) {
  return kProfileNames[static_cast<std::size_t>(profile)];
}

std::optional<Profile> profile_of(std::string_view protocol) {
  const auto* name = std::find(kProfileNames.begin(), kProfileNames.end(), protocol);
  if (name == kProfileNames.end()) return std::nullopt;
  return static_cast<Profile>(name - kProfileNames.begin());
}

bool is_dtls_srtp(std::string_view protocol) {
  return protocol.find("TLS/RTP/SAVP") != std::string_view::npos;
}

std::string_view name_of(Direction direction) {
  return kDirectionNames[static_cast<std::size_t>(direction)];
}

MediaKind kind_of(const Media& media) {
  if (media.kind == "audio") return MediaKind::kAudio;
  return media.kind == "video" ? MediaKind::kVideo : MediaKind::kOther;
}

Direction direction_of(const Session& session, const Media& media) {
  if (const auto own = own_direction(media.attributes)) return *own;
  return own_direction(session.attributes).value_or(Direction::kSendRecv);
}

void remove_directions(std::vector<Attribute>& attributes) {
  for (const std::string_view name : kDirectionNames) remove(attributes, name);
}

void set_direction(Media& media, Direction direction) {
  remove_directions(media.attributes);
  media.attributes.push_back(Attribute::flag(std::string(name_of(direction))));
}

Result<Addresses> addresses_of(const Session& session, const Media& media) {
  const auto& connection = media.connection ? media.connection : session.connection;
  if (!connection) return error_at(media, "no c= line says where media goes");
  if (!connection->ip.is_set()) {
    return error_at(media, "address in c= is a name, not an IP address");
  }
  if (connection->ip.is_multicast()) return error_at(media, "multicast is not relayed");
  Addresses addresses{{connection->ip, media.port}, {connection->ip, 0}};
  if (media.port != 65535) addresses.rtcp.port = static_cast<std::uint16_t>(media.port + 1);
  if (const Attribute* rtcp = find(media.attributes, "rtcp")) {
    const auto parsed = rtcp_address(media, rtcp->value, connection->ip);
    if (!parsed) return parsed.error();
    addresses.rtcp = *parsed;
  }
  return addresses;
}

std::uint32_t clock_rate_hz_of(const Media& media) {
  for (const std::string& format : media.formats) {
    const std::string_view encoding = encoding_of(media, format);
    if (encoding.empty() || encoding.starts_with("CN/") ||
        encoding.starts_with("telephone-event/")) {
      continue;
    }
    const auto pieces = pieces_of(encoding, '/');
    const auto rate = pieces.size() < 2 ? std::nullopt : number_of<std::uint32_t>(pieces[1]);
    if (rate && *rate >= 1000 && *rate <= 1'000'000) return *rate;
  }
  return kind_of(media) == MediaKind::kVideo ? 90000 : 8000;
}

void add_static_rtpmaps(Media& media) {
  for (const std::string& format : media.formats) {
    const StaticPayload* entry = static_payload(format);
    if (entry == nullptr) continue;
    const bool mapped = std::any_of(
        media.attributes.begin(), media.attributes.end(), [&](const Attribute& attribute) {
          return attribute.name == "rtpmap" && attribute.value.starts_with(format + ' ');
        });
    if (mapped) continue;
    media.attributes.push_back(
        Attribute::with("rtpmap", format + ' ' + std::string(entry->encoding)));
  }
}

}  // namespace turnpike::sdp
