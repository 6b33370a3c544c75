// Contexts as plain data: derivation, wiping, copies, and the cache that follows them.
#include <gtest/gtest.h>

#include "relay/crypto/srtp.h"
#include "tests/unit/crypto/srtp_testing.h"

namespace turnpike {
namespace {

using namespace srtp_testing;

TEST(SrtpContext, refuses_what_it_cannot_key) {
  SrtpKeying keying;
  SrtpContext context;
  context.serial = 5;
  EXPECT_FALSE(derive_srtp_context(keying, context));
  EXPECT_EQ(context.serial, 0U);
  keying.suite = static_cast<SrtpSuite>(kSrtpSuiteCount);
  EXPECT_FALSE(derive_srtp_context(keying, context));
  keying.suite = SrtpSuite::kAeadAes128Gcm;
  keying.mki_bytes = kMkiBytesMax + 1;
  EXPECT_FALSE(derive_srtp_context(keying, context));
  EXPECT_EQ(context.suite, SrtpSuite::kNone);
  keying.mki_bytes = kMkiBytesMax;
  EXPECT_TRUE(derive_srtp_context(keying, context));
}

TEST(SrtpContext, session_keys_differ_by_use) {
  Random random(3);
  for (const SrtpSuite suite : kSuites) {
    SrtpContext context;
    ASSERT_TRUE(derive_srtp_context(random_keying(suite, random), context));
    EXPECT_NE(context.rtp_key, context.rtcp_key);
    EXPECT_NE(context.rtp_salt, context.rtcp_salt);
    const bool gcm = info_of(suite).salt_bytes == 12;
    EXPECT_EQ(context.rtp_auth_key == context.rtcp_auth_key, gcm);
  }
}

TEST(SrtpContext, salt_bytes_beyond_the_suites_do_not_matter) {
  Random random(4);
  SrtpKeying keying = random_keying(SrtpSuite::kAeadAes256Gcm, random);
  SrtpContext clean;
  ASSERT_TRUE(derive_srtp_context(keying, clean));
  keying.master_salt[12] = 0xff;
  keying.master_salt[13] = 0xff;
  SrtpContext dirty;
  ASSERT_TRUE(derive_srtp_context(keying, dirty));
  EXPECT_EQ(clean.rtp_key, dirty.rtp_key);
  EXPECT_EQ(clean.rtcp_salt, dirty.rtcp_salt);
}

TEST(SrtpContext, serials_are_unique_and_start_at_random) {
  Random random(5);
  const SrtpKeying keying = random_keying(SrtpSuite::kAeadAes128Gcm, random);
  SrtpContext a;
  SrtpContext b;
  ASSERT_TRUE(derive_srtp_context(keying, a));
  ASSERT_TRUE(derive_srtp_context(keying, b));
  EXPECT_NE(a.serial, b.serial);
  EXPECT_NE(a.serial, 0U);
  // A start that is not random would be small; a random one is with a chance of 2^-32.
  EXPECT_GT(a.serial, std::uint64_t{1} << 32);
}

TEST(SrtpContext, wiping_leaves_no_byte) {
  Random random(6);
  SrtpContext context;
  ASSERT_TRUE(derive_srtp_context(random_keying(kSuites[0], random, 4), context));
  wipe_srtp_context(context);
  const Bytes zero(sizeof context);
  EXPECT_EQ(std::memcmp(&context, zero.data(), sizeof context), 0);
}

TEST(SrtpCache, follows_the_context_in_its_slot) {
  Random random(8);
  Sender sender(random_keying(kSuites[0], random));
  for (int round = 0; round < 60; ++round) {
    const SrtpKeying keying = random_keying(kSuites[below(random, 6)], random);
    Receiver receiver(keying);
    ASSERT_TRUE(derive_srtp_context(keying, sender.context));
    sender.stream = SrtpSendStream{};
    if (round % 3 == 0) {
      sender.transform.forget(0);
    }
    for (const bool rtcp : {false, true, false}) {
      const Bytes plain = rtcp ? rtcp_packet() : rtp_packet(static_cast<std::uint16_t>(round));
      Bytes packet = plain;
      sender.stream.rtp_started = 0;
      sender.stream.rtp_window = {};
      receiver.stream = SrtpReceiveStream{};
      ASSERT_EQ(sender.protect(packet, rtcp), SrtpStatus::kOk);
      ASSERT_EQ(receiver.unprotect(packet, rtcp), SrtpStatus::kOk) << round;
      ASSERT_EQ(packet, plain);
    }
  }
}

TEST(SrtpCache, forgetting_changes_no_output) {
  Random random(9);
  for (const SrtpSuite suite : kSuites) {
    const SrtpKeying keying = random_keying(suite, random);
    Sender kept(keying);
    Sender forgetful(keying);
    for (std::uint16_t sequence = 0; sequence < 10; ++sequence) {
      for (const bool rtcp : {false, true}) {
        Bytes a = rtcp ? rtcp_packet() : rtp_packet(sequence);
        Bytes b = a;
        ASSERT_EQ(kept.protect(a, rtcp), SrtpStatus::kOk);
        ASSERT_EQ(forgetful.protect(b, rtcp), SrtpStatus::kOk);
        EXPECT_EQ(a, b);
        forgetful.transform.forget(0);
      }
    }
  }
}

TEST(SrtpCache, state_goes_on_in_another_transform) {
  Random random(10);
  for (const SrtpSuite suite : kSuites) {
    const SrtpKeying keying = random_keying(suite, random, 2);
    Receiver receiver(keying);
    SrtpContext context;
    SrtpSendStream stream;
    ASSERT_TRUE(derive_srtp_context(keying, context));
    for (std::uint16_t step = 0; step < 6; ++step) {
      // What a process that adopts the memory of another does: same bytes, new library state.
      Sender adopted(random_keying(suite, random));
      std::memcpy(&adopted.context, &context, sizeof context);
      std::memcpy(&adopted.stream, &stream, sizeof stream);
      const Bytes plain = rtp_packet(static_cast<std::uint16_t>(0xfffd + step));
      Bytes packet = plain;
      ASSERT_EQ(adopted.protect(packet), SrtpStatus::kOk);
      ASSERT_EQ(receiver.unprotect(packet), SrtpStatus::kOk);
      EXPECT_EQ(packet, plain);
      packet = rtcp_packet();
      ASSERT_EQ(adopted.protect(packet, true), SrtpStatus::kOk);
      EXPECT_EQ(adopted.index, step);
      ASSERT_EQ(receiver.unprotect(packet, true), SrtpStatus::kOk);
      context = adopted.context;
      stream = adopted.stream;
    }
    EXPECT_EQ(receiver.stream.rtp_highest, 0x10002U);
    EXPECT_EQ(context.packets_used, 6U);
    EXPECT_EQ(context.rtcp_packets_used, 6U);
  }
}

TEST(SrtpCacheDeathTest, broken_contract_aborts) {
  Random random(11);
  Sender sender(random_keying(kSuites[0], random));
  wipe_srtp_context(sender.context);
  Bytes packet = rtp_packet(1);
  EXPECT_DEATH(sender.protect(packet), "broken invariant");
  EXPECT_DEATH(sender.transform.forget(1), "broken invariant");
}

}  // namespace
}  // namespace turnpike
