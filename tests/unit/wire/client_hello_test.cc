#include "relay/wire/client_hello.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/hello_bytes.h"

namespace turnpike {
namespace {

using Buffer = std::vector<std::uint8_t>;

ClientHello read(const Buffer& bytes) {
  static ClientHelloReader reader;
  return reader.read(bytes);
}

HelloState state_of(const Buffer& bytes) {
  return read(bytes).state;
}

TEST(ClientHello, tells_name_and_protocols) {
  const ClientHello hello =
      read(in_records(hello_message({.name = "Edge.Test", .protocols = {"h2", "http/1.1"}})));
  ASSERT_EQ(hello.state, HelloState::kHello);
  EXPECT_EQ(hello.server_name, "Edge.Test");
  EXPECT_TRUE(hello.offers("h2") && hello.offers("http/1.1"));
  EXPECT_FALSE(hello.offers("http/1.") || hello.offers("") || hello.offers("stun.turn"));
}

TEST(ClientHello, needs_neither_name_nor_protocols_nor_extensions) {
  for (const bool extensions : {true, false}) {
    const ClientHello hello = read(in_records(hello_message({.extensions = extensions})));
    EXPECT_EQ(hello.state, HelloState::kHello);
    EXPECT_TRUE(hello.server_name.empty());
    EXPECT_FALSE(hello.offers_any());
  }
}

TEST(ClientHello, cut_at_every_byte_is_incomplete) {
  for (const std::size_t record_bytes : {16384U, 100U, 7U, 1U}) {
    const Buffer whole =
        in_records(hello_message({.name = "a.test", .protocols = {"stun.turn"}}), record_bytes);
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
      ASSERT_EQ(state_of(Buffer(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(cut))),
                HelloState::kIncomplete)
          << cut;
    }
    const ClientHello hello = read(whole);
    ASSERT_EQ(hello.state, HelloState::kHello);
    EXPECT_EQ(hello.server_name, "a.test");
    EXPECT_TRUE(hello.offers("stun.turn"));
  }
}

TEST(ClientHello, tells_how_much_has_to_come_before_another_look) {
  const Buffer message = hello_message({.name = "a.test", .padding_bytes = 8000});
  for (const std::size_t record_bytes : {16384U, 100U, 7U, 1U}) {
    const Buffer whole = in_records(message, record_bytes);
    int looks = 0;
    std::size_t there = 1;
    for (ClientHello hello; there <= whole.size(); there = hello.wanted) {
      ++looks;
      hello = read(Buffer(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(there)));
      if (hello.state != HelloState::kIncomplete || hello.wanted > whole.size()) break;
      ASSERT_GT(hello.wanted, there);
      const Buffer less(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(hello.wanted));
      ASSERT_EQ(state_of(Buffer(less.begin(), less.end() - 1)), HelloState::kIncomplete);
    }
    EXPECT_LE(looks, 64) << record_bytes;
    EXPECT_LE(there, whole.size()) << "it waits for more than comes";
  }
}

TEST(ClientHello, never_waits_for_more_than_it_reads) {
  const Buffer whole = in_records(hello_message({.padding_bytes = 15000}), 1);
  const ClientHello hello = read(Buffer(whole.begin(), whole.begin() + 100));
  ASSERT_EQ(hello.state, HelloState::kIncomplete);
  EXPECT_LE(hello.wanted, ClientHelloReader::kBytesMax);
}

TEST(ClientHello, what_follows_it_is_not_looked_at) {
  Buffer bytes = in_records(hello_message({.name = "a.test"}));
  bytes.insert(bytes.end(), {0xff, 0xff, 0xff});
  EXPECT_EQ(read(bytes).server_name, "a.test");
  Buffer message = hello_message({.name = "a.test"});
  message.push_back(0xff);  // in the same record
  EXPECT_EQ(read(in_records(message)).server_name, "a.test");
}

TEST(ClientHello, other_protocols_are_told_by_their_first_bytes) {
  EXPECT_EQ(state_of({'G', 'E', 'T'}), HelloState::kNoTls);
  EXPECT_EQ(state_of({0x00}), HelloState::kNoTls);
  EXPECT_EQ(state_of({22, 2}), HelloState::kNoTls);
  EXPECT_EQ(state_of({0x80, 0x2e, 0x01, 0x00, 0x02}), HelloState::kNoTls) << "SSL 2";
  EXPECT_EQ(state_of({21, 3, 3, 0, 2}), HelloState::kNoTls) << "an alert";
}

TEST(ClientHello, records_break_no_rule) {
  const Buffer message = hello_message({.name = "a.test"});
  EXPECT_EQ(state_of({22, 3, 1, 0, 0}), HelloState::kMalformed) << "an empty fragment";
  EXPECT_EQ(state_of({22, 3, 1, 0x40, 1}), HelloState::kMalformed) << "longer than 2^14";
  EXPECT_EQ(state_of({22, 3, 1, 0, 4, 2}), HelloState::kMalformed) << "a ServerHello";
  Buffer mixed = in_records(message, 20);
  mixed[25] = 23;
  EXPECT_EQ(state_of(mixed), HelloState::kMalformed) << "data between the pieces";
}

TEST(ClientHello, has_a_longest) {
  EXPECT_EQ(state_of({22, 3, 1, 0, 4, 1, 0, 0x3f, 0xfc}), HelloState::kIncomplete);
  EXPECT_EQ(state_of({22, 3, 1, 0, 4, 1, 0, 0x3f, 0xfd}), HelloState::kTooLong);
  EXPECT_EQ(state_of({22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff}), HelloState::kTooLong);
  const Buffer crumbs = in_records(hello_message({.padding_bytes = 3000}), 1);
  ASSERT_GT(crumbs.size(), ClientHelloReader::kBytesMax);
  EXPECT_EQ(state_of(crumbs), HelloState::kTooLong) << "headers count";
  EXPECT_EQ(state_of(in_records(hello_message({.padding_bytes = 12000}))), HelloState::kHello);
}

TEST(ClientHello, lengths_add_up) {
  const Buffer sound = hello_message({.name = "a.test", .protocols = {"h2"}});
  for (const std::size_t at : {38U, 40U, 43U}) {  // session, suites, compression
    Buffer message = sound;
    message[at] ^= 0x80;
    EXPECT_EQ(state_of(in_records(message)), HelloState::kMalformed) << at;
  }
  Buffer odd = sound;
  odd[40] = 1;
  EXPECT_EQ(state_of(in_records(odd)), HelloState::kMalformed);
  Buffer shorter(sound.begin(), sound.end() - 1);
  shorter[3] = static_cast<std::uint8_t>(shorter.size() - 4);
  EXPECT_EQ(state_of(in_records(shorter)), HelloState::kMalformed);
  Buffer longer = sound;
  longer.push_back(0);
  longer[3] = static_cast<std::uint8_t>(longer.size() - 4);
  EXPECT_EQ(state_of(in_records(longer)), HelloState::kMalformed);
}

TEST(ClientHello, extensions_break_no_rule) {
  const auto with = [](std::uint16_t type, const Buffer& value) {
    return state_of(in_records(hello_message({.further = {{type, value}}})));
  };
  EXPECT_EQ(with(0, {0, 4, 0, 0, 1, 'a'}), HelloState::kHello);
  EXPECT_EQ(with(0, {0, 4, 9, 0, 1, 'a'}), HelloState::kHello) << "a name of another type";
  EXPECT_EQ(with(0, {}), HelloState::kMalformed);
  EXPECT_EQ(with(0, {0, 0}), HelloState::kMalformed);
  EXPECT_EQ(with(0, {0, 3, 0, 0, 0}), HelloState::kMalformed) << "an empty name";
  EXPECT_EQ(with(0, {0, 4, 0, 0, 2, 'a'}), HelloState::kMalformed);
  EXPECT_EQ(with(0, {0, 4, 0, 0, 1, 'a', 0}), HelloState::kMalformed) << "more behind the list";
  EXPECT_EQ(with(0, {0, 4, 0, 0, 1, '\0'}), HelloState::kMalformed);
  EXPECT_EQ(with(0, {0, 4, 0, 0, 1, '\n'}), HelloState::kMalformed);
  EXPECT_EQ(with(0, {0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b'}), HelloState::kMalformed) << "two names";
  EXPECT_EQ(with(16, {0, 2, 1, 'a'}), HelloState::kHello);
  EXPECT_EQ(with(16, {0, 0}), HelloState::kMalformed);
  EXPECT_EQ(with(16, {0, 1, 0}), HelloState::kMalformed) << "a protocol without name";
  EXPECT_EQ(with(16, {0, 2, 2, 'a'}), HelloState::kMalformed);
  const Buffer name = {0, 4, 0, 0, 1, 'a'};
  EXPECT_EQ(state_of(in_records(hello_message({.further = {{0, name}, {0, name}}}))),
            HelloState::kMalformed)
      << "an extension twice";
}

TEST(ClientHello, what_is_malformed_tells_nothing) {
  const ClientHello hello = read(
      in_records(hello_message({.name = "a.test", .protocols = {"h2"}, .further = {{0, {}}}})));
  EXPECT_EQ(hello.state, HelloState::kMalformed);
  EXPECT_TRUE(hello.server_name.empty() && !hello.offers_any());
}

}  // namespace
}  // namespace turnpike
