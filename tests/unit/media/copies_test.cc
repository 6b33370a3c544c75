// Subscribers: one leg's packets sent to several receivers, each with keys of its own.
#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/unit/media/secure_leg.h"

namespace turnpike::test {
namespace {

constexpr std::uint32_t kFirstSlot = 4;

struct Subscribers : Secure {
  static SocketTag id_of(std::uint32_t n) { return {kFirstSlot + n, 1, Side::kA, Component::kRtp}; }
  static SocketAddress at(std::uint32_t n) { return elsewhere(static_cast<std::uint8_t>(100 + n)); }
  static LegConfig hearing(Side side, const SocketTag& heard = MediaFixture::kId) {
    LegConfig config;
    config.absent = true;
    config.expects_media = false;
    config.hears = {{heard.slot, heard.generation, 0}, side};
    return config;
  }
  static LegConfig plain_at(const SocketAddress& address) {
    LegConfig config;
    config.remote = {address, {address.ip, static_cast<std::uint16_t>(address.port + 1)}};
    config.expects_media = false;
    return config;
  }
  void open(std::uint32_t n) { open_at(id_of(n), static_cast<std::uint16_t>(37000 + n * 2)); }
  void open_at(const SocketTag& id, std::uint16_t first_port) {
    std::array<std::array<SocketAddress, 2>, 2> local{};
    for (std::uint16_t component = 0; component < 2; ++component) {
      const auto port = static_cast<std::uint16_t>(first_port + component);
      local[0][component] = {IpAddress::v4(192, 0, 2, 1), port};
    }
    media.engine().open(id, MediaKind::kAudio, local, media.now());
  }
  media::LegState& arena_leg(std::uint32_t n) {
    return media.arena().session(id_of(n).slot).legs[index_of(Side::kB)];
  }
  void set(std::uint32_t n, const LegConfig& first, const LegConfig& second) {
    media.engine().update_leg(id_of(n), Side::kA, first, media.now());
    media.engine().update_leg(id_of(n), Side::kB, second, media.now());
  }
  void subscribe(std::uint32_t n, Side side = Side::kA) {
    open(n);
    set(n, plain_at(at(n)), hearing(side));
  }
  SrtpPeer subscribe_with_keys(std::uint32_t n, Side side) {
    open(n);
    LegConfig secure = MediaFixture::secure(Side::kA, kGcm, 40);
    secure.remote = plain_at(at(n)).remote;
    set(n, secure, hearing(side));
    return {secure.receive, secure.send};
  }
  std::vector<Sent> copies() { return media.copies(); }
  std::uint64_t accounted() const {
    return media_counters().packets_forwarded.value() + media.drops_total();
  }
  const ShardCounters& media_counters() const {
    return const_cast<Subscribers*>(this)->media.counters();
  }
  void expect_balance() {
    const ShardCounters& counters = media.counters();
    EXPECT_EQ(counters.packets_received.value() + counters.packets_copied.value(), accounted());
  }
};

TEST_F(Subscribers, hear_one_leg_and_its_peer_all_the_same) {
  subscribe(0);
  subscribe(1);
  subscribe(2, Side::kB);
  const auto packet = rtp_packet(101);
  const auto forwarded = client_sends();
  ASSERT_EQ(forwarded.size(), 1U);
  EXPECT_EQ(forwarded[0].bytes, packet) << "leg B is plain";
  const auto copied = copies();
  ASSERT_EQ(copied.size(), 2U);
  for (const Sent& one : copied) {
    const std::uint32_t n = one.tag.slot - kFirstSlot;
    EXPECT_EQ(one.bytes, packet);
    EXPECT_EQ(one.destination, at(n));
    EXPECT_EQ(one.tag.side, Side::kA);
  }
  media.arrive(Side::kB, packet);
  const auto of_b = copies();
  ASSERT_EQ(of_b.size(), 1U);
  EXPECT_EQ(of_b[0].destination, at(2));
  EXPECT_EQ(of_b[0].bytes, packet) << "before it is encrypted for the client";
  expect_balance();
}

TEST_F(Subscribers, have_keys_and_indices_of_their_own) {
  SrtpPeer subscriber = subscribe_with_keys(0, Side::kA);
  const LegConfig b = MediaFixture::secure(Side::kB, kCm, 70);
  media.update(Side::kB, b);
  SrtpPeer peer(b.receive, b.send);
  for (int i = 0; i < 5; ++i) {
    const auto forwarded = client_sends();
    const auto copied = copies();
    ASSERT_EQ(forwarded.size() + copied.size(), 2U);
    EXPECT_EQ(subscriber.unprotect(copied[0].bytes), rtp_packet(sequence));
    EXPECT_EQ(peer.unprotect(forwarded[0].bytes), rtp_packet(sequence));
    EXPECT_TRUE(peer.unprotect(copied[0].bytes).empty());
  }
  expect_balance();
}

TEST_F(Subscribers, are_sent_no_index_twice_when_a_sender_begins_anew) {
  SrtpPeer subscriber = subscribe_with_keys(0, Side::kB);
  std::set<std::uint16_t> numbers;
  const auto copies_of = [&](std::uint16_t number) {
    media.arrive(Side::kB, rtp_packet(number));
    const auto copied = copies();
    for (const Sent& one : copied) {
      const std::uint16_t sent = read_be16(one.bytes.data() + 2);
      EXPECT_TRUE(numbers.insert(sent).second) << sent << " was sent before";
      EXPECT_FALSE(subscriber.unprotect(one.bytes).empty()) << sent;
    }
    return copied.size();
  };
  for (std::uint16_t n = 101; n <= 110; ++n) EXPECT_EQ(copies_of(n), 1U);
  EXPECT_EQ(copies_of(110), 0U) << "doubled on its way";
  std::size_t sent = 0;
  for (std::uint16_t n = 103; n <= 110; ++n) sent += copies_of(n);
  EXPECT_EQ(sent, 6U) << "the third in a row says that it is a restart";
  EXPECT_EQ(*numbers.begin(), 101U);
  EXPECT_EQ(*numbers.rbegin(), 116U) << "and goes on where the first run ended";
  expect_balance();
}

TEST_F(Subscribers, of_a_session_that_has_ended_are_none_of_the_next_one_in_its_slot) {
  for (std::uint32_t n = 0; n < kSubscribersPerLegMax; ++n) subscribe(n);
  client_sends();
  EXPECT_EQ(copies().size(), kSubscribersPerLegMax);
  media.engine().close(MediaFixture::kId);
  SocketTag next = MediaFixture::kId;
  ++next.generation;
  open_at(next, 36000);
  for (const Side side : {Side::kA, Side::kB}) {
    media.engine().update_leg(next, side, MediaFixture::plain(side), media.now());
  }
  const auto sends = [&] {
    media.queue_at(next, rtp_packet(++sequence), MediaFixture::remote(Side::kA));
    return media.deliver().size();
  };
  EXPECT_EQ(sends(), 1U);
  EXPECT_TRUE(copies().empty());
  // Nor do they take the room of who subscribes to it.
  const std::uint32_t last = kSubscribersPerLegMax;
  open(last);
  set(last, plain_at(at(last)), hearing(Side::kA, next));
  EXPECT_EQ(sends(), 1U);
  const auto copied = copies();
  ASSERT_EQ(copied.size(), 1U);
  EXPECT_EQ(copied[0].destination, at(last));
  expect_balance();
}

TEST_F(Subscribers, hear_no_other_session_even_by_a_list_that_is_wrong) {
  subscribe(0, Side::kB);
  subscribe(1, Side::kB);
  SocketTag other = MediaFixture::kId;
  other.side = Side::kB;
  media.state().generation = ++other.generation;  // and nobody was told
  LegConfig heard = hearing(Side::kB, other);
  arena_leg(1).config.hears = heard.hears;
  media.queue_at(other, rtp_packet(1), MediaFixture::remote(Side::kB));
  EXPECT_EQ(media.deliver().size(), 1U);
  const auto copied = copies();
  ASSERT_EQ(copied.size(), 1U);
  EXPECT_EQ(copied[0].destination, at(1));
  expect_balance();
}

TEST_F(Subscribers, are_blocked_and_silenced_one_by_one) {
  for (std::uint32_t n = 0; n < 3; ++n) subscribe(n);
  media.engine().switch_media(id_of(0), Side::kB, {true, false});
  media.engine().switch_media(id_of(1), Side::kB, {false, true});
  EXPECT_EQ(client_sends().size(), 1U);
  const auto packet = rtp_packet(sequence);
  const std::vector<std::uint8_t> silence(packet.size() - 12, 0xff);
  unsigned seen = 0;
  for (const Sent& one : copies()) {
    if (one.destination == at(1)) {
      EXPECT_TRUE(std::equal(silence.begin(), silence.end(), one.bytes.begin() + 12));
    } else {
      EXPECT_EQ(one.destination, at(2));
      EXPECT_EQ(one.bytes, packet);
    }
    ++seen;
  }
  EXPECT_EQ(seen, 2U);
  EXPECT_EQ(media.drops(DropReason::kBlocked), 1U);
  expect_balance();
}

TEST_F(Subscribers, are_not_heard_whatever_they_send) {
  subscribe(0);
  client_sends();
  copies();
  const std::uint64_t before = media.counters().packets_forwarded.value();
  media.queue_at(id_of(0), rtp_packet(7, 0x2222), at(0));
  SocketTag rtcp = id_of(0);
  rtcp.component = Component::kRtcp;
  media.queue_at(rtcp, rtcp_packet(0x2222), {at(0).ip, static_cast<std::uint16_t>(at(0).port + 1)});
  EXPECT_TRUE(media.deliver().empty());
  EXPECT_TRUE(copies().empty());
  EXPECT_EQ(media.counters().packets_forwarded.value(), before);
  EXPECT_EQ(media.drops(DropReason::kFromSubscriber), 2U);
  expect_balance();
}

TEST_F(Subscribers, hear_reports_of_the_sender) {
  subscribe(0);
  media.arrive(Side::kB, rtp_packet(1), MediaFixture::remote(Side::kB));
  copies();
  set(0, plain_at(at(0)), hearing(Side::kB));
  media.arrive(Side::kB, rtcp_packet(), MediaFixture::remote(Side::kB, Component::kRtcp),
               Component::kRtcp);
  const auto copied = copies();
  ASSERT_EQ(copied.size(), 1U);
  EXPECT_EQ(copied[0].destination.port, at(0).port + 1);
}

TEST_F(Subscribers, hear_what_the_peer_cannot_be_sent_and_not_what_is_blocked) {
  subscribe(0);
  LegConfig held = MediaFixture::plain(Side::kB);
  held.remote = {};
  media.update(Side::kB, held);
  EXPECT_TRUE(client_sends().empty());
  EXPECT_EQ(copies().size(), 1U);
  media.engine().switch_media(MediaFixture::kId, Side::kA, {true, false});
  client_sends();
  EXPECT_TRUE(copies().empty());
  expect_balance();
}

TEST_F(Subscribers, end_with_their_session_or_that_of_the_leg) {
  subscribe(0);
  subscribe(1);
  media.engine().close(id_of(0));
  client_sends();
  EXPECT_EQ(copies().size(), 1U);
  set(1, plain_at(at(1)), hearing(Side::kA, {MediaFixture::kId.slot, 99}));
  client_sends();
  EXPECT_TRUE(copies().empty()) << "another session of that slot";
  set(1, plain_at(at(1)), hearing(Side::kA));
  client_sends();
  EXPECT_EQ(copies().size(), 1U);
  media.engine().close(MediaFixture::kId);
  SessionStats stats;
  ASSERT_TRUE(media.engine().stats(id_of(1), stats));
  EXPECT_EQ(stats.legs[0].packets_sent, 2U);
  EXPECT_EQ(stats.legs[1].packets_received, 2U);
}

TEST_F(Subscribers, hear_what_is_published_which_goes_nowhere_else) {
  LegConfig publisher = hearing(Side::kA);
  publisher.hears = {};
  media.update(Side::kB, publisher);
  client_sends();
  EXPECT_EQ(media.drops(DropReason::kNotHeard), 1U);
  EXPECT_TRUE(copies().empty());
  subscribe(0);
  subscribe(1);
  EXPECT_TRUE(client_sends().empty());
  EXPECT_EQ(copies().size(), 2U);
  EXPECT_EQ(media.drops(DropReason::kNotHeard), 1U);
  expect_balance();
}

TEST_F(Subscribers, of_a_full_batch_come_in_rounds) {
  for (std::uint32_t n = 0; n < 4; ++n) subscribe(n);
  for (std::size_t i = 0; i < kBatchPacketsMax; ++i) {
    media.queue(Side::kA, client.protect(rtp_packet(++sequence)), MediaFixture::remote(Side::kA));
  }
  EXPECT_EQ(media.deliver().size(), kBatchPacketsMax);
  const auto copied = copies();
  EXPECT_EQ(copied.size(), kBatchPacketsMax * 4);
  std::map<std::uint32_t, std::uint16_t> newest;
  for (const Sent& one : copied) {
    const std::uint16_t number = read_be16(one.bytes.data() + 2);
    EXPECT_GT(number, newest[one.tag.slot]) << "in order";
    newest[one.tag.slot] = number;
  }
  EXPECT_EQ(newest.size(), 4U);
  expect_balance();
}

TEST_F(Subscribers, one_cannot_hear_itself) {
  open(0);
  set(0, plain_at(at(0)), hearing(Side::kA, id_of(0)));
  media.queue_at(id_of(0), rtp_packet(1, 0x3333), at(0));
  EXPECT_TRUE(media.deliver().empty());
  EXPECT_TRUE(copies().empty());
}

TEST_F(Subscribers, are_found_again_by_another_process) {
  subscribe(0);
  client_sends();
  copies();
  media::Engine next(media.arena(), {}, media.counters());
  next.resume(media.now());
  Batch batch;
  Outbox outbox;
  media::Notices notices;
  const auto packet = client.protect(rtp_packet(++sequence));
  Packet* arrived = batch.next();
  std::copy(packet.begin(), packet.end(), arrived->data);
  arrived->length = static_cast<std::uint32_t>(packet.size());
  arrived->source = MediaFixture::remote(Side::kA);
  arrived->tag = MediaFixture::kId;
  batch.commit();
  next.handle(media.now(), batch, outbox, notices);
  outbox.clear();
  ASSERT_TRUE(next.copy(media.now(), outbox, notices));
  ASSERT_EQ(outbox.size(), 1U);
  EXPECT_EQ(outbox.begin()->destination, at(0));
  EXPECT_FALSE(next.copy(media.now(), outbox, notices));
}

}  // namespace
}  // namespace turnpike::test
