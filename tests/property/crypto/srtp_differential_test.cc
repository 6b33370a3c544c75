// Our transform against libsrtp2: the same packets in, the same bytes and verdicts out.
//
// Where libsrtp2 2.5 and the RFCs part, ours follows the RFCs and the tests step around it:
// - its SRTCP index starts at 1, RFC 3711 section 3.4 says 0;
// - it looks for the MKI of an SRTCP packet before a tag of SRTP's length, so that it refuses
//   SRTCP with an MKI under the suites with a 32-bit SRTP tag;
// - under AES-CM it refuses SRTCP whose E flag is not what its policy says, before it looks at
//   the tag; RFC 3711 section 3.4 lets the flag tell;
// - it sends a packet from before the first roll-over period (sequence 65535 after 3) within
//   that period, which leaves receivers that follow appendix A behind; ours is not sent.
#include <deque>
#include <map>
#include <tuple>

#include <gtest/gtest.h>

#include "relay/crypto/srtp_index.h"
#include "tests/property/crypto/libsrtp.h"

namespace turnpike {
namespace {

using namespace srtp_testing;
using Direction = LibSrtp::Direction;

bool has_short_rtp_tag(SrtpSuite suite) {
  return info_of(suite).rtp_tag_bytes == 4;
}

/// Our receiver with one stream state per SSRC, as a session keeps it: only tags make streams.
class StreamsReceiver {
 public:
  explicit StreamsReceiver(const SrtpKeying& keying) : receiver_(keying) {}

  SrtpStatus unprotect(Bytes& packet, bool rtcp) {
    const std::size_t ssrc_at = rtcp ? 4 : 8;
    if (packet.size() < ssrc_at + 4) {
      return SrtpStatus::kMalformed;
    }
    const std::uint32_t ssrc = read_be32(&packet[ssrc_at]);
    const auto found = streams_.find(ssrc);
    const SrtpReceiveStream before = found == streams_.end() ? SrtpReceiveStream{} : found->second;
    receiver_.stream = before;
    const SrtpStatus status = receiver_.unprotect(packet, rtcp);
    if (status == SrtpStatus::kOk) {
      streams_[ssrc] = receiver_.stream;
    } else {
      EXPECT_TRUE(same_bytes(before, receiver_.stream));
    }
    return status;
  }

 private:
  Receiver receiver_;
  std::map<std::uint32_t, SrtpReceiveStream> streams_;
};

/// Sequence numbers as bad senders and networks make them.
class SequenceWalk {
 public:
  SequenceWalk(Random& random, std::uint64_t start) : random_(random), highest_(start) {}

  std::uint16_t next() {
    const std::uint64_t dice = below(random_, 100);
    std::uint64_t index = highest_;
    if (dice < 70) {
      index += 1;
    } else if (dice < 80) {
      index += 2 + below(random_, 50);
    } else if (dice < 98) {
      index -= std::min(index, below(random_, 150));
    } else {
      index += below(random_, 0x7000);
    }
    highest_ = std::max(highest_, index);
    return static_cast<std::uint16_t>(index);
  }

 private:
  Random& random_;
  std::uint64_t highest_;
};

std::uint64_t random_start(Random& random) {
  constexpr std::array<std::uint64_t, 6> kStarts = {0, 1, 0x7fff, 0x8000, 0xff00, 0xffff};
  return below(random, 2) == 0 ? kStarts[below(random, kStarts.size())] : below(random, 0x10000);
}

std::size_t random_length(Random& random) {
  return below(random, 4) == 0 ? 12 + below(random, 40) : 12 + below(random, 1489);
}

class SrtpDifferential
    : public ::testing::TestWithParam<std::tuple<SrtpSuite, std::size_t, unsigned>> {
 protected:
  SrtpSuite suite = std::get<0>(GetParam());
  Random random{std::get<2>(GetParam())};
  SrtpKeying keying = random_keying(suite, random, std::get<1>(GetParam()));
  bool rtcp_mki_quirk = has_short_rtp_tag(suite) && keying.mki_bytes != 0;
};

std::string name_of(
    const ::testing::TestParamInfo<std::tuple<SrtpSuite, std::size_t, unsigned>>& info) {
  return std::string(info_of(std::get<0>(info.param)).name) + "_mki" +
         std::to_string(std::get<1>(info.param)) + "_seed" +
         std::to_string(std::get<2>(info.param));
}

INSTANTIATE_TEST_SUITE_P(All, SrtpDifferential,
                         ::testing::Combine(::testing::ValuesIn(kSuites),
                                            ::testing::Values(0, 1, 4, 16),
                                            ::testing::Values(1U, 2U, 3U)),
                         name_of);

class SrtpLengths : public SrtpDifferential {};

INSTANTIATE_TEST_SUITE_P(All, SrtpLengths,
                         ::testing::Combine(::testing::ValuesIn(kSuites), ::testing::Values(0, 4),
                                            ::testing::Values(1U)),
                         name_of);

TEST_P(SrtpDifferential, rtp_senders_write_the_same_bytes) {
  Sender ours(keying);
  LibSrtp theirs(keying, Direction::kSend);
  SequenceWalk walk(random, random_start(random));
  int sent = 0;
  for (int step = 0; step < 600; ++step) {
    const std::uint16_t sequence = walk.next();
    if (ours.stream.rtp_started != 0 && estimate_index(ours.stream.rtp_highest, sequence) < 0) {
      continue;
    }
    Bytes a = random_rtp_packet(random, sequence, random_length(random));
    Bytes b = a;
    const SrtpStatus status = ours.protect(a);
    ASSERT_EQ(theirs.protect(b, false), status) << step << " sequence " << sequence;
    if (status == SrtpStatus::kOk) {
      ASSERT_EQ(a, b) << step;
      ++sent;
    }
  }
  EXPECT_GT(sent, 300);
}

TEST_P(SrtpDifferential, rtcp_senders_write_the_same_bytes) {
  Sender ours(keying);
  ours.stream.rtcp_next = 1;
  LibSrtp theirs(keying, Direction::kSend);
  for (int step = 0; step < 200; ++step) {
    Bytes a = random_bytes(random, 8 + below(random, 1400));
    write_be32(&a[4], 0xcafebabe);
    Bytes b = a;
    ASSERT_EQ(ours.protect(a, true), SrtpStatus::kOk);
    ASSERT_EQ(theirs.protect(b, true), SrtpStatus::kOk);
    ASSERT_EQ(a, b) << step;
  }
}

/// Loses, repeats, delays and damages packets.
class BadNetwork {
 public:
  explicit BadNetwork(Random& random) : random_(random) {}

  /// What arrives after `packet` was sent.
  std::vector<Bytes> carry(const Bytes& packet) {
    std::vector<Bytes> arrived;
    if (below(random_, 20) != 0) {
      held_.push_back(packet);
    }
    if (below(random_, 12) == 0) {
      held_.push_back(packet);
    }
    while (held_.size() > capacity_) {
      const std::size_t pick = below(random_, 3) == 0 ? below(random_, held_.size()) : 0;
      arrived.push_back(held_[pick]);
      held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(pick));
    }
    if (below(random_, 50) == 0) {
      capacity_ = below(random_, 160);
    }
    return arrived;
  }

  void damage(Bytes& packet) {
    packet[below(random_, packet.size())] ^= static_cast<std::uint8_t>(1 + below(random_, 255));
    if (below(random_, 4) == 0) {
      packet.resize(below(random_, packet.size() + 1));
    }
  }

 private:
  Random& random_;
  std::deque<Bytes> held_;
  std::size_t capacity_ = 3;
};

TEST_P(SrtpDifferential, rtp_receivers_agree) {
  LibSrtp sender(keying, Direction::kSend);
  LibSrtp theirs(keying, Direction::kReceive);
  StreamsReceiver ours(keying);
  BadNetwork network(random);
  SequenceWalk walk(random, random_start(random));
  std::map<SrtpStatus, int> seen;
  for (int step = 0; step < 1500; ++step) {
    Bytes packet = random_rtp_packet(random, walk.next(), random_length(random),
                                     0xcafe0000U + static_cast<unsigned>(step % 3));
    if (sender.protect(packet, false) != SrtpStatus::kOk) {
      continue;
    }
    for (const Bytes& wire : network.carry(packet)) {
      Bytes a = wire;
      Bytes b = wire;
      const SrtpStatus status = ours.unprotect(a, false);
      ASSERT_EQ(theirs.unprotect(b, false), status) << step;
      if (status == SrtpStatus::kOk) {
        ASSERT_EQ(a, b);
      }
      ++seen[status];

      // A damaged copy may fail for different reasons, but both refuse it.
      Bytes damaged = wire;
      network.damage(damaged);
      if (damaged != wire) {
        b = damaged;
        ASSERT_NE(ours.unprotect(damaged, false), SrtpStatus::kOk);
        ASSERT_NE(theirs.unprotect(b, false), SrtpStatus::kOk);
      }
    }
  }
  EXPECT_GT(seen[SrtpStatus::kOk], 200);
  EXPECT_GT(seen[SrtpStatus::kReplayed], 5);
}

TEST_P(SrtpDifferential, rtcp_receivers_agree) {
  if (rtcp_mki_quirk) {
    // The oracle refuses these: ours receives what it sends, which the senders' test compared.
    LibSrtp sender(keying, Direction::kSend);
    StreamsReceiver ours(keying);
    for (int step = 0; step < 100; ++step) {
      const Bytes plain = rtcp_packet();
      Bytes packet = plain;
      ASSERT_EQ(sender.protect(packet, true), SrtpStatus::kOk);
      ASSERT_EQ(ours.unprotect(packet, true), SrtpStatus::kOk);
      ASSERT_EQ(packet, plain);
    }
    return;
  }
  LibSrtp sender(keying, Direction::kSend);
  LibSrtp theirs(keying, Direction::kReceive);
  StreamsReceiver ours(keying);
  BadNetwork network(random);
  std::map<SrtpStatus, int> seen;
  for (int step = 0; step < 600; ++step) {
    Bytes packet = random_bytes(random, 8 + below(random, 300));
    write_be32(&packet[4], 0xcafe0000U + static_cast<unsigned>(step % 2));
    ASSERT_EQ(sender.protect(packet, true), SrtpStatus::kOk);
    for (const Bytes& wire : network.carry(packet)) {
      Bytes a = wire;
      Bytes b = wire;
      const SrtpStatus status = ours.unprotect(a, true);
      ASSERT_EQ(theirs.unprotect(b, true), status) << step;
      if (status == SrtpStatus::kOk) {
        ASSERT_EQ(a, b);
      }
      ++seen[status];
      Bytes damaged = wire;
      network.damage(damaged);
      if (damaged != wire) {
        b = damaged;
        ASSERT_NE(ours.unprotect(damaged, true), SrtpStatus::kOk);
        ASSERT_NE(theirs.unprotect(b, true), SrtpStatus::kOk);
      }
    }
  }
  EXPECT_GT(seen[SrtpStatus::kOk], 200);
  EXPECT_GT(seen[SrtpStatus::kReplayed], 5);
}

TEST_P(SrtpDifferential, unencrypted_rtcp_of_theirs_is_received) {
  LibSrtp sender(keying, Direction::kSend, false);
  StreamsReceiver ours(keying);
  for (int step = 0; step < 50; ++step) {
    Bytes plain = random_bytes(random, 8 + below(random, 300));
    write_be32(&plain[4], 0xcafebabe);
    Bytes packet = plain;
    ASSERT_EQ(sender.protect(packet, true), SrtpStatus::kOk);
    ASSERT_TRUE(std::equal(plain.begin(), plain.end(), packet.begin()));
    Bytes damaged = packet;
    damaged[below(random, damaged.size())] ^= 1;
    ASSERT_NE(ours.unprotect(damaged, true), SrtpStatus::kOk);
    ASSERT_EQ(ours.unprotect(packet, true), SrtpStatus::kOk);
    ASSERT_EQ(packet, plain);
  }
}

TEST_P(SrtpDifferential, ours_is_received_by_theirs_across_many_rollovers) {
  Sender ours(keying);
  LibSrtp theirs(keying, Direction::kReceive);
  std::uint16_t sequence = 0xfff0;
  for (int step = 0; step < 100; ++step) {
    const Bytes plain = random_rtp_packet(random, sequence, random_length(random));
    Bytes packet = plain;
    ASSERT_EQ(ours.protect(packet), SrtpStatus::kOk);
    ASSERT_EQ(theirs.unprotect(packet, false), SrtpStatus::kOk) << step;
    ASSERT_EQ(packet, plain);
    sequence = static_cast<std::uint16_t>(sequence + (step < 32 ? 1 : 0x7000));
  }
  EXPECT_GT(ours.index >> 16, 20U);
}

TEST_P(SrtpDifferential, every_tampered_byte_is_refused_by_both) {
  LibSrtp sender(keying, Direction::kSend);
  LibSrtp theirs(keying, Direction::kReceive);
  StreamsReceiver ours(keying);
  for (const bool rtcp : {false, true}) {
    if (rtcp && rtcp_mki_quirk) {
      continue;
    }
    const Bytes plain = rtcp ? rtcp_packet() : random_rtp_packet(random, 77, 120);
    Bytes packet = plain;
    ASSERT_EQ(sender.protect(packet, rtcp), SrtpStatus::kOk);
    for (std::size_t i = 0; i < packet.size(); ++i) {
      Bytes a = packet;
      a[i] ^= static_cast<std::uint8_t>(1 + below(random, 255));
      Bytes b = a;
      ASSERT_NE(ours.unprotect(a, rtcp), SrtpStatus::kOk) << i;
      ASSERT_NE(theirs.unprotect(b, rtcp), SrtpStatus::kOk) << i;
    }
    Bytes b = packet;
    ASSERT_EQ(ours.unprotect(packet, rtcp), SrtpStatus::kOk);
    ASSERT_EQ(theirs.unprotect(b, rtcp), SrtpStatus::kOk);
    ASSERT_EQ(packet, plain);
    ASSERT_EQ(b, plain);
  }
}

TEST_P(SrtpLengths, every_length_from_12_to_1500) {
  Sender ours(keying);
  LibSrtp theirs(keying, Direction::kReceive);
  for (std::size_t bytes = 12; bytes <= 1500; ++bytes) {
    const Bytes plain = random_rtp_packet(random, static_cast<std::uint16_t>(bytes), bytes);
    Bytes packet = plain;
    ASSERT_EQ(ours.protect(packet), SrtpStatus::kOk);
    ASSERT_EQ(theirs.unprotect(packet, false), SrtpStatus::kOk) << bytes;
    ASSERT_EQ(packet, plain);
  }
}

}  // namespace
}  // namespace turnpike
