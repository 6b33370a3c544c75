// What stands in the datagrams, and the clock behind them.
#include <ctime>

#include <gtest/gtest.h>
#include <sys/time.h>

#include "relay/core/bytes.h"
#include "relay/crypto/dtls.h"
#include "relay/crypto/dtls_clock.h"
#include "relay/crypto/dtls_cookie.h"
#include "relay/dtls/records.h"
#include "tests/unit/dtls/line.h"

namespace turnpike::dtls_testing {
namespace {

TEST(DtlsClock, is_the_wall_clock_where_nothing_else_is_said) {
  timeval seen{};
  {
    const DtlsClock clock(Instant{} + Seconds{5} + Milliseconds{250});
    ASSERT_EQ(gettimeofday(&seen, nullptr), 0);
    EXPECT_EQ(seen.tv_usec, 250000);
    EXPECT_LT(seen.tv_sec, 1000000);
  }
  struct timezone zone = {1, 1};
  const std::time_t before = std::time(nullptr);
  ASSERT_EQ(gettimeofday(&seen, &zone), 0);
  EXPECT_GE(seen.tv_sec, before - 1);
  EXPECT_LE(seen.tv_sec, std::time(nullptr) + 1);
  EXPECT_EQ(zone.tz_minuteswest, 0);
}

TEST(Records, are_taken_off_one_by_one) {
  const Bytes first = plain_record(22, {1, 2, 3});
  const Bytes second = plain_record(20, {1}, 77);
  Bytes datagram = first;
  datagram.insert(datagram.end(), second.begin(), second.end());
  datagram.insert(datagram.end(), {22, 0xfe, 0xfd});
  std::span<const std::uint8_t> rest = datagram;
  DtlsRecord record;
  ASSERT_TRUE(take_record(rest, record));
  EXPECT_EQ(record.type, 22);
  EXPECT_EQ(record.payload.size(), 3U);
  ASSERT_TRUE(take_record(rest, record));
  EXPECT_EQ(record.sequence, 77U);
  EXPECT_EQ(record.whole.size(), second.size());
  EXPECT_FALSE(take_record(rest, record));
}

TEST(Records, that_do_not_add_up_are_none) {
  const Bytes good = plain_record(22, {1, 2, 3});
  const auto is_record = [](Bytes bytes) {
    std::span<const std::uint8_t> rest = bytes;
    DtlsRecord record;
    return take_record(rest, record);
  };
  EXPECT_TRUE(is_record(good));
  for (std::size_t bytes = 0; bytes < good.size(); ++bytes) {
    EXPECT_FALSE(is_record(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes))));
  }
  for (const auto& [place, value] : std::vector<std::pair<std::size_t, std::uint8_t>>{
           {0, 19}, {0, 24}, {1, 3}, {11, 1}, {12, 4}}) {
    Bytes bad = good;
    bad[place] = value;
    EXPECT_FALSE(is_record(bad)) << place;
  }
  EXPECT_FALSE(is_record(plain_record(22, {})));
}

RecordVerdict verdict(std::uint8_t type, const Bytes& payload, std::uint8_t epoch,
                      DtlsRole role = DtlsRole::kPassive) {
  Bytes bytes = plain_record(type, payload);
  bytes[4] = epoch;
  std::span<const std::uint8_t> rest = bytes;
  DtlsRecord record;
  EXPECT_TRUE(take_record(rest, record));
  return judge(record, role);
}

TEST(Records, in_plaintext_pass_only_as_part_of_a_handshake) {
  const auto message = [](std::uint8_t type, std::uint8_t length, std::uint8_t offset,
                          std::uint8_t bytes) {
    Bytes made = {type, 0, 0, length, 0, 0, 0, 0, offset, 0, 0, bytes};
    made.resize(made.size() + bytes);
    return made;
  };
  EXPECT_EQ(verdict(22, message(1, 4, 0, 4), 0), RecordVerdict::kPass);
  EXPECT_EQ(verdict(22, message(1, 4, 2, 2), 0), RecordVerdict::kPass);
  EXPECT_EQ(verdict(22, message(1, 4, 2, 3), 0), RecordVerdict::kDrop);
  EXPECT_EQ(verdict(22, message(2, 4, 0, 4), 0), RecordVerdict::kDrop);
  EXPECT_EQ(verdict(22, message(2, 4, 0, 4), 0, DtlsRole::kActive), RecordVerdict::kPass);
  EXPECT_EQ(verdict(22, message(1, 4, 0, 4), 0, DtlsRole::kActive), RecordVerdict::kDrop);
  EXPECT_EQ(verdict(22, message(0, 0, 0, 0), 0, DtlsRole::kActive), RecordVerdict::kDrop);
  EXPECT_EQ(verdict(22, message(20, 12, 0, 12), 0), RecordVerdict::kDrop);
  EXPECT_EQ(verdict(22, {11, 0, 0x40, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 0), RecordVerdict::kDrop);
  EXPECT_EQ(verdict(22, {11, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0), RecordVerdict::kPass);
  EXPECT_EQ(verdict(20, {1}, 0), RecordVerdict::kPass);
  EXPECT_EQ(verdict(20, {2}, 0), RecordVerdict::kDrop);
  EXPECT_EQ(verdict(21, {2, 40}, 0), RecordVerdict::kAlert);
  EXPECT_EQ(verdict(23, {1}, 0), RecordVerdict::kDrop);
  for (std::uint8_t type = 20; type <= 23; ++type) {
    EXPECT_EQ(verdict(type, {1}, 1), RecordVerdict::kPass);
    EXPECT_EQ(verdict(type, {1}, 2), RecordVerdict::kDrop);
  }
}

TEST(Flights, fit_into_the_mtu_and_go_on_with_the_clients_numbers) {
  Engine engine;
  engine.ice = false;
  PlainPeer peer({});
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure();
  Bytes hello = hello_of(peer, engine.now);
  for (int lost = 0; lost < 2; ++lost) {
    engine.now = peer.next_deadline(engine.now);
    peer.on_deadline(engine.now);
    hello = peer.take_sent().at(0);
  }
  ASSERT_EQ(hello[10], 2);
  engine.deliver(hello, kClient);
  const Bytes request = engine.recorder.take_sent().at(0).bytes;
  EXPECT_EQ(request[10], 2);
  peer.deliver(request, engine.now);
  const Bytes second = peer.take_sent().at(0);
  ASSERT_EQ(second[10], 3);
  engine.deliver(second, kClient);
  const auto flight = engine.recorder.take_sent();
  ASSERT_FALSE(flight.empty());
  EXPECT_EQ(flight[0].bytes[10], 3);  // RFC 6347 section 4.2.1
  for (const auto& sent : flight) {
    EXPECT_LE(sent.bytes.size(), kDtlsMtuBytes);
    peer.deliver(sent.bytes, engine.now);
  }
  exchange(engine, {{kClient, &peer}});
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
}

TEST(Flights, fragmented_client_hello_gets_past_the_cookie) {
  Engine engine;
  engine.ice = false;
  PlainPeer peer({.ciphers = "ALL:@SECLEVEL=0", .mtu = 256});
  engine.config.remote = peer.fingerprint(FingerprintHash::kSha256);
  engine.configure();
  peer.start(engine.now);
  std::size_t hellos = 0;
  for (int round = 0; round < 6; ++round) {
    for (const Bytes& bytes : peer.take_sent()) {
      hellos += bytes[0] == 22 && bytes[13] == 1 ? 1 : 0;
      engine.deliver(bytes, kClient);
    }
    for (const auto& sent : engine.recorder.take_sent()) peer.deliver(sent.bytes, engine.now);
  }
  EXPECT_GE(hellos, 3U);
  EXPECT_EQ(engine.state(), DtlsState::kEstablished);
}

TEST(Cookies, are_bound_and_grow_old) {
  CookieSecrets secrets;
  CookieSecrets others;
  const Instant start = Instant{} + Seconds{500};
  const Bytes bound = {1, 2, 3};
  const Bytes other = {1, 2, 4};
  const Cookie cookie = secrets.make(bound, start);
  EXPECT_TRUE(secrets.verify(cookie, bound, start));
  EXPECT_FALSE(secrets.verify(cookie, other, start));
  EXPECT_FALSE(others.verify(cookie, bound, start));
  EXPECT_FALSE(secrets.verify(std::span(cookie).first(15), bound, start));
  EXPECT_FALSE(secrets.verify({}, bound, start));
  EXPECT_TRUE(secrets.verify(cookie, bound, start + CookieSecrets::kLife));
  EXPECT_NE(secrets.make(bound, start + CookieSecrets::kLife), cookie);
  EXPECT_FALSE(secrets.verify(cookie, bound, start + 2 * CookieSecrets::kLife));
}

}  // namespace
}  // namespace turnpike::dtls_testing
