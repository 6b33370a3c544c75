// The transform's contract: layouts, statuses, indices, batches, lifetimes, the cache.
#include "relay/crypto/srtp.h"

#include <span>

#include <gtest/gtest.h>

#include "relay/crypto/srtp_backend.h"
#include "tests/unit/crypto/srtp_testing.h"

namespace turnpike {
namespace {

using namespace srtp_testing;

class Srtp : public ::testing::TestWithParam<SrtpSuite> {
 protected:
  Random random{7};
  SrtpKeying keying = random_keying(GetParam(), random);
  Sender sender{keying};
  Receiver receiver{keying};
  const SrtpSuiteInfo& info = info_of(GetParam());

  Bytes protected_rtp(std::uint16_t sequence, std::size_t payload_bytes = 20) {
    Bytes packet = rtp_packet(sequence, payload_bytes);
    EXPECT_EQ(sender.protect(packet), SrtpStatus::kOk) << sequence;
    return packet;
  }
  SrtpStatus receive(Bytes packet) { return receiver.unprotect(packet); }
};

INSTANTIATE_TEST_SUITE_P(Suites, Srtp, ::testing::ValuesIn(kSuites),
                         [](const auto& param) { return std::string(info_of(param.param).name); });

TEST_P(Srtp, rtp_goes_there_and_back) {
  const Bytes plain = rtp_packet(100);
  Bytes packet = plain;
  ASSERT_EQ(sender.protect(packet), SrtpStatus::kOk);
  EXPECT_EQ(sender.index, 100U);
  EXPECT_EQ(packet.size(), plain.size() + info.rtp_tag_bytes);
  EXPECT_TRUE(std::equal(plain.begin(), plain.begin() + 12, packet.begin()));
  EXPECT_FALSE(std::equal(plain.begin() + 12, plain.end(), packet.begin() + 12));
  ASSERT_EQ(receiver.unprotect(packet), SrtpStatus::kOk);
  EXPECT_EQ(receiver.index, 100U);
  EXPECT_EQ(packet, plain);
}

TEST_P(Srtp, rtcp_goes_there_and_back_with_its_own_index) {
  const Bytes plain = rtcp_packet();
  for (std::uint64_t index = 0; index < 5; ++index) {
    Bytes packet = plain;
    ASSERT_EQ(sender.protect(packet, true), SrtpStatus::kOk);
    EXPECT_EQ(sender.index, index);
    EXPECT_EQ(packet.size(), plain.size() + 4 + info.rtcp_tag_bytes);
    const std::size_t word = info.salt_bytes == 12 ? packet.size() - 4 : plain.size();
    EXPECT_EQ(read_be32(&packet[word]), 0x80000000U | index);
    EXPECT_TRUE(std::equal(plain.begin(), plain.begin() + 8, packet.begin()));
    ASSERT_EQ(receiver.unprotect(packet, true), SrtpStatus::kOk);
    EXPECT_EQ(receiver.index, index);
    EXPECT_EQ(packet, plain);
  }
}

TEST_P(Srtp, smallest_packets) {
  Bytes rtp = rtp_packet(1, 0);
  ASSERT_EQ(sender.protect(rtp), SrtpStatus::kOk);
  ASSERT_EQ(receiver.unprotect(rtp), SrtpStatus::kOk);
  EXPECT_EQ(rtp, rtp_packet(1, 0));
  Bytes rtcp = from_hex("80c90001cafebabe");
  ASSERT_EQ(sender.protect(rtcp, true), SrtpStatus::kOk);
  ASSERT_EQ(receiver.unprotect(rtcp, true), SrtpStatus::kOk);
  EXPECT_EQ(rtcp, from_hex("80c90001cafebabe"));
}

TEST_P(Srtp, mki_stands_where_the_rfcs_put_it) {
  for (const std::size_t mki_bytes : {1U, 4U, 16U}) {
    const SrtpKeying with_mki = random_keying(GetParam(), random, mki_bytes);
    const Bytes mki(with_mki.mki.begin(),
                    with_mki.mki.begin() + static_cast<std::ptrdiff_t>(mki_bytes));
    Sender from(with_mki);
    Receiver to(with_mki);
    for (const bool rtcp : {false, true}) {
      const Bytes plain = rtcp ? rtcp_packet() : rtp_packet(9);
      Bytes packet = plain;
      ASSERT_EQ(from.protect(packet, rtcp), SrtpStatus::kOk);
      const std::size_t tag_bytes = rtcp ? info.rtcp_tag_bytes : info.rtp_tag_bytes;
      ASSERT_EQ(packet.size(), plain.size() + (rtcp ? 4 : 0) + mki_bytes + tag_bytes);
      const std::size_t place = packet.size() - mki_bytes - (info.salt_bytes == 12 ? 0 : tag_bytes);
      EXPECT_TRUE(
          std::equal(mki.begin(), mki.end(), packet.begin() + static_cast<std::ptrdiff_t>(place)));

      Bytes wrong = packet;
      wrong[place] ^= 1;
      const SrtpReceiveStream before = to.stream;
      EXPECT_EQ(to.unprotect(wrong, rtcp), SrtpStatus::kWrongMki);
      EXPECT_TRUE(same_bytes(before, to.stream));
      ASSERT_EQ(to.unprotect(packet, rtcp), SrtpStatus::kOk);
      EXPECT_EQ(packet, plain);
    }
  }
}

TEST_P(Srtp, csrcs_and_extension_stay_in_clear) {
  Bytes plain = rtp_packet(5, 60);
  plain[0] = 0x80 | 0x10 | 3;
  write_be16(&plain[12 + 12 + 2], 2);
  const std::ptrdiff_t clear = 12 + 12 + 4 + 8;
  Bytes packet = plain;
  ASSERT_EQ(sender.protect(packet), SrtpStatus::kOk);
  EXPECT_TRUE(std::equal(plain.begin(), plain.begin() + clear, packet.begin()));
  EXPECT_FALSE(std::equal(plain.begin() + clear, plain.end(), packet.begin() + clear));
  ASSERT_EQ(receiver.unprotect(packet), SrtpStatus::kOk);
  EXPECT_EQ(packet, plain);
}

TEST_P(Srtp, malformed_packets_are_refused_and_change_nothing) {
  Bytes csrcs = rtp_packet(1, 56);
  csrcs[0] = 0x8f;
  Bytes extension_head = rtp_packet(1, 3);
  extension_head[0] = 0x90;
  Bytes extension_body = rtp_packet(1, 11);
  extension_body[0] = 0x90;
  write_be16(&extension_body[14], 2);
  for (const Bytes& plain : {csrcs, extension_head, extension_body, Bytes(11, 0x80), Bytes()}) {
    Bytes packet = plain;
    EXPECT_EQ(sender.protect(packet), SrtpStatus::kMalformed);
    EXPECT_EQ(packet, plain);
    EXPECT_TRUE(same_bytes(sender.stream, SrtpSendStream{}));
    EXPECT_EQ(sender.context.packets_used, 0U);
    packet.resize(plain.size() + info.rtp_tag_bytes);
    EXPECT_EQ(receiver.unprotect(packet), SrtpStatus::kMalformed);
    EXPECT_FALSE(receiver.verify_tag(packet));
  }
  for (std::size_t bytes = 0; bytes < 8; ++bytes) {
    Bytes packet(bytes, 0x80);
    EXPECT_EQ(sender.protect(packet, true), SrtpStatus::kMalformed);
    packet.resize(bytes + 4 + info.rtcp_tag_bytes);
    EXPECT_EQ(receiver.unprotect(packet, true), SrtpStatus::kMalformed);
  }
  Bytes oversized = rtp_packet(1, 65536);
  EXPECT_EQ(sender.protect(oversized), SrtpStatus::kMalformed);
  EXPECT_EQ(receiver.unprotect(oversized), SrtpStatus::kMalformed);
  EXPECT_TRUE(same_bytes(receiver.stream, SrtpReceiveStream{}));
}

TEST_P(Srtp, protect_needs_room_for_the_trailer) {
  for (const bool rtcp : {false, true}) {
    Bytes packet = rtcp ? rtcp_packet() : rtp_packet(3);
    const Bytes plain = packet;
    const std::size_t overhead = rtcp ? info.rtcp_tag_bytes + 4U : info.rtp_tag_bytes;
    SrtpJob job = sender.job_of(packet, rtcp);
    job.capacity = static_cast<std::uint32_t>(plain.size() + overhead - 1);
    sender.transform.protect({&job, 1});
    EXPECT_EQ(job.status, SrtpStatus::kNoRoom);
    EXPECT_TRUE(same_bytes(sender.stream, SrtpSendStream{}));
    EXPECT_TRUE(std::equal(plain.begin(), plain.end(), packet.begin()));
    ++job.capacity;
    sender.transform.protect({&job, 1});
    EXPECT_EQ(job.status, SrtpStatus::kOk);
    EXPECT_EQ(job.length, job.capacity);
    sender.stream = SrtpSendStream{};
  }
}

TEST_P(Srtp, replays_and_old_packets_are_refused) {
  std::vector<Bytes> packets;
  for (std::uint16_t sequence = 1000; sequence < 1130; ++sequence) {
    packets.push_back(protected_rtp(sequence));
  }
  EXPECT_EQ(receive(packets[1]), SrtpStatus::kOk);
  EXPECT_EQ(receive(packets[1]), SrtpStatus::kReplayed);
  EXPECT_EQ(receive(packets[128]), SrtpStatus::kOk);
  EXPECT_EQ(receive(packets[1]), SrtpStatus::kReplayed);
  EXPECT_EQ(receive(packets[2]), SrtpStatus::kOk);
  EXPECT_EQ(receive(packets[0]), SrtpStatus::kTooOld);
  EXPECT_EQ(receive(packets[129]), SrtpStatus::kOk);
  const SrtpReceiveStream before = receiver.stream;
  EXPECT_EQ(receive(packets[1]), SrtpStatus::kTooOld);
  EXPECT_EQ(receive(packets[2]), SrtpStatus::kReplayed);
  EXPECT_TRUE(same_bytes(before, receiver.stream));
}

TEST_P(Srtp, rtcp_replays_are_refused) {
  std::vector<Bytes> packets;
  for (int i = 0; i < 130; ++i) {
    packets.push_back(rtcp_packet());
    ASSERT_EQ(sender.protect(packets.back(), true), SrtpStatus::kOk);
  }
  const auto take = [&](std::size_t i) {
    Bytes packet = packets[i];
    return receiver.unprotect(packet, true);
  };
  EXPECT_EQ(take(0), SrtpStatus::kOk);
  EXPECT_EQ(take(0), SrtpStatus::kReplayed);
  EXPECT_EQ(take(129), SrtpStatus::kOk);
  EXPECT_EQ(take(1), SrtpStatus::kTooOld);
  EXPECT_EQ(take(2), SrtpStatus::kOk);
  EXPECT_EQ(take(2), SrtpStatus::kReplayed);
  // SRTP and SRTCP of one SSRC do not share a window.
  EXPECT_EQ(receive(protected_rtp(129)), SrtpStatus::kOk);
}

TEST_P(Srtp, rollover_with_reordering_across_the_wrap) {
  const Bytes before_wrap = protected_rtp(0xfffe);
  const Bytes late = protected_rtp(0xffff);
  const Bytes wrapped = protected_rtp(0);
  const Bytes after_wrap = protected_rtp(1);
  EXPECT_EQ(sender.index, 0x10001U);
  EXPECT_EQ(receive(before_wrap), SrtpStatus::kOk);
  EXPECT_EQ(receive(after_wrap), SrtpStatus::kOk);
  EXPECT_EQ(receiver.stream.rtp_highest, 0x10001U);
  EXPECT_EQ(receive(late), SrtpStatus::kOk);
  EXPECT_EQ(receiver.index, 0xffffU);
  EXPECT_EQ(receive(wrapped), SrtpStatus::kOk);
  EXPECT_EQ(receive(late), SrtpStatus::kReplayed);
  EXPECT_EQ(receiver.stream.rtp_highest, 0x10001U);
}

TEST_P(Srtp, many_rollovers) {
  std::uint16_t sequence = 0xff00;
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(receive(protected_rtp(sequence)), SrtpStatus::kOk) << i;
    sequence = static_cast<std::uint16_t>(sequence + 0x6000);
  }
  EXPECT_EQ(receiver.stream.rtp_highest, 0xff00U + 39U * 0x6000U);
}

TEST_P(Srtp, jump_ahead_within_the_first_period_is_received) {
  EXPECT_EQ(receive(protected_rtp(3)), SrtpStatus::kOk);
  // More than 2^15 ahead: RFC 3711 appendix A would guess a roll-over counter of -1.
  Sender jumped(keying);
  Bytes packet = rtp_packet(0xfff0);
  ASSERT_EQ(jumped.protect(packet), SrtpStatus::kOk);
  EXPECT_EQ(receive(packet), SrtpStatus::kOk);
  EXPECT_EQ(receiver.index, 0xfff0U);
}

TEST_P(Srtp, sequence_from_before_the_start_is_not_sent) {
  Bytes packet = protected_rtp(3);
  packet = rtp_packet(0xffff);
  EXPECT_EQ(sender.protect(packet), SrtpStatus::kIndexUsed);
  EXPECT_EQ(packet, rtp_packet(0xffff));
  EXPECT_EQ(sender.stream.rtp_highest, 3U);
}

/// An SRTCP packet with the E flag clear: authenticated, not encrypted.
Bytes unencrypted_rtcp(const SrtpContext& context, std::uint32_t index) {
  const bool gcm = is_gcm(context.suite);
  const std::size_t tag_bytes = info_of(context.suite).rtcp_tag_bytes;
  Bytes packet = rtcp_packet();
  const std::size_t body = packet.size();
  packet.resize(body + 4 + tag_bytes);
  SrtpOperation operation;
  operation.context = &context;
  operation.packet = packet.data();
  operation.clear_bytes = static_cast<std::uint32_t>(body);
  operation.tag = packet.data() + body + (gcm ? 0 : 4);
  operation.rtcp = true;
  operation.tail_bytes = 4;
  write_be32(operation.tail.data(), index);
  write_be32(packet.data() + body + (gcm ? tag_bytes : 0), index);
  if (gcm) {
    std::copy_n(context.rtcp_salt.begin(), 12, operation.iv.begin());
    std::uint8_t* ssrc = operation.iv.data() + 2;
    write_be32(ssrc, read_be32(ssrc) ^ 0xcafebabe);
    write_be32(ssrc + 6, read_be32(ssrc + 6) ^ index);
  }
  const auto backend = make_srtp_backend(kLibrary, 1);
  backend->seal({&operation, 1});
  return packet;
}

TEST_P(Srtp, unencrypted_rtcp_is_authenticated) {
  const Bytes good = unencrypted_rtcp(sender.context, 17);
  Bytes encrypted_flag = good;
  const std::size_t word =
      info.salt_bytes == 12 ? good.size() - 4 : good.size() - 4 - info.rtcp_tag_bytes;
  encrypted_flag[word] ^= 0x80;
  EXPECT_EQ(receiver.unprotect(encrypted_flag, true), SrtpStatus::kAuthFailed);
  Bytes changed = good;
  changed[20] ^= 1;
  EXPECT_EQ(receiver.unprotect(changed, true), SrtpStatus::kAuthFailed);
  EXPECT_TRUE(receiver.verify_tag(good, true));
  EXPECT_TRUE(same_bytes(receiver.stream, SrtpReceiveStream{}));

  Bytes packet = good;
  ASSERT_EQ(receiver.unprotect(packet, true), SrtpStatus::kOk);
  EXPECT_EQ(receiver.index, 17U);
  EXPECT_EQ(packet, rtcp_packet());
  packet = good;
  EXPECT_EQ(receiver.unprotect(packet, true), SrtpStatus::kReplayed);
}

TEST_P(Srtp, verify_tag_changes_nothing) {
  const Bytes first = protected_rtp(10, 3000);
  const Bytes second = protected_rtp(11);
  EXPECT_TRUE(receiver.verify_tag(first));
  EXPECT_TRUE(same_bytes(receiver.stream, SrtpReceiveStream{}));
  EXPECT_EQ(receive(first), SrtpStatus::kOk);
  const SrtpReceiveStream before = receiver.stream;
  const SrtpContext context = receiver.context;
  EXPECT_TRUE(receiver.verify_tag(first));  // replayed, but a right tag
  EXPECT_TRUE(receiver.verify_tag(second));
  for (std::size_t i = 0; i < second.size(); ++i) {
    Bytes tampered = second;
    tampered[i] ^= 0x20;
    EXPECT_FALSE(receiver.verify_tag(tampered)) << i;
  }
  EXPECT_TRUE(same_bytes(before, receiver.stream));
  EXPECT_TRUE(same_bytes(context, receiver.context));
  EXPECT_EQ(receive(second), SrtpStatus::kOk);
}

TEST_P(Srtp, batch_keeps_the_order_within_a_stream) {
  const std::vector<Bytes> wire = {protected_rtp(0xfffe), protected_rtp(0xffff), protected_rtp(0),
                                   protected_rtp(1)};
  // Each index depends on the packet before; the third is damaged, the fourth comes twice.
  std::vector<Bytes> packets = {wire[0], wire[1], wire[2], wire[2], wire[3], wire[3]};
  packets[2].back() ^= 1;
  packets[2][13] ^= 1;
  std::vector<SrtpJob> jobs;
  for (Bytes& packet : packets) {
    jobs.push_back(receiver.job_of(packet, false));
  }
  receiver.transform.unprotect(jobs);
  const std::vector<SrtpStatus> expected = {SrtpStatus::kOk,         SrtpStatus::kOk,
                                            SrtpStatus::kAuthFailed, SrtpStatus::kOk,
                                            SrtpStatus::kOk,         SrtpStatus::kReplayed};
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_EQ(jobs[i].status, expected[i]) << i;
  }
  EXPECT_EQ(jobs[4].index, 0x10001U);
}

TEST_P(Srtp, batch_across_streams_and_contexts) {
  constexpr std::size_t kContexts = 5;
  constexpr std::size_t kPackets = 200;
  SrtpTransform transform(2 * kContexts, kLibrary);
  std::vector<SrtpContext> from(kContexts);
  std::vector<SrtpContext> to(kContexts);
  std::vector<SrtpSendStream> send(kContexts);
  std::vector<SrtpReceiveStream> receive_streams(kContexts);
  for (std::size_t i = 0; i < kContexts; ++i) {
    const SrtpKeying key = random_keying(kSuites[(i + below(random, 6)) % 6], random, i);
    ASSERT_TRUE(derive_srtp_context(key, from[i]));
    ASSERT_TRUE(derive_srtp_context(key, to[i]));
  }
  std::vector<Bytes> packets;
  std::vector<SrtpJob> jobs;
  for (std::size_t i = 0; i < kPackets; ++i) {
    packets.push_back(rtp_packet(static_cast<std::uint16_t>(i), i));
    packets.back().resize(12 + i + kSrtpTrailerBytesMax);
    SrtpJob job;
    job.data = packets.back().data();
    job.length = static_cast<std::uint32_t>(12 + i);
    job.capacity = static_cast<std::uint32_t>(packets.back().size());
    job.cache_slot = static_cast<std::uint32_t>(i % kContexts);
    job.context = &from[i % kContexts];
    job.send = &send[i % kContexts];
    jobs.push_back(job);
  }
  transform.protect(jobs);
  for (std::size_t i = 0; i < kPackets; ++i) {
    ASSERT_EQ(jobs[i].status, SrtpStatus::kOk);
    jobs[i].cache_slot += kContexts;
    jobs[i].context = &to[i % kContexts];
    jobs[i].receive = &receive_streams[i % kContexts];
  }
  transform.unprotect(jobs);
  for (std::size_t i = 0; i < kPackets; ++i) {
    ASSERT_EQ(jobs[i].status, SrtpStatus::kOk);
    packets[i].resize(jobs[i].length);
    EXPECT_EQ(packets[i], rtp_packet(static_cast<std::uint16_t>(i), i));
  }
}

TEST_P(Srtp, empty_batch) {
  sender.transform.protect({});
  receiver.transform.unprotect({});
}

TEST_P(Srtp, explicit_lifetime_counts_rtp_and_rtcp_apart) {
  sender.context.lifetime_packets = 3;
  for (std::uint16_t i = 0; i < 3; ++i) {
    protected_rtp(i);
    Bytes packet = rtcp_packet();
    EXPECT_EQ(sender.protect(packet, true), SrtpStatus::kOk);
  }
  const SrtpSendStream before = sender.stream;
  Bytes packet = rtp_packet(3);
  EXPECT_EQ(sender.protect(packet), SrtpStatus::kKeyExhausted);
  EXPECT_EQ(packet, rtp_packet(3));
  packet = rtcp_packet();
  EXPECT_EQ(sender.protect(packet, true), SrtpStatus::kKeyExhausted);
  EXPECT_EQ(packet, rtcp_packet());
  EXPECT_TRUE(same_bytes(before, sender.stream));
}

TEST_P(Srtp, suite_lifetimes_end) {
  sender.context.packets_used = (std::uint64_t{1} << 48) - 1;
  protected_rtp(1);
  Bytes packet = rtp_packet(2);
  EXPECT_EQ(sender.protect(packet), SrtpStatus::kKeyExhausted);

  sender.context.rtcp_packets_used = (std::uint64_t{1} << 31) - 1;
  packet = rtcp_packet();
  EXPECT_EQ(sender.protect(packet, true), SrtpStatus::kOk);
  packet = rtcp_packet();
  EXPECT_EQ(sender.protect(packet, true), SrtpStatus::kKeyExhausted);
}

TEST_P(Srtp, lifetime_above_the_suites_limit_does_not_extend_it) {
  sender.context.lifetime_packets = ~std::uint64_t{0};
  sender.context.rtcp_packets_used = std::uint64_t{1} << 31;
  sender.context.packets_used = std::uint64_t{1} << 48;
  Bytes packet = rtp_packet(1);
  EXPECT_EQ(sender.protect(packet), SrtpStatus::kKeyExhausted);
  packet = rtcp_packet();
  EXPECT_EQ(sender.protect(packet, true), SrtpStatus::kKeyExhausted);
}

TEST_P(Srtp, rtcp_index_ends_and_does_not_wrap) {
  sender.stream.rtcp_next = 0x7fffffff;
  Bytes packet = rtcp_packet();
  ASSERT_EQ(sender.protect(packet, true), SrtpStatus::kOk);
  EXPECT_EQ(sender.index, 0x7fffffffU);
  EXPECT_EQ(receiver.unprotect(packet, true), SrtpStatus::kOk);
  packet = rtcp_packet();
  EXPECT_EQ(sender.protect(packet, true), SrtpStatus::kKeyExhausted);
  EXPECT_EQ(packet, rtcp_packet());
}

TEST_P(Srtp, rollover_counter_ends_and_does_not_wrap) {
  sender.stream.rtp_highest = 0xfffffffffff0;
  sender.stream.rtp_started = 1;
  receiver.stream.rtp_highest = 0xfffffffffff0;
  receiver.stream.rtp_started = 1;
  EXPECT_EQ(receive(protected_rtp(0xffff)), SrtpStatus::kOk);
  EXPECT_EQ(receiver.index, 0xffffffffffffU);
  Bytes packet = rtp_packet(0);
  EXPECT_EQ(sender.protect(packet), SrtpStatus::kKeyExhausted);
  packet.resize(packet.size() + info.rtp_tag_bytes);
  EXPECT_EQ(receiver.unprotect(packet), SrtpStatus::kKeyExhausted);
  EXPECT_FALSE(receiver.verify_tag(packet));
  EXPECT_EQ(receiver.stream.rtp_highest, 0xffffffffffffU);
}

}  // namespace
}  // namespace turnpike
