// Captures of calls that a fake relay and fake calls make: what stands in the file, and how it
// ends.
#include "control/capture/capture.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace turnpike::capture {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class FakeCaptures final : public Captures {
 public:
  bool add(const CaptureTap& tap) override {
    if (full) return false;
    taps.push_back(tap);
    return true;
  }
  void remove(const CaptureTap& tap) override {
    std::erase_if(taps, [&](const CaptureTap& one) { return one.number == tap.number; });
  }
  std::uint64_t missed(std::uint8_t tap) const override {
    const auto found = missed_.find(tap);
    return found == missed_.end() ? 0 : found->second;
  }
  void poll(const std::function<void(const CapturedPacket&)>& sink) override {
    for (const CapturedPacket& packet : std::exchange(packets, {})) sink(packet);
  }

  bool full = false;
  std::vector<CaptureTap> taps;
  std::vector<CapturedPacket> packets;
  std::map<std::uint8_t, std::uint64_t> missed_;
};

struct Block {
  std::uint32_t type = 0;
  std::string body;
};

std::uint32_t number(const std::string& bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i-- > 0;)
    value = value << 8 | static_cast<unsigned char>(bytes.at(at + i));
  return value;
}

std::vector<Block> blocks_of(const std::string& file) {
  std::vector<Block> blocks;
  for (std::size_t at = 0; at < file.size();) {
    const std::uint32_t size = number(file, at + 4);
    EXPECT_EQ(size % 4, 0u);
    EXPECT_LE(at + size, file.size());
    EXPECT_EQ(number(file, at + size - 4), size) << "both lengths of a block agree";
    blocks.push_back({number(file, at), file.substr(at + 8, size - 12)});
    at += size;
  }
  return blocks;
}

class CaptureTest : public testing::Test {
 protected:
  static constexpr SessionId kSession{3, 7, 1};
  static constexpr SessionId kVideo{4, 2, 0};

  CaptureTest() {
    Service::Environment environment;
    environment.clock = [this] { return now; };
    environment.date = [] { return Date(Seconds(1'700'000'000)); };
    environment.calls = [this](const std::string& call_id) {
      return call_id == "call-1" ? calls : std::vector<call::CallSummary>{};
    };
    environment.ended = [this](const End& end) { ends.push_back(end); };
    service.emplace(relay, std::move(environment));
    call::CallSummary call;
    call.call_id = "call-1";
    call.sessions.push_back(session_of(kSession));
    calls = {call};
  }
  static call::SessionSummary session_of(SessionId id) {
    call::SessionSummary session;
    session.id = id;
    session.kind = "audio";
    session.legs[0].interface = "outside";
    session.legs[0].local = {IpAddress::v4(192, 0, 2, 1), 36000};
    session.legs[0].keying = "SDES";
    session.legs[1].interface = "inside";
    session.legs[1].local = {IpAddress::v4(10, 0, 0, 1), 36002};
    return session;
  }
  std::shared_ptr<api::BodyStream> start(const Wish& wish) {
    Service::Refusal refusal{};
    return service->start(wish, refusal);
  }
  static std::string all_of(api::BodyStream& file) {
    std::string bytes;
    for (std::string part; !(part = file.take(100)).empty();) bytes += part;
    return bytes;
  }
  CapturedPacket packet(std::uint8_t tap, std::span<const std::uint8_t> bytes,
                        SessionId session = kSession) {
    CapturedPacket packet;
    packet.tap = tap;
    packet.session = session;
    packet.side = relay.taps.at(tap).side;
    packet.sent = true;
    packet.at = now - Milliseconds(5);
    packet.source = {IpAddress::v4(192, 0, 2, 1), 36000};
    packet.destination = {IpAddress::v4(198, 51, 100, 7), 5004};
    packet.length = static_cast<std::uint32_t>(bytes.size());
    packet.bytes = bytes;
    return packet;
  }

  Instant now{Seconds(1000)};
  FakeCaptures relay;
  std::vector<call::CallSummary> calls;
  std::vector<End> ends;
  std::optional<Service> service;
};

TEST_F(CaptureTest, a_file_has_its_packets_and_says_how_it_ended) {
  const auto file = start({.call_id = "call-1", .time = Seconds(2)});
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(relay.taps.size(), 2u) << "both legs";
  const std::vector<std::uint8_t> payload{0x80, 0, 1, 2, 3};
  relay.packets = {packet(0, payload)};
  service->poll();
  EXPECT_FALSE(file->ended());
  now += Seconds(3);
  relay.missed_[0] = 4;
  service->poll();
  const std::string bytes = all_of(*file);
  EXPECT_TRUE(file->ended());
  const auto blocks = blocks_of(bytes);
  std::vector<std::uint32_t> types;
  for (const Block& block : blocks) types.push_back(block.type);
  EXPECT_THAT(types, ElementsAre(0x0a0d0d0a, 1, 1, 6, 5, 5));
  EXPECT_THAT(blocks[1].body, HasSubstr("outside, SDES"));
  const std::string& datagram = blocks[3].body;
  EXPECT_EQ(number(datagram, 12), 4u + 20 + 8 + 5) << "captured";
  EXPECT_EQ(number(datagram, 16), 4u + 20 + 8 + 5) << "on the wire";
  EXPECT_EQ(datagram.substr(20 + 32, 5), std::string(payload.begin(), payload.end()));
  EXPECT_THAT(blocks[4].body, HasSubstr("the time is over"));
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].packets, 1u);
  EXPECT_EQ(ends[0].missing, 4u);
  EXPECT_THAT(relay.taps, IsEmpty());
}

TEST_F(CaptureTest, wishes_are_told_to_the_relay) {
  const auto file =
      start({.call_id = "call-1", .leg = Side::kB, .headers_only = true, .plain_payload = true});
  ASSERT_EQ(relay.taps.size(), 1u);
  EXPECT_EQ(relay.taps[0].side, Side::kB);
  EXPECT_TRUE(relay.taps[0].headers_only && relay.taps[0].plain_payload);
}

TEST_F(CaptureTest, lines_that_come_are_followed_and_the_end_of_the_call_ends_it) {
  const auto file = start({.call_id = "call-1"});
  calls[0].sessions.push_back(session_of(kVideo));
  service->on_tick();
  EXPECT_EQ(relay.taps.size(), 4u);
  service->on_tick();
  EXPECT_EQ(relay.taps.size(), 4u) << "once each";
  calls.clear();
  service->on_tick();
  EXPECT_THAT(all_of(*file), HasSubstr("the call is over"));
  EXPECT_TRUE(file->ended());
}

TEST_F(CaptureTest, lines_that_go_give_their_taps_back) {
  const auto file = start({.call_id = "call-1"});
  for (std::uint32_t i = 0; i < 100; ++i) {
    calls[0].sessions[0].id = {10 + i, 1, 0};
    relay.missed_[relay.taps.back().number] += 1;
    service->on_tick();
    ASSERT_EQ(relay.taps.size(), 2u);
    ASSERT_EQ(relay.taps.back().session, (SessionId{10 + i, 1, 0}));
  }
  file->take(100000);
  service->end_all("enough");
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].missing, 100u) << "those of lines that have gone count";
  EXPECT_EQ(ends[0].legs_left_out, 0u);
  EXPECT_THAT(all_of(*file), Not(HasSubstr("legs are not in it")));
}

TEST_F(CaptureTest, legs_without_a_tap_are_told_of) {
  for (std::uint32_t i = 0; i < kTapsMax / 2; ++i) {
    calls[0].sessions.push_back(session_of({100 + i, 1, 0}));
  }
  const auto file = start({.call_id = "call-1"});
  EXPECT_EQ(relay.taps.size(), kTapsMax);
  Service::Refusal refusal{};
  EXPECT_EQ(service->start({.call_id = "call-1"}, refusal), nullptr);
  EXPECT_EQ(refusal, Service::Refusal::kNoTaps);
  service->end_all("enough");
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].legs_left_out, 2u);
  EXPECT_EQ(ends[0].why, "enough");
  EXPECT_THAT(all_of(*file), HasSubstr("enough; 2 legs are not in it: 64 are captured at most"));
}

TEST_F(CaptureTest, those_of_other_hosts_leave_a_place_and_can_be_ended_alone) {
  std::vector<std::shared_ptr<api::BodyStream>> remote;
  for (std::size_t i = 0; i < kRemoteCapturesMax; ++i) {
    remote.push_back(start({.call_id = "call-1", .remote = true}));
  }
  EXPECT_EQ(start({.call_id = "call-1", .remote = true}), nullptr);
  const auto local = start({.call_id = "call-1"});
  ASSERT_NE(local, nullptr);
  service->end_remote("tokens were read anew");
  EXPECT_EQ(service->running(), 1u);
  for (const auto& file : remote) {
    EXPECT_THAT(all_of(*file), HasSubstr("tokens were read anew"));
    EXPECT_TRUE(file->ended());
  }
  EXPECT_FALSE(local->ended());
}

TEST_F(CaptureTest, what_is_not_allowed_any_more_ends) {
  const auto whole = start({.call_id = "call-1"});
  const auto headers = start({.call_id = "call-1", .headers_only = true});
  service->allow(Allowed::kHeaders);
  EXPECT_THAT(all_of(*whole), HasSubstr("not allowed any more"));
  EXPECT_TRUE(whole->ended());
  EXPECT_EQ(start({.call_id = "call-1"}), nullptr);
  EXPECT_FALSE(headers->ended());
  service->allow(Allowed::kNothing);
  EXPECT_EQ(service->running(), 0u);
  EXPECT_EQ(start({.call_id = "call-1", .headers_only = true}), nullptr);
}

TEST_F(CaptureTest, what_was_copied_is_taken_out_of_the_relay_when_nobody_wants_it_any_more) {
  auto file = start({.call_id = "call-1"});
  const std::vector<std::uint8_t> payload(20, 0x80);
  relay.packets = {packet(0, payload)};
  file.reset();
  service->poll();
  EXPECT_THAT(relay.packets, IsEmpty());
}

TEST_F(CaptureTest, a_reader_who_leaves_ends_it) {
  auto file = start({.call_id = "call-1"});
  EXPECT_EQ(service->running(), 1u);
  file.reset();
  EXPECT_EQ(service->running(), 0u);
  EXPECT_THAT(relay.taps, IsEmpty());
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].why, "the reader has gone");
}

TEST_F(CaptureTest, few_run_at_a_time_and_unknown_calls_are_refused) {
  Service::Refusal refusal{};
  EXPECT_EQ(service->start({.call_id = "other"}, refusal), nullptr);
  EXPECT_EQ(refusal, Service::Refusal::kNoCall);
  std::vector<std::shared_ptr<api::BodyStream>> files;
  for (std::size_t i = 0; i < kCapturesMax; ++i) files.push_back(start({.call_id = "call-1"}));
  EXPECT_EQ(service->start({.call_id = "call-1"}, refusal), nullptr);
  EXPECT_EQ(refusal, Service::Refusal::kTooMany);
  files.pop_back();
  EXPECT_NE(service->start({.call_id = "call-1"}, refusal), nullptr);
}

TEST_F(CaptureTest, a_slow_reader_misses_packets_and_is_told) {
  const auto file = start({.call_id = "call-1", .time = Seconds(600), .packets_max = 1000000});
  const std::vector<std::uint8_t> payload(1200, 0x80);
  for (int i = 0; i < 5000; ++i) {
    relay.packets = {packet(0, payload)};
    service->poll();
  }
  now += Seconds(601);
  service->poll();
  const std::string bytes = all_of(*file);
  EXPECT_LT(bytes.size(), kWaitingBytesMax + 10000);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_GT(ends[0].missing, 1000u);
  EXPECT_EQ(ends[0].packets + ends[0].missing, 5000u);
}

TEST_F(CaptureTest, packets_of_a_session_before_are_not_taken) {
  const auto file = start({.call_id = "call-1"});
  const std::vector<std::uint8_t> payload(20, 0x80);
  relay.packets = {packet(0, payload, kVideo)};
  service->poll();
  EXPECT_EQ(blocks_of(all_of(*file)).size(), 3u);
}

TEST_F(CaptureTest, enough_packets_end_it_exactly) {
  const auto file = start({.call_id = "call-1", .packets_max = 3});
  const std::vector<std::uint8_t> payload(20, 0x80);
  for (int i = 0; i < 5; ++i) relay.packets.push_back(packet(0, payload));
  service->poll();
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].packets, 3u);
  EXPECT_EQ(ends[0].why, "enough packets");
}

TEST_F(CaptureTest, text_of_others_cannot_break_the_file) {
  calls[0].call_id = "call-1,\n\xff\x1b[2J";
  const auto file = start({.call_id = "call-1"});
  const std::string bytes = all_of(*file);
  EXPECT_EQ(blocks_of(bytes).size(), 3u);
  EXPECT_THAT(bytes, Not(HasSubstr("\x1b[2J")));
}

TEST(Pcapng, a_leg_without_ports_has_the_discard_addresses) {
  const std::vector<std::uint8_t> payload(8, 0x80);
  Datagram datagram;
  datagram.source = {IpAddress::v4(10, 0, 0, 1), 1};
  datagram.length = 8;
  datagram.bytes = payload;
  const std::string block = packet(datagram);
  // The IP header begins behind interface, date, both lengths and the family.
  EXPECT_EQ(static_cast<unsigned char>(block[8 + 20 + 4]) >> 4, 6) << "one family on both ends";
}

}  // namespace
}  // namespace turnpike::capture
