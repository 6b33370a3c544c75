// Bencode, as NG uses it: byte strings, 64-bit integers, lists, dictionaries in any key order.
// Strict: every number in its one canonical form, every limit kept before memory is taken.
// Knows nothing of what the keys mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/ng/parse_fault.h"
#include "control/ng/reading.h"
#include "control/ng/value.h"
#include "turnpike/result.h"

namespace turnpike::ng {

/// Reads one value, also from a stream that delivers it in pieces: work that was done is not
/// repeated. Does not recurse. Memory: at most the message's bytes and `elements_max` values.
class BencodeReader {
 public:
  using Progress = ReadProgress;

  explicit BencodeReader(MessageLimits limits = {}) : limits_(limits) {}

  /// `bytes` begins where the value begins and holds everything received since; between calls it
  /// only grows. After kDone and kFailed only what is below may be called.
  Progress read(std::string_view bytes);

  /// After kDone: the encoded size of the value; bytes may follow it. Otherwise: how far it got.
  std::size_t offset() const { return offset_; }
  /// After kDone, once.
  Value take() { return std::move(result_); }
  /// After kFailed.
  ParseFault fault() const { return fault_; }
  /// After kFailed: what is wrong and at which byte. Never quotes the message.
  std::string error_text() const;

 private:
  struct Container {
    Value value;
    std::string key;  // waits for its value, in a dictionary
    bool has_key = false;
  };

  Progress fail(ParseFault fault);
  Progress read_token(std::string_view bytes);
  Progress read_number(std::string_view bytes);
  Progress read_string(std::string_view bytes);
  Progress open(Value container);
  Progress close();
  Progress add(Value value);
  bool wants_key() const;

  MessageLimits limits_;
  std::vector<Container> open_;
  Value result_;
  std::size_t offset_ = 0;
  std::uint32_t elements_ = 0;
  ParseFault fault_ = ParseFault::kNone;
};

/// Decodes a text that must be exactly one value.
Result<Value> decode_bencode(std::string_view bytes, MessageLimits limits = {});

/// Keys keep their order. Recurses as deep as the value is nested.
std::string encode_bencode(const Value& value);
std::string encode_bencode(const Value::Dict& dict);
void append_bencode(const Value::Dict& dict, std::string& out);

}  // namespace turnpike::ng
