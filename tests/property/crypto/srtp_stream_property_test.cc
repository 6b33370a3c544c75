// Properties of the transform alone: against a naive model, over random batches and histories.
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "relay/crypto/srtp_index.h"
#include "tests/unit/crypto/srtp_testing.h"

namespace turnpike {
namespace {

using namespace srtp_testing;

class SrtpProperty : public ::testing::TestWithParam<SrtpSuite> {};

INSTANTIATE_TEST_SUITE_P(Suites, SrtpProperty, ::testing::ValuesIn(kSuites),
                         [](const auto& param) { return std::string(info_of(param.param).name); });

/// A receiver that keeps every index it ever took.
struct NaiveReceiver {
  std::set<std::uint64_t> taken;

  bool wants(std::uint64_t index) const {
    return taken.empty() ||
           (!taken.contains(index) && index + kReplayWindowPackets > *taken.rbegin());
  }
};

TEST_P(SrtpProperty, batches_are_received_as_single_packets_would_be) {
  Random random(51);
  const SrtpKeying keying = random_keying(GetParam(), random);
  constexpr std::size_t kStreams = 4;
  std::array<SrtpSendStream, kStreams> send{};
  std::array<SrtpReceiveStream, kStreams> receive{};
  std::array<NaiveReceiver, kStreams> model;
  std::array<std::uint64_t, kStreams> next = {0, 0x7ff0, 0xffd0, 40000};
  Sender sender(keying);
  Receiver receiver(keying);
  struct Wire {
    Bytes bytes;
    Bytes plain;
    std::size_t stream;
    std::uint64_t index;
  };
  std::vector<Wire> sent;
  for (int round = 0; round < 120; ++round) {
    for (std::size_t i = 0; i < 20; ++i) {
      const std::size_t stream = below(random, kStreams);
      next[stream] += below(random, 8) == 0 ? 1 + below(random, 20) : 1;
      Wire wire;
      wire.stream = stream;
      wire.plain = random_rtp_packet(random, static_cast<std::uint16_t>(next[stream]),
                                     12 + below(random, 200), static_cast<std::uint32_t>(stream));
      wire.bytes = wire.plain;
      sender.stream = send[stream];
      ASSERT_EQ(sender.protect(wire.bytes), SrtpStatus::kOk);
      send[stream] = sender.stream;
      wire.index = sender.index;
      ASSERT_EQ(wire.index, next[stream]);
      sent.push_back(std::move(wire));
    }
    // A batch of what was sent lately, in any order, some of it again, some of it damaged.
    std::vector<Wire> batch;
    std::vector<bool> damaged;
    for (std::size_t i = below(random, 150); i > 0; --i) {
      batch.push_back(
          sent[sent.size() - 1 - below(random, std::min<std::size_t>(sent.size(), 300))]);
      damaged.push_back(below(random, 10) == 0);
      if (damaged.back()) {
        batch.back().bytes.back() ^= 0x40;
      }
    }
    std::vector<SrtpJob> jobs;
    for (Wire& wire : batch) {
      jobs.push_back(receiver.job_of(wire.bytes, false));
      jobs.back().receive = &receive[wire.stream];
    }
    receiver.transform.unprotect(jobs);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      NaiveReceiver& naive = model[batch[i].stream];
      const bool expected = naive.wants(batch[i].index) && !damaged[i];
      ASSERT_EQ(jobs[i].status == SrtpStatus::kOk, expected) << round << " " << i;
      if (expected) {
        naive.taken.insert(batch[i].index);
        ASSERT_EQ(jobs[i].index, batch[i].index);
        batch[i].bytes.resize(jobs[i].length);
        ASSERT_EQ(batch[i].bytes, batch[i].plain);
      }
    }
  }
  for (const NaiveReceiver& naive : model) {
    EXPECT_GT(naive.taken.size(), 100U);
  }
}

TEST_P(SrtpProperty, garbage_changes_nothing) {
  Random random(52);
  Receiver receiver(random_keying(GetParam(), random, 2));
  for (int i = 0; i < 20000; ++i) {
    Bytes packet = random_bytes(random, below(random, 120));
    if (packet.size() > 40 && below(random, 2) == 0) {
      packet[0] = 0x80;
      const std::size_t tag = info_of(GetParam()).salt_bytes == 12 ? 0 : 10;
      std::copy_n(receiver.context.mki.begin(), 2,
                  packet.end() - 2 - static_cast<std::ptrdiff_t>(tag));
    }
    const bool rtcp = below(random, 2) == 0;
    ASSERT_FALSE(receiver.verify_tag(packet, rtcp));
    ASSERT_NE(receiver.unprotect(packet, rtcp), SrtpStatus::kOk);
  }
  EXPECT_TRUE(same_bytes(receiver.stream, SrtpReceiveStream{}));
}

TEST_P(SrtpProperty, verify_tag_agrees_with_unprotect) {
  Random random(53);
  const SrtpKeying keying = random_keying(GetParam(), random);
  Sender sender(keying);
  Receiver receiver(keying);
  std::uint16_t sequence = 0xf000;
  for (int i = 0; i < 3000; ++i) {
    const bool rtcp = below(random, 4) == 0;
    sequence = static_cast<std::uint16_t>(sequence + 1 + below(random, 3));
    Bytes packet = rtcp ? rtcp_packet() : rtp_packet(sequence, below(random, 3000));
    ASSERT_EQ(sender.protect(packet, rtcp), SrtpStatus::kOk);
    const bool damaged = below(random, 3) == 0;
    if (damaged) {
      packet[8 + below(random, packet.size() - 8)] ^= 4;
    }
    const bool right = receiver.verify_tag(packet, rtcp);
    ASSERT_EQ(right, !damaged);
    const Bytes wire = packet;
    ASSERT_EQ(receiver.unprotect(packet, rtcp) == SrtpStatus::kOk, right);
    ASSERT_EQ(receiver.verify_tag(wire, rtcp), right);
  }
}

/// GCM's and CM's nonce under one key is made of SSRC and index alone, so pairs that never repeat
/// mean nonces that never repeat.
TEST(Security, M9_gcm_nonce_never_repeats) {
  for (const SrtpSuite suite : kSuites) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      Random random(seed);
      const SrtpKeying keying = random_keying(suite, random);
      Sender sender(keying);
      std::map<std::uint32_t, SrtpSendStream> streams;
      std::set<std::pair<std::uint32_t, std::uint64_t>> rtp_nonces;
      std::set<std::pair<std::uint32_t, std::uint64_t>> rtcp_nonces;
      std::uint64_t walk = below(random, 0x10000);
      for (int step = 0; step < 2000; ++step) {
        const auto ssrc = static_cast<std::uint32_t>(below(random, 3));
        const bool rtcp = below(random, 10) == 0;
        // Any sequence number at all: steps, repeats, leaps, restarts.
        switch (below(random, 8)) {
          case 0:
            walk = below(random, 0x10000);
            break;
          case 1:
            walk -= std::min(walk, below(random, 300));
            break;
          case 2:
            walk += below(random, 0x9000);
            break;
          default:
            ++walk;
        }
        Bytes packet = rtcp ? rtcp_packet(ssrc)
                            : random_rtp_packet(random, static_cast<std::uint16_t>(walk), 60, ssrc);
        if (below(random, 50) == 0) {
          sender.transform.forget(0);
        }
        sender.stream = streams[ssrc];
        const Bytes plain = packet;
        const SrtpStatus status = sender.protect(packet, rtcp);
        streams[ssrc] = sender.stream;
        if (status != SrtpStatus::kOk) {
          ASSERT_EQ(packet, plain);
          continue;
        }
        auto& nonces = rtcp ? rtcp_nonces : rtp_nonces;
        ASSERT_TRUE(nonces.emplace(ssrc, sender.index).second) << "seed " << seed;
      }
      ASSERT_GT(rtp_nonces.size(), 300U);
    }
  }
}

/// The check above on what leaves: under one nonce GCM and CM turn equal plaintexts into equal
/// ciphertexts, so no two of these may be equal.
TEST(Security, M9_no_two_packets_share_keystream) {
  for (const SrtpSuite suite : kSuites) {
    Random random(61);
    Sender sender(random_keying(suite, random));
    std::set<Bytes> ciphertexts;
    std::size_t sent = 0;
    for (int step = 0; step < 3000; ++step) {
      const auto sequence =
          static_cast<std::uint16_t>(below(random, 4) == 0 ? below(random, 0x10000) : step);
      Bytes packet(12 + 32);
      packet[0] = 0x80;
      write_be16(&packet[2], sequence);
      if (sender.protect(packet) == SrtpStatus::kOk) {
        ciphertexts.insert(Bytes(packet.begin() + 12, packet.begin() + 44));
        ++sent;
      }
    }
    EXPECT_GT(sent, 100U);
    EXPECT_EQ(ciphertexts.size(), sent);
  }
}

}  // namespace
}  // namespace turnpike
