#include "control/zone/message.h"

#include <gtest/gtest.h>

namespace turnpike::zone {
namespace {

Hello example() {
  Hello hello;
  hello.purpose = Purpose::kSignallingByEdge;
  hello.role = Role::kEdge;
  hello.epoch = 0x0102030405060708;
  hello.nonce.fill(9);
  hello.zone = "dmz";
  hello.node = "edge-1";
  hello.user = "pair";
  return hello;
}

std::string_view body_of(const std::string& message) {
  return std::string_view(message).substr(kMessageHeaderBytes);
}

TEST(ZoneMessage, a_hello_comes_back_as_it_was) {
  const std::string bytes = write(example());
  bool bad = true;
  const std::string more = bytes + "more";
  const auto frame = first_message(more, bad);
  ASSERT_TRUE(frame);
  EXPECT_FALSE(bad);
  EXPECT_EQ(frame->type, MessageType::kHello);
  EXPECT_EQ(frame->size, bytes.size());
  EXPECT_EQ(read_hello(frame->body), example());
}

TEST(ZoneMessage, every_cut_is_waited_for_and_no_cut_is_taken) {
  const std::string bytes = write(example());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    bool bad = true;
    EXPECT_FALSE(first_message(std::string_view(bytes).substr(0, size), bad)) << size;
    EXPECT_FALSE(bad) << size;
  }
  for (std::size_t size = 0; size < body_of(bytes).size(); ++size) {
    EXPECT_FALSE(read_hello(body_of(bytes).substr(0, size))) << size;
  }
  EXPECT_FALSE(read_hello(std::string(body_of(bytes)) + "x"));
}

TEST(ZoneMessage, unknown_types_and_lengths_are_bad_at_once) {
  bool bad = false;
  EXPECT_FALSE(first_message(std::string_view("\x00", 1), bad));
  EXPECT_TRUE(bad);
  EXPECT_FALSE(first_message("\x04", bad));
  EXPECT_TRUE(bad);
  EXPECT_FALSE(first_message("GET / HTTP/1.1", bad));
  EXPECT_TRUE(bad);
  EXPECT_FALSE(first_message(std::string_view("\x01\x02\x01", 3), bad));  // 513 bytes
  EXPECT_TRUE(bad);
  EXPECT_FALSE(first_message(std::string_view("\x01\x02\x00", 3), bad));  // 512 bytes may come
  EXPECT_FALSE(bad);
}

TEST(ZoneMessage, a_hello_of_another_version_is_that_and_nothing_else) {
  Hello later = example();
  later.version = 2;
  const auto read = read_hello(std::string(body_of(write(later))) + "and more");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->version, 2);
  EXPECT_TRUE(read->zone.empty());
}

TEST(ZoneMessage, unknown_roles_purposes_and_unprintable_names_are_refused) {
  std::string body(body_of(write(example())));
  std::string changed = body;
  for (const char purpose : {'\0', '\4'}) {
    changed[2] = purpose;
    EXPECT_FALSE(read_hello(changed)) << int{purpose};
  }
  changed = body;
  changed[3] = 0;  // role
  EXPECT_FALSE(read_hello(changed));
  changed = body;
  changed[body.size() - 1] = '\x1b';
  EXPECT_FALSE(read_hello(changed));
}

TEST(ZoneMessage, long_names_are_cut_when_written_and_refused_when_read) {
  Hello hello = example();
  hello.node.assign(300, 'n');
  const auto read = read_hello(body_of(write(hello)));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->node.size(), kNameBytesMax);
  std::string body(44, '\0');
  body[1] = 1;
  body[2] = 1;
  body[3] = 1;
  body += static_cast<char>(101);
  body += std::string(101, 'z') + std::string("\1n\1u");
  EXPECT_FALSE(read_hello(body));
}

TEST(ZoneMessage, proofs_have_one_size) {
  Proof proof;
  proof.tag.fill(5);
  const std::string bytes = write(proof);
  EXPECT_EQ(read_proof(body_of(bytes))->tag, proof.tag);
  EXPECT_FALSE(read_proof(body_of(bytes).substr(1)));
  EXPECT_FALSE(read_proof(std::string(body_of(bytes)) + "x"));
}

TEST(ZoneMessage, only_what_helps_the_other_end_is_told) {
  EXPECT_EQ(read_refusal(body_of(write(Refused{Reason::kWrongPassword})))->reason,
            Reason::kWrongPassword);
  EXPECT_EQ(read_refusal(body_of(write(Refused{Reason::kTooManyStreams})))->reason,
            Reason::kRefusedThere);
  EXPECT_EQ(read_refusal("\x77")->reason, Reason::kRefusedThere);
  EXPECT_FALSE(read_refusal(""));
  EXPECT_FALSE(read_refusal("\x01\x01"));
}

TEST(ZoneReason, labels_are_unique_and_complete) {
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    EXPECT_NE(info_of(i).label, nullptr) << i;
    for (std::size_t j = 0; j < i; ++j) EXPECT_STRNE(info_of(i).label, info_of(j).label);
  }
  EXPECT_EQ(static_cast<std::size_t>(Reason::kStopped) + 1, kReasonCount);
  EXPECT_STREQ(info_of(Reason::kStopped).label, "stopped");
  EXPECT_STREQ(info_of(Reason::kTooManyFromSource).label, "too_many_from_source");
  EXPECT_STREQ(info_of(of(tls::Refusal::kWrongName)).label, "wrong_name");
}

}  // namespace
}  // namespace turnpike::zone
