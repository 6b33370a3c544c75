#include "control/homer/hep.h"

#include <algorithm>

namespace turnpike::homer {
namespace {

constexpr std::size_t kDatagramBytesMax = 65000;
constexpr std::uint8_t kFamilyIpv4 = 2;  // AF_INET and AF_INET6 of Linux, whatever the host is
constexpr std::uint8_t kFamilyIpv6 = 10;
constexpr std::uint8_t kUdp = 17;

/// Of vendor 0.
enum class Chunk : std::uint16_t {
  kFamily = 1,
  kProtocol = 2,
  kSourceIpv4 = 3,
  kDestinationIpv4 = 4,
  kSourceIpv6 = 5,
  kDestinationIpv6 = 6,
  kSourcePort = 7,
  kDestinationPort = 8,
  kSeconds = 9,
  kMicroseconds = 10,
  kPayloadType = 11,
  kCaptureId = 12,
  kKey = 14,
  kPayload = 15,
  kCorrelationId = 17,
  kNodeName = 19,
};

class Writer {
 public:
  Writer() : bytes_("HEP3") { number<std::uint16_t>(0); }

  void chunk(Chunk type, std::string_view value) {
    number<std::uint16_t>(0);
    number(static_cast<std::uint16_t>(type));
    number(static_cast<std::uint16_t>(6 + value.size()));
    bytes_ += value;
  }
  template <typename T>
  void chunk(Chunk type, T value) {
    number<std::uint16_t>(0);
    number(static_cast<std::uint16_t>(type));
    number(static_cast<std::uint16_t>(6 + sizeof value));
    number(value);
  }
  void text(Chunk type, std::string_view value) {
    if (!value.empty()) chunk(type, value.substr(0, kHepTextBytesMax));
  }

  std::string done() {
    const std::size_t length = bytes_.size();
    bytes_[4] = static_cast<char>(length >> 8);
    bytes_[5] = static_cast<char>(length & 0xff);
    return std::move(bytes_);
  }

 private:
  template <typename T>
  void number(T value) {
    for (std::size_t shift = sizeof value * 8; shift > 0; shift -= 8) {
      bytes_ += static_cast<char>((value >> (shift - 8)) & 0xff);
    }
  }

  std::string bytes_;
};

std::string_view bytes_of(const IpAddress& ip, bool v6) {
  return {reinterpret_cast<const char*>(ip.bytes.data()), v6 ? std::size_t{16} : std::size_t{4}};
}

}  // namespace

std::string to_hep(const HepPacket& packet) {
  if (packet.payload.size() > kDatagramBytesMax) return {};
  const bool v6 = packet.source.ip.is_v6() || packet.destination.ip.is_v6();
  const auto since =
      std::chrono::duration_cast<std::chrono::microseconds>(packet.when.time_since_epoch());
  const auto seconds = static_cast<std::uint32_t>(since.count() / 1'000'000);
  const auto rest = static_cast<std::uint32_t>(since.count() % 1'000'000);
  Writer hep;
  hep.chunk(Chunk::kFamily, v6 ? kFamilyIpv6 : kFamilyIpv4);
  hep.chunk(Chunk::kProtocol, kUdp);
  hep.chunk(v6 ? Chunk::kSourceIpv6 : Chunk::kSourceIpv4, bytes_of(packet.source.ip, v6));
  hep.chunk(v6 ? Chunk::kDestinationIpv6 : Chunk::kDestinationIpv4,
            bytes_of(packet.destination.ip, v6));
  hep.chunk(Chunk::kSourcePort, packet.source.port);
  hep.chunk(Chunk::kDestinationPort, packet.destination.port);
  hep.chunk(Chunk::kSeconds, seconds);
  hep.chunk(Chunk::kMicroseconds, rest);
  hep.chunk(Chunk::kPayloadType, static_cast<std::uint8_t>(packet.type));
  hep.chunk(Chunk::kCaptureId, packet.capture_id);
  hep.text(Chunk::kKey, packet.key);
  hep.text(Chunk::kCorrelationId, packet.correlation_id);
  hep.text(Chunk::kNodeName, packet.node_name);
  hep.chunk(Chunk::kPayload, packet.payload);
  std::string bytes = hep.done();
  return bytes.size() > kDatagramBytesMax ? std::string() : bytes;
}

}  // namespace turnpike::homer
