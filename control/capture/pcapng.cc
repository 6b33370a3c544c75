#include "control/capture/pcapng.h"

#include <algorithm>
#include <vector>

namespace turnpike::capture {
namespace {

constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr std::uint32_t kInterfaceDescription = 1;
constexpr std::uint32_t kInterfaceStatistics = 5;
constexpr std::uint32_t kEnhancedPacket = 6;
constexpr std::uint32_t kByteOrderMagic = 0x1a2b3c4d;
// A family of 4 bytes before the IP header. Raw IP would do without, but libpcap refuses files that
// have it at more than one interface.
constexpr std::uint16_t kLinkTypeNull = 0;
constexpr std::uint8_t kFamilyIpv4 = 2;
constexpr std::uint8_t kFamilyIpv6 = 24;

constexpr std::uint16_t kEndOfOptions = 0;
constexpr std::uint16_t kComment = 1;
constexpr std::uint16_t kApplication = 4;
constexpr std::uint16_t kName = 2;
constexpr std::uint16_t kDescription = 3;
constexpr std::uint16_t kResolution = 9;
constexpr std::uint16_t kFlags = 2;
constexpr std::uint32_t kInbound = 1;
constexpr std::uint32_t kOutbound = 2;
constexpr std::uint16_t kStartTime = 2;
constexpr std::uint16_t kEndTime = 3;
constexpr std::uint16_t kReceived = 4;
constexpr std::uint16_t kDropped = 5;

constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kHops = 64;
constexpr std::size_t kUdpBytes = 8;
constexpr std::size_t kOptionBytesMax = 4096;
constexpr std::uint16_t kRtpPort = 5004;

// Blocks are in the byte order of the magic; ours is little endian everywhere.
template <typename Number>
void put(std::string& out, Number number) {
  for (std::size_t i = 0; i < sizeof number; ++i) {
    out += static_cast<char>(static_cast<std::uint64_t>(number) >> (8 * i) & 0xffU);
  }
}

void pad(std::string& out) {
  while (out.size() % 4 != 0) out += '\0';
}

void put_option(std::string& out, std::uint16_t code, std::string value) {
  value.resize(std::min(value.size(), kOptionBytesMax));
  if (value.empty()) return;
  put(out, code);
  put(out, static_cast<std::uint16_t>(value.size()));
  out += value;
  pad(out);
}

std::string number(std::uint64_t value) {
  std::string bytes;
  put(bytes, value);
  return bytes;
}

// Dates in options are two halves, the high one first.
void put_date(std::string& out, Date at) {
  const auto ns = static_cast<std::uint64_t>(at.time_since_epoch().count());
  put(out, static_cast<std::uint32_t>(ns >> 32));
  put(out, static_cast<std::uint32_t>(ns));
}

std::string date(Date at) {
  std::string bytes;
  put_date(bytes, at);
  return bytes;
}

std::string block(std::uint32_t type, const std::string& body) {
  const auto bytes = static_cast<std::uint32_t>(body.size() + 12);
  std::string out;
  put(out, type);
  put(out, bytes);
  out += body;
  put(out, bytes);
  return out;
}

using Bytes = std::vector<std::uint8_t>;

void put16(Bytes& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

std::uint32_t sum_of(std::span<const std::uint8_t> bytes, std::uint32_t sum) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
  }
  while (sum >> 16 != 0) sum = (sum & 0xffffU) + (sum >> 16);
  return sum;
}

// RFC 1071.
void put_checksum(Bytes& out, std::size_t at, std::uint32_t sum) {
  auto checksum = static_cast<std::uint16_t>(~sum);
  out[at] = static_cast<std::uint8_t>(checksum >> 8);
  out[at + 1] = static_cast<std::uint8_t>(checksum);
}

void put_ip(Bytes& out, const IpAddress& ip) {
  const std::size_t bytes = ip.is_v6() ? 16 : 4;
  out.insert(out.end(), ip.bytes.begin(), ip.bytes.begin() + static_cast<std::ptrdiff_t>(bytes));
}

SocketAddress or_none(SocketAddress address) {
  if (address.is_set()) return address;
  address.ip.family = AddressFamily::kIpv6;
  address.ip.bytes = {0x01};
  address.port = kRtpPort;
  return address;
}

// The family, IP (RFC 791, RFC 8200) and UDP (RFC 768).
Bytes headers_of(const Datagram& datagram) {
  SocketAddress source = or_none(datagram.source);
  SocketAddress destination = or_none(datagram.destination);
  const bool v6 = source.ip.is_v6() || destination.ip.is_v6();
  for (SocketAddress* address : {&source, &destination}) {
    if (v6 && address->ip.is_v4()) *address = or_none({});
  }
  const std::size_t udp_bytes = kUdpBytes + datagram.length;
  constexpr std::size_t ip = 4;
  Bytes out;
  if (v6) {
    out = {kFamilyIpv6, 0, 0, 0, 0x60, 0, 0, 0};
    put16(out, udp_bytes);
    out.insert(out.end(), {kUdp, kHops});
  } else {
    out = {kFamilyIpv4, 0, 0, 0, 0x45, 0};
    put16(out, 20 + udp_bytes);
    out.insert(out.end(), {0, 0, 0, 0, kHops, kUdp, 0, 0});
  }
  put_ip(out, source.ip);
  put_ip(out, destination.ip);
  if (!v6) put_checksum(out, ip + 10, sum_of(std::span<const std::uint8_t>(out).subspan(ip), 0));

  const std::size_t udp = out.size();
  put16(out, source.port);
  put16(out, destination.port);
  put16(out, udp_bytes);
  put16(out, 0);
  if (datagram.bytes.size() != datagram.length) return out;
  const std::size_t addresses = ip + (v6 ? 8 : 12);
  const auto whole = std::span<const std::uint8_t>(out);
  std::uint32_t sum = static_cast<std::uint32_t>(kUdp + udp_bytes);
  sum = sum_of(whole.subspan(addresses), sum);
  sum = sum_of(datagram.bytes, sum);
  if (sum == 0xffff) sum = 0;  // a checksum of 0 would mean that there is none
  put_checksum(out, udp + 6, sum);
  return out;
}

}  // namespace

std::string section_header(const std::string& application, const std::string& comment) {
  std::string body;
  put(body, kByteOrderMagic);
  put(body, std::uint16_t{1});
  put(body, std::uint16_t{0});
  put(body, ~std::uint64_t{0});  // of a length that is not known yet
  put_option(body, kApplication, application);
  put_option(body, kComment, comment);
  put(body, std::uint32_t{kEndOfOptions});
  return block(kSectionHeader, body);
}

std::string interface_description(const std::string& name, const std::string& description) {
  std::string body;
  put(body, kLinkTypeNull);
  put(body, std::uint16_t{0});
  put(body, std::uint32_t{0});  // no limit
  put_option(body, kName, name);
  put_option(body, kDescription, description);
  put_option(body, kResolution, std::string(1, 9));
  put(body, std::uint32_t{kEndOfOptions});
  return block(kInterfaceDescription, body);
}

std::string packet(const Datagram& datagram) {
  const Bytes headers = headers_of(datagram);
  std::string body;
  put(body, datagram.interface);
  put_date(body, datagram.at);
  put(body, static_cast<std::uint32_t>(headers.size() + datagram.bytes.size()));
  put(body, static_cast<std::uint32_t>(headers.size() + datagram.length));
  body.append(headers.begin(), headers.end());
  body.append(datagram.bytes.begin(), datagram.bytes.end());
  pad(body);
  std::string flags;
  put(flags, datagram.sent ? kOutbound : kInbound);
  put_option(body, kFlags, flags);
  put(body, std::uint32_t{kEndOfOptions});
  return block(kEnhancedPacket, body);
}

std::string statistics(const Statistics& figures) {
  std::string body;
  put(body, figures.interface);
  put_date(body, figures.end);
  put_option(body, kComment, figures.comment);
  put_option(body, kStartTime, date(figures.begin));
  put_option(body, kEndTime, date(figures.end));
  put_option(body, kReceived, number(figures.received));
  put_option(body, kDropped, number(figures.missing));
  put(body, std::uint32_t{kEndOfOptions});
  return block(kInterfaceStatistics, body);
}

}  // namespace turnpike::capture
