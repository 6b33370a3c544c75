// What a dead process leaves, and the engine of the process that carries on from it.
#pragma once

#include <cstring>

#include <gtest/gtest.h>

#include "tests/support/media_fixture.h"

namespace turnpike::test {

inline constexpr media::ArenaShape kShape{MediaFixture::kSessions, 64, 0, 1, 36000, 59999};

inline std::vector<std::uint8_t> image_of(MediaFixture& media) {
  const std::size_t bytes = media::Arena::bytes_for(kShape);
  // The fixture's arena begins at a fixed offset before its first session.
  const auto* session0 = reinterpret_cast<const std::uint8_t*>(&media.arena().session(0));
  std::vector<std::uint8_t> image(bytes);
  std::vector<std::uint8_t> blank(bytes);
  media::Arena fresh = media::Arena::format(blank.data(), kShape);
  const auto offset = reinterpret_cast<const std::uint8_t*>(&fresh.session(0)) - blank.data();
  std::memcpy(image.data(), session0 - offset, bytes);
  return image;
}

// One SRTP call with traffic both ways, as a dead process left it.
struct Left : ::testing::Test {
  Left()
      : a(MediaFixture::secure(Side::kA, SrtpSuite::kAesCm128HmacSha1_80, 1)),
        client(a.receive, a.send) {
    media.update(Side::kA, a);
    media.update(Side::kB, MediaFixture::plain(Side::kB));
    for (std::uint16_t i = 1; i <= 20; ++i) {
      media.arrive(Side::kA, client.protect(rtp_packet(i)));
      media.arrive(Side::kB, rtp_packet(i, 0x2222));
    }
    image = image_of(media);
  }
  Result<media::Arena> adopt() {
    report = {};
    return media::Arena::adopt(image.data(), image.size(), kShape, report);
  }
  MediaFixture media;
  LegConfig a;
  SrtpPeer client;
  std::vector<std::uint8_t> image;
  media::ArenaReport report;
};

class Successor {
 public:
  Successor(media::Arena& arena, Instant now) : now_(now), engine_(arena, {}, counters_) {
    engine_.resume(now);
  }
  /// How many packets are sent because of this one.
  std::size_t arrive(Side side, const std::vector<std::uint8_t>& bytes,
                     Component component = Component::kRtp) {
    Packet* packet = batch_.next();
    std::memcpy(packet->data, bytes.data(), bytes.size());
    packet->length = static_cast<std::uint32_t>(bytes.size());
    packet->source = MediaFixture::remote(side, component);
    packet->tag = {MediaFixture::kId.slot, MediaFixture::kId.generation, side, component};
    batch_.commit();
    engine_.handle(now_, batch_, out_, notices_);
    batch_.clear();
    return take_sent();
  }
  std::size_t deadline(Nanoseconds later) {
    now_ += later;
    engine_.on_deadline(now_, out_, notices_);
    return take_sent();
  }
  media::Engine& engine() { return engine_; }
  Instant now() const { return now_; }

 private:
  std::size_t take_sent() {
    const std::size_t count = out_.size();
    for (const Send& send : out_) engine_.sent(send, now_);
    out_.clear();
    notices_.clear();
    return count;
  }
  Instant now_;
  ShardCounters counters_;
  media::Engine engine_;
  Batch batch_;
  Outbox out_;
  media::Notices notices_;
};

}  // namespace turnpike::test
