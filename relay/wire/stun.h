// STUN messages (RFC 8489) for ICE and TURN: a reader that never leaves its bounds and a writer
// into a caller's buffer. Hides: the wire format, FINGERPRINT. Is not: authentication; who holds a
// key computes the code over what integrity() names.
//
//   0                   1                   2                   3
//  |0 0|   type (class, method)    |     length of attributes      |
//  |                     magic cookie 0x2112A442                   |
//  |                     transaction id (96 bits)                  |
//  |      attribute type           |   length without padding      |  value, padded to 4 bytes ...
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "relay/core/bytes.h"
#include "turnpike/address.h"

namespace turnpike::stun {

constexpr std::size_t kHeaderBytes = 20;
constexpr std::size_t kAttributeHeaderBytes = 4;
constexpr std::uint32_t kMagicCookie = 0x2112A442;
constexpr std::size_t kIntegrityBytes = 20;        ///< HMAC-SHA1
constexpr std::size_t kIntegritySha256Bytes = 32;  ///< not cut short

enum class Class : std::uint8_t { kRequest = 0, kIndication = 1, kSuccess = 2, kError = 3 };

// Methods (RFC 8489 section 18.2, RFC 8656 section 17).
constexpr std::uint16_t kBinding = 0x001;
constexpr std::uint16_t kAllocate = 0x003;
constexpr std::uint16_t kRefresh = 0x004;
constexpr std::uint16_t kSend = 0x006;
constexpr std::uint16_t kData = 0x007;
constexpr std::uint16_t kCreatePermission = 0x008;
constexpr std::uint16_t kChannelBind = 0x009;
// RFC 6062 section 6.1.
constexpr std::uint16_t kConnect = 0x00A;
constexpr std::uint16_t kConnectionBind = 0x00B;
constexpr std::uint16_t kConnectionAttempt = 0x00C;

/// Attribute types (RFC 8489 section 18.3, RFC 8445 section 20.1, RFC 8656 section 18, RFC 5780
/// section 7, RFC 7635 section 6). Those below 0x8000 must be understood by who acts on the
/// message.
enum Attribute : std::uint16_t {
  kMappedAddress = 0x0001,
  kChangeRequest = 0x0003,
  kUsername = 0x0006,
  kMessageIntegrity = 0x0008,
  kErrorCode = 0x0009,
  kUnknownAttributes = 0x000A,
  kChannelNumber = 0x000C,
  kLifetime = 0x000D,
  kXorPeerAddress = 0x0012,
  kDataValue = 0x0013,  ///< DATA
  kRealm = 0x0014,
  kNonce = 0x0015,
  kXorRelayedAddress = 0x0016,
  kRequestedAddressFamily = 0x0017,
  kEvenPort = 0x0018,
  kRequestedTransport = 0x0019,
  kDontFragment = 0x001A,
  kAccessToken = 0x001B,
  kMessageIntegritySha256 = 0x001C,
  kPasswordAlgorithm = 0x001D,
  kUserhash = 0x001E,
  kXorMappedAddress = 0x0020,
  kReservationToken = 0x0022,
  kPriority = 0x0024,
  kUseCandidate = 0x0025,
  kPadding = 0x0026,
  kResponsePort = 0x0027,
  kConnectionId = 0x002A,  ///< RFC 6062 section 6.2
  kAdditionalAddressFamily = 0x8000,
  kAddressErrorCode = 0x8001,
  kPasswordAlgorithms = 0x8002,
  kIcmp = 0x8004,
  kSoftware = 0x8022,
  kAlternateServer = 0x8023,
  kFingerprint = 0x8028,
  kIceControlled = 0x8029,
  kIceControlling = 0x802A,
  kResponseOrigin = 0x802B,
  kOtherAddress = 0x802C,
  kThirdPartyAuthorization = 0x802E,
  kMobilityTicket = 0x8030,
};

using Bytes = std::span<const std::uint8_t>;
using TransactionId = std::array<std::uint8_t, 12>;

/// What MESSAGE-INTEGRITY or its SHA-256 form covers (RFC 8489 sections 14.5, 14.6): HMAC over
/// `header`, then `attributes`.
struct Integrity {
  std::array<std::uint8_t, kHeaderBytes> header{};  ///< its length ends with that attribute
  Bytes attributes;
  Bytes code;  ///< kIntegrityBytes or kIntegritySha256Bytes as received
};

/// A message that has been read: a view of the datagram, which must outlive it.
class Message {
 public:
  /// Reads a whole datagram: header, cookie, every attribute within its bounds, and FINGERPRINT,
  /// if there is one: last and right (RFC 8489 section 7.3). Nothing is said of integrity.
  static std::optional<Message> parse(Bytes datagram);

  Class message_class() const { return class_; }
  std::uint16_t method() const { return method_; }
  const TransactionId& transaction() const { return transaction_; }
  bool has_fingerprint() const { return fingerprint_; }

  /// The value of the first attribute of a type. Everything behind MESSAGE-INTEGRITY is unseen,
  /// because nothing vouches for it (RFC 8489 sections 14.5, 14.6).
  std::optional<Bytes> find(std::uint16_t type) const;
  /// The values of all attributes of a type, one after the other: `at` is 0 at first.
  std::optional<Bytes> find_next(std::uint16_t type, std::size_t& at) const;
  /// Whether there is a MESSAGE-INTEGRITY of either kind, right or not.
  bool has_integrity() const { return integrity_at_ != 0 || integrity_sha256_at_ != 0; }
  /// Its integrity, when there is one of the right length.
  std::optional<Integrity> integrity() const {
    return integrity_at(integrity_at_, kIntegrityBytes);
  }
  std::optional<Integrity> integrity_sha256() const {
    return integrity_at(integrity_sha256_at_, kIntegritySha256Bytes);
  }
  /// Whether MESSAGE-INTEGRITY is there and right, in a time that does not depend on the code.
  /// `mac(head, tail, code)` writes kIntegrityBytes over `head` followed by `tail`.
  template <typename Mac>
  bool is_authentic(Mac&& mac) const {
    const std::optional<Integrity> found = integrity();
    if (!found) return false;
    std::array<std::uint8_t, kIntegrityBytes> code{};
    mac(Bytes(found->header), found->attributes, code.data());
    return equal_constant_time(code.data(), found->code.data(), code.size());
  }

  // Values by type; nothing when absent, or of a length or form that is not right.
  std::optional<std::string_view> username() const { return text(kUsername); }
  std::optional<std::uint32_t> priority() const { return u32(kPriority); }
  std::optional<std::uint64_t> u64(std::uint16_t type) const;
  std::optional<std::uint32_t> u32(std::uint16_t type) const;
  bool use_candidate() const { return find(kUseCandidate).has_value(); }
  std::optional<std::string_view> text(std::uint16_t type) const;
  /// XOR-MAPPED-ADDRESS and its like (RFC 8489 section 14.2).
  std::optional<SocketAddress> xor_address(std::uint16_t type) const;
  std::optional<SocketAddress> xor_address_in(Bytes value) const;
  /// 300-699 (RFC 8489 section 14.8).
  std::optional<std::uint16_t> error_code() const;

  /// Collects types that must be understood and are not in `known` into `out`, each once;
  /// returns how many there are in `out`.
  std::size_t unknown_required(std::span<const std::uint16_t> known,
                               std::span<std::uint16_t> out) const;

 private:
  struct Field {
    std::uint16_t type = 0;
    Bytes value;
  };
  // The attribute at `at`, which moves behind it; false at the end or where it does not fit.
  bool next(std::size_t& at, Field& field) const;
  bool walk();
  std::optional<Integrity> integrity_at(std::size_t at, std::size_t code_bytes) const;

  Bytes datagram_;
  std::size_t seen_end_ = 0;      // attributes from here on are not looked at
  std::size_t integrity_at_ = 0;  // 0: none
  std::size_t integrity_sha256_at_ = 0;
  Class class_ = Class::kRequest;
  std::uint16_t method_ = 0;
  bool fingerprint_ = false;
  TransactionId transaction_{};
};

/// Writes a message from front to back. What does not fit makes finish() empty.
class Writer {
 public:
  Writer(std::span<std::uint8_t> buffer, Class message_class, std::uint16_t method,
         const TransactionId& transaction);

  void add(std::uint16_t type, Bytes value);  ///< padded with zeros
  void add_zeros(std::uint16_t type, std::size_t count) { append(type, count); }
  void add_flag(std::uint16_t type) { add(type, {}); }
  void add_text(std::uint16_t type, std::string_view text);
  void add_u32(std::uint16_t type, std::uint32_t value);
  void add_u64(std::uint16_t type, std::uint64_t value);
  void add_xor_address(std::uint16_t type, const SocketAddress& address);
  /// MAPPED-ADDRESS and its like (RFC 8489 section 14.1).
  void add_address(std::uint16_t type, const SocketAddress& address);
  /// Without a reason phrase: it would only make answers longer.
  void add_error_code(std::uint16_t code);
  void add_unknown_attributes(std::span<const std::uint16_t> types);
  /// `mac(message, code)` writes kIntegrityBytes over the message so far, whose length already
  /// ends with MESSAGE-INTEGRITY.
  template <typename Mac>
  void add_integrity(Mac&& mac) {
    add_code(kMessageIntegrity, kIntegrityBytes, mac);
  }
  /// The same with kIntegritySha256Bytes.
  template <typename Mac>
  void add_integrity_sha256(Mac&& mac) {
    add_code(kMessageIntegritySha256, kIntegritySha256Bytes, mac);
  }
  void add_fingerprint();

  /// The whole message; empty when the buffer was too small.
  Bytes finish() const { return fits_ ? Bytes(buffer_.data(), size_) : Bytes(); }
  std::size_t size() const { return size_; }  ///< so far

 private:
  // Room for a value, zeroed with its padding; null when it does not fit.
  std::uint8_t* append(std::uint16_t type, std::size_t value_bytes);
  template <typename Mac>
  void add_code(std::uint16_t type, std::size_t bytes, Mac&& mac) {
    const std::size_t covered = size_;
    std::uint8_t* value = append(type, bytes);
    if (value != nullptr) mac(Bytes(buffer_.data(), covered), value);
  }

  std::span<std::uint8_t> buffer_;
  std::size_t size_ = 0;
  bool fits_ = true;
};

/// Writes `address` as the value of XOR-PEER-ADDRESS and its like: 8 or 20 bytes, which it returns.
std::size_t write_xor_address(std::uint8_t* value, const SocketAddress& address,
                              const std::uint8_t* transaction);

/// CRC-32 of ITU V.42 (RFC 8489 section 14.7), without FINGERPRINT's final XOR.
std::uint32_t crc32(Bytes bytes);

}  // namespace turnpike::stun
