// The media engine under arbitrary packets: classification, RTP, RTCP, SRTP, source policy. The
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

void require(bool holds) {
  if (!holds) std::abort();
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
    media.arrive(side, bytes, source, component);
    media.deadline();
    media.take_notices();
  }
  const ShardCounters& counters = media.counters();
  require(counters.packets_received.value() ==
          counters.packets_forwarded.value() + media.drops_total());
  SessionStats stats;
  require(media.engine().close(MediaFixture::kId, stats));
  require(media.arena().streams_in_use() == 0);
  return 0;
}
