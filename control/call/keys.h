// SDES keys of ours: which suites are offered, under which tags, and what an answer may choose.
// Every key belongs to one side of one m-line and one direction; a peer's key is never passed on.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/call/call.h"
#include "control/sdp/sdp.h"
#include "turnpike/result.h"

namespace turnpike::call {

using RandomBytes = std::function<void(void*, std::size_t)>;

/// Our key towards a side for a suite: the one that it has, else a new one.
const SrtpKeying& key_for(MediaSide& side, SrtpSuite suite, const RandomBytes& random_bytes);

/// Puts `suite` in use towards a side and forgets the key of the suite that was in use before:
/// were it used again, its packet indices would start over (two-time pad).
void use_suite(MediaSide& side, SrtpSuite suite);

/// Forgets our key of the suite in use, so that key_for makes a new one.
void forget_key(MediaSide& side);

/// The lines to offer to `receiver`: the suite in use first, then those that the other side's
/// offer `offered` holds, with its tags, then all others by preference. `words` are those of the
/// SDES list: "off", "no-SUITE", "only-SUITE"; unknown words are ignored.
/// Error: nothing is left to offer.
Result<std::vector<OfferedCrypto>> lines_to_offer(const MediaSide& receiver,
                                                  const std::vector<OfferedCrypto>& offered,
                                                  const std::vector<std::string>& words);

/// The usable a=crypto lines of an m= section in its order. Error when there is none: says of each
/// line why not, without its content.
Result<std::vector<sdp::CryptoLine>> usable_lines(const sdp::Media& media);

/// The line that an answer chose: it has one, and tag and suite are among `offered`.
Result<sdp::CryptoLine> chosen_line(const sdp::Media& media,
                                    const std::vector<OfferedCrypto>& offered);

}  // namespace turnpike::call
