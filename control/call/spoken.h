// What ends speak, apart from how they are reached: an m-line with formats and what describes them,
// without address, transport and keys. Kept with a call, to be offered to who subscribes to it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/call/call.h"
#include "control/sdp/sdp.h"
#include "turnpike/result.h"

namespace turnpike::call {

/// An m-line as above, as text. Empty when it is longer than a record keeps.
std::string spoken_of(const sdp::Media& line);

/// Whether two ends speak some codec by the same number, and no two by one, so that each can be
/// heard by the other as it is; tones and comfort noise (RFC 4733, 3389) are no codecs. True where
/// one of the texts says nothing.
bool understand_each_other(const std::string& spoken, const std::string& by_other);

/// What `heard` of the call is, as an offer of who sends it: plain RTP, sendonly, without an
/// address, a label for each m-line. Formats are numbered as the receiver numbers them, and once
/// there is an answer those that both ends speak (RFC 3264 sections 5.1, 6.1). `number` tells one
/// description of ours from another. Error when the call does not know what its ends speak.
Result<sdp::Session> offer_of_spoken(const Call& call, const std::vector<HeardMedia>& heard,
                                     std::uint64_t number);

/// The answer of who takes what is published in this offer, of each m-line the first format that
/// is media; plain RTP, recvonly, without an address.
sdp::Session answer_to_published(const sdp::Session& offer, std::uint64_t number);

}  // namespace turnpike::call
