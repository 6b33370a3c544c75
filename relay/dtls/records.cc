#include "relay/dtls/records.h"

#include <algorithm>

#include "relay/core/bytes.h"
#include "relay/core/check.h"

namespace turnpike {
namespace {

// Content types (RFC 5246 section 6.2.1).
constexpr std::uint8_t kChangeCipherSpec = 20;
constexpr std::uint8_t kAlert = 21;
constexpr std::uint8_t kHandshake = 22;
constexpr std::uint8_t kApplicationData = 23;

// Handshake messages (RFC 5246 section 7.4, RFC 6347 section 4.3.2) that come in plaintext.
constexpr std::uint8_t kClientHello = 1;
constexpr std::uint8_t kServerHello = 2;
constexpr std::uint8_t kHelloVerifyRequest = 3;
constexpr std::uint8_t kCertificate = 11;
constexpr std::uint8_t kServerKeyExchange = 12;
constexpr std::uint8_t kCertificateRequest = 13;
constexpr std::uint8_t kServerHelloDone = 14;
constexpr std::uint8_t kCertificateVerify = 15;
constexpr std::uint8_t kClientKeyExchange = 16;

constexpr std::uint8_t kMajorVersion = 254;
constexpr std::size_t kMessageHeaderBytes = 12;
/// Certificates with a chain fit. The library sets memory aside for what a header promises.
constexpr std::uint32_t kMessageBytesMax = 16384;

std::uint32_t read_be24(const std::uint8_t* p) {
  return (std::uint32_t{p[0]} << 16) | read_be16(p + 1);
}
void write_be24(std::uint8_t* p, std::size_t value) {
  p[0] = static_cast<std::uint8_t>(value >> 16);
  write_be16(p + 1, static_cast<std::uint16_t>(value));
}

/// A handshake message's header (RFC 6347 section 4.2.2).
struct Fragment {
  std::uint8_t type = 0;
  std::uint32_t message_bytes = 0;
  std::uint32_t offset = 0;
  std::span<const std::uint8_t> body;
};

bool take_fragment(std::span<const std::uint8_t>& payload, Fragment& fragment) {
  if (payload.size() < kMessageHeaderBytes) return false;
  const std::uint8_t* header = payload.data();
  fragment.type = header[0];
  fragment.message_bytes = read_be24(header + 1);
  fragment.offset = read_be24(header + 6);
  const std::uint32_t bytes = read_be24(header + 9);
  if (bytes > payload.size() - kMessageHeaderBytes) return false;
  if (fragment.message_bytes > kMessageBytesMax) return false;
  if (fragment.offset + bytes > fragment.message_bytes) return false;
  fragment.body = payload.subspan(kMessageHeaderBytes, bytes);
  payload = payload.subspan(kMessageHeaderBytes + bytes);
  return true;
}

bool may_come(std::uint8_t message, DtlsRole role) {
  switch (message) {
    case kCertificate:
      return true;
    case kClientHello:
    case kClientKeyExchange:
    case kCertificateVerify:
      return role != DtlsRole::kActive;
    case kServerHello:
    case kHelloVerifyRequest:
    case kServerKeyExchange:
    case kCertificateRequest:
    case kServerHelloDone:
      return role == DtlsRole::kActive;
    default:
      return false;
  }
}

bool messages_add_up(std::span<const std::uint8_t> payload, DtlsRole role) {
  Fragment fragment;
  while (!payload.empty()) {
    if (!take_fragment(payload, fragment) || !may_come(fragment.type, role)) return false;
  }
  return true;
}

}  // namespace

bool take_record(std::span<const std::uint8_t>& datagram, DtlsRecord& record) {
  if (datagram.size() <= kDtlsRecordHeaderBytes) return false;
  const std::uint8_t* header = datagram.data();
  const std::size_t bytes = read_be16(header + 11);
  if (header[0] < kChangeCipherSpec || header[0] > kApplicationData || header[1] != kMajorVersion ||
      bytes == 0 || bytes > datagram.size() - kDtlsRecordHeaderBytes) {
    return false;
  }
  record.type = header[0];
  record.epoch = read_be16(header + 3);
  record.sequence = (std::uint64_t{read_be16(header + 5)} << 32) | read_be32(header + 7);
  record.whole = datagram.first(kDtlsRecordHeaderBytes + bytes);
  record.payload = record.whole.subspan(kDtlsRecordHeaderBytes);
  datagram = datagram.subspan(record.whole.size());
  return true;
}

bool parse_hello(const DtlsRecord& record, HelloStart& hello) {
  Fragment fragment;
  std::span<const std::uint8_t> payload = record.payload;
  if (record.type != kHandshake || record.epoch != 0 || !take_fragment(payload, fragment) ||
      fragment.type != kClientHello || fragment.offset != 0) {
    return false;
  }
  // client_version, random, session_id<0..32>, cookie<0..255> (RFC 6347 section 4.3.2)
  std::span<const std::uint8_t> body = fragment.body;
  constexpr std::size_t kVersionBytes = 2;
  const std::size_t fixed_bytes = kVersionBytes + hello.random.size();
  if (body.size() <= fixed_bytes) return false;
  std::copy_n(body.begin() + kVersionBytes, hello.random.size(), hello.random.begin());
  body = body.subspan(fixed_bytes);
  const std::size_t session_bytes = body[0];
  if (session_bytes > 32 || body.size() < 1 + session_bytes + 1) return false;
  body = body.subspan(1 + session_bytes);
  const std::size_t cookie_bytes = body[0];
  if (body.size() < 1 + cookie_bytes) return false;
  hello.cookie = body.subspan(1, cookie_bytes);
  return true;
}

std::uint8_t flight_of(const DtlsRecord& record, bool from_client) {
  const std::uint8_t last = from_client ? 5 : 6;
  if (record.payload.empty() || record.type == kAlert || record.type == kApplicationData) return 0;
  if (record.epoch != 0 || record.type == kChangeCipherSpec) return last;
  HelloStart hello;
  if (parse_hello(record, hello)) return hello.cookie.empty() ? 1 : 3;
  switch (record.payload[0]) {
    case kClientHello:
      return 1;
    case kHelloVerifyRequest:
      return 2;
    default:
      return from_client ? 5 : 4;
  }
}

RecordVerdict judge(const DtlsRecord& record, DtlsRole role) {
  // There is one key change and no other.
  if (record.epoch != 0) return record.epoch == 1 ? RecordVerdict::kPass : RecordVerdict::kDrop;
  bool pass = false;
  switch (record.type) {
    case kAlert:
      return RecordVerdict::kAlert;
    case kChangeCipherSpec:
      pass = record.payload.size() == 1 && record.payload[0] == 1;
      break;
    case kHandshake:
      pass = messages_add_up(record.payload, role);
      break;
    default:
      break;
  }
  return pass ? RecordVerdict::kPass : RecordVerdict::kDrop;
}

bool is_fatal_alert(const DtlsRecord& record, std::uint8_t& description) {
  constexpr std::uint8_t kFatal = 2;
  if (record.type != kAlert || record.payload.size() != 2 || record.payload[0] != kFatal) {
    return false;
  }
  description = record.payload[1];
  return true;
}

std::size_t write_hello_verify(const DtlsRecord& hello, std::span<const std::uint8_t> cookie,
                               std::span<std::uint8_t, kHelloVerifyBytesMax> out) {
  CHECK(cookie.size() <= 32);
  const std::size_t body_bytes = 3 + cookie.size();
  const std::size_t message_bytes = kMessageHeaderBytes + body_bytes;
  std::fill(out.begin(), out.end(), std::uint8_t{0});
  std::uint8_t* header = out.data();
  header[0] = kHandshake;
  write_be16(header + 1, 0xfeff);  // DTLS 1.0, whatever will be spoken
  // The client's own record number, so that we need not count.
  write_be16(header + 5, static_cast<std::uint16_t>(hello.sequence >> 32));
  write_be32(header + 7, static_cast<std::uint32_t>(hello.sequence));
  write_be16(header + 11, static_cast<std::uint16_t>(message_bytes));
  std::uint8_t* message = header + kDtlsRecordHeaderBytes;
  message[0] = kHelloVerifyRequest;
  write_be24(message + 1, body_bytes);
  write_be24(message + 9, body_bytes);
  std::uint8_t* body = message + kMessageHeaderBytes;
  write_be16(body, 0xfeff);
  body[2] = static_cast<std::uint8_t>(cookie.size());
  std::copy(cookie.begin(), cookie.end(), body + 3);
  return kDtlsRecordHeaderBytes + message_bytes;
}

}  // namespace turnpike
