// RFC 5769's vectors, and what a reader of hostile datagrams must refuse.
#include "relay/wire/stun.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace turnpike::stun {
namespace {

using Buffer = std::vector<std::uint8_t>;

// RFC 5769 section 2.1.
const Buffer kSampleRequest = {
    0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
    0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73,
    0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff,
    0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09,
    0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20, 0x20, 0x00, 0x08, 0x00, 0x14,
    0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49,
    0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf};
// Section 2.2.
const Buffer kSampleIpv4Response = {
    0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
    0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63,
    0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
    0x00, 0x08, 0x00, 0x14, 0x2b, 0x91, 0xf5, 0x99, 0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9,
    0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b, 0xe7, 0xd7, 0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96};
// Section 2.3.
const Buffer kSampleIpv6Response = {
    0x01, 0x01, 0x00, 0x48, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
    0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63,
    0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa,
    0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9, 0x00, 0x08, 0x00, 0x14,
    0xa3, 0x82, 0x95, 0x4e, 0x4b, 0xe6, 0x7b, 0xf1, 0x17, 0x84, 0xc9, 0x7c, 0x82, 0x92, 0xc2, 0x75,
    0xbf, 0xe3, 0xed, 0x41, 0x80, 0x28, 0x00, 0x04, 0xc8, 0xfb, 0x0b, 0x4c};

const TransactionId kTransaction = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

// Not a MAC: it shows which bytes a MAC would cover.
void sum(Bytes message, std::uint8_t* code) {
  for (std::size_t i = 0; i < message.size(); ++i) {
    code[i % kIntegrityBytes] =
        static_cast<std::uint8_t>(code[i % kIntegrityBytes] * 3 + message[i]);
  }
}

Buffer written(const Writer& writer) {
  const Bytes bytes = writer.finish();
  return {bytes.begin(), bytes.end()};
}

TEST(Rfc5769, sample_request) {
  const auto message = Message::parse(kSampleRequest);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->message_class(), Class::kRequest);
  EXPECT_EQ(message->method(), kBinding);
  EXPECT_EQ(message->username(), "evtj:h6vY");
  EXPECT_EQ(message->priority(), 0x6e0001ffU);
  EXPECT_EQ(message->u64(kIceControlled), 0x932ff9b151263b36ULL);
  EXPECT_FALSE(message->u64(kIceControlling));
  EXPECT_FALSE(message->use_candidate());
  EXPECT_TRUE(message->has_fingerprint());
  ASSERT_TRUE(message->integrity());
  EXPECT_EQ(message->integrity()->attributes.size(), 0x58U - 24U - 8U);
  EXPECT_EQ(message->integrity()->header[3], 0x50);
}

TEST(Rfc5769, sample_responses) {
  const auto v4 = Message::parse(kSampleIpv4Response);
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->message_class(), Class::kSuccess);
  EXPECT_EQ(v4->xor_address(kXorMappedAddress), *parse_socket_address("192.0.2.1:32853"));
  const auto v6 = Message::parse(kSampleIpv6Response);
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->xor_address(kXorMappedAddress),
            *parse_socket_address("[2001:db8:1234:5678:11:2233:4455:6677]:32853"));
}

TEST(Stun, class_and_method_bits) {
  for (const auto message_class :
       {Class::kRequest, Class::kIndication, Class::kSuccess, Class::kError}) {
    for (unsigned method = 0; method < 0x1000; ++method) {
      Buffer buffer(20);
      const Writer writer(buffer, message_class, static_cast<std::uint16_t>(method), kTransaction);
      const auto message = Message::parse(writer.finish());
      ASSERT_TRUE(message);
      ASSERT_EQ(message->message_class(), message_class);
      ASSERT_EQ(message->method(), method);
      ASSERT_EQ(message->transaction(), kTransaction);
    }
  }
}

TEST(Stun, what_is_written_is_read) {
  Buffer buffer(300, 0xaa);
  Writer writer(buffer, Class::kError, kBinding, kTransaction);
  writer.add_text(kUsername, "ab:cde");
  writer.add_u32(kPriority, 0x01020304);
  writer.add_u64(kIceControlling, 0x0102030405060708);
  writer.add_flag(kUseCandidate);
  const SocketAddress v6 = *parse_socket_address("[2001:db8::9]:40000");
  writer.add_xor_address(kXorMappedAddress, v6);
  writer.add_error_code(487);
  writer.add_unknown_attributes(std::array<std::uint16_t, 3>{0x7001, 0x7002, 0x7003});
  writer.add_integrity(sum);
  writer.add_fingerprint();
  const Buffer bytes = written(writer);
  const auto message = Message::parse(bytes);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->username(), "ab:cde");
  EXPECT_EQ(message->priority(), 0x01020304U);
  EXPECT_EQ(message->u64(kIceControlling), 0x0102030405060708ULL);
  EXPECT_TRUE(message->use_candidate());
  EXPECT_EQ(message->xor_address(kXorMappedAddress), v6);
  EXPECT_EQ(message->error_code(), 487);
  ASSERT_TRUE(message->find(kUnknownAttributes));
  EXPECT_EQ(message->find(kUnknownAttributes)->size(), 6U);
  EXPECT_TRUE(message->has_fingerprint());
  const auto integrity = message->integrity();
  ASSERT_TRUE(integrity);
  Buffer covered(kHeaderBytes + integrity->attributes.size());
  std::copy(integrity->attributes.begin(), integrity->attributes.end(),
            std::copy(integrity->header.begin(), integrity->header.end(), covered.begin()));
  Buffer code(kIntegrityBytes);
  sum(covered, code.data());
  EXPECT_TRUE(std::equal(code.begin(), code.end(), integrity->code.begin()));
}

TEST(Stun, what_does_not_fit_is_not_written) {
  for (std::size_t room = 0; room < 60; ++room) {
    Buffer buffer(room);
    Writer writer(buffer, Class::kRequest, kBinding, kTransaction);
    writer.add_text(kUsername, "abcde");
    writer.add_integrity(sum);
    writer.add_fingerprint();
    EXPECT_EQ(writer.finish().size(), room >= 64 ? 64U : 0U) << room;
  }
}

TEST(Stun, error_codes_are_read_within_their_range) {
  for (const auto& [hundreds, number, right] :
       {std::array<int, 3>{3, 0, 1}, {6, 99, 1}, {4, 87, 1}, {2, 0, 0}, {7, 0, 0}, {4, 100, 0}}) {
    Buffer buffer(100);
    Writer writer(buffer, Class::kError, kBinding, kTransaction);
    writer.add(kErrorCode, std::array<std::uint8_t, 4>{0, 0, static_cast<std::uint8_t>(hundreds),
                                                       static_cast<std::uint8_t>(number)});
    EXPECT_EQ(Message::parse(writer.finish())->error_code().has_value(), right == 1);
  }
}

TEST(Stun, unknown_attributes_that_must_be_understood_are_named_once) {
  Buffer buffer(200);
  Writer writer(buffer, Class::kRequest, kBinding, kTransaction);
  for (const std::uint16_t type :
       std::array<std::uint16_t, 6>{0x7fff, 0x0006, 0x7001, 0x8001, 0x7fff, 0x0030}) {
    writer.add(type, Bytes());
  }
  const auto message = Message::parse(writer.finish());
  ASSERT_TRUE(message);
  const std::array<std::uint16_t, 1> known = {kUsername};
  std::array<std::uint16_t, 8> out{};
  ASSERT_EQ(message->unknown_required(known, out), 3U);
  EXPECT_EQ(out[0], 0x7fff);
  EXPECT_EQ(out[1], 0x7001);
  EXPECT_EQ(out[2], 0x0030);
  EXPECT_EQ(message->unknown_required(known, std::span(out).first(2)), 2U);
}

TEST(Stun, the_first_of_several_attributes_counts) {
  Buffer buffer(100);
  Writer writer(buffer, Class::kRequest, kBinding, kTransaction);
  writer.add_u32(kPriority, 1);
  writer.add_u32(kPriority, 2);
  EXPECT_EQ(Message::parse(writer.finish())->priority(), 1U);
}

TEST(Stun, values_of_a_wrong_length_are_not_read) {
  Buffer buffer(200);
  Writer writer(buffer, Class::kRequest, kBinding, kTransaction);
  const Buffer five(5);
  for (const auto type : {kPriority, kIceControlled, kXorMappedAddress, kMessageIntegrity}) {
    writer.add(type, five);
  }
  const auto message = Message::parse(writer.finish());
  ASSERT_TRUE(message);
  EXPECT_FALSE(message->priority());
  EXPECT_FALSE(message->u64(kIceControlled));
  EXPECT_FALSE(message->xor_address(kXorMappedAddress));
  EXPECT_FALSE(message->integrity());
}

TEST(Security, T20_padding_is_zero) {
  Buffer buffer(100, 0xee);
  Writer writer(buffer, Class::kRequest, kBinding, kTransaction);
  writer.add_text(kUsername, "abcde");
  const Buffer bytes = written(writer);
  ASSERT_EQ(bytes.size(), 32U);
  for (std::size_t i = 29; i < 32; ++i) EXPECT_EQ(bytes[i], 0);
  Writer error(buffer, Class::kError, kBinding, kTransaction);
  error.add_unknown_attributes(std::array<std::uint16_t, 1>{0x7fff});
  EXPECT_EQ(written(error)[26], 0);
}

TEST(Security, T23_attributes_behind_message_integrity_are_not_seen) {
  Buffer buffer(200);
  Writer writer(buffer, Class::kRequest, kBinding, kTransaction);
  writer.add_text(kUsername, "a:b");
  writer.add_integrity(sum);
  writer.add_flag(kUseCandidate);
  writer.add_u32(kPriority, 7);
  writer.add(0x7fff, Bytes());
  writer.add_fingerprint();
  const auto message = Message::parse(writer.finish());
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->username());
  EXPECT_FALSE(message->use_candidate());
  EXPECT_FALSE(message->priority());
  std::array<std::uint16_t, 2> out{};
  EXPECT_EQ(message->unknown_required(std::array<std::uint16_t, 1>{kUsername}, out), 0U);
  // What integrity covers ends before it, whatever follows.
  EXPECT_EQ(message->integrity()->header[3], 8 + 24);
}

TEST(Security, M7_every_shortened_message_is_refused) {
  for (const Buffer& sample : {kSampleRequest, kSampleIpv4Response, kSampleIpv6Response}) {
    for (std::size_t size = 0; size < sample.size(); ++size) {
      const Buffer shortened(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_FALSE(Message::parse(shortened)) << size;
    }
    Buffer longer = sample;
    longer.insert(longer.end(), {0, 0, 0, 0});
    EXPECT_FALSE(Message::parse(longer));
  }
}

TEST(Security, M7_attribute_lengths_stay_within_the_message) {
  for (std::size_t length = 0; length < 0x10000; length += length < 64 ? 1 : 251) {
    Buffer message(20 + 4 + 12);
    message[1] = 1;
    message[3] = 16;
    write_be32(&message[4], kMagicCookie);
    write_be16(&message[20], kUsername);
    write_be16(&message[22], static_cast<std::uint16_t>(length));
    // Where the attribute ends, zeros follow: each four bytes an attribute without a value.
    EXPECT_EQ(Message::parse(message).has_value(), length <= 12) << length;
  }
}

TEST(Security, M7_headers_that_do_not_add_up_are_refused) {
  Buffer odd = kSampleRequest;
  odd[3] = 0x57;
  EXPECT_FALSE(Message::parse(odd));
  Buffer cookie = kSampleRequest;
  cookie[4] ^= 1;
  EXPECT_FALSE(Message::parse(cookie));
  Buffer bits = kSampleRequest;
  bits[0] |= 0x40;
  EXPECT_FALSE(Message::parse(bits));
}

TEST(Security, M7_any_changed_bit_breaks_the_fingerprint) {
  for (std::size_t bit = 0; bit < kSampleRequest.size() * 8; ++bit) {
    Buffer changed = kSampleRequest;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    const auto message = Message::parse(changed);
    // It can only be hidden: as another type, or inside a value that became longer.
    if (message) {
      EXPECT_FALSE(message->has_fingerprint()) << bit;
    }
    if (bit / 8 < 20) {
      EXPECT_FALSE(message) << bit;
    }
  }
}

TEST(Security, M7_nothing_follows_a_fingerprint) {
  Buffer buffer(200);
  Writer writer(buffer, Class::kRequest, kBinding, kTransaction);
  writer.add_fingerprint();
  writer.add_u32(kPriority, 1);
  EXPECT_FALSE(Message::parse(writer.finish()));
}

TEST(Security, M7_random_messages_stay_within_bounds) {
  std::mt19937 random(11);
  for (int i = 0; i < 200'000; ++i) {
    Buffer message(20 + 4 * (random() % 20));
    for (auto& byte : message) byte = static_cast<std::uint8_t>(random());
    message[0] &= 0x3f;
    write_be16(&message[2], static_cast<std::uint16_t>(message.size() - 20));
    write_be32(&message[4], kMagicCookie);
    if (message.size() > 23) {
      message[20] = 0;
      message[21] = static_cast<std::uint8_t>(random() % 0x40);
      message[22] = 0;
      message[23] = static_cast<std::uint8_t>(random() % 32);
    }
    const Buffer exact(message);
    const auto parsed = Message::parse(exact);
    if (!parsed) continue;
    for (std::uint16_t type = 0; type < 0x40; ++type) {
      const auto value = parsed->find(type);
      if (!value) continue;
      ASSERT_GE(value->data(), exact.data() + 24);
      ASSERT_LE(value->data() + value->size(), exact.data() + exact.size());
    }
  }
}

}  // namespace
}  // namespace turnpike::stun
