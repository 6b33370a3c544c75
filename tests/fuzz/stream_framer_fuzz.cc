// A stream of STUN and ChannelData under arbitrary bytes: frames follow each other without gaps,
// never exceed the limit, and a cut is told as one.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "relay/wire/channel_data.h"
#include "relay/wire/stream_framer.h"
#include "relay/wire/stun.h"

namespace {

using namespace turnpike;  // NOLINT(*-using-namespace)
using Kind = StreamFrame::Kind;

constexpr std::size_t kMax = 600;

void must(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (std::size_t at = 0; at <= size;) {
    const std::vector<std::uint8_t> unread(data + at, data + size);  // no read past its end
    const StreamFrame frame = frame_stream(unread, kMax);
    if (frame.kind == Kind::kBroken) return 0;
    must(frame.bytes <= kMax && frame.bytes >= 4);
    if (frame.kind == Kind::kIncomplete) {
      must(frame.bytes > unread.size());
      return 0;
    }
    must(frame.bytes <= unread.size() && frame.message_bytes <= frame.bytes);
    must(frame.bytes - frame.message_bytes < 4 && frame.bytes % 4 == 0);
    for (std::size_t cut = 0; cut < frame.bytes; cut += 3) {
      must(frame_stream(std::span(unread).first(cut), kMax).kind == Kind::kIncomplete);
    }
    const std::span<const std::uint8_t> message = std::span(unread).first(frame.message_bytes);
    if (is_channel_data(message[0])) {
      const auto header = read_channel_data(message);
      must(header && header->length + kChannelHeaderBytes == message.size());
    } else if (const auto parsed = stun::Message::parse(message)) {
      must(message.size() >= stun::kHeaderBytes);
    }
    at += frame.bytes;
  }
  return 0;
}
