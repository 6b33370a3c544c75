#include "relay/wire/stun.h"

#include <algorithm>

namespace turnpike::stun {
namespace {

constexpr std::uint32_t kFingerprintXor = 0x5354554e;
constexpr std::size_t kFingerprintBytes = 4;
constexpr std::uint8_t kFamilyIpv4 = 1;
constexpr std::uint8_t kFamilyIpv6 = 2;

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0U);
    }
    table[i] = value;
  }
  return table;
}
constexpr std::array<std::uint32_t, 256> kCrcTable = make_crc_table();

constexpr std::size_t padded(std::size_t bytes) {
  return (bytes + 3) & ~std::size_t{3};
}

// RFC 8489 section 5: the class lies in bits 4 and 8, between the bits of the method.
constexpr std::uint16_t type_of(Class message_class, std::uint16_t method) {
  const auto c = static_cast<unsigned>(message_class);
  return static_cast<std::uint16_t>((method & 0x000fU) | ((method & 0x0070U) << 1) |
                                    ((method & 0x0f80U) << 2) | ((c & 1U) << 4) | ((c & 2U) << 7));
}

// What an address is XORed with: the cookie, then the transaction id (RFC 8489 section 14.2).
std::array<std::uint8_t, 16> xor_mask(const std::uint8_t* transaction) {
  std::array<std::uint8_t, 16> mask{};
  write_be32(mask.data(), kMagicCookie);
  std::copy_n(transaction, 12, mask.begin() + 4);
  return mask;
}

}  // namespace

std::uint32_t crc32(Bytes bytes) {
  std::uint32_t value = 0xffffffff;
  for (const std::uint8_t byte : bytes) value = kCrcTable[(value ^ byte) & 0xff] ^ (value >> 8);
  return ~value;
}

std::optional<Message> Message::parse(Bytes datagram) {
  if (datagram.size() < kHeaderBytes || (datagram[0] & 0xc0U) != 0) return std::nullopt;
  const std::size_t length = read_be16(datagram.data() + 2);
  if (length % 4 != 0 || kHeaderBytes + length != datagram.size()) return std::nullopt;
  if (read_be32(datagram.data() + 4) != kMagicCookie) return std::nullopt;
  Message message;
  message.datagram_ = datagram;
  const std::uint16_t type = read_be16(datagram.data());
  message.class_ = static_cast<Class>(((type >> 4) & 1U) | ((type >> 7) & 2U));
  message.method_ = static_cast<std::uint16_t>((type & 0x000fU) | ((type >> 1) & 0x0070U) |
                                               ((type >> 2) & 0x0f80U));
  std::copy_n(datagram.begin() + 8, 12, message.transaction_.begin());
  if (!message.walk()) return std::nullopt;
  return message;
}

bool Message::next(std::size_t& at, Field& field) const {
  const std::size_t left = datagram_.size() - at;
  if (left < kAttributeHeaderBytes) return false;
  const std::size_t bytes = read_be16(datagram_.data() + at + 2);
  if (padded(bytes) > left - kAttributeHeaderBytes) return false;
  field.type = read_be16(datagram_.data() + at);
  field.value = datagram_.subspan(at + kAttributeHeaderBytes, bytes);
  at += kAttributeHeaderBytes + padded(bytes);
  return true;
}

bool Message::walk() {
  seen_end_ = datagram_.size();
  Field field;
  for (std::size_t at = kHeaderBytes; at < datagram_.size();) {
    const std::size_t begin = at;
    if (fingerprint_ || !next(at, field)) return false;
    if (field.type == kMessageIntegrity && !has_integrity()) {
      integrity_at_ = begin;
      seen_end_ = begin;
    }
    if (field.type == kMessageIntegritySha256 && integrity_sha256_at_ == 0) {
      integrity_sha256_at_ = begin;
      seen_end_ = std::min(seen_end_, begin);
    }
    if (field.type == kFingerprint) {
      if (field.value.size() != kFingerprintBytes) return false;
      if ((crc32(datagram_.first(begin)) ^ kFingerprintXor) != read_be32(field.value.data())) {
        return false;
      }
      fingerprint_ = true;
      seen_end_ = std::min(seen_end_, begin);
    }
  }
  return true;
}

std::optional<Bytes> Message::find(std::uint16_t type) const {
  Field field;
  for (std::size_t at = kHeaderBytes; at < seen_end_ && next(at, field);) {
    if (field.type == type) return field.value;
  }
  return std::nullopt;
}

std::optional<Bytes> Message::find_next(std::uint16_t type, std::size_t& at) const {
  Field field;
  for (at = std::max(at, kHeaderBytes); at < seen_end_ && next(at, field);) {
    if (field.type == type) return field.value;
  }
  return std::nullopt;
}

std::optional<Integrity> Message::integrity_at(std::size_t at, std::size_t code_bytes) const {
  const std::size_t begin = at;
  Field field;
  if (at == 0 || !next(at, field) || field.value.size() != code_bytes) return std::nullopt;
  Integrity integrity;
  std::copy_n(datagram_.begin(), kHeaderBytes, integrity.header.begin());
  write_be16(integrity.header.data() + 2, static_cast<std::uint16_t>(at - kHeaderBytes));
  integrity.attributes = datagram_.subspan(kHeaderBytes, begin - kHeaderBytes);
  integrity.code = field.value;
  return integrity;
}

std::optional<std::string_view> Message::text(std::uint16_t type) const {
  const std::optional<Bytes> value = find(type);
  if (!value) return std::nullopt;
  // The bytes of a datagram are chars: aliasing is allowed, and no other cast does it.
  return std::string_view(static_cast<const char*>(static_cast<const void*>(value->data())),
                          value->size());
}

std::optional<std::uint32_t> Message::u32(std::uint16_t type) const {
  const std::optional<Bytes> value = find(type);
  if (!value || value->size() != 4) return std::nullopt;
  return read_be32(value->data());
}

std::optional<std::uint64_t> Message::u64(std::uint16_t type) const {
  const std::optional<Bytes> value = find(type);
  if (!value || value->size() != 8) return std::nullopt;
  return (std::uint64_t{read_be32(value->data())} << 32) | read_be32(value->data() + 4);
}

std::optional<SocketAddress> Message::xor_address(std::uint16_t type) const {
  const std::optional<Bytes> value = find(type);
  return value ? xor_address_in(*value) : std::nullopt;
}

std::optional<SocketAddress> Message::xor_address_in(Bytes value) const {
  if (value.size() < 8) return std::nullopt;
  const bool v4 = value[1] == kFamilyIpv4;
  const std::size_t ip_bytes = v4 ? 4 : 16;
  if ((!v4 && value[1] != kFamilyIpv6) || value.size() != 4 + ip_bytes) return std::nullopt;
  const std::array<std::uint8_t, 16> mask = xor_mask(transaction_.data());
  SocketAddress address;
  address.port = static_cast<std::uint16_t>(read_be16(value.data() + 2) ^ (kMagicCookie >> 16));
  address.ip.family = v4 ? AddressFamily::kIpv4 : AddressFamily::kIpv6;
  for (std::size_t i = 0; i < ip_bytes; ++i) {
    address.ip.bytes[i] = static_cast<std::uint8_t>(value[4 + i] ^ mask[i]);
  }
  return address;
}

std::optional<std::uint16_t> Message::error_code() const {
  const std::optional<Bytes> value = find(kErrorCode);
  if (!value || value->size() < 4) return std::nullopt;
  const unsigned hundreds = (*value)[2] & 0x07U;
  const unsigned number = (*value)[3];
  if (hundreds < 3 || hundreds > 6 || number > 99) return std::nullopt;
  return static_cast<std::uint16_t>(hundreds * 100 + number);
}

std::size_t Message::unknown_required(std::span<const std::uint16_t> known,
                                      std::span<std::uint16_t> out) const {
  std::size_t count = 0;
  Field field;
  for (std::size_t at = kHeaderBytes; at < seen_end_ && count < out.size() && next(at, field);) {
    const auto seen = out.first(count);
    if (field.type >= 0x8000 || std::find(known.begin(), known.end(), field.type) != known.end() ||
        std::find(seen.begin(), seen.end(), field.type) != seen.end()) {
      continue;
    }
    out[count++] = field.type;
  }
  return count;
}

Writer::Writer(std::span<std::uint8_t> buffer, Class message_class, std::uint16_t method,
               const TransactionId& transaction)
    : buffer_(buffer), fits_(buffer.size() >= kHeaderBytes) {
  if (!fits_) return;
  write_be16(buffer_.data(), type_of(message_class, method));
  write_be16(buffer_.data() + 2, 0);
  write_be32(buffer_.data() + 4, kMagicCookie);
  std::copy(transaction.begin(), transaction.end(), buffer_.begin() + 8);
  size_ = kHeaderBytes;
}

std::uint8_t* Writer::append(std::uint16_t type, std::size_t value_bytes) {
  const std::size_t bytes = kAttributeHeaderBytes + padded(value_bytes);
  fits_ = fits_ && bytes <= buffer_.size() - size_ && size_ + bytes - kHeaderBytes <= 0xffff;
  if (!fits_) return nullptr;
  std::uint8_t* const at = buffer_.data() + size_;
  write_be16(at, type);
  write_be16(at + 2, static_cast<std::uint16_t>(value_bytes));
  std::fill_n(at + kAttributeHeaderBytes, padded(value_bytes), std::uint8_t{0});
  size_ += bytes;
  write_be16(buffer_.data() + 2, static_cast<std::uint16_t>(size_ - kHeaderBytes));
  return at + kAttributeHeaderBytes;
}

void Writer::add(std::uint16_t type, Bytes value) {
  std::uint8_t* const at = append(type, value.size());
  if (at != nullptr) std::copy(value.begin(), value.end(), at);
}

void Writer::add_text(std::uint16_t type, std::string_view text) {
  std::uint8_t* const at = append(type, text.size());
  if (at != nullptr) {
    std::transform(text.begin(), text.end(), at,
                   [](char c) { return static_cast<std::uint8_t>(c); });
  }
}

void Writer::add_u32(std::uint16_t type, std::uint32_t value) {
  std::uint8_t* const at = append(type, 4);
  if (at != nullptr) write_be32(at, value);
}

void Writer::add_u64(std::uint16_t type, std::uint64_t value) {
  std::uint8_t* const at = append(type, 8);
  if (at == nullptr) return;
  write_be32(at, static_cast<std::uint32_t>(value >> 32));
  write_be32(at + 4, static_cast<std::uint32_t>(value));
}

std::size_t write_xor_address(std::uint8_t* value, const SocketAddress& address,
                              const std::uint8_t* transaction) {
  const std::size_t ip_bytes = address.ip.is_v4() ? 4 : 16;
  const std::array<std::uint8_t, 16> mask = xor_mask(transaction);
  value[0] = 0;
  value[1] = address.ip.is_v4() ? kFamilyIpv4 : kFamilyIpv6;
  write_be16(value + 2, static_cast<std::uint16_t>(address.port ^ (kMagicCookie >> 16)));
  for (std::size_t i = 0; i < ip_bytes; ++i) {
    value[4 + i] = static_cast<std::uint8_t>(address.ip.bytes[i] ^ mask[i]);
  }
  return 4 + ip_bytes;
}

void Writer::add_xor_address(std::uint16_t type, const SocketAddress& address) {
  std::uint8_t* const at = append(type, address.ip.is_v4() ? 8 : 20);
  if (at != nullptr) write_xor_address(at, address, buffer_.data() + 8);
}

void Writer::add_address(std::uint16_t type, const SocketAddress& address) {
  const std::size_t ip_bytes = address.ip.is_v4() ? 4 : 16;
  std::uint8_t* const at = append(type, 4 + ip_bytes);
  if (at == nullptr) return;
  at[1] = address.ip.is_v4() ? kFamilyIpv4 : kFamilyIpv6;
  write_be16(at + 2, address.port);
  std::copy_n(address.ip.bytes.begin(), ip_bytes, at + 4);
}

void Writer::add_error_code(std::uint16_t code) {
  std::uint8_t* const at = append(kErrorCode, 4);
  if (at == nullptr) return;
  at[2] = static_cast<std::uint8_t>(code / 100);
  at[3] = static_cast<std::uint8_t>(code % 100);
}

void Writer::add_unknown_attributes(std::span<const std::uint16_t> types) {
  std::uint8_t* const at = append(kUnknownAttributes, 2 * types.size());
  if (at == nullptr) return;
  for (std::size_t i = 0; i < types.size(); ++i) write_be16(at + 2 * i, types[i]);
}

void Writer::add_fingerprint() {
  const std::size_t covered = size_;
  std::uint8_t* const at = append(kFingerprint, kFingerprintBytes);
  if (at != nullptr) write_be32(at, crc32(Bytes(buffer_.data(), covered)) ^ kFingerprintXor);
}

}  // namespace turnpike::stun
