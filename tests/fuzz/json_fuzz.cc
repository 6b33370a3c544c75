// Any bytes are an object or an error; what was read is written and read back as the same; pieces
// make no difference; what JSON lets through, bencode can carry.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "control/ng/bencode.h"
#include "control/ng/json.h"

namespace {

using turnpike::ng::JsonReader;

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += static_cast<char>(data[i]);
  const std::string_view bytes = text;

  JsonReader whole;
  const auto progress = whole.read(bytes);
  if (progress == JsonReader::Progress::kDone) {
    const turnpike::ng::Value value = whole.take();
    const std::string again = turnpike::ng::encode_json(*value.as_dict());
    // Escapes may make it longer than what was read.
    const turnpike::ng::MessageLimits room{.bytes_max = 1u << 20};
    const auto copy = turnpike::ng::decode_json(again, room);
    require(copy.has_value() && *copy == value);
    const auto carried =
        turnpike::ng::decode_bencode(turnpike::ng::encode_bencode(*value.as_dict()), room);
    require(carried.has_value() && *carried == value);
  }

  JsonReader pieces;
  auto last = JsonReader::Progress::kNeedsMore;
  for (std::size_t end = 0; end <= size && last == JsonReader::Progress::kNeedsMore; ++end) {
    last = pieces.read(bytes.substr(0, end));
  }
  require(last == progress);
  require(pieces.offset() == whole.offset());
  require(pieces.fault() == whole.fault());
  return 0;
}
