// Implements spoken.h.
#include "control/call/spoken.h"

#include <algorithm>
#include <array>
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

/// What describes a format, and what a sender says of its packets. Nothing about feedback: a
/// subscriber's goes nowhere.
constexpr std::array<std::string_view, 6> kSpoken = {"rtpmap",   "fmtp",   "ptime",
                                                     "maxptime", "extmap", "framerate"};

bool names_format(const sdp::Attribute& attribute) {
  return attribute.name == "rtpmap" || attribute.name == "fmtp";
}

/// Transport and keys are left out, and of formats all but `format`, if one is given.
sdp::Media spoken_line(const sdp::Media& line, const std::string& format = {}) {
  sdp::Media spoken;
  spoken.kind = line.kind;
  spoken.port = line.port == 0 ? std::uint16_t{0} : kSomePort;
  spoken.protocol = "RTP/AVP";
  spoken.formats = format.empty() ? line.formats : std::vector<std::string>{format};
  for (const sdp::Attribute& attribute : line.attributes) {
    if (std::find(kSpoken.begin(), kSpoken.end(), attribute.name) == kSpoken.end()) continue;
    const auto words = sdp::words_of(attribute.value);
    if (!format.empty() && names_format(attribute) && (words.empty() || words[0] != format)) {
      continue;
    }
    spoken.attributes.push_back(attribute);
  }
  return spoken;
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

}  // namespace

std::string spoken_of(const sdp::Session& description) {
  sdp::Session spoken = blank(0);
  for (const sdp::Media& line : description.media) spoken.media.push_back(spoken_line(line));
  std::string text = sdp::write(spoken);
  if (text.size() > kSpokenBytesMax) text.clear();
  return text;
}

Result<sdp::Session> offer_of_spoken(const Call& call, const std::vector<HeardMedia>& heard,
                                     std::uint64_t number) {
  const Error unknown{"What its ends speak is not known: their description is too long to keep"};
  if (call.spoken.empty()) return unknown;
  const auto spoken = sdp::parse(call.spoken);
  if (!spoken) return unknown;
  sdp::Session offer = blank(number);
  for (std::size_t i = 0; i < heard.size(); ++i) {
    if (heard[i].line >= spoken->media.size()) return unknown;
    sdp::Media line = spoken->media[heard[i].line];
    line.port = kSomePort;
    line.attributes.push_back(sdp::Attribute::with("label", std::to_string(i + 1)));
    sdp::set_direction(line, sdp::Direction::kSendOnly);
    offer.media.push_back(std::move(line));
  }
  return offer;
}

sdp::Session answer_to_published(const sdp::Session& offer, std::uint64_t number) {
  sdp::Session answer = blank(number);
  for (const sdp::Media& line : offer.media) {
    const auto format = std::find_if(line.formats.begin(), line.formats.end(),
                                     [&](const std::string& one) { return is_media(line, one); });
    const bool any = format != line.formats.end();
    sdp::Media taken = spoken_line(line, any ? *format : std::string());
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
