// What can be told of DTLS records without keys (RFC 6347 section 4.1): taking datagrams apart,
// what a ClientHello says first, and which plaintext may reach a handshake at all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "turnpike/transport.h"

namespace turnpike {

constexpr std::size_t kDtlsRecordHeaderBytes = 13;

struct DtlsRecord {
  std::uint8_t type = 0;
  std::uint16_t epoch = 0;
  std::uint64_t sequence = 0;
  std::span<const std::uint8_t> whole;    ///< with its header
  std::span<const std::uint8_t> payload;  ///< not empty
};

/// Takes the first record off a datagram; false at its end, or where it does not add up: what is
/// left is worth nothing then.
bool take_record(std::span<const std::uint8_t>& datagram, DtlsRecord& record);

/// What anybody can see of a ClientHello's beginning; it lies in its first fragment.
struct HelloStart {
  std::array<std::uint8_t, 32> random{};
  std::span<const std::uint8_t> cookie;
};
/// False when the record does not begin with a ClientHello's beginning.
bool parse_hello(const DtlsRecord& record, HelloStart& hello);

/// Of which flight of a handshake a record is (RFC 6347 section 4.2.4, figure 1); 0: of none.
std::uint8_t flight_of(const DtlsRecord& record, bool from_client);

enum class RecordVerdict : std::uint8_t {
  kPass,
  kDrop,
  kAlert,  ///< plaintext: anybody can have sent it
};
/// Whether a record may reach a handshake in which we play `role`. What is encrypted may: the
/// association throws away what is not from its remote end.
RecordVerdict judge(const DtlsRecord& record, DtlsRole role);

/// Of an alert (RFC 5246 section 7.2).
constexpr std::uint8_t kAlertProtocolVersion = 70;
bool is_fatal_alert(const DtlsRecord& record, std::uint8_t& description);

/// Answers a ClientHello with a request for `cookie` (RFC 6347 section 4.2.1), in fewer bytes than
/// the shortest ClientHello has. Returns the bytes written.
constexpr std::size_t kHelloVerifyBytesMax = kDtlsRecordHeaderBytes + 12 + 3 + 32;
std::size_t write_hello_verify(const DtlsRecord& hello, std::span<const std::uint8_t> cookie,
                               std::span<std::uint8_t, kHelloVerifyBytesMax> out);

}  // namespace turnpike
