// JSON: what is accepted, what is refused with which words, the same limits as bencode's, and
// writing that reads back.
#include "control/ng/json.h"

#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "control/ng/bencode.h"
#include "control/ng/message.h"

namespace turnpike::ng {
namespace {

std::string error_of(std::string_view text, MessageLimits limits = {}) {
  const auto value = decode_json(text, limits);
  return value ? "accepted" : value.error().message;
}

Value member(std::string_view text, std::string_view key = "a") {
  const auto value = decode_json(text);
  if (!value) return Value(value.error().message);
  for (const auto& [name, inner] : *value->as_dict()) {
    if (name == key) return inner;
  }
  return Value("none");
}

TEST(Json, reads_every_kind_of_value) {
  const Value nested(Value::Dict{
      {"z", Value::List{"a", std::int64_t{7}, Value::Dict{}, Value::List{}}},
      {"a", "order is kept"},
      {"t", std::int64_t{1}},
      {"f", std::int64_t{0}},
  });
  const std::string text =
      " {\t\"z\" : [ \"a\" , 7,{ } ,[\n]],\r\n\"a\":\"order is kept\",\"t\":true,\"f\":false} \n";
  EXPECT_EQ(*decode_json(text), nested);
  EXPECT_EQ(*decode_json("{}"), Value(Value::Dict{}));
}

TEST(Json, integers_fill_64_bits_and_no_more) {
  EXPECT_EQ(member(R"({"a":9223372036854775807})"),
            Value(std::numeric_limits<std::int64_t>::max()));
  EXPECT_EQ(member(R"({"a":-9223372036854775808})"),
            Value(std::numeric_limits<std::int64_t>::min()));
  for (const std::string number : {"9223372036854775808", "-9223372036854775809",
                                   "99999999999999999999", "999999999999999999999999"}) {
    EXPECT_EQ(error_of("{\"a\":" + number + "}"), "a number does not fit into 64 bits at byte 5");
  }
}

TEST(Json, refuses_numbers_in_any_other_form) {
  for (const char* number :
       {"1.0", "1e3", "01", "-0", "-", "+1", ".5", "1-2", "0x10", "1.000000000000000000000000"}) {
    const std::string error = error_of("{\"a\":" + std::string(number) + "}");
    if (std::string_view(number) == "0x10") {
      EXPECT_EQ(error, "no value begins with this byte at byte 6");  // behind a whole 0
    } else {
      EXPECT_EQ(error, "a number is not in canonical decimal form at byte 5") << number;
    }
  }
}

TEST(Json, texts_have_their_escapes) {
  EXPECT_EQ(member(R"({"a":"\"\\\/\b\f\n\r\tz"})"), Value("\"\\/\b\f\n\r\tz"));
  EXPECT_EQ(member(R"({"a":"\u0041\u00e9\u20AC\ud83d\ude00"})"), Value("A\u00e9\u20ac\U0001f600"));
  EXPECT_EQ(member("{\"a\":\"\u00e9\u20ac\U0001f600\"}"), Value("\u00e9\u20ac\U0001f600"));
  EXPECT_EQ(member(R"({"\u0061":"key"})"), Value("key"));
  EXPECT_EQ(member("{\"a\":\"\x7f\"}"), Value("\x7f"));
}

TEST(Json, refuses_escapes_that_mean_nothing) {
  for (const char* escape : {"\\x41", "\\u12g4", "\\U0041", "\\'", "\\ud83d\\u0041", "\\udc00",
                             "\\ud83dxxxxxx", "\\ud83d\\ud83d"}) {
    EXPECT_EQ(error_of("{\"a\":\"" + std::string(escape) + "\"}"),
              "a text holds an escape that means nothing at byte 6")
        << escape;
  }
}

TEST(Json, refuses_nul_and_control_characters) {
  const std::string expected = "a text holds NUL or an unescaped control character at byte 7";
  EXPECT_EQ(error_of(R"({"a":"x\u0000"})"), expected);
  EXPECT_EQ(error_of(std::string("{\"a\":\"x\0\"}", 10)), expected);
  EXPECT_EQ(error_of("{\"a\":\"x\n\"}"), expected);
  EXPECT_EQ(error_of("{\"a\":\"x\x1f\"}"), expected);
  EXPECT_EQ(error_of(R"({"\u0000":1})"),
            "a text holds NUL or an unescaped control character at byte 2");
  EXPECT_EQ(error_of(std::string("{\0}", 3)), "a dictionary key must be a string at byte 1");
}

TEST(Json, refuses_what_is_not_utf8) {
  for (const char* bytes :
       {"\xff", "\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82 ", "\xc3("}) {
    EXPECT_EQ(error_of("{\"a\":\"x" + std::string(bytes) + "\"}"), "a text is not UTF-8 at byte 7");
  }
}

TEST(Json, refuses_a_key_twice_in_one_object) {
  EXPECT_EQ(error_of(R"({"a":1,"b":2,"a":3})"), "an object has two keys of this name at byte 13");
  EXPECT_EQ(error_of(R"({"a":1,"\u0061":3})"), "an object has two keys of this name at byte 7");
  EXPECT_EQ(error_of(R"({"a":{"a":1},"b":{"a":2}})"), "accepted");
}

TEST(Json, says_what_is_wrong_and_where) {
  EXPECT_EQ(error_of(""), "the message ends too early at byte 0");
  EXPECT_EQ(error_of("{\"a"), "the message ends too early at byte 3");
  EXPECT_EQ(error_of("{} x"), "bytes follow the dictionary at byte 2");
  const std::string no_dictionary =
      "the message is no bencoded dictionary and no JSON object at byte 0";
  for (const char* text : {"[]", "1", "\"a\"", "true", "d1:a1:be"}) {
    EXPECT_EQ(error_of(text), no_dictionary) << text;
  }
  EXPECT_EQ(error_of("{1:2}"), "a dictionary key must be a string at byte 1");
  EXPECT_EQ(error_of("{\"a\":1,}"), "a dictionary key must be a string at byte 7");
  EXPECT_EQ(error_of("{\"a\"}"), "a dictionary key has no value at byte 4");
  EXPECT_EQ(error_of("{\"a\",\"b\"}"), "a dictionary key has no value at byte 4");
  for (const char* value : {"null", "}", "]", ",", "tru}", "True", "nan", "'a'", "//", "\x01"}) {
    EXPECT_TRUE(error_of("{\"a\":" + std::string(value) + "}")
                    .starts_with("no value begins with this byte at byte 5"))
        << value;
  }
  EXPECT_EQ(error_of("{\"a\":[1,]}"), "no value begins with this byte at byte 8");
  EXPECT_EQ(error_of("{\"a\":[1}"), "no value begins with this byte at byte 7");
  EXPECT_EQ(error_of("{\"a\":1]"), "no value begins with this byte at byte 6");
  EXPECT_EQ(error_of("{\"a\":1 2}"), "no value begins with this byte at byte 7");
  EXPECT_EQ(error_of("{,}"), "a dictionary key must be a string at byte 1");
  EXPECT_EQ(error_of("{\"a\":[,]}"), "no value begins with this byte at byte 6");
}

TEST(Json, limits_are_those_of_bencode) {
  const auto nested = [](std::size_t depth) {
    return "{\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_EQ(error_of(nested(16)), "accepted");
  EXPECT_EQ(error_of(nested(17)), "lists and dictionaries are nested too deep at byte 20");

  const auto items = [](std::size_t count) {
    std::string json = "{\"a\":[";
    std::string bencode = "d1:al";
    for (std::size_t i = 0; i < count; ++i) {
      json += i == 0 ? "1" : ",1";
      bencode += "i1e";
    }
    return std::pair(json + "]}", bencode + "ee");
  };
  const auto [most_json, most_bencode] = items(4093);  // with key, list and dictionary 4,096
  EXPECT_EQ(error_of(most_json), "accepted");
  EXPECT_TRUE(decode_bencode(most_bencode));
  const auto [more_json, more_bencode] = items(4094);
  EXPECT_TRUE(error_of(more_json).starts_with("the message has too many elements"));
  EXPECT_FALSE(decode_bencode(more_bencode));

  const std::string frame = "{\"a\":\"\"}";
  const auto sized = [&frame](std::size_t size) {
    return "{\"a\":\"" + std::string(size - frame.size(), 'x') + "\"}";
  };
  EXPECT_EQ(error_of(sized(65536)), "accepted");
  EXPECT_EQ(error_of(sized(65537)), "the message is too long at byte 65536");
  EXPECT_EQ(error_of(std::string(70000, ' ')), "the message is too long at byte 65536");
  EXPECT_EQ(error_of("{\"a\":\"\\u1234\"}", {.bytes_max = 9}), "the message is too long at byte 6");
}

TEST(Json, a_text_that_comes_byte_by_byte_is_read_once) {
  // Reading the text anew with each byte would take the square of its size: far beyond any
  // time limit of the tests.
  const std::string text = "{\"sdp\":\"" + std::string(4000000, 'v') + "\"}";
  JsonReader reader({.bytes_max = 1u << 23});
  auto progress = ReadProgress::kNeedsMore;
  for (std::size_t end = 0; end <= text.size() && progress == ReadProgress::kNeedsMore; ++end) {
    progress = reader.read(std::string_view(text).substr(0, end));
  }
  EXPECT_EQ(progress, ReadProgress::kDone);
  EXPECT_EQ(reader.offset(), text.size());
}

TEST(Json, writes_what_reads_back) {
  const Value::Dict dict{
      {"result", "ok"},
      {"sdp", "v=0\r\no=- \"q\" \\ \t \x01 \u00e9\r\n"},
      {"n", std::int64_t{-42}},
      {"l", Value::List{"a", std::int64_t{1}, Value::List{}, Value::Dict{{"x", "y"}}}},
      {"d", Value::Dict{}},
  };
  const std::string text = encode_json(dict);
  EXPECT_EQ(*decode_json(text), Value(dict));
  EXPECT_TRUE(text.starts_with(R"({"result":"ok","sdp":"v=0\r\no=- \"q\" \\ \u0009 \u0001 )"));
  EXPECT_EQ(encode_json({}), "{}");
}

TEST(Json, writes_nothing_that_is_not_utf8) {
  EXPECT_EQ(encode_json({{"a", "x\xff\xe2\x82y\xc3"}}), "{\"a\":\"x\ufffd\ufffd\ufffdy\ufffd\"}");
}

TEST(Message, encoding_is_told_by_the_first_byte) {
  const auto bencode = read_whole("d1:a1:be");
  EXPECT_EQ(bencode.encoding, Encoding::kBencode);
  EXPECT_EQ(bencode.dict, (Value::Dict{{"a", "b"}}));
  const auto json = read_whole("{\"a\":\"b\"}\r\n");
  EXPECT_EQ(json.encoding, Encoding::kJson);
  EXPECT_EQ(json.dict, bencode.dict);
  EXPECT_EQ(read_whole("x").fault, ParseFault::kNotADictionary);
  EXPECT_EQ(read_whole("").fault, ParseFault::kIncomplete);
  EXPECT_EQ(read_whole("d1:a1:be\n").fault, ParseFault::kTrailingBytes);
  EXPECT_EQ(read_whole("{} {}").fault, ParseFault::kTrailingBytes);
}

}  // namespace
}  // namespace turnpike::ng
