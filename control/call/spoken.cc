// Implements spoken.h.
#include "control/call/spoken.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "control/sdp/media.h"
#include "control/sdp/text.h"

namespace turnpike::call {
namespace {

/// As much as a record keeps of one text.
constexpr std::size_t kSpokenBytesMax = 4096;
/// "Discard": stands for a transport that is written later (RFC 8843 does the same).
constexpr std::uint16_t kSomePort = 9;
/// Payload types below mean the same everywhere (RFC 3551 section 6).
constexpr std::uint8_t kFirstUnassigned = 35;

/// What describes a format, and what a sender says of its packets. Nothing about feedback: a
/// subscriber's goes nowhere.
constexpr std::array<std::string_view, 6> kSpoken = {"rtpmap",   "fmtp",   "ptime",
                                                     "maxptime", "extmap", "framerate"};

bool names_format(const sdp::Attribute& attribute) {
  return attribute.name == "rtpmap" || attribute.name == "fmtp";
}

bool is_spoken(const sdp::Attribute& attribute) {
  return std::find(kSpoken.begin(), kSpoken.end(), attribute.name) != kSpoken.end();
}

/// Transport and keys are left out.
sdp::Media spoken_line(const sdp::Media& line) {
  sdp::Media spoken;
  spoken.kind = line.kind;
  spoken.port = line.port == 0 ? std::uint16_t{0} : kSomePort;
  spoken.protocol = "RTP/AVP";
  spoken.formats = line.formats;
  std::copy_if(line.attributes.begin(), line.attributes.end(),
               std::back_inserter(spoken.attributes), is_spoken);
  return spoken;
}

void keep_formats(sdp::Media& line, std::vector<std::string> formats) {
  line.formats = std::move(formats);
  std::erase_if(line.attributes, [&](const sdp::Attribute& attribute) {
    if (!names_format(attribute)) return false;
    const auto words = sdp::words_of(attribute.value);
    return words.empty() ||
           std::find(line.formats.begin(), line.formats.end(), words[0]) == line.formats.end();
  });
}

/// What a format is, whatever number it has: "opus/48000/2"; of one that is known by its number,
/// that.
std::string codec_of(const sdp::Media& line, const std::string& format) {
  const auto number = sdp::number_of<std::uint8_t>(format);
  if (number && *number < kFirstUnassigned) return format;
  for (const sdp::Attribute& attribute : line.attributes) {
    const auto words = sdp::words_of(attribute.value);
    if (attribute.name != "rtpmap" || words.size() < 2 || words[0] != format) continue;
    std::string codec(words[1]);
    std::transform(codec.begin(), codec.end(), codec.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    if (codec.ends_with("/1")) codec.resize(codec.size() - 2);  // one channel need not be said
    return codec;
  }
  return format;
}

sdp::Session blank(std::uint64_t number) {
  sdp::Session session;
  session.origin.session_id = std::to_string(number);
  session.origin.session_version = session.origin.session_id;
  session.times.push_back({'t', "0 0"});
  return session;
}

bool is_media(const sdp::Media& line, const std::string& format) {
  if (line.kind != "audio") return true;
  for (const sdp::Attribute& attribute : line.attributes) {
    const auto words = sdp::words_of(attribute.value);
    if (attribute.name != "rtpmap" || words.size() < 2 || words[0] != format) continue;
    return !words[1].starts_with("telephone-event/") && !words[1].starts_with("CN/");
  }
  return format != "13";  // comfort noise
}

/// What spoken_of() made of it; unset: nothing.
std::optional<sdp::Media> read_line(const std::string& spoken) {
  if (spoken.empty()) return std::nullopt;
  auto session = sdp::parse("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + spoken);
  if (!session || session->media.size() != 1) return std::nullopt;
  return std::move(session->media[0]);
}

/// Leaves the formats that the other end speaks as well; all, when there are none.
void keep_common(sdp::Media& line, const std::string& spoken_by_other) {
  const auto other = read_line(spoken_by_other);
  if (!other) return;
  std::set<std::string> codecs;
  for (const std::string& format : other->formats) codecs.insert(codec_of(*other, format));
  std::vector<std::string> common;
  for (const std::string& format : line.formats) {
    if (codecs.contains(codec_of(line, format))) common.push_back(format);
  }
  if (!common.empty()) keep_formats(line, std::move(common));
}

}  // namespace

// Of every m-line of every call, for the few that are subscribed to: so only put together here, and
// understood when it is read.
std::string spoken_of(const sdp::Media& line) {
  std::string text = "m=" + line.kind + (line.port == 0 ? " 0 RTP/AVP" : " 9 RTP/AVP");
  for (const std::string& format : line.formats) text.append(1, ' ').append(format);
  text += "\r\n";
  for (const sdp::Attribute& attribute : line.attributes) {
    if (!attribute.has_value || !is_spoken(attribute)) continue;
    text.append("a=").append(attribute.name).append(1, ':').append(attribute.value).append("\r\n");
  }
  if (text.size() > kSpokenBytesMax) text.clear();
  return text;
}

bool understand_each_other(const std::string& spoken, const std::string& by_other) {
  const auto one = read_line(spoken);
  const auto two = read_line(by_other);
  if (!one || !two) return true;
  bool some = false;
  for (const std::string& format : one->formats) {
    const bool both =
        std::find(two->formats.begin(), two->formats.end(), format) != two->formats.end();
    if (!both || (!is_media(*one, format) && !is_media(*two, format))) continue;
    if (codec_of(*one, format) != codec_of(*two, format)) return false;
    some = true;
  }
  return some;
}

Result<sdp::Session> offer_of_spoken(const Call& call, const std::vector<HeardMedia>& heard,
                                     std::uint64_t number) {
  sdp::Session offer = blank(number);
  for (std::size_t i = 0; i < heard.size(); ++i) {
    const CallMedia& media = call.media[heard[i].line];
    const auto spoken = [&](Side side) -> const std::string& {
      return media.sides[index_of(side)].remote.spoken;
    };
    // Formats have the numbers that the receiver gave them (RFC 3264 section 5.1). Before it has
    // said any, those of the sender are the likely ones.
    const Side receiver = other(heard[i].side);
    const bool said = media.answered || !spoken(receiver).empty();
    auto line = read_line(spoken(said ? receiver : heard[i].side));
    if (!line) {
      return Error{"m-line " + std::to_string(heard[i].line + 1) +
                   ": what is spoken there is not known, its description is too long to keep"};
    }
    if (media.answered) keep_common(*line, spoken(heard[i].side));
    line->port = kSomePort;
    line->attributes.push_back(sdp::Attribute::with("label", std::to_string(i + 1)));
    sdp::set_direction(*line, sdp::Direction::kSendOnly);
    offer.media.push_back(std::move(*line));
  }
  return offer;
}

sdp::Session answer_to_published(const sdp::Session& offer, std::uint64_t number) {
  sdp::Session answer = blank(number);
  for (const sdp::Media& line : offer.media) {
    const auto format = std::find_if(line.formats.begin(), line.formats.end(),
                                     [&](const std::string& one) { return is_media(line, one); });
    const bool any = format != line.formats.end();
    sdp::Media taken = spoken_line(line);
    if (any) keep_formats(taken, {*format});
    if (!any) taken.port = 0;
    for (const std::string_view name : {"mid", "rtcp-mux"}) {
      if (const sdp::Attribute* said = sdp::find(line.attributes, name)) {
        taken.attributes.push_back(*said);
      }
    }
    const bool sends = sdp::sends(sdp::direction_of(offer, line));
    sdp::set_direction(taken, sdp::direction_of(false, sends));
    answer.media.push_back(std::move(taken));
  }
  return answer;
}

}  // namespace turnpike::call
