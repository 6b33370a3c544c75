#include "relay/wire/stream_framer.h"

#include "relay/core/bytes.h"
#include "relay/wire/channel_data.h"
#include "relay/wire/stun.h"

namespace turnpike {
namespace {

using Kind = StreamFrame::Kind;

// Both kinds of messages tell their length within the first four bytes.
constexpr std::size_t kPrefixBytes = 4;

bool cookie_may_be_right(std::span<const std::uint8_t> unread) {
  for (std::size_t i = 4; i < 8 && i < unread.size(); ++i) {
    if (unread[i] != static_cast<std::uint8_t>(stun::kMagicCookie >> (8 * (7 - i)))) return false;
  }
  return true;
}

}  // namespace

StreamFrame frame_stream(std::span<const std::uint8_t> unread, std::size_t message_bytes_max) {
  if (unread.empty()) return {Kind::kIncomplete, kPrefixBytes, 0};
  const bool channel = is_channel_data(unread[0]);
  if (!channel && unread[0] > 3) return {Kind::kBroken, 0, 0};
  if (unread.size() < kPrefixBytes) return {Kind::kIncomplete, kPrefixBytes, 0};
  const std::size_t length = read_be16(unread.data() + 2);
  std::size_t own = 0;
  if (channel) {
    own = kChannelHeaderBytes + length;
  } else {
    if (length % 4 != 0 || !cookie_may_be_right(unread)) return {Kind::kBroken, 0, 0};
    own = stun::kHeaderBytes + length;
  }
  const std::size_t padded = (own + 3) & ~std::size_t{3};
  if (padded > message_bytes_max) return {Kind::kBroken, 0, 0};
  if (unread.size() < padded) return {Kind::kIncomplete, padded, 0};
  return {Kind::kMessage, padded, own};
}

}  // namespace turnpike
