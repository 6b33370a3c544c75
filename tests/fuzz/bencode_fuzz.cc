// Any bytes are a value or an error; a value has one form; pieces make no difference.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "control/ng/bencode.h"

namespace {

using turnpike::ng::BencodeReader;

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += static_cast<char>(data[i]);
  const std::string_view bytes = text;

  BencodeReader whole;
  const auto progress = whole.read(bytes);
  if (progress == BencodeReader::Progress::kDone) {
    require(turnpike::ng::encode_bencode(whole.take()) == bytes.substr(0, whole.offset()));
  }

  BencodeReader pieces;
  auto last = BencodeReader::Progress::kNeedsMore;
  for (std::size_t end = 0; end <= size && last == BencodeReader::Progress::kNeedsMore; ++end) {
    last = pieces.read(bytes.substr(0, end));
  }
  require(last == progress);
  require(pieces.offset() == whole.offset());
  require(pieces.fault() == whole.fault());
  return 0;
}
