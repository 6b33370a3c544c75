// Implements rewrite.h.
#include "control/call/rewrite.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "control/sdp/carriage.h"

namespace turnpike::call {
namespace {

/// Attributes that speak of the sender's own transport or keys, or that would let the ends
/// negotiate around us: RFC 8839, 8122, 8842, 8827, 4568, 4567, 5939, 9143.
constexpr std::array<std::string_view, 20> kOurs = {
    sdp::kCarriageAttribute,
    "candidate",
    "end-of-candidates",
    "remote-candidates",
    "ice-ufrag",
    "ice-pwd",
    "ice-options",
    "ice-lite",
    "ice-mismatch",
    "ice-pacing",
    "ice2",
    "key-mgmt",
    "acap",
    "tcap",
    "pcfg",
    "acfg",
    "csup",
    "creq",
    "rtcp",
    "bundle-only",
};
/// The same, but between the ends where this node has no keys.
constexpr std::array<std::string_view, 9> kOfKeys = {
    "fingerprint", "setup",    "connection",    "tls-id",  "identity",
    "crypto",      "rtcp-mux", "rtcp-mux-only", "dtls-id",
};

void remove_transport(std::vector<sdp::Attribute>& attributes, bool passes_keys) {
  const auto is_of = [](const auto& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  std::erase_if(attributes, [&](sdp::Attribute& attribute) {
    const bool ours = is_of(kOurs, attribute.name) ||
                      (!passes_keys && is_of(kOfKeys, attribute.name)) ||
                      (attribute.name == "group" && attribute.value.starts_with("BUNDLE"));
    if (ours) sdp::wipe(attribute.value);
    return ours;
  });
}

void refuse(sdp::Media& media) {
  media.port = 0;
  media.port_count = 1;
  media.connection = sdp::Connection::of(IpAddress::v4(0, 0, 0, 0));
  media.titles.clear();
  media.bandwidths.clear();
  media.unknown.clear();
  std::erase_if(media.attributes, [](const sdp::Attribute& attribute) {
    return attribute.name != "mid" && attribute.name != "label";
  });
}

void rewrite_media(sdp::Media& media, const OutgoingMedia& outgoing) {
  const bool keeps_keys = outgoing.passes_keys && !outgoing.folded;
  remove_transport(media.attributes, keeps_keys);
  media.protocol = outgoing.protocol;
  if (!outgoing.accepted) return refuse(media);
  media.port = outgoing.rtp.port;
  media.port_count = 1;
  media.connection = sdp::Connection::of(outgoing.rtp.ip);
  sdp::add_static_rtpmaps(media);
  sdp::set_direction(media, outgoing.direction);
  auto& attributes = media.attributes;
  // Growing later would leave copies of keys in freed memory.
  attributes.reserve(attributes.size() + 15 + outgoing.crypto.size());
  if (outgoing.carriage) sdp::append_carriage(media, *outgoing.carriage);
  if (outgoing.rtcp_mux && !keeps_keys) attributes.push_back(sdp::Attribute::flag("rtcp-mux"));
  if (outgoing.folded) return;
  attributes.push_back(sdp::Attribute::with("rtcp", std::to_string(outgoing.rtcp_port)));
  for (const OutgoingCrypto& line : outgoing.crypto) {
    attributes.push_back(
        sdp::Attribute::with("crypto", sdp::write_crypto(line.tag, line.key.value)));
  }
  if (outgoing.dtls) sdp::append_dtls(media, *outgoing.dtls);
  if (outgoing.ice) sdp::append_ice(media, *outgoing.ice);
}

void write_group(sdp::Session& description, const std::vector<OutgoingMedia>& outgoing) {
  std::vector<std::pair<std::uint16_t, std::string_view>> mids;
  for (std::size_t i = 0; i < description.media.size(); ++i) {
    auto& attributes = description.media[i].attributes;
    const bool has_mid = outgoing[i].bundled || sdp::has(attributes, "mid");
    if (has_mid && !outgoing[i].mid.empty()) {
      sdp::remove(attributes, "mid");
      attributes.push_back(sdp::Attribute::with("mid", outgoing[i].mid));
    }
    if (!outgoing[i].accepted || !outgoing[i].bundled) continue;
    const sdp::Attribute* mid = sdp::find(attributes, "mid");
    if (mid != nullptr) mids.emplace_back(outgoing[i].bundle_rank, mid->value);
  }
  if (mids.empty()) return;
  std::stable_sort(mids.begin(), mids.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string group = "BUNDLE";
  for (const auto& [rank, mid] : mids) group.append(" ").append(mid);
  description.attributes.push_back(sdp::Attribute::with("group", std::move(group)));
}

}  // namespace

void rewrite(sdp::Session& description, const std::vector<OutgoingMedia>& outgoing,
             const Replacements& replacements) {
  description.connection.reset();
  const bool passes_keys =
      std::any_of(outgoing.begin(), outgoing.end(),
                  [](const OutgoingMedia& media) { return media.passes_keys; });
  remove_transport(description.attributes, passes_keys);
  sdp::remove_directions(description.attributes);
  if (!replacements.origin_address.empty()) {
    description.origin.address = replacements.origin_address;
    description.origin.address_type = replacements.origin_address_type;
  }
  if (!replacements.username.empty()) description.origin.username = replacements.username;
  if (!replacements.session_name.empty()) description.name = replacements.session_name;
  const bool lite = std::any_of(outgoing.begin(), outgoing.end(),
                                [](const OutgoingMedia& media) { return media.ice_lite; });
  if (lite) description.attributes.push_back(sdp::Attribute::flag("ice-lite"));
  for (std::size_t i = 0; i < description.media.size(); ++i) {
    rewrite_media(description.media[i], outgoing[i]);
  }
  write_group(description, outgoing);
}

}  // namespace turnpike::call
