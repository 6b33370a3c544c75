#include "relay/ice/messages.h"

#include <algorithm>

#include "relay/core/bytes.h"

namespace turnpike::ice {
namespace {

HmacSha1Key key_of(const IceCredentials& credentials) {
  const std::string_view password = credentials.password.view();
  std::array<std::uint8_t, kIcePasswordBytesMax> bytes{};
  std::copy(password.begin(), password.end(), bytes.begin());
  const HmacSha1Key key = make_hmac_sha1_key(std::span(bytes).first(password.size()));
  secure_wipe(bytes.data(), bytes.size());
  return key;
}

void seal(stun::Writer& writer, const HmacSha1Key& key) {
  writer.add_integrity(
      [&key](stun::Bytes message, std::uint8_t* code) { hmac_sha1(key, message, {}, code); });
  writer.add_fingerprint();
}

}  // namespace

void Keys::set_local(const IceCredentials& credentials) {
  local_ufrag = credentials.ufrag;
  local = key_of(credentials);
}

void Keys::set_remote(const IceCredentials& credentials) {
  remote_ufrag = credentials.ufrag;
  remote = key_of(credentials);
}

stun::Bytes write_check(MessageBuffer& buffer, const Keys& keys, const CheckFields& fields) {
  stun::Writer writer(buffer, stun::Class::kRequest, stun::kBinding, fields.transaction);
  ShortText<2 * kIceUfragBytesMax + 1> username;
  const std::string_view remote = keys.remote_ufrag.view();
  const std::string_view local = keys.local_ufrag.view();
  auto end = std::copy(remote.begin(), remote.end(), username.text.begin());
  *end++ = ':';
  std::copy(local.begin(), local.end(), end);
  username.size = static_cast<std::uint16_t>(remote.size() + 1 + local.size());
  writer.add_text(stun::kUsername, username.view());
  writer.add_u32(stun::kPriority, fields.priority);
  writer.add_u64(fields.controlling ? stun::kIceControlling : stun::kIceControlled,
                 fields.tie_breaker);
  if (fields.use_candidate) writer.add_flag(stun::kUseCandidate);
  seal(writer, keys.remote);
  return writer.finish();
}

stun::Bytes write_success(MessageBuffer& buffer, const HmacSha1Key& key,
                          const stun::TransactionId& transaction, const SocketAddress& source) {
  stun::Writer writer(buffer, stun::Class::kSuccess, stun::kBinding, transaction);
  writer.add_xor_address(stun::kXorMappedAddress, source);
  seal(writer, key);
  return writer.finish();
}

stun::Bytes write_error(MessageBuffer& buffer, const HmacSha1Key& key,
                        const stun::TransactionId& transaction, std::uint16_t code,
                        std::span<const std::uint16_t> unknown) {
  stun::Writer writer(buffer, stun::Class::kError, stun::kBinding, transaction);
  writer.add_error_code(code);
  if (!unknown.empty()) writer.add_unknown_attributes(unknown);
  seal(writer, key);
  return writer.finish();
}

bool is_authentic(const stun::Message& message, const HmacSha1Key& key) {
  return message.is_authentic([&key](stun::Bytes head, stun::Bytes tail, std::uint8_t* code) {
    hmac_sha1(key, head, tail, code);
  });
}

std::size_t unknown_attributes(const stun::Message& message, std::span<std::uint16_t> out) {
  static constexpr std::array<std::uint16_t, 7> kKnown = {
      stun::kMappedAddress,    stun::kUsername, stun::kErrorCode,   stun::kUnknownAttributes,
      stun::kXorMappedAddress, stun::kPriority, stun::kUseCandidate};
  return message.unknown_required(kKnown, out);
}

}  // namespace turnpike::ice
