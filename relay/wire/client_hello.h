// The first message of a TLS client (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2), as far as
// it tells where the client wants to go: the server's name (RFC 6066 section 3) and the protocols
// that it offers (ALPN, RFC 7301 section 3.1). Is not: TLS; nothing is answered and no key needed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace turnpike {

enum class HelloState : std::uint8_t {
  kIncomplete,  ///< it may become one: look again when more has come
  kHello,       ///< whole, and well formed as far as it was looked at
  kNoTls,       ///< does not begin as TLS does
  kMalformed,   ///< TLS, but no ClientHello, or one that breaks a rule
  kTooLong,     ///< longer than ClientHelloReader::kBytesMax
};

struct ClientHello {
  HelloState state = HelloState::kNoTls;
  std::size_t wanted = 0;  ///< of kIncomplete: no ClientHello is whole with fewer bytes
  // Of kHello, until the reader reads again:
  std::string_view server_name{};  ///< as it was sent: letters of both cases; may be empty
  std::span<const std::uint8_t> protocols{};  ///< each behind a byte with its length

  bool offers_any() const { return !protocols.empty(); }
  bool offers(std::string_view protocol) const;
};

/// Has room for one ClientHello: records may cut it anywhere (RFC 8446 section 5.1).
class ClientHelloReader {
 public:
  /// With the headers of its records; hellos of today have some 2,000 bytes.
  static constexpr std::size_t kBytesMax = 16384;

  /// `bytes`: what the client has sent so far, from the first byte on. What follows the
  /// ClientHello is not looked at.
  ClientHello read(std::span<const std::uint8_t> bytes);

 private:
  HelloState gather(std::span<const std::uint8_t> bytes);
  std::size_t missing(std::size_t message_bytes) const;
  std::array<std::uint8_t, kBytesMax> message_;
  std::size_t gathered_ = 0;
  std::size_t wanted_ = 0;  // ClientHello::wanted
};

}  // namespace turnpike
