// A media engine in plain memory with one session, for tests: packets go in by hand, sends come out
// as values. No socket, no clock.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "relay/core/bytes.h"
#include "relay/media/engine.h"

namespace turnpike::test {

struct Sent {
  SocketTag tag;
  SocketAddress destination;
  std::vector<std::uint8_t> bytes;
  bool keepalive = false;
};

inline std::vector<std::uint8_t> rtp_packet(std::uint16_t sequence, std::uint32_t ssrc = 0x1111,
                                            std::size_t payload_bytes = 160,
                                            std::uint8_t payload_type = 0) {
  std::vector<std::uint8_t> packet(12 + payload_bytes);
  packet[0] = 0x80;
  packet[1] = payload_type;
  write_be16(packet.data() + 2, sequence);
  write_be32(packet.data() + 4, sequence * 160U);
  write_be32(packet.data() + 8, ssrc);
  for (std::size_t i = 12; i < packet.size(); ++i) {
    packet[i] = static_cast<std::uint8_t>(sequence + i);
  }
  return packet;
}

/// A sender report without report blocks.
inline std::vector<std::uint8_t> rtcp_packet(std::uint32_t ssrc = 0x1111) {
  std::vector<std::uint8_t> packet(28);
  packet[0] = 0x80;
  packet[1] = 200;
  write_be16(packet.data() + 2, 6);
  write_be32(packet.data() + 4, ssrc);
  return packet;
}

inline SrtpKeying keying(SrtpSuite suite, std::uint8_t seed) {
  SrtpKeying key;
  key.suite = suite;
  for (std::size_t i = 0; i < key.master_key.size(); ++i) {
    key.master_key[i] = static_cast<std::uint8_t>(seed * 7 + i);
  }
  for (std::size_t i = 0; i < info_of(suite).salt_bytes; ++i) {
    key.master_salt[i] = static_cast<std::uint8_t>(seed * 13 + i);
  }
  return key;
}

class MediaFixture {
 public:
  static constexpr std::uint32_t kSessions = 24;  ///< room for so many
  static constexpr SocketTag kId{3, 7, Side::kA, Component::kRtp};

  explicit MediaFixture(media::EngineLimits limits = {}, std::uint32_t streams = 64)
      : shape_{kSessions, streams, 0, 1, 36000, 59999},
        memory_(media::Arena::bytes_for(shape_)),
        arena_(media::Arena::format(memory_.data(), shape_)),
        engine_(arena_, limits, counters_) {
    std::array<std::array<SocketAddress, 2>, 2> local;
    for (std::uint8_t side = 0; side < 2; ++side) {
      for (std::uint8_t component = 0; component < 2; ++component) {
        const auto port = static_cast<std::uint16_t>(36000 + side * 2 + component);
        local[side][component] = {IpAddress::v4(192, 0, 2, 1), port};
      }
    }
    engine_.open(kId, MediaKind::kAudio, local, now_);
  }

  /// The remote end's address by side and component, as signalled.
  static SocketAddress remote(Side side, Component component = Component::kRtp) {
    const auto host = static_cast<std::uint8_t>(side == Side::kA ? 10 : 20);
    const auto port = static_cast<std::uint16_t>(5000 + index_of(component));
    return {IpAddress::v4(198, 51, 100, host), port};
  }

  static LegConfig plain(Side side) {
    LegConfig config;
    config.remote = {remote(side), remote(side, Component::kRtcp)};
    return config;
  }
  static LegConfig secure(Side side, SrtpSuite suite, std::uint8_t seed) {
    LegConfig config = plain(side);
    config.must_encrypt = true;
    config.receive = keying(suite, seed);
    config.send = keying(suite, static_cast<std::uint8_t>(seed + 1));
    return config;
  }

  void update(Side side, const LegConfig& config) { engine_.update_leg(kId, side, config, now_); }

  /// One packet arrives at the leg of `side`; what is sent because of it comes back.
  std::vector<Sent> arrive(Side side, const std::vector<std::uint8_t>& bytes,
                           const SocketAddress& source, Component component = Component::kRtp) {
    queue(side, bytes, source, component);
    return deliver();
  }
  std::vector<Sent> arrive(Side side, const std::vector<std::uint8_t>& bytes) {
    return arrive(side, bytes, remote(side));
  }

  void queue(Side side, const std::vector<std::uint8_t>& bytes, const SocketAddress& source,
             Component component = Component::kRtp) {
    queue_at({kId.slot, kId.generation, side, component}, bytes, source);
  }
  /// At a socket of any session.
  void queue_at(const SocketTag& tag, const std::vector<std::uint8_t>& bytes,
                const SocketAddress& source) {
    Packet* packet = batch_.next();
    std::copy_n(bytes.begin(), std::min(bytes.size(), kPayloadBytesMax), packet->data);
    packet->length = static_cast<std::uint32_t>(bytes.size());
    packet->source = source;
    packet->tag = tag;
    batch_.commit();
  }
  /// The I/O layer threw away so many datagrams behind the last one queued.
  void shed_behind_last(std::uint32_t count) { batch_[batch_.size() - 1].shed_behind = count; }
  void overflowed_before_last(std::uint32_t n) { batch_[batch_.size() - 1].overflowed = n; }
  std::vector<Sent> deliver() {
    engine_.handle(now_, batch_, outbox_, notices_);
    batch_.clear();
    return take_outbox();
  }
  /// What subscribers are sent of the packets that were delivered last.
  std::vector<Sent> copies() {
    std::vector<Sent> all;
    while (engine_.copy(now_, outbox_, notices_)) {
      for (Sent& one : take_outbox()) all.push_back(std::move(one));
    }
    return all;
  }
  std::vector<Sent> deadline() {
    engine_.on_deadline(now_, outbox_, notices_);
    return take_outbox();
  }

  std::vector<media::Notice> take_notices() {
    std::vector<media::Notice> taken(notices_.items().begin(), notices_.items().end());
    notices_.clear();
    return taken;
  }

  void advance(Nanoseconds by) { now_ += by; }
  Instant now() const { return now_; }
  std::uint64_t drops(DropReason reason) const {
    return counters_.drops[static_cast<std::size_t>(reason)].value();
  }
  std::uint64_t drops_total() const {
    std::uint64_t total = 0;
    for (const Counter& counter : counters_.drops) total += counter.value();
    return total;
  }
  SessionStats stats() {
    SessionStats stats;
    static_cast<void>(engine_.stats(kId, stats));
    return stats;
  }
  media::SessionState& state() { return arena_.session(kId.slot); }
  media::Arena& arena() { return arena_; }
  media::Engine& engine() { return engine_; }
  ShardCounters& counters() { return counters_; }

 private:
  std::vector<Sent> take_outbox() {
    std::vector<Sent> sent;
    for (const Send& send : outbox_) {
      sent.push_back(
          {send.tag, send.destination, {send.data, send.data + send.length}, send.keepalive});
      engine_.sent(send, now_);
    }
    outbox_.clear();
    return sent;
  }

  media::ArenaShape shape_;
  std::vector<std::uint8_t> memory_;
  media::Arena arena_;
  ShardCounters counters_;
  media::Engine engine_;
  Batch batch_;
  Outbox outbox_;
  media::Notices notices_;
  Instant now_{Seconds(1000)};
};

/// An SRTP endpoint over our own transform, for engine tests (the transform itself is checked
/// against another implementation elsewhere).
class SrtpPeer {
 public:
  SrtpPeer(const SrtpKeying& send, const SrtpKeying& receive) : transform_(2) {
    static_cast<void>(derive_srtp_context(send, send_));
    static_cast<void>(derive_srtp_context(receive, receive_));
  }
  std::vector<std::uint8_t> protect(std::vector<std::uint8_t> packet, bool rtcp = false) {
    const auto length = static_cast<std::uint32_t>(packet.size());
    packet.resize(packet.size() + kSrtpTrailerBytesMax);
    SrtpJob job;
    job.data = packet.data();
    job.length = length;
    job.capacity = static_cast<std::uint32_t>(packet.size());
    job.rtcp = rtcp;
    job.cache_slot = 0;
    job.context = &send_;
    job.send = &send_stream_;
    transform_.protect({&job, 1});
    packet.resize(job.status == SrtpStatus::kOk ? job.length : 0);
    return packet;
  }
  /// Empty when the packet does not verify.
  std::vector<std::uint8_t> unprotect(std::vector<std::uint8_t> packet, bool rtcp = false) {
    SrtpJob job;
    job.data = packet.data();
    job.length = static_cast<std::uint32_t>(packet.size());
    job.capacity = job.length;
    job.rtcp = rtcp;
    job.cache_slot = 1;
    job.context = &receive_;
    job.receive = &receive_stream_;
    transform_.unprotect({&job, 1});
    packet.resize(job.status == SrtpStatus::kOk ? job.length : 0);
    return packet;
  }

 private:
  SrtpTransform transform_;
  SrtpContext send_;
  SrtpContext receive_;
  SrtpSendStream send_stream_;
  SrtpReceiveStream receive_stream_;
};

}  // namespace turnpike::test
