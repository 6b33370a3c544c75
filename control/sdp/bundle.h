// BUNDLE groups of a description (RFC 9143): which m-lines ask to share one transport, and how
// their packets are told apart.
// Is not: the decision that they do. See control/call/negotiation_bundle.cc.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "control/sdp/sdp.h"

namespace turnpike::sdp {

/// The m= sections of the first a=group:BUNDLE, by position in the description and in the group's
/// order: the first one is the tagged one (section 7.2). Passed over are identification tags that
/// no section has, that two have, and ones longer than kMidBytesMax.
std::vector<std::size_t> bundle_of(const Session& session);

/// Port 0 with a=bundle-only: to be taken as a part of the group, or not at all (section 6).
bool is_bundle_only(const Media& media);

/// Gives each section of the group that says nothing of a transport of its own what the tagged
/// section says of its: port, connection, ICE, DTLS, keys, rtcp-mux. Sections that say something
/// keep it. A section that is bundle-only in no group, or without a tagged one that is used, keeps
/// port 0.
void unfold_bundle(Session& session, const std::vector<std::size_t>& group);

/// False when both use one payload type, or one id of a header extension, for different things:
/// then they cannot be of one RTP session (section 9.1, RFC 8285 section 5).
bool may_share_session(const Media& a, const Media& b);

/// The id under which the section has the header extension that carries a=mid (section 15); 0 when
/// it has none, or one that no packet can have.
std::uint8_t mid_extension_of(const Media& media);

/// Payload types of the m= line: bit n % 64 of word n / 64.
std::array<std::uint64_t, 2> payload_types_of(const Media& media);

}  // namespace turnpike::sdp
