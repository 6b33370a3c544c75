// The line by which the two nodes of a traversal pair tell each other their sessions:
//   a=turnpike-session:1 SHARD SIDE SLOT GENERATION
// 1 is the version, SIDE "a" or "b", the others decimal. It stands in descriptions between the
// nodes only; from anybody else it is taken out.
#pragma once

#include "control/sdp/sdp.h"
#include "turnpike/flow.h"
#include "turnpike/result.h"

namespace turnpike::sdp {

inline constexpr const char* kCarriageAttribute = "turnpike-session";

/// What the other node says of the m-line; `flow` is not in it.
/// Errors: no such line, more than one, another version, a damaged one.
Result<Carriage> carriage_of(const Media& media);
void append_carriage(Media& media, const Carriage& carriage);

}  // namespace turnpike::sdp
