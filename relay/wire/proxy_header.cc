#include "relay/wire/proxy_header.h"

#include <algorithm>
#include <array>

#include "relay/core/bytes.h"

namespace turnpike {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::array<std::uint8_t, 12> kSignature = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                                     0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
constexpr std::size_t kFixedBytes = 16;
constexpr std::uint8_t kVersion2Local = 0x20;
constexpr std::uint8_t kVersion2Proxy = 0x21;
constexpr std::uint8_t kTcpOverIpv4 = 0x11;
constexpr std::uint8_t kTcpOverIpv6 = 0x21;
constexpr std::uint8_t kChecksumType = 0x03;
constexpr std::size_t kChecksumBytes = 4;
constexpr std::size_t kItemHeaderBytes = 3;

/// CRC32c (Castagnoli), bit by bit: headers are short and come once a connection.
std::uint32_t crc32c(Bytes bytes, std::size_t zeros_at) {
  std::uint32_t crc = ~0U;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const bool blank = i >= zeros_at && i - zeros_at < kChecksumBytes;
    crc ^= blank ? 0U : bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
  }
  return ~crc;
}

SocketAddress address_at(const std::uint8_t* ip, const std::uint8_t* port, bool v4) {
  SocketAddress address;
  const std::size_t length = v4 ? 4 : 16;
  std::copy_n(ip, length, address.ip.bytes.begin());
  address.ip.family = v4 ? AddressFamily::kIpv4 : AddressFamily::kIpv6;
  constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (!v4 && std::equal(kMapped.begin(), kMapped.end(), ip)) {
    address.ip = IpAddress::v4(ip[12], ip[13], ip[14], ip[15]);
  }
  address.port = read_be16(port);
  return address;
}

/// Whether somebody could have connected from there. This host's own addresses are not for others:
/// they may do more.
bool is_of_a_client(const SocketAddress& address) {
  const IpAddress& ip = address.ip;
  return address.port != 0 && !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback();
}

/// What follows the addresses is passed over, but for the checksum. `from` counts in `header`.
ProxyState judge_items(Bytes header, std::size_t from) {
  bool checked = false;
  while (from < header.size()) {
    if (header.size() - from < kItemHeaderBytes) return ProxyState::kMalformed;
    const std::size_t length = read_be16(header.data() + from + 1);
    const std::size_t value = from + kItemHeaderBytes;
    if (length > header.size() - value) return ProxyState::kMalformed;
    if (header[from] == kChecksumType) {
      if (checked || length != kChecksumBytes) return ProxyState::kMalformed;
      if (read_be32(header.data() + value) != crc32c(header, value)) {
        return ProxyState::kBadChecksum;
      }
      checked = true;
    }
    from = value + length;
  }
  return ProxyState::kProxied;
}

}  // namespace

ProxyHeader read_proxy_header(Bytes bytes) {
  ProxyHeader header;
  const std::size_t signed_bytes = std::min(bytes.size(), kSignature.size());
  if (!std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(signed_bytes),
                  kSignature.begin())) {
    return header;
  }
  const auto verdict = [&header](ProxyState state) {
    header.state = state;
    return header;
  };
  if (bytes.size() > 12 && bytes[12] != kVersion2Local && bytes[12] != kVersion2Proxy) {
    return verdict(ProxyState::kMalformed);
  }
  if (bytes.size() < kFixedBytes) return verdict(ProxyState::kIncomplete);
  const std::size_t length = kFixedBytes + read_be16(bytes.data() + 14);
  if (length > ProxyHeader::kBytesMax) return verdict(ProxyState::kMalformed);
  const bool is_local = bytes[12] == kVersion2Local;
  const bool v4 = bytes[13] == kTcpOverIpv4;
  if (!is_local && !v4 && bytes[13] != kTcpOverIpv6) return verdict(ProxyState::kUnsupported);
  const std::size_t ip_bytes = v4 ? 4 : 16;
  const std::size_t address_bytes = 2 * ip_bytes + 4;
  if (!is_local && length < kFixedBytes + address_bytes) return verdict(ProxyState::kMalformed);
  if (bytes.size() < length) return verdict(ProxyState::kIncomplete);
  header.bytes = length;
  if (is_local) return verdict(ProxyState::kLocal);
  const ProxyState judged = judge_items(bytes.first(length), kFixedBytes + address_bytes);
  if (judged != ProxyState::kProxied) return verdict(judged);
  const std::uint8_t* const at = bytes.data() + kFixedBytes;
  header.source = address_at(at, at + 2 * ip_bytes, v4);
  return verdict(is_of_a_client(header.source) ? ProxyState::kProxied : ProxyState::kMalformed);
}

}  // namespace turnpike
