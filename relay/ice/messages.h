// The STUN messages of ICE (RFC 8445 section 7): a check, its answers, and whether one is
// authentic. Hides: attribute order and the keys behind MESSAGE-INTEGRITY.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "relay/crypto/hmac_sha1.h"
#include "relay/wire/stun.h"
#include "turnpike/transport.h"

namespace turnpike::ice {

/// The credentials of one ICE session, with their passwords as keys of the code.
struct Keys {
  ShortText<kIceUfragBytesMax> local_ufrag;
  ShortText<kIceUfragBytesMax> remote_ufrag;
  HmacSha1Key local;   ///< of checks that we receive and of our answers
  HmacSha1Key remote;  ///< of checks that we send and of the answers to them
  bool has_local() const { return !local_ufrag.empty(); }
  bool has_remote() const { return !remote_ufrag.empty(); }
  void set_local(const IceCredentials& credentials);
  void set_remote(const IceCredentials& credentials);
};

struct CheckFields {
  stun::TransactionId transaction{};
  std::uint32_t priority = 0;  ///< that a peer-reflexive candidate of ours would have
  std::uint64_t tie_breaker = 0;
  bool controlling = false;
  bool use_candidate = false;
};

/// Holds every message of ours: header, USERNAME of 2 ufrags, and 64 bytes of the rest.
constexpr std::size_t kMessageBytesMax = 20 + 4 + 2 * kIceUfragBytesMax + 4 + 72;
using MessageBuffer = std::array<std::uint8_t, kMessageBytesMax>;

/// How many unknown attributes a 420 answer names.
constexpr std::size_t kUnknownAttributesMax = 8;

stun::Bytes write_check(MessageBuffer& buffer, const Keys& keys, const CheckFields& fields);
stun::Bytes write_success(MessageBuffer& buffer, const HmacSha1Key& key,
                          const stun::TransactionId& transaction, const SocketAddress& source);
/// `unknown` goes with 420 only.
stun::Bytes write_error(MessageBuffer& buffer, const HmacSha1Key& key,
                        const stun::TransactionId& transaction, std::uint16_t code,
                        std::span<const std::uint16_t> unknown);

/// Whether MESSAGE-INTEGRITY is there and right, in a time that does not depend on the code.
bool is_authentic(const stun::Message& message, const HmacSha1Key& key);

/// Whether the message has attributes that must be understood and are not; which, into `out`.
std::size_t unknown_attributes(const stun::Message& message, std::span<std::uint16_t> out);

}  // namespace turnpike::ice
