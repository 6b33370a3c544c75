// Why a message was not understood. One list for framing and encoding, with the label that metrics
// use and the words that the sender gets back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace turnpike::ng {

// name, metric label, words
#define TURNPIKE_NG_PARSE_FAULTS(X)                                                               \
  X(kNone, "none", "no fault")                                                                    \
  X(kNoCookie, "no_cookie", "no cookie and space before the dictionary")                          \
  X(kCookieTooLong, "cookie_too_long", "the cookie is too long")                                  \
  X(kNotADictionary, "not_a_dictionary",                                                          \
    "the message is no bencoded dictionary and no JSON object")                                   \
  X(kIncomplete, "incomplete", "the message ends too early")                                      \
  X(kUnexpectedByte, "unexpected_byte", "no value begins with this byte")                         \
  X(kKeyNotAString, "key_not_a_string", "a dictionary key must be a string")                      \
  X(kDuplicateKey, "duplicate_key", "an object has two keys of this name")                        \
  X(kNotUtf8, "not_utf8", "a text is not UTF-8")                                                  \
  X(kControlCharacter, "control_character", "a text holds NUL or an unescaped control character") \
  X(kBadEscape, "bad_escape", "a text holds an escape that means nothing")                        \
  X(kMissingValue, "missing_value", "a dictionary key has no value")                              \
  X(kBadNumber, "bad_number", "a number is not in canonical decimal form")                        \
  X(kNumberTooLarge, "number_too_large", "a number does not fit into 64 bits")                    \
  X(kTooDeep, "too_deep", "lists and dictionaries are nested too deep")                           \
  X(kTooManyElements, "too_many_elements", "the message has too many elements")                   \
  X(kTooLong, "too_long", "the message is too long")                                              \
  X(kTrailingBytes, "trailing_bytes", "bytes follow the dictionary")

enum class ParseFault : std::uint8_t {
#define X(name, label, words) name,
  TURNPIKE_NG_PARSE_FAULTS(X)
#undef X
      kCount
};
constexpr std::size_t kParseFaultCount = static_cast<std::size_t>(ParseFault::kCount);

struct ParseFaultInfo {
  std::string_view label;  ///< value of the metric label `reason`
  std::string_view words;
};
constexpr std::array<ParseFaultInfo, kParseFaultCount> kParseFaults = {{
#define X(name, label, words) {label, words},
    TURNPIKE_NG_PARSE_FAULTS(X)
#undef X
}};
constexpr const ParseFaultInfo& info_of(ParseFault fault) {
  return kParseFaults[static_cast<std::size_t>(fault)];
}

}  // namespace turnpike::ng
