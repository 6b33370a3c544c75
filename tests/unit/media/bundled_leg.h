// Two m-lines on one transport towards a browser, with a phone's port for each on the other side.
#pragma once

#include <map>
#include <optional>

#include <gtest/gtest.h>

#include "tests/unit/media/secure_leg.h"

namespace turnpike::test {

inline constexpr SocketTag kAudio = MediaFixture::kId;
inline constexpr SocketTag kVideo{4, 9, Side::kA, Component::kRtp};
inline constexpr SocketTag kSlides{5, 11, Side::kA, Component::kRtp};
inline constexpr std::uint8_t kMidId = 4;
using Bytes = std::vector<std::uint8_t>;

// An end with one SRTP state for each SSRC, as RFC 3711 has it.
class Peer {
 public:
  Peer(const SrtpKeying& send, const SrtpKeying& receive) : transform_(2) {
    static_cast<void>(derive_srtp_context(send, send_));
    static_cast<void>(derive_srtp_context(receive, receive_));
  }
  Bytes protect(Bytes packet, bool rtcp = false) {
    const auto length = static_cast<std::uint32_t>(packet.size());
    const std::uint32_t ssrc = read_be32(packet.data() + (rtcp ? 4 : 8));
    packet.resize(packet.size() + kSrtpTrailerBytesMax);
    SrtpJob job;
    job.data = packet.data();
    job.length = length;
    job.capacity = static_cast<std::uint32_t>(packet.size());
    job.rtcp = rtcp;
    job.context = &send_;
    job.send = &sent_[ssrc];
    transform_.protect({&job, 1});
    packet.resize(job.status == SrtpStatus::kOk ? job.length : 0);
    return packet;
  }
  // Nothing when it does not verify, or came before.
  std::optional<Bytes> unprotect(Bytes packet, bool rtcp = false) {
    SrtpJob job;
    job.data = packet.data();
    job.length = static_cast<std::uint32_t>(packet.size());
    job.capacity = job.length;
    job.rtcp = rtcp;
    job.cache_slot = 1;
    job.context = &receive_;
    job.receive = &received_[read_be32(packet.data() + (rtcp ? 4 : 8))];
    transform_.unprotect({&job, 1});
    if (job.status != SrtpStatus::kOk) return std::nullopt;
    packet.resize(job.length);
    return packet;
  }

 private:
  SrtpTransform transform_;
  SrtpContext send_;
  SrtpContext receive_;
  std::map<std::uint32_t, SrtpSendStream> sent_;
  std::map<std::uint32_t, SrtpReceiveStream> received_;
};

inline Bytes with_mid(Bytes packet, std::string_view mid, bool two_bytes = false,
                      std::uint8_t id = kMidId) {
  Bytes extension;
  if (two_bytes) {
    extension = {0x10, 0x00, 0, 0, id, static_cast<std::uint8_t>(mid.size())};
  } else {
    extension = {0xbe, 0xde, 0, 0, static_cast<std::uint8_t>(id << 4 | (mid.size() - 1))};
  }
  extension.insert(extension.end(), mid.begin(), mid.end());
  while (extension.size() % 4 != 0) extension.push_back(0);
  extension[3] = static_cast<std::uint8_t>(extension.size() / 4 - 1);
  packet[0] |= 0x10;
  packet.insert(packet.begin() + 12, extension.begin(), extension.end());
  return packet;
}

inline Bytes receiver_report(std::uint32_t sender, std::uint32_t about) {
  Bytes packet(32);
  packet[0] = 0x81;
  packet[1] = 201;
  write_be16(packet.data() + 2, 7);
  write_be32(packet.data() + 4, sender);
  write_be32(packet.data() + 8, about);
  return packet;
}

inline Bytes feedback(std::uint8_t type, std::uint8_t format, std::uint32_t sender,
                      std::uint32_t media, const std::vector<std::uint32_t>& entries = {}) {
  Bytes packet(12 + entries.size() * 4);
  packet[0] = static_cast<std::uint8_t>(0x80 | format);
  packet[1] = type;
  write_be16(packet.data() + 2, static_cast<std::uint16_t>(packet.size() / 4 - 1));
  write_be32(packet.data() + 4, sender);
  write_be32(packet.data() + 8, media);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    write_be32(packet.data() + 12 + i * 4, entries[i]);
  }
  return packet;
}

// Side A: two m-lines on the transport of the first, with SRTP. Side B: a port for each.
struct Bundle : ::testing::Test {
  Bundle() {
    open(kVideo);
    configure();
  }
  void open(const SocketTag& id) {
    std::array<std::array<SocketAddress, 2>, 2> local;
    for (auto& side : local) {
      for (auto& address : side) address = {IpAddress::v4(192, 0, 2, 1), ++next_port};
    }
    media.engine().open(id, MediaKind::kVideo, local, media.now());
  }
  static BundleConfig line(const SocketTag& transport, std::string_view mid,
                           std::initializer_list<std::uint8_t> types) {
    BundleConfig bundle;
    bundle.transport = {transport.slot, transport.generation, 0};
    bundle.mid.assign(mid);
    bundle.mid_extension = kMidId;
    for (const std::uint8_t type : types) bundle.add_payload_type(type);
    return bundle;
  }
  static LegConfig rider(const BundleConfig& bundle) {
    LegConfig leg;
    leg.must_encrypt = true;
    leg.rtcp_mux = true;
    leg.bundle = bundle;
    return leg;
  }
  void configure() {
    a.rtcp_mux = true;
    a.bundle = line(kAudio, "a", {0, 99});
    update(kAudio, Side::kA, a);
    update(kVideo, Side::kA, rider(line(kAudio, "v", {96, 97, 99})));
    update(kAudio, Side::kB, MediaFixture::plain(Side::kB));
    update(kVideo, Side::kB, video_phone());
  }
  static LegConfig video_phone() {
    LegConfig phone;
    phone.remote = {video_at, {video_at.ip, 7001}};
    return phone;
  }
  void update(const SocketTag& id, Side side, const LegConfig& config) {
    media.engine().update_leg(id, side, config, media.now());
  }
  void queue(const SocketTag& id, Side side, const Bytes& bytes,
             Component component = Component::kRtp) {
    Packet* packet = batch.next();
    std::copy(bytes.begin(), bytes.end(), packet->data);
    packet->length = static_cast<std::uint32_t>(bytes.size());
    packet->source =
        side == Side::kB && id.slot == kVideo.slot ? video_at : MediaFixture::remote(side);
    if (component == Component::kRtcp) ++packet->source.port;
    packet->tag = {id.slot, id.generation, side, component};
    batch.commit();
  }
  std::vector<Sent> deliver() {
    std::vector<Sent> sent;
    media.engine().handle(media.now(), batch, outbox, notices);
    batch.clear();
    for (const Send& send : outbox) {
      sent.push_back({send.tag, send.destination, {send.data, send.data + send.length}, false});
      media.engine().sent(send, media.now());
    }
    outbox.clear();
    notices.clear();
    return sent;
  }
  std::vector<Sent> from_client(const Bytes& bytes, bool rtcp = false) {
    queue(kAudio, Side::kA, client.protect(bytes, rtcp));
    return deliver();
  }
  std::vector<Sent> from_phone(const SocketTag& id, const Bytes& bytes,
                               Component component = Component::kRtp) {
    queue(id, Side::kB, bytes, component);
    return deliver();
  }
  // Slot of the session on whose other leg the packet went out.
  static std::uint32_t line_of(const std::vector<Sent>& sent) {
    return sent.size() == 1 ? sent[0].tag.slot : media::kNoLine;
  }
  SessionStats stats(const SocketTag& id) {
    SessionStats stats;
    EXPECT_TRUE(media.engine().stats(id, stats));
    return stats;
  }

  static inline const SocketAddress video_at{IpAddress::v4(198, 51, 100, 20), 7000};
  std::uint16_t next_port = 37000;
  MediaFixture media{{}, 128};
  LegConfig a = MediaFixture::secure(Side::kA, kGcm, 1);
  Peer client{a.receive, a.send};
  Batch batch;
  Outbox outbox;
  media::Notices notices;
};

}  // namespace turnpike::test
