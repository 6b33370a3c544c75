// An edge without keys: bytes pass as they are, and nothing goes to a source that nobody vouches
// for.
#include <gtest/gtest.h>

#include "relay/media/client_sources.h"
#include "tests/support/media_fixture.h"
#include "turnpike/flow.h"

namespace turnpike::test {
namespace {

using media::ClientSources;

SocketAddress source(std::uint8_t host, std::uint16_t port = 5000) {
  return {IpAddress::v4(203, 0, 113, host), port};
}

const SocketAddress kSignalled = MediaFixture::remote(Side::kA);

class Opaque : public ::testing::Test {
 protected:
  Opaque() {
    media.state().legs[1].local = {};  // side B is carried
    LegConfig client = MediaFixture::plain(Side::kA);
    client.opaque = true;
    LegConfig core;
    core.opaque = true;
    media.update(Side::kA, client);
    media.update(Side::kB, core);
  }
  // The number that the core is told of, for a packet from `from`; -1: it was dropped.
  int heard(const SocketAddress& from) {
    const auto sent = media.arrive(Side::kA, rtp_packet(++sequence), from);
    if (sent.empty()) return -1;
    EXPECT_EQ(sent[0].tag.side, Side::kB);
    EXPECT_EQ(sent[0].bytes, rtp_packet(sequence));
    return source_of_address(sent[0].destination);
  }
  // Where a packet of the core goes that names this source; unset: nowhere.
  SocketAddress named(int number) {
    const auto sent = media.arrive(Side::kB, rtp_packet(++sequence),
                                   address_of_source(static_cast<std::uint8_t>(number)));
    return sent.empty() ? SocketAddress{} : sent[0].destination;
  }

  MediaFixture media;
  std::uint16_t sequence = 0;
};

TEST_F(Opaque, bytes_pass_as_they_are_in_both_directions) {
  const std::vector<std::vector<std::uint8_t>> kinds = {
      rtp_packet(1), rtcp_packet(), {22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}};
  for (const auto& bytes : kinds) {
    auto sent = media.arrive(Side::kA, bytes, kSignalled);
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].bytes, bytes);
    EXPECT_EQ(sent[0].destination, address_of_source(ClientSources::kSignalled));
    sent = media.arrive(Side::kB, bytes, address_of_source(ClientSources::kSignalled));
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].bytes, bytes);
    EXPECT_EQ(sent[0].destination, kSignalled);
  }
  const SessionStats stats = media.stats();
  EXPECT_EQ(stats.legs[0].packets_received, 2U);
  EXPECT_EQ(stats.legs[0].rtcp_received, 1U);
  EXPECT_EQ(stats.legs[0].packets_sent, 2U);
  EXPECT_EQ(stats.legs[0].rtcp_sent, 1U);
}

TEST_F(Opaque, what_is_no_media_is_dropped) {
  EXPECT_TRUE(media.arrive(Side::kA, std::vector<std::uint8_t>(30, 0x05), kSignalled).empty());
  EXPECT_EQ(media.drops(DropReason::kUnknownProtocol), 1U);
  EXPECT_TRUE(media.arrive(Side::kA, std::vector<std::uint8_t>(30, 0x00), kSignalled).empty());
  EXPECT_EQ(media.drops(DropReason::kUnexpectedStun), 1U);
  EXPECT_TRUE(media.arrive(Side::kA, {}, kSignalled).empty());
  EXPECT_EQ(media.drops(DropReason::kTooShort), 1U);
  EXPECT_EQ(heard({source(1).ip, 53}), -1);
  EXPECT_EQ(media.drops(DropReason::kReservedSourcePort), 1U);
}

TEST_F(Opaque, an_address_of_the_core_means_nothing_from_outside) {
  const auto sent = media.arrive(Side::kA, rtp_packet(1), address_of_source(0));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].tag.side, Side::kB) << "a source as any other";
  EXPECT_NE(sent[0].destination, address_of_source(0));
}

TEST_F(Opaque, the_core_s_keepalive_passes) {
  const auto sent = media.arrive(Side::kB, {}, address_of_source(0));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(sent[0].keepalive);
  EXPECT_EQ(sent[0].destination, kSignalled);
}

// On an edge M3 means: what it cannot verify it must not learn from.
TEST_F(Opaque, M3_on_an_edge_nothing_goes_to_a_source_that_the_core_has_not_named) {
  EXPECT_EQ(named(0), kSignalled);
  const int attacker = heard(source(66));
  const int client = heard(source(1));
  ASSERT_GT(attacker, 0);
  ASSERT_GT(client, 0);
  EXPECT_NE(attacker, client);
  for (int i = 0; i < 50; ++i) {
    heard(source(66));
    EXPECT_EQ(named(client), source(1));
  }
  EXPECT_EQ(named(250), source(1)) << "a number that nobody has: the last one that was named";
}

TEST_F(Opaque, many_sources_cost_little_and_do_not_push_out_the_client) {
  const int client = heard(source(1));
  EXPECT_EQ(named(client), source(1));
  int passed = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto port = static_cast<std::uint16_t>(2000 + i);
    if (heard(source(66, port)) >= 0) ++passed;
    if (i % 20 == 0) {
      EXPECT_EQ(heard(source(1)), client);
      EXPECT_EQ(named(client), source(1));
    }
    media.advance(std::chrono::microseconds(100));  // two seconds in all
  }
  EXPECT_LE(passed, 3 * static_cast<int>(ClientSources::kNewASecond));
}

TEST_F(Opaque, a_source_that_is_not_named_has_a_budget) {
  int passed = 0;
  for (int i = 0; i < 1000; ++i) {
    if (heard(source(66)) >= 0) ++passed;
    media.advance(Milliseconds(1));
  }
  EXPECT_LE(passed, static_cast<int>(ClientSources::kPacketsASecond) + 1);
  EXPECT_EQ(media.drops(DropReason::kWrongSource), 1000U - static_cast<unsigned>(passed));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(heard(kSignalled), 0) << "the signalled one has none";
}

TEST_F(Opaque, a_moved_client_is_heard_among_many_strangers) {
  const int before = heard(source(1));
  EXPECT_EQ(named(before), source(1));
  bool followed = false;
  for (int i = 0; i < 30000 && !followed; ++i) {
    if (i % 10 == 9) {
      const int number = heard(source(2));
      // The core needs half a second, and some packets, before it believes.
      if (number > 0) {
        for (int k = 0; k < 30; ++k) {
          media.advance(Milliseconds(20));
          heard(source(66, static_cast<std::uint16_t>(2000 + i + k)));
          ASSERT_EQ(heard(source(2)), number) << "it stays while the core makes up its mind";
        }
        EXPECT_EQ(named(number), source(2));
        followed = true;
      }
    }
    heard(source(66, static_cast<std::uint16_t>(2000 + i)));
    media.advance(Milliseconds(1 + i * i % 5));
  }
  EXPECT_TRUE(followed);
}

/// The engine of the process after this one, over the same arena.
struct Successor {
  explicit Successor(MediaFixture& before) : engine(before.arena(), {}, counters) {
    engine.resume(before.now());
  }
  // Where a packet to the leg of `side` goes; unset: nowhere.
  SocketAddress arrive(Side side, const SocketAddress& from, Instant now) {
    Batch batch;
    Outbox out;
    media::Notices notices;
    Packet* packet = batch.next();
    const auto bytes = rtp_packet(1);
    std::copy(bytes.begin(), bytes.end(), packet->data);
    packet->length = static_cast<std::uint32_t>(bytes.size());
    packet->source = from;
    packet->tag = {MediaFixture::kId.slot, MediaFixture::kId.generation, side, Component::kRtp};
    batch.commit();
    engine.handle(now, batch, out, notices);
    return out.size() == 0 ? SocketAddress{} : out.begin()->destination;
  }

  ShardCounters counters;
  media::Engine engine;
};

TEST_F(Opaque, who_is_at_a_known_address_is_told_from_strangers) {
  LegConfig client = MediaFixture::plain(Side::kA);
  client.opaque = true;
  client.received_from = source(7).ip;
  media.update(Side::kA, client);
  for (const SocketAddress& known : {SocketAddress{kSignalled.ip, 6000}, source(7, 6001)}) {
    const int number = heard(known);
    EXPECT_GT(number, 0);
    EXPECT_LT(number, kStrangersFrom);
    EXPECT_EQ(address_of_source(static_cast<std::uint8_t>(number)).ip, address_of_source(0).ip);
  }
  const int stranger = heard(source(66));
  EXPECT_GE(stranger, kStrangersFrom);
  EXPECT_NE(address_of_source(static_cast<std::uint8_t>(stranger)).ip, address_of_source(0).ip);
}

TEST_F(Opaque, strangers_make_room_for_who_is_at_a_known_address) {
  for (std::uint8_t i = 0; i < 3; ++i) EXPECT_GE(heard(source(66, 2000 + i)), kStrangersFrom);
  EXPECT_EQ(heard(source(67)), -1) << "no room for another one so soon";
  EXPECT_GT(heard({kSignalled.ip, 6000}), 0) << "at once";
}

TEST_F(Opaque, M3_another_signalled_address_voids_what_was_heard) {
  const int client = heard(source(1));
  EXPECT_EQ(named(client), source(1));
  LegConfig moved = MediaFixture::plain(Side::kA);
  moved.opaque = true;
  moved.remote = {source(9), source(9)};
  media.update(Side::kA, moved);
  EXPECT_EQ(named(client), source(9)) << "the old place is sent nothing more";
  LegConfig held = moved;
  held.remote = {};
  media.update(Side::kA, held);
  EXPECT_FALSE(named(client).is_set());
  EXPECT_FALSE(named(0).is_set());
}

TEST_F(Opaque, what_nobody_has_verified_keeps_no_call_alive) {
  const Instant before = media.stats().legs[0].last_carried;
  media.advance(Milliseconds(100));
  EXPECT_GT(heard(source(66)), 0);
  EXPECT_EQ(media.stats().legs[0].last_carried, before);
  const int client = heard(source(1));
  named(client);
  heard(source(1));
  EXPECT_EQ(media.stats().legs[0].last_carried, media.now());
}

TEST_F(Opaque, M3_after_a_restart_nobody_gets_the_client_s_number) {
  const int client = heard(source(1));
  EXPECT_EQ(named(client), source(1));
  const SocketAddress its_number = address_of_source(static_cast<std::uint8_t>(client));
  Successor successor(media);
  for (std::uint8_t i = 0; i < 3; ++i) {  // strangers are there first
    EXPECT_NE(successor.arrive(Side::kA, source(66, 2000 + i), media.now()), its_number);
  }
  EXPECT_EQ(successor.arrive(Side::kB, its_number, media.now()), source(1));
  EXPECT_EQ(successor.arrive(Side::kA, source(1), media.now()), its_number);
}

TEST_F(Opaque, M3_a_silent_client_keeps_its_number) {
  const int client = heard(source(1));
  EXPECT_EQ(named(client), source(1));
  for (int i = 0; i < 60000; ++i) {
    heard(source(66, static_cast<std::uint16_t>(2000 + i % 60000)));
    media.advance(Milliseconds(1));
  }
  EXPECT_EQ(named(client), source(1));
}

TEST_F(Opaque, with_ice_the_selected_pair_alone_is_heard_and_sent_to) {
  LegConfig client = MediaFixture::plain(Side::kA);
  client.opaque = true;
  client.ice = true;
  media.update(Side::kA, client);
  EXPECT_EQ(heard(source(1)), -1) << "nothing is selected yet";
  EXPECT_FALSE(named(0).is_set());
  media.engine().set_destination(MediaFixture::kId, source(1));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(heard(source(1)), 0) << "without a budget";
    EXPECT_EQ(heard(source(66)), -1);
  }
  EXPECT_EQ(named(0), source(1));
  EXPECT_EQ(named(9), source(1));
}

}  // namespace
}  // namespace turnpike::test
