// One NG message in either encoding. Which one the first byte tells: 'd' begins a bencoded
// dictionary, '{' a JSON object. A reply has the encoding of its request.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "control/ng/bencode.h"
#include "control/ng/json.h"
#include "control/ng/parse_fault.h"
#include "control/ng/reading.h"
#include "control/ng/value.h"

namespace turnpike::ng {

enum class Encoding : std::uint8_t { kBencode, kJson };

/// Unset: no message begins with this byte.
std::optional<Encoding> encoding_of(char first);

/// BencodeReader or JsonReader, by the first byte that it sees.
class MessageReader {
 public:
  using Progress = ReadProgress;

  explicit MessageReader(MessageLimits limits = {}) : limits_(limits) {}

  /// As those of the readers. What is read is always a dictionary.
  Progress read(std::string_view bytes);
  std::size_t offset() const;
  Value::Dict take();
  ParseFault fault() const;
  std::string error_text() const;
  /// kBencode before the first byte.
  Encoding encoding() const;

 private:
  MessageLimits limits_;
  std::variant<std::monostate, BencodeReader, JsonReader> reader_;
};

/// The whole of `bytes` as one message; what may follow it is white space behind JSON.
struct WholeMessage {
  Encoding encoding = Encoding::kBencode;
  Value::Dict dict;
  ParseFault fault = ParseFault::kNone;
  std::string error;  ///< with a fault: what is wrong and at which byte
};
WholeMessage read_whole(std::string_view bytes, MessageLimits limits = {});

void append_message(Encoding encoding, const Value::Dict& dict, std::string& out);

}  // namespace turnpike::ng
