// Implements bundle.h.
#include "control/sdp/bundle.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "control/sdp/text.h"
#include "turnpike/command.h"

namespace turnpike::sdp {
namespace {

constexpr std::string_view kMidUri = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// Copies what is named so, unless the section has some of it.
void take_over(const Media& from, Media& into, std::initializer_list<std::string_view> names) {
  const auto is_named = [&](const Attribute& attribute) {
    return std::find(names.begin(), names.end(), attribute.name) != names.end();
  };
  if (std::any_of(into.attributes.begin(), into.attributes.end(), is_named)) return;
  std::copy_if(from.attributes.begin(), from.attributes.end(), std::back_inserter(into.attributes),
               is_named);
}

const std::string* rtpmap_of(const Media& media, std::string_view format) {
  for (const Attribute& attribute : media.attributes) {
    const std::string_view value = attribute.value;
    if (attribute.name == "rtpmap" && value.starts_with(format) &&
        value.substr(format.size()).starts_with(' ')) {
      return &attribute.value;
    }
  }
  return nullptr;
}

bool clashes(const Media& a, const Media& b, const std::string& format) {
  if (std::find(b.formats.begin(), b.formats.end(), format) == b.formats.end()) return false;
  const std::string* here = rtpmap_of(a, format);
  const std::string* there = rtpmap_of(b, format);
  if (here == nullptr || there == nullptr) return here != there;
  return *here != *there;
}

/// "4/sendrecv urn:…": id and URI.
std::pair<std::string_view, std::string_view> extension_of(const Attribute& attribute) {
  const auto words = words_of(attribute.value);
  if (words.size() < 2) return {};
  return {words[0].substr(0, words[0].find('/')), words[1]};
}

}  // namespace

std::vector<std::size_t> bundle_of(const Session& session) {
  std::vector<std::size_t> group;
  const auto found =
      std::find_if(session.attributes.begin(), session.attributes.end(), [](const auto& a) {
        const auto words = words_of(a.value);
        return a.name == "group" && !words.empty() && words[0] == "BUNDLE";
      });
  if (found == session.attributes.end()) return group;
  std::vector<std::string_view> mids;
  for (const Media& media : session.media) {
    const Attribute* mid = find(media.attributes, "mid");
    mids.push_back(mid == nullptr ? std::string_view() : std::string_view(mid->value));
  }
  const auto tags = words_of(found->value);
  for (const std::string_view tag : std::span(tags).subspan(1)) {
    if (tag.size() > kMidBytesMax || std::count(mids.begin(), mids.end(), tag) != 1) continue;
    const auto at = std::find(mids.begin(), mids.end(), tag);
    const auto media = static_cast<std::size_t>(at - mids.begin());
    const bool is_new = std::find(group.begin(), group.end(), media) == group.end();
    if (is_new) group.push_back(media);
    if (group.size() == mids.size()) break;
  }
  return group;
}

bool is_bundle_only(const Media& media) {
  return media.port == 0 && has(media.attributes, "bundle-only");
}

void unfold_bundle(Session& session, const std::vector<std::size_t>& group) {
  const auto tagged = std::find_if(group.begin(), group.end(),
                                   [&](std::size_t i) { return session.media[i].port != 0; });
  if (tagged == group.end()) return;
  const Media& from = session.media[*tagged];
  for (const std::size_t i : group) {
    Media& into = session.media[i];
    if (i == *tagged || (into.port == 0 && !is_bundle_only(into))) continue;
    // Growing later would leave copies of keys in freed memory.
    into.attributes.reserve(into.attributes.size() + from.attributes.size());
    if (into.port == 0) {
      into.port = from.port;
      into.port_count = 1;
      into.connection = from.connection;
    }
    take_over(from, into, {"ice-ufrag", "ice-pwd", "candidate", "end-of-candidates"});
    take_over(from, into, {"fingerprint", "tls-id"});
    take_over(from, into, {"setup"});
    take_over(from, into, {"crypto"});
    take_over(from, into, {"rtcp-mux", "rtcp-mux-only"});
  }
}

bool may_share_session(const Media& a, const Media& b) {
  const bool types_clash = std::any_of(a.formats.begin(), a.formats.end(),
                                       [&](const auto& format) { return clashes(a, b, format); });
  if (types_clash) return false;
  for (const Attribute& here : a.attributes) {
    if (here.name != "extmap") continue;
    for (const Attribute& there : b.attributes) {
      if (there.name != "extmap") continue;
      const auto [id, uri] = extension_of(here);
      const auto [other_id, other_uri] = extension_of(there);
      if (id == other_id && uri != other_uri) return false;
    }
  }
  return true;
}

std::uint8_t mid_extension_of(const Media& media) {
  for (const Attribute& attribute : media.attributes) {
    if (attribute.name != "extmap") continue;
    const auto [id, uri] = extension_of(attribute);
    const auto number = number_of<std::uint8_t>(id);
    if (uri == kMidUri && number) return *number;
  }
  return 0;
}

std::array<std::uint64_t, 2> payload_types_of(const Media& media) {
  std::array<std::uint64_t, 2> types{};
  for (const std::string& format : media.formats) {
    const auto type = number_of<std::uint8_t>(format);
    if (type && *type < 128) types[*type / 64] |= std::uint64_t{1} << (*type % 64);
  }
  return types;
}

}  // namespace turnpike::sdp
