// Security IDs as far as the transform alone decides them.
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/unit/crypto/srtp_testing.h"

namespace turnpike {
namespace {

using namespace srtp_testing;

struct Ends {
  Ends(SrtpSuite suite, Random& random, std::size_t mki_bytes = 0)
      : keying(random_keying(suite, random, mki_bytes)), sender(keying), receiver(keying) {}

  SrtpKeying keying;
  Sender sender;
  Receiver receiver;
};

void expect_refused(Receiver& receiver, const Bytes& packet, bool rtcp = false) {
  const SrtpReceiveStream stream = receiver.stream;
  const SrtpContext context = receiver.context;
  Bytes copy = packet;
  EXPECT_NE(receiver.unprotect(copy, rtcp), SrtpStatus::kOk);
  EXPECT_EQ(copy.size(), packet.size());
  EXPECT_FALSE(receiver.verify_tag(packet, rtcp));
  EXPECT_TRUE(same_bytes(stream, receiver.stream));
  EXPECT_TRUE(same_bytes(context, receiver.context));
}

TEST(Security, M3_wrong_tag_is_refused_and_changes_nothing) {
  Random random(31);
  for (const SrtpSuite suite : kSuites) {
    for (const bool rtcp : {false, true}) {
      Ends ends(suite, random);
      Bytes packet = rtcp ? rtcp_packet() : rtp_packet(1);
      const Bytes plain = packet;
      ASSERT_EQ(ends.sender.protect(packet, rtcp), SrtpStatus::kOk);
      for (std::size_t bit = 0; bit < packet.size() * 8; ++bit) {
        Bytes tampered = packet;
        tampered[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
        expect_refused(ends.receiver, tampered, rtcp);
      }
      ASSERT_EQ(ends.receiver.unprotect(packet, rtcp), SrtpStatus::kOk);
      EXPECT_EQ(packet, plain);
    }
  }
}

TEST(Security, M3_missing_or_truncated_tag_is_refused) {
  Random random(32);
  for (const SrtpSuite suite : kSuites) {
    for (const bool rtcp : {false, true}) {
      Ends ends(suite, random, 4);
      Bytes packet = rtcp ? rtcp_packet() : rtp_packet(1);
      ASSERT_EQ(ends.sender.protect(packet, rtcp), SrtpStatus::kOk);
      for (std::size_t bytes = 0; bytes < packet.size(); ++bytes) {
        expect_refused(ends.receiver,
                       Bytes(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(bytes)),
                       rtcp);
      }
      Bytes longer = packet;
      longer.push_back(0);
      expect_refused(ends.receiver, longer, rtcp);
      EXPECT_EQ(ends.receiver.unprotect(packet, rtcp), SrtpStatus::kOk);
    }
  }
}

TEST(Security, M3_packet_of_another_key_or_direction_is_refused) {
  Random random(33);
  for (const SrtpSuite suite : kSuites) {
    Ends ends(suite, random);
    Ends other(suite, random);
    Bytes packet = rtp_packet(1);
    ASSERT_EQ(other.sender.protect(packet), SrtpStatus::kOk);
    expect_refused(ends.receiver, packet);
    // An SRTP packet is not taken for SRTCP or the other way round, even under the same key.
    packet = rtp_packet(2);
    ASSERT_EQ(ends.sender.protect(packet), SrtpStatus::kOk);
    expect_refused(ends.receiver, packet, true);
    packet = rtcp_packet();
    ASSERT_EQ(ends.sender.protect(packet, true), SrtpStatus::kOk);
    expect_refused(ends.receiver, packet, false);
  }
}

TEST(Security, M6_plain_rtp_is_refused_by_an_srtp_context) {
  Random random(34);
  for (const SrtpSuite suite : kSuites) {
    Ends ends(suite, random);
    for (std::size_t payload = 0; payload < 200; ++payload) {
      expect_refused(ends.receiver, rtp_packet(static_cast<std::uint16_t>(payload), payload));
    }
    expect_refused(ends.receiver, rtcp_packet(), true);
    // The E flag clear does not mean unauthenticated.
    Bytes unencrypted = rtcp_packet();
    unencrypted.resize(unencrypted.size() + 4 + info_of(suite).rtcp_tag_bytes);
    expect_refused(ends.receiver, unencrypted, true);
    // Nor does plain RTP pass after SRTP has.
    Bytes packet = rtp_packet(1);
    ASSERT_EQ(ends.sender.protect(packet), SrtpStatus::kOk);
    ASSERT_EQ(ends.receiver.unprotect(packet), SrtpStatus::kOk);
    expect_refused(ends.receiver, rtp_packet(2));
  }
}

TEST(Security, M9_replay_is_refused) {
  Random random(35);
  for (const SrtpSuite suite : kSuites) {
    Ends ends(suite, random);
    for (const bool rtcp : {false, true}) {
      Bytes packet = rtcp ? rtcp_packet() : rtp_packet(1);
      ASSERT_EQ(ends.sender.protect(packet, rtcp), SrtpStatus::kOk);
      Bytes copy = packet;
      ASSERT_EQ(ends.receiver.unprotect(copy, rtcp), SrtpStatus::kOk);
      const SrtpReceiveStream before = ends.receiver.stream;
      copy = packet;
      EXPECT_EQ(ends.receiver.unprotect(copy, rtcp), SrtpStatus::kReplayed);
      EXPECT_EQ(copy, packet);
      EXPECT_TRUE(same_bytes(before, ends.receiver.stream));
    }
  }
}

TEST(Security, M9_rtp_seq_repeat_is_not_reencrypted) {
  Random random(36);
  for (const SrtpSuite suite : kSuites) {
    Ends ends(suite, random);
    for (std::uint16_t sequence = 100; sequence < 300; ++sequence) {
      Bytes packet = rtp_packet(sequence);
      ASSERT_EQ(ends.sender.protect(packet), SrtpStatus::kOk);
    }
    for (std::uint16_t sequence = 100; sequence < 300; ++sequence) {
      Bytes different = rtp_packet(sequence, 80);
      different[20] ^= 0xff;
      const Bytes plain = different;
      EXPECT_EQ(ends.sender.protect(different), SrtpStatus::kIndexUsed) << sequence;
      EXPECT_EQ(different, plain);
    }
    EXPECT_EQ(ends.sender.context.packets_used, 200U);
    // Both in one batch: the first takes the index.
    Bytes first = rtp_packet(300);
    Bytes second = rtp_packet(300, 80);
    std::array<SrtpJob, 2> jobs = {ends.sender.job_of(first, false),
                                   ends.sender.job_of(second, false)};
    ends.sender.transform.protect(jobs);
    EXPECT_EQ(jobs[0].status, SrtpStatus::kOk);
    EXPECT_EQ(jobs[1].status, SrtpStatus::kIndexUsed);
  }
}

TEST(Security, M9_rtcp_index_never_repeats) {
  Random random(37);
  for (const SrtpSuite suite : kSuites) {
    Ends ends(suite, random);
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 500; ++i) {
      Bytes packet = below(random, 4) == 0 ? Bytes(4) : rtcp_packet();
      if (ends.sender.protect(packet, true) == SrtpStatus::kOk) {
        EXPECT_TRUE(seen.insert(ends.sender.index).second);
      }
    }
    EXPECT_EQ(seen.size(), *seen.rbegin() + 1);
  }
}

TEST(Security, M9_index_is_used_before_encryption_and_survives_adoption) {
  Random random(38);
  for (const SrtpSuite suite : kSuites) {
    Ends ends(suite, random);
    Bytes packet = rtp_packet(7);
    ASSERT_EQ(ends.sender.protect(packet), SrtpStatus::kOk);
    Sender adopted(ends.keying);
    adopted.context = ends.sender.context;
    adopted.stream = ends.sender.stream;
    Bytes again = rtp_packet(7, 99);
    EXPECT_EQ(adopted.protect(again), SrtpStatus::kIndexUsed);
  }
}

TEST(Security, M9_directions_do_not_share_keystream) {
  Random random(39);
  for (const SrtpSuite suite : kSuites) {
    Ends a(suite, random);
    Ends b(suite, random);
    Bytes one = rtp_packet(1);
    Bytes two = rtp_packet(1);
    ASSERT_EQ(a.sender.protect(one), SrtpStatus::kOk);
    ASSERT_EQ(b.sender.protect(two), SrtpStatus::kOk);
    EXPECT_FALSE(std::equal(one.begin() + 12, one.begin() + 172, two.begin() + 12));
  }
}

}  // namespace
}  // namespace turnpike
