// The media engine under arbitrary packets: classification, RTP, RTCP, SRTP, source policy, and
// telling apart the m-lines that share a transport. The
// input is a list of [flags][length][bytes]; flags say where a packet arrives, from whom, and
// whether it is sealed with the right key first, so that what lies behind the tag is reached too.
#include <cstdint>
#include <cstdlib>

#include "tests/support/media_fixture.h"

using namespace turnpike;  // NOLINT(*-using-namespace)
using turnpike::test::MediaFixture;

namespace {

constexpr std::uint8_t kToB = 1;
constexpr std::uint8_t kToRtcp = 2;
constexpr std::uint8_t kStranger = 4;
constexpr std::uint8_t kSealed = 8;
constexpr std::uint8_t kSealedRtcp = 16;
constexpr std::uint8_t kLater = 32;
constexpr std::uint8_t kReoffer = 64;
constexpr std::uint8_t kOtherLine = 128;
constexpr std::uint8_t kBundled = 0x40;  // in the second byte of the input
constexpr SocketTag kVideo{4, 9, Side::kA, Component::kRtp};

void require(bool holds) {
  if (!holds) std::abort();
}

// A second m-line, whose leg A is on the transport of the first.
void bundle(MediaFixture& media, LegConfig& a) {
  std::array<std::array<SocketAddress, 2>, 2> local;
  for (auto& side : local) {
    for (auto& address : side) address = {IpAddress::v4(192, 0, 2, 1), 37000};
  }
  media.engine().open(kVideo, MediaKind::kVideo, local, media.now());
  a.bundle.transport = {MediaFixture::kId.slot, MediaFixture::kId.generation, 0};
  a.bundle.mid.assign("a");
  a.bundle.mid_extension = 4;
  a.bundle.add_payload_type(0);
  LegConfig line;
  line.must_encrypt = true;
  line.rtcp_mux = true;
  line.bundle = a.bundle;
  line.bundle.mid.assign("v");
  line.bundle.payload_types = {};
  line.bundle.add_payload_type(96);
  media.engine().update_leg(kVideo, Side::kA, line, media.now());
  media.engine().update_leg(kVideo, Side::kB, MediaFixture::plain(Side::kB), media.now());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto suite = static_cast<SrtpSuite>(1 + data[0] % 6);
  LegConfig a = MediaFixture::secure(Side::kA, suite, 1);
  a.rtcp_mux = (data[0] & 0x80) != 0;
  LegConfig b = MediaFixture::plain(Side::kB);
  b.source_policy = static_cast<SourcePolicy>(data[1] % 4);
  MediaFixture media;
  test::SrtpPeer client(a.receive, a.send);
  const bool bundled = (data[1] & kBundled) != 0;
  if (bundled) bundle(media, a);
  media.update(Side::kA, a);
  media.update(Side::kB, b);
  for (std::size_t at = 2; at + 2 <= size;) {
    const std::uint8_t flags = data[at];
    const std::size_t length = std::min<std::size_t>(data[at + 1], size - at - 2);
    std::vector<std::uint8_t> bytes(data + at + 2, data + at + 2 + length);
    at += 2 + length;
    if ((flags & kLater) != 0) media.advance(Milliseconds(700));
    if ((flags & kReoffer) != 0) media.update(Side::kA, a);
    if ((flags & (kSealed | kSealedRtcp)) != 0) {
      bytes = client.protect(std::move(bytes), (flags & kSealedRtcp) != 0);
    }
    const Side side = (flags & kToB) != 0 ? Side::kB : Side::kA;
    const Component component = (flags & kToRtcp) != 0 ? Component::kRtcp : Component::kRtp;
    SocketAddress source = MediaFixture::remote(side, component);
    if ((flags & kStranger) != 0) source.ip = IpAddress::v4(203, 0, 113, 9);
    if (bundled && side == Side::kB && (flags & kOtherLine) != 0) {
      media.queue_at({kVideo.slot, kVideo.generation, side, component}, bytes, source);
      media.deliver();
    } else {
      media.arrive(side, bytes, source, component);
    }
    media.deadline();
    media.take_notices();
  }
  const ShardCounters& counters = media.counters();
  require(counters.packets_received.value() ==
          counters.packets_forwarded.value() + media.drops_total());
  SessionStats stats;
  if (bundled && (data[0] & 1) != 0) require(media.engine().close(kVideo, stats));
  require(media.engine().close(MediaFixture::kId, stats));
  if (bundled && (data[0] & 1) == 0) require(media.engine().close(kVideo, stats));
  require(media.arena().streams_in_use() == 0);
  return 0;
}
