// JSON (RFC 8259), as far as NG messages go: objects, arrays, texts, whole numbers of 64 bits; true
// and false are 1 and 0. Stricter than most: no fractions, no null, no key twice in one object, no
// NUL, nothing but UTF-8. Knows nothing of what the keys mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/ng/parse_fault.h"
#include "control/ng/reading.h"
#include "control/ng/value.h"
#include "turnpike/result.h"

namespace turnpike::ng {

/// Reads one object, also from a stream that delivers it in pieces: work that was done is not
/// repeated. Does not recurse. Memory: as BencodeReader, and each key of open objects once more.
class JsonReader {
 public:
  using Progress = ReadProgress;

  explicit JsonReader(MessageLimits limits = {}) : limits_(limits) {}

  /// `bytes` begins where the object begins and holds everything received since; between calls it
  /// only grows. After kDone and kFailed only what is below may be called.
  Progress read(std::string_view bytes);

  /// After kDone: the encoded size of the object; bytes may follow it. Otherwise: how far it got.
  std::size_t offset() const { return offset_; }
  /// After kDone, once. A dictionary.
  Value take() { return std::move(result_); }
  /// After kFailed.
  ParseFault fault() const { return fault_; }
  /// After kFailed: what is wrong and at which byte. Never quotes the message.
  std::string error_text() const;

 private:
  enum class Expects : std::uint8_t {
    kValue,
    kValueOrEnd,
    kKey,
    kKeyOrEnd,
    kColon,
    kCommaOrEnd,
    kText,  // inside of a text
  };
  struct Container {
    Value value;
    std::string key;             // waits for its value, in an object
    std::set<std::string> keys;  // of an object, so far
  };

  Progress fail(ParseFault fault);
  Progress read_token(std::string_view bytes);
  Progress read_value(std::string_view rest);
  Progress read_number(std::string_view rest);
  Progress read_word(std::string_view rest, std::string_view word, std::int64_t value);
  Progress read_text(std::string_view rest);
  Progress read_escape(std::string_view rest);
  Progress read_unicode_escape(std::string_view rest);
  Progress read_sequence(std::string_view rest);
  Progress end_text();
  Progress begin_text(bool is_key);
  Progress open(Value container);
  Progress close(char bracket);
  Progress add(Value value);
  /// One more step of `size` bytes; the offset does not move when the step is not allowed.
  Progress advance(std::size_t size, Expects next);
  bool fits(std::size_t size) const { return size <= limits_.bytes_max - offset_; }
  bool in_object() const { return open_.back().value.as_dict() != nullptr; }

  MessageLimits limits_;
  std::vector<Container> open_;
  Value result_;
  std::string text_;         // what is read of a text
  std::size_t text_at_ = 0;  // where that text begins
  bool text_is_key_ = false;
  Expects expects_ = Expects::kValue;
  std::size_t offset_ = 0;
  std::uint32_t elements_ = 0;
  ParseFault fault_ = ParseFault::kNone;
};

/// Decodes a text that must be exactly one object, with white space around it at most.
Result<Value> decode_json(std::string_view bytes, MessageLimits limits = {});

/// Keys keep their order. What is not UTF-8 in a text becomes U+FFFD. Recurses as deep as the value
/// is nested.
void append_json(const Value::Dict& dict, std::string& out);
std::string encode_json(const Value::Dict& dict);

/// Space, tab and line ends: what may stand between the parts of a JSON text.
constexpr std::string_view kJsonSpace = " \t\r\n";

}  // namespace turnpike::ng
