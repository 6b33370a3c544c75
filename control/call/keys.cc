// Implements keys.h.
#include "control/call/keys.h"

#include <algorithm>
#include <array>

namespace turnpike::call {
namespace {

constexpr std::size_t kRefusalsNamedMax = 8;  // an error text is read by people

std::size_t index_of_suite(SrtpSuite suite) {
  return static_cast<std::size_t>(suite);
}

/// What the SDES words leave, by suite.
std::array<bool, kSrtpSuiteCount> allowed_suites(const std::vector<std::string>& words) {
  std::array<bool, kSrtpSuiteCount> allowed{};
  const bool has_only = std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return word.starts_with("only-") && sdp::suite_of(word.substr(5)) != SrtpSuite::kNone;
  });
  allowed.fill(!has_only);
  for (const std::string& word : words) {
    if (word == "off" || word == "no" || word == "disable") return {};
    if (word.starts_with("only-")) allowed[index_of_suite(sdp::suite_of(word.substr(5)))] = true;
  }
  for (const std::string& word : words) {
    if (word.starts_with("no-")) allowed[index_of_suite(sdp::suite_of(word.substr(3)))] = false;
  }
  allowed[index_of_suite(SrtpSuite::kNone)] = false;
  return allowed;
}

bool has_suite(const std::vector<OfferedCrypto>& lines, SrtpSuite suite) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const OfferedCrypto& line) { return line.suite == suite; });
}

/// Gives every line without a tag the lowest one that is free.
void number_lines(std::vector<OfferedCrypto>& lines) {
  unsigned next = 1;
  const auto taken = [&](unsigned tag) {
    return std::any_of(lines.begin(), lines.end(),
                       [&](const OfferedCrypto& line) { return line.tag == tag; });
  };
  for (OfferedCrypto& line : lines) {
    if (line.tag != 0) continue;
    while (taken(next)) ++next;
    line.tag = next;
  }
}

}  // namespace

const SrtpKeying& key_for(MediaSide& side, SrtpSuite suite, const RandomBytes& random_bytes) {
  SrtpKeying& key = side.keys[index_of_suite(suite)].value;
  if (key.suite != SrtpSuite::kNone) return key;
  const SrtpSuiteInfo& info = info_of(suite);
  key.suite = suite;
  random_bytes(key.master_key.data(), info.key_bytes);
  random_bytes(key.master_salt.data(), info.salt_bytes);
  return key;
}

void forget_key(MediaSide& side) {
  sdp::wipe(side.keys[index_of_suite(side.suite)].value);
}

void use_suite(MediaSide& side, SrtpSuite suite) {
  if (side.suite == suite) return;
  forget_key(side);
  side.suite = suite;
}

Result<std::vector<OfferedCrypto>> lines_to_offer(const MediaSide& receiver,
                                                  const std::vector<OfferedCrypto>& offered,
                                                  const std::vector<std::string>& words) {
  const auto allowed = allowed_suites(words);
  std::vector<OfferedCrypto> lines;
  const auto add = [&](SrtpSuite suite) {
    if (!allowed[index_of_suite(suite)] || has_suite(lines, suite)) return;
    const auto same = std::find_if(offered.begin(), offered.end(),
                                   [&](const OfferedCrypto& line) { return line.suite == suite; });
    const bool tag_is_free = same != offered.end() &&
                             std::none_of(lines.begin(), lines.end(),
                                          [&](const auto& line) { return line.tag == same->tag; });
    lines.push_back({tag_is_free ? same->tag : 0, suite});
  };
  add(receiver.suite);
  for (const OfferedCrypto& line : offered) add(line.suite);
  for (const SrtpSuite suite : sdp::kSuitePreference) add(suite);
  if (lines.empty())
    return Error{
        "SDES leaves no suite to offer; UDP/TLS/RTP/SAVP or "
        "UDP/TLS/RTP/SAVPF would be keyed by DTLS"};
  number_lines(lines);
  return lines;
}

Result<std::vector<sdp::CryptoLine>> usable_lines(const sdp::Media& media) {
  std::vector<sdp::CryptoLine> usable;
  std::string refusals;
  std::size_t refused = 0;
  for (const sdp::Attribute& attribute : media.attributes) {
    if (attribute.name != "crypto") continue;
    sdp::CryptoLine line = sdp::parse_crypto(attribute.value);
    if (line.usable()) {
      usable.push_back(std::move(line));
    } else if (++refused <= kRefusalsNamedMax) {
      refusals += "; a=crypto tag " + std::to_string(line.tag) + ' ' + line.refusal;
    }
  }
  if (!usable.empty()) return usable;
  if (!refusals.empty()) {
    return sdp::error_at(media, "SRTP without a usable a=crypto line" + refusals);
  }
  if (sdp::has(media.attributes, "fingerprint")) {
    return sdp::error_at(media, "DTLS-SRTP was not offered here; SRTP needs a=crypto lines (SDES)");
  }
  return sdp::error_at(media, "SRTP without an a=crypto line");
}

Result<sdp::CryptoLine> chosen_line(const sdp::Media& media,
                                    const std::vector<OfferedCrypto>& offered) {
  const auto count =
      std::count_if(media.attributes.begin(), media.attributes.end(),
                    [](const auto& attribute) { return attribute.name == "crypto"; });
  if (count > 1) return sdp::error_at(media, "an answer must choose one a=crypto line");
  auto usable = usable_lines(media);
  if (!usable) return usable.error();
  sdp::CryptoLine& line = usable->front();
  const bool was_offered = std::any_of(offered.begin(), offered.end(), [&](const auto& candidate) {
    return candidate.tag == line.tag && candidate.suite == line.suite;
  });
  if (!was_offered) {
    return sdp::error_at(media, "answer's a=crypto tag and suite are not a line that was offered");
  }
  return std::move(line);
}

}  // namespace turnpike::call
