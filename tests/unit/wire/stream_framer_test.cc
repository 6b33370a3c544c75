#include "relay/wire/stream_framer.h"

#include <vector>

#include <gtest/gtest.h>

#include "relay/wire/channel_data.h"
#include "relay/wire/stun.h"

namespace turnpike {
namespace {

using Buffer = std::vector<std::uint8_t>;
using Kind = StreamFrame::Kind;
constexpr std::size_t kMax = 2000;

Buffer stun_message(std::size_t data_bytes) {
  Buffer buffer(stun::kHeaderBytes + stun::kAttributeHeaderBytes + data_bytes);
  stun::Writer writer(buffer, stun::Class::kIndication, stun::kSend, {});
  writer.add(stun::kDataValue, Buffer(data_bytes));
  return buffer;
}

Buffer channel_message(std::uint16_t length) {
  Buffer buffer(kChannelHeaderBytes + ((length + 3U) & ~3U));
  write_channel_header(buffer.data(), {0x4001, length});
  return buffer;
}

TEST(StreamFramer, messages_end_where_their_headers_say) {
  for (std::uint16_t length = 0; length < 9; ++length) {
    const Buffer message = channel_message(length);
    const StreamFrame frame = frame_stream(message, kMax);
    EXPECT_EQ(frame.kind, Kind::kMessage);
    EXPECT_EQ(frame.bytes, message.size()) << "padding is part of the stream";
    EXPECT_EQ(frame.message_bytes, kChannelHeaderBytes + length);
  }
  Buffer two = stun_message(8);
  const std::size_t first = two.size();
  const Buffer second = channel_message(5);
  two.insert(two.end(), second.begin(), second.end());
  EXPECT_EQ(frame_stream(two, kMax).bytes, first);
  EXPECT_EQ(frame_stream(std::span(two).subspan(first), kMax).message_bytes, 9U);
}

TEST(StreamFramer, every_cut_is_incomplete_and_says_what_is_needed) {
  for (const Buffer& message : {stun_message(12), channel_message(7)}) {
    for (std::size_t size = 0; size < message.size(); ++size) {
      const StreamFrame frame = frame_stream(std::span(message).first(size), kMax);
      EXPECT_EQ(frame.kind, Kind::kIncomplete) << size;
      EXPECT_EQ(frame.bytes, size < 4 ? 4 : message.size());
    }
  }
}

TEST(StreamFramer, what_is_neither_breaks_the_stream) {
  for (unsigned first = 0; first < 256; ++first) {
    const Buffer one = {static_cast<std::uint8_t>(first)};
    const bool ours = first < 4 || (first >= 64 && first < 128);
    EXPECT_EQ(frame_stream(one, kMax).kind, ours ? Kind::kIncomplete : Kind::kBroken) << first;
  }
  Buffer message = stun_message(4);
  message[3] = 5;
  EXPECT_EQ(frame_stream(message, kMax).kind, Kind::kBroken) << "not a multiple of four";
  for (std::size_t i = 4; i < 8; ++i) {
    message = stun_message(4);
    message[i] ^= 1;
    EXPECT_EQ(frame_stream(message, kMax).kind, Kind::kBroken);
    EXPECT_EQ(frame_stream(std::span(message).first(i + 1), kMax).kind, Kind::kBroken)
        << "as soon as it can be seen";
  }
}

TEST(StreamFramer, too_long_is_told_by_the_header) {
  EXPECT_EQ(frame_stream(channel_message(1996), kMax).kind, Kind::kMessage);
  const Buffer header = {0x40, 1, 0x07, 0xcd};  // 1997, padded to 2004
  EXPECT_EQ(frame_stream(header, kMax).kind, Kind::kBroken);
  const Buffer longest = {0x40, 1, 0xff, 0xff};
  EXPECT_EQ(frame_stream(longest, kMax).kind, Kind::kBroken);
  EXPECT_EQ(frame_stream(longest, 70'000).bytes, 65'540U);
}

TEST(ChannelData, header_is_read_within_bounds) {
  const Buffer message = {0x4f, 0xff, 0, 2, 7, 8, 0, 0};
  const auto found = read_channel_data(message);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->channel, 0x4fff);
  EXPECT_EQ(found->length, 2);
  EXPECT_FALSE(read_channel_data(std::span(message).first(5)));
  EXPECT_FALSE(read_channel_data(std::span(message).first(3)));
  EXPECT_FALSE(read_channel_data(Buffer{0x80, 0, 0, 0}));
  EXPECT_FALSE(read_channel_data(Buffer{0x3f, 0, 0, 0}));
}

}  // namespace
}  // namespace turnpike
