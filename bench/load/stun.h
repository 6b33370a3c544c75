// STUN messages as the generator's TURN clients write and read them (RFC 8489, RFC 8656), over
// IPv4. Independent of the relay's code.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <netinet/in.h>

namespace turnpike::bench::stun {

using Bytes = std::span<const std::uint8_t>;
using Transaction = std::array<std::uint8_t, 12>;

constexpr std::size_t kHeaderBytes = 20;
constexpr std::uint16_t kAllocate = 0x0003;
constexpr std::uint16_t kRefresh = 0x0004;
constexpr std::uint16_t kSendIndication = 0x0016;
constexpr std::uint16_t kDataIndication = 0x0017;
constexpr std::uint16_t kCreatePermission = 0x0008;
constexpr std::uint16_t kChannelBind = 0x0009;
constexpr std::uint16_t kSuccess = 0x0100;  ///< of a response's type, beside the method
constexpr std::uint16_t kError = 0x0110;

constexpr std::uint16_t kUsername = 0x0006;
constexpr std::uint16_t kErrorCode = 0x0009;
constexpr std::uint16_t kChannelNumber = 0x000C;
constexpr std::uint16_t kLifetime = 0x000D;
constexpr std::uint16_t kXorPeerAddress = 0x0012;
constexpr std::uint16_t kData = 0x0013;
constexpr std::uint16_t kRealm = 0x0014;
constexpr std::uint16_t kNonce = 0x0015;
constexpr std::uint16_t kXorRelayedAddress = 0x0016;
constexpr std::uint16_t kRequestedTransport = 0x0019;

class Message {
 public:
  Message(std::uint16_t type, const Transaction& transaction);

  Message& add(std::uint16_t attribute, Bytes value);
  Message& add(std::uint16_t attribute, std::string_view text);
  Message& add(std::uint16_t attribute, std::uint32_t value);
  Message& add(std::uint16_t attribute, const sockaddr_in& xored);
  /// MESSAGE-INTEGRITY, the last attribute.
  Message& sign(Bytes key);
  const std::vector<std::uint8_t>& bytes() const { return bytes_; }

 private:
  void head(std::uint16_t attribute, std::size_t value_bytes);

  std::vector<std::uint8_t> bytes_;
};

/// RFC 8489 section 9.2.2: MD5 of user, realm and password.
std::array<std::uint8_t, 16> long_term_key(std::string_view user, std::string_view realm,
                                           std::string_view password);

std::uint16_t type_of(Bytes message);
Transaction transaction_of(Bytes message);
/// Of a whole message, else false: the header's length is that of what there is.
bool is_message(Bytes datagram);
/// The value of the first such attribute; empty: there is none.
Bytes attribute(Bytes message, std::uint16_t type);
/// 401 and the like; 0: no error.
int error_of(Bytes message);
std::optional<sockaddr_in> address_in(Bytes xored);

}  // namespace turnpike::bench::stun
