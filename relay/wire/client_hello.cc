#include "relay/wire/client_hello.h"

#include <algorithm>
#include <cstring>

#include "relay/core/bytes.h"

namespace turnpike {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::uint8_t kHandshakeRecord = 22;
constexpr std::uint8_t kMajorVersion = 3;  // of all TLS there is
constexpr std::size_t kRecordHeaderBytes = 5;
constexpr std::size_t kRecordBytesMax = 1U << 14;
constexpr std::uint8_t kClientHelloType = 1;
constexpr std::size_t kMessageHeaderBytes = 4;
constexpr std::size_t kVersionAndRandomBytes = 34;
constexpr std::size_t kSessionIdBytesMax = 32;
constexpr std::uint16_t kServerNameExtension = 0;
constexpr std::uint16_t kAlpnExtension = 16;
constexpr std::uint8_t kHostName = 0;
constexpr std::size_t kHostNameBytesMax = 255;

/// Takes fields from the front; once one is missing nothing more comes.
class Reader {
 public:
  explicit Reader(Bytes bytes) : left_(bytes) {}

  Bytes take(std::size_t count) {
    if (count > left_.size()) {
      broken_ = true;
      left_ = {};
      return {};
    }
    const Bytes taken = left_.first(count);
    left_ = left_.subspan(count);
    return taken;
  }
  std::size_t number(std::size_t bytes) {
    std::size_t value = 0;
    for (const std::uint8_t byte : take(bytes)) value = value << 8 | byte;
    return value;
  }
  /// A vector with its length in so many bytes in front.
  Bytes vector(std::size_t length_bytes) { return take(number(length_bytes)); }
  bool empty() const { return left_.empty(); }
  bool broken() const { return broken_; }

 private:
  Bytes left_;
  bool broken_ = false;
};

const char* as_chars(Bytes bytes) {
  return static_cast<const char*>(static_cast<const void*>(bytes.data()));
}

bool is_host_name(std::string_view name) {
  const auto is_taken = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  };
  return !name.empty() && name.size() <= kHostNameBytesMax &&
         std::all_of(name.begin(), name.end(), is_taken);
}

/// False when it breaks a rule.
bool read_server_name(Bytes extension, std::string_view& name) {
  Reader outer(extension);
  Reader list(outer.vector(2));
  if (outer.broken() || !outer.empty() || list.empty()) return false;
  bool seen = false;
  while (!list.empty()) {
    const std::size_t type = list.number(1);
    const Bytes value = list.vector(2);
    if (list.broken()) return false;
    if (type != kHostName) continue;
    const std::string_view text(as_chars(value), value.size());
    if (seen || !is_host_name(text)) return false;
    seen = true;
    name = text;
  }
  return true;
}

bool read_protocols(Bytes extension, Bytes& protocols) {
  Reader outer(extension);
  protocols = outer.vector(2);
  if (outer.broken() || !outer.empty() || protocols.empty()) return false;
  Reader list(protocols);
  while (!list.empty()) {
    if (list.vector(1).empty()) return false;  // nameless, or cut off
  }
  return true;
}

/// What follows the message's header.
bool read_body(Bytes body, ClientHello& hello) {
  Reader reader(body);
  reader.take(kVersionAndRandomBytes);
  const bool has_session = reader.vector(1).size() <= kSessionIdBytesMax;
  const std::size_t suites = reader.vector(2).size();
  const std::size_t compressions = reader.vector(1).size();
  if (reader.broken() || !has_session || suites == 0 || suites % 2 != 0 || compressions == 0) {
    return false;
  }
  if (reader.empty()) return true;  // TLS 1.2 knows hellos without extensions
  Reader extensions(reader.vector(2));
  if (reader.broken() || !reader.empty()) return false;
  bool has_name = false;
  bool has_protocols = false;
  while (!extensions.empty()) {
    const std::size_t type = extensions.number(2);
    const Bytes value = extensions.vector(2);
    if (extensions.broken()) return false;
    if (type == kServerNameExtension) {
      if (has_name || !read_server_name(value, hello.server_name)) return false;
      has_name = true;
    } else if (type == kAlpnExtension) {
      if (has_protocols || !read_protocols(value, hello.protocols)) return false;
      has_protocols = true;
    }
  }
  return true;
}

}  // namespace

bool ClientHello::offers(std::string_view protocol) const {
  Reader list(protocols);
  while (!list.empty()) {
    const Bytes one = list.vector(1);
    if (std::equal(one.begin(), one.end(), protocol.begin(), protocol.end())) return true;
  }
  return false;
}

// At least so much of the message has to come before another look tells more: its type at first.
std::size_t ClientHelloReader::missing(std::size_t message_bytes) const {
  return gathered_ == 0 ? 1 : message_bytes - gathered_;
}

// What the records bring of the message, until it is whole.
HelloState ClientHelloReader::gather(Bytes bytes) {
  gathered_ = 0;
  std::size_t wanted = kMessageHeaderBytes;
  for (Bytes left = bytes; gathered_ < wanted;) {
    const bool is_tls = left.empty() || left[0] == kHandshakeRecord;
    const bool is_version = left.size() < 2 || left[1] == kMajorVersion;
    if (!is_tls || !is_version) {
      return left.data() == bytes.data() ? HelloState::kNoTls : HelloState::kMalformed;
    }
    if (left.size() < kRecordHeaderBytes) {
      const auto before = static_cast<std::size_t>(left.data() - bytes.data());
      wanted_ = before + kRecordHeaderBytes + (gathered_ == 0 ? 0 : missing(wanted));
      return HelloState::kIncomplete;
    }
    const std::size_t length = read_be16(left.data() + 3);
    if (length == 0 || length > kRecordBytesMax) return HelloState::kMalformed;
    left = left.subspan(kRecordHeaderBytes);
    const std::size_t there = std::min({length, left.size(), message_.size() - gathered_});
    std::memcpy(message_.data() + gathered_, left.data(), there);
    gathered_ += there;
    if (gathered_ > 0 && message_[0] != kClientHelloType) return HelloState::kMalformed;
    if (gathered_ >= kMessageHeaderBytes) {
      wanted = kMessageHeaderBytes + (read_be32(message_.data()) & 0xffffffU);
      if (wanted > message_.size()) return HelloState::kTooLong;
    }
    if (gathered_ >= wanted) break;
    if (left.size() < length) {
      wanted_ = bytes.size() + missing(wanted);
      return HelloState::kIncomplete;
    }
    left = left.subspan(length);
  }
  gathered_ = wanted;
  return HelloState::kHello;
}

ClientHello ClientHelloReader::read(Bytes bytes) {
  ClientHello hello;
  const bool is_full = bytes.size() >= kBytesMax;
  hello.state = gather(bytes.first(std::min(bytes.size(), kBytesMax)));
  if (hello.state == HelloState::kIncomplete && is_full) hello.state = HelloState::kTooLong;
  if (hello.state == HelloState::kIncomplete) hello.wanted = std::min(wanted_, kBytesMax);
  if (hello.state != HelloState::kHello) return hello;
  const Bytes message(message_.data(), gathered_);
  if (!read_body(message.subspan(kMessageHeaderBytes), hello)) {
    hello = {};
    hello.state = HelloState::kMalformed;
  }
  return hello;
}

}  // namespace turnpike
