// SDES: `a=crypto` lines (RFC 4568) with the suites of RFC 3711, 6188 and 7714.
// Hides: the grammar of inline keys, base64. Is not: the choice between lines.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "turnpike/keying.h"

namespace turnpike::sdp {

/// Overwrites a key.
void wipe(SrtpKeying& keying);

/// A key that wipes itself.
struct SecretKeying {
  SrtpKeying value{};

  SecretKeying() = default;
  explicit SecretKeying(const SrtpKeying& keying) : value(keying) {}
  SecretKeying(const SecretKeying&) = default;
  SecretKeying& operator=(const SecretKeying&) = default;
  ~SecretKeying() { wipe(value); }

  bool is_set() const { return value.suite != SrtpSuite::kNone; }
};

/// One `a=crypto` line. A line that we cannot use is no error of the description: an offer may
/// hold others. `refusal` says why, without any of its content.
struct CryptoLine {
  unsigned tag = 0;
  SrtpSuite suite = SrtpSuite::kNone;  ///< kNone: none of ours
  SecretKeying keying;
  std::string refusal;  ///< empty = usable

  bool usable() const { return refusal.empty(); }
};

/// Parses the value of `a=crypto:`. Usable are lines with one inline key of the right size,
/// lifetime (decimal or 2^n, at most 2^48) and MKI of 1-16 bytes; of the session parameters WSH
/// and unknown ones with a "-" prefix, which RFC 4568 section 6.3 allows to ignore.
CryptoLine parse_crypto(std::string_view value);

/// The value of an `a=crypto` line. The caller wipes it.
std::string write_crypto(unsigned tag, const SrtpKeying& keying);

/// kNone for names that are none of ours. RFC 4568 section 9.1: compared exactly.
SrtpSuite suite_of(std::string_view name);

/// The order in which we offer suites.
constexpr std::array<SrtpSuite, 6> kSuitePreference = {
    SrtpSuite::kAeadAes256Gcm,       SrtpSuite::kAeadAes128Gcm,
    SrtpSuite::kAesCm256HmacSha1_80, SrtpSuite::kAesCm128HmacSha1_80,
    SrtpSuite::kAesCm256HmacSha1_32, SrtpSuite::kAesCm128HmacSha1_32,
};

}  // namespace turnpike::sdp
