#include "bench/load/stun.h"

#include <algorithm>
#include <cstring>
#include <string>

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace turnpike::bench::stun {
namespace {

constexpr std::uint32_t kCookie = 0x2112A442;
constexpr std::uint16_t kMessageIntegrity = 0x0008;
constexpr std::size_t kSha1Bytes = 20;
constexpr std::size_t kAttributeHeaderBytes = 4;

std::size_t padding_of(std::size_t bytes) {
  return (4 - bytes % 4) % 4;
}

void append16(std::vector<std::uint8_t>& bytes, std::size_t value) {
  bytes.push_back(static_cast<std::uint8_t>(value >> 8));
  bytes.push_back(static_cast<std::uint8_t>(value));
}

void append32(std::vector<std::uint8_t>& bytes, std::uint32_t value) {
  append16(bytes, value >> 16);
  append16(bytes, value & 0xffff);
}

std::uint16_t read16(Bytes bytes, std::size_t at) {
  return static_cast<std::uint16_t>((bytes[at] << 8) | bytes[at + 1]);
}

}  // namespace

Message::Message(std::uint16_t type, const Transaction& transaction) {
  append16(bytes_, type);
  append16(bytes_, 0);
  append32(bytes_, kCookie);
  bytes_.insert(bytes_.end(), transaction.begin(), transaction.end());
}

void Message::head(std::uint16_t attribute, std::size_t value_bytes) {
  append16(bytes_, attribute);
  append16(bytes_, value_bytes);
  const std::size_t length = bytes_.size() - kHeaderBytes + value_bytes + padding_of(value_bytes);
  bytes_[2] = static_cast<std::uint8_t>(length >> 8);
  bytes_[3] = static_cast<std::uint8_t>(length);
}

Message& Message::add(std::uint16_t attribute, Bytes value) {
  head(attribute, value.size());
  bytes_.insert(bytes_.end(), value.begin(), value.end());
  bytes_.resize(bytes_.size() + padding_of(value.size()));
  return *this;
}

Message& Message::add(std::uint16_t attribute, std::string_view text) {
  const std::vector<std::uint8_t> value(text.begin(), text.end());
  return add(attribute, Bytes(value));
}

Message& Message::add(std::uint16_t attribute, std::uint32_t value) {
  head(attribute, sizeof value);
  append32(bytes_, value);
  return *this;
}

Message& Message::add(std::uint16_t attribute, const sockaddr_in& address) {
  head(attribute, 8);
  append16(bytes_, 1);  // IPv4
  append16(bytes_, ntohs(address.sin_port) ^ (kCookie >> 16));
  append32(bytes_, ntohl(address.sin_addr.s_addr) ^ kCookie);
  return *this;
}

// RFC 8489 section 14.5: over what stands in front, with the length that it has afterwards.
Message& Message::sign(Bytes key) {
  const std::size_t signed_bytes = bytes_.size();
  head(kMessageIntegrity, kSha1Bytes);
  bytes_.resize(bytes_.size() + kSha1Bytes);
  HMAC(EVP_sha1(), key.data(), static_cast<int>(key.size()), bytes_.data(), signed_bytes,
       &bytes_[signed_bytes + kAttributeHeaderBytes], nullptr);
  return *this;
}

std::array<std::uint8_t, 16> long_term_key(std::string_view user, std::string_view realm,
                                           std::string_view password) {
  const std::string text =
      std::string(user) + ":" + std::string(realm) + ":" + std::string(password);
  std::array<std::uint8_t, 16> key{};
  EVP_Digest(text.data(), text.size(), key.data(), nullptr, EVP_md5(), nullptr);
  return key;
}

std::uint16_t type_of(Bytes message) {
  return read16(message, 0);
}

Transaction transaction_of(Bytes message) {
  Transaction transaction;
  std::copy_n(message.begin() + 8, transaction.size(), transaction.begin());
  return transaction;
}

bool is_message(Bytes datagram) {
  return datagram.size() >= kHeaderBytes && datagram[0] < 0x40 &&
         kHeaderBytes + read16(datagram, 2) == datagram.size();
}

Bytes attribute(Bytes message, std::uint16_t type) {
  for (std::size_t at = kHeaderBytes; at + kAttributeHeaderBytes <= message.size();) {
    const std::size_t length = read16(message, at + 2);
    const std::size_t begin = at + kAttributeHeaderBytes;
    if (begin + length > message.size()) break;
    if (read16(message, at) == type) return message.subspan(begin, length);
    at = begin + length + padding_of(length);
  }
  return {};
}

int error_of(Bytes message) {
  const Bytes value = attribute(message, kErrorCode);
  return value.size() < 4 ? 0 : value[2] * 100 + value[3];
}

std::optional<sockaddr_in> address_in(Bytes xored) {
  if (xored.size() != 8 || xored[1] != 1) return std::nullopt;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(read16(xored, 2) ^ (kCookie >> 16)));
  std::uint32_t ip = 0;
  std::memcpy(&ip, &xored[4], sizeof ip);
  address.sin_addr.s_addr = ip ^ htonl(kCookie);
  return address;
}

}  // namespace turnpike::bench::stun
