// Bencode: what is accepted, what is refused with which words, and the limits at the limit.
#include "control/ng/bencode.h"

#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace turnpike::ng {
namespace {

std::string error_of(std::string_view text, MessageLimits limits = {}) {
  const auto value = decode_bencode(text, limits);
  return value ? "accepted" : value.error().message;
}

TEST(Bencode, reads_every_kind_of_value) {
  EXPECT_EQ(*decode_bencode("0:"), Value(""));
  EXPECT_EQ(*decode_bencode("4:spam"), Value("spam"));
  EXPECT_EQ(*decode_bencode("i0e"), Value(std::int64_t{0}));
  EXPECT_EQ(*decode_bencode("i-42e"), Value(std::int64_t{-42}));
  EXPECT_EQ(*decode_bencode("le"), Value(Value::List{}));
  EXPECT_EQ(*decode_bencode("de"), Value(Value::Dict{}));
  const Value nested(Value::Dict{{"z", Value::List{"a", std::int64_t{7}, Value::Dict{}}},
                                 {"a", "unsorted keys are fine"}});
  EXPECT_EQ(*decode_bencode("d1:zl1:ai7edee1:a22:unsorted keys are finee"), nested);
}

TEST(Bencode, strings_are_bytes) {
  const std::string bytes("5:\0e:d\xff", 7);
  EXPECT_EQ(*decode_bencode(bytes)->as_string(), std::string("\0e:d\xff", 5));
}

TEST(Bencode, integers_fill_64_bits_and_no_more) {
  EXPECT_EQ(*decode_bencode("i9223372036854775807e")->as_integer(),
            std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(*decode_bencode("i-9223372036854775808e")->as_integer(),
            std::numeric_limits<std::int64_t>::min());
  const std::string too_large = "a number does not fit into 64 bits at byte 0";
  EXPECT_EQ(error_of("i9223372036854775808e"), too_large);
  EXPECT_EQ(error_of("i-9223372036854775809e"), too_large);
  EXPECT_EQ(error_of("i99999999999999999999e"), too_large);
  EXPECT_EQ(error_of("i" + std::string(100, '9') + "e"), too_large);
}

TEST(Bencode, refuses_numbers_in_any_other_form) {
  const std::string expected = "a number is not in canonical decimal form at byte 0";
  for (const char* text : {"ie", "i-e", "i-0e", "i03e", "i-03e", "i+3e", "i 3e", "i3.0e", "i0x3e",
                           "i1a", "03:abc", "00:", "1a:", "3;abc"}) {
    // "i1a" could still end in 'e', but not as a number.
    const std::string error = error_of(std::string(text) + "                        e");
    EXPECT_EQ(error, expected) << text;
  }
}

TEST(Bencode, says_what_is_wrong_and_where) {
  EXPECT_EQ(error_of(""), "the message ends too early at byte 0");
  EXPECT_EQ(error_of("d3:key"), "the message ends too early at byte 6");
  EXPECT_EQ(error_of("d3:keyi7"), "the message ends too early at byte 6");
  EXPECT_EQ(error_of("5:spam"), "the message ends too early at byte 0");
  EXPECT_EQ(error_of("d3:keyi7e"), "the message ends too early at byte 9");
  EXPECT_EQ(error_of("x"), "no value begins with this byte at byte 0");
  EXPECT_EQ(error_of("l-3:xe"), "no value begins with this byte at byte 1");
  EXPECT_EQ(error_of("e"), "no value begins with this byte at byte 0");
  EXPECT_EQ(error_of("di1e1:xe"), "a dictionary key must be a string at byte 1");
  EXPECT_EQ(error_of("dlei1ee"), "a dictionary key must be a string at byte 1");
  EXPECT_EQ(error_of("d3:keye"), "a dictionary key has no value at byte 6");
  EXPECT_EQ(error_of("dede"), "bytes follow the dictionary at byte 2");
}

TEST(Bencode, keeps_its_depth_limit) {
  const MessageLimits limits{.depth_max = 3};
  EXPECT_TRUE(decode_bencode("llleee", limits));
  EXPECT_EQ(error_of("lllleeee", limits), "lists and dictionaries are nested too deep at byte 3");
  EXPECT_EQ(error_of(std::string(60000, 'l')),
            "lists and dictionaries are nested too deep at byte 16");
}

TEST(Bencode, keeps_its_element_limit) {
  const MessageLimits limits{.elements_max = 4};
  EXPECT_TRUE(decode_bencode("l1:a1:b1:ce", limits));
  EXPECT_FALSE(decode_bencode("l1:a1:b1:c1:de", limits));
  EXPECT_FALSE(decode_bencode("llelelelee", limits));
  EXPECT_TRUE(decode_bencode("d1:al1:bee", limits));
  EXPECT_FALSE(decode_bencode("d1:al1:b1:cee", limits));
}

TEST(Bencode, keeps_its_byte_limit_before_the_bytes_are_there) {
  const MessageLimits limits{.bytes_max = 10};
  EXPECT_TRUE(decode_bencode("8:12345678", limits));
  EXPECT_EQ(error_of("9:", limits), "the message is too long at byte 0");
  EXPECT_EQ(error_of("l7:", limits), "the message ends too early at byte 1");
  EXPECT_EQ(error_of("l8:", limits), "the message is too long at byte 1");
  EXPECT_EQ(error_of("99999999999999999999:", limits), "the message is too long at byte 0");
  EXPECT_EQ(error_of("li1ei1ei1ei1ee", limits), "the message is too long at byte 10");
}

TEST(Bencode, encodes_keys_in_their_order) {
  const Value::Dict dict{{"result", "ok"}, {"a", std::int64_t{-1}}, {"l", Value::List{"x", ""}}};
  EXPECT_EQ(encode_bencode(dict), "d6:result2:ok1:ai-1e1:ll1:x0:ee");
}

// ---- properties

Value random_value(std::mt19937& random, int depth) {
  const auto pick = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  const auto text = [&] {
    std::string bytes;
    for (int i = pick(12); i > 0; --i) bytes += static_cast<char>(pick(256));
    return bytes;
  };
  switch (pick(depth > 0 ? 4 : 2)) {
    case 0:
      return Value(text());
    case 1:
      return Value(static_cast<std::int64_t>(std::uniform_int_distribution<std::int64_t>(
          std::numeric_limits<std::int64_t>::min())(random)));
    case 2: {
      Value::List list;
      for (int i = pick(5); i > 0; --i) list.push_back(random_value(random, depth - 1));
      return Value(std::move(list));
    }
    default: {
      Value::Dict dict;
      for (int i = pick(5); i > 0; --i) dict.emplace_back(text(), random_value(random, depth - 1));
      return Value(std::move(dict));
    }
  }
}

TEST(BencodeProperty, what_is_encoded_is_decoded_again) {
  std::mt19937 random(20240601);
  for (int i = 0; i < 2000; ++i) {
    const Value value = random_value(random, 5);
    const std::string text = encode_bencode(value);
    const auto decoded = decode_bencode(text);
    ASSERT_TRUE(decoded) << decoded.error().message;
    ASSERT_EQ(*decoded, value);
    ASSERT_EQ(encode_bencode(*decoded), text) << "one value, one form";
  }
}

TEST(BencodeProperty, every_way_to_cut_a_message_gives_the_same_value) {
  std::mt19937 random(7);
  for (int i = 0; i < 200; ++i) {
    const Value value = random_value(random, 4);
    const std::string text = encode_bencode(value);
    BencodeReader reader;
    auto progress = BencodeReader::Progress::kNeedsMore;
    for (std::size_t end = 0; end <= text.size(); ++end) {
      ASSERT_EQ(progress, BencodeReader::Progress::kNeedsMore);
      progress = reader.read(std::string_view(text).substr(0, end));
    }
    ASSERT_EQ(progress, BencodeReader::Progress::kDone);
    ASSERT_EQ(reader.offset(), text.size());
    ASSERT_EQ(reader.take(), value);
  }
}

TEST(BencodeProperty, truncated_is_always_incomplete_never_a_value) {
  std::mt19937 random(8);
  for (int i = 0; i < 200; ++i) {
    const std::string text = encode_bencode(random_value(random, 4));
    for (std::size_t end = 0; end < text.size(); ++end) {
      const std::string error = error_of(text.substr(0, end));
      ASSERT_TRUE(error.starts_with("the message ends too early")) << error;
    }
  }
}

TEST(BencodeProperty, damaged_and_random_bytes_end_in_a_value_or_an_error) {
  std::mt19937 random(9);
  const std::string alphabet = "dlie0123456789:-ab";
  int accepted = 0;
  for (int i = 0; i < 100000; ++i) {
    std::string text;
    const std::size_t length = random() % 24;
    while (text.size() < length) text += alphabet[random() % alphabet.size()];
    const auto value = decode_bencode(text);
    if (!value) continue;
    ++accepted;
    ASSERT_EQ(encode_bencode(*value), text) << "only the canonical form is accepted";
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace turnpike::ng
