// What a stream delivers, through the frame and the reader as a connection uses them: messages are
// the same however the bytes are cut, and reading always ends.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "control/ng/message.h"
#include "control/ng/request.h"

namespace {

using namespace turnpike::ng;

void require(bool condition) {
  if (!condition) std::abort();
}

/// The messages that a reader takes one after the other out of bytes that arrive in pieces of
/// `piece`; ends at the first fault or when no message is whole any more.
std::vector<std::string> messages_of(std::string_view bytes, std::size_t piece, ParseFault& fault) {
  std::vector<std::string> found;
  std::size_t begin = 0;
  MessageReader reader;
  for (std::size_t end = 0; end < bytes.size();) {
    end = std::min(bytes.size(), end + piece);
    for (;;) {
      const auto progress = reader.read(bytes.substr(begin, end - begin));
      if (progress == ReadProgress::kNeedsMore) break;
      if (progress == ReadProgress::kFailed) {
        fault = reader.fault();
        return found;
      }
      require(reader.offset() > 0);
      std::string again;
      append_message(reader.encoding(), reader.take(), again);
      found.push_back(std::move(again));
      begin += reader.offset();
      reader = MessageReader();
    }
  }
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(data[i]);
  ParseFault whole_fault = ParseFault::kNone;
  const auto whole = messages_of(bytes, bytes.size() + 1, whole_fault);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}}) {
    ParseFault fault = ParseFault::kNone;
    require(messages_of(bytes, piece, fault) == whole);
    require(fault == whole_fault);
  }
  const Frame frame = parse_frame(bytes);
  if (frame.fault == ParseFault::kNone) {
    require(frame.cookie.size() + 1 + frame.body.size() == bytes.size());
    require(encoding_of(frame.body.front()).has_value());
  }
  return 0;
}
