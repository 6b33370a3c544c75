#include "relay/mux/binding.h"

#include <algorithm>
#include <cstring>

#include "relay/core/bytes.h"

namespace turnpike::mux {
namespace {

// Ours alone, between the two ends of a pair (RFC 8489 section 18.3 leaves 0xC000-0xFFFF to
// designated experts; nobody else reads these messages).
constexpr std::uint16_t kFlow = 0xfe01;
constexpr std::uint16_t kCounter = 0xfe02;

constexpr std::uint16_t kUnauthenticated = 401;
constexpr Seconds kNoncePeriod{30};
constexpr Milliseconds kRetryFirst{500};
constexpr Milliseconds kRetryMax{8000};
constexpr Seconds kHintPause{1};

HmacSha1Key key_of(const BindingKey& key) {
  return make_hmac_sha1_key(key);
}

stun::Bytes seal(stun::Writer& writer, const HmacSha1Key& key) {
  writer.add_integrity(
      [&key](stun::Bytes message, std::uint8_t* code) { hmac_sha1(key, message, {}, code); });
  writer.add_fingerprint();
  return writer.finish();
}

bool is_authentic(const stun::Message& message, const HmacSha1Key& key) {
  return message.is_authentic([&key](stun::Bytes head, stun::Bytes tail, std::uint8_t* code) {
    hmac_sha1(key, head, tail, code);
  });
}

std::int64_t period_of(Instant now) {
  return now.time_since_epoch() / Nanoseconds(kNoncePeriod);
}

}  // namespace

std::optional<std::uint16_t> flow_of(const stun::Message& request) {
  const std::optional<std::uint32_t> flow = request.u32(kFlow);
  if (!flow || *flow > 0xffff) return std::nullopt;
  return static_cast<std::uint16_t>(*flow);
}

// ---- The edge

EdgeBinding::EdgeBinding(std::uint16_t flow, const BindingKey& key, const BindingKey& secret)
    : flow_(flow), key_(key_of(key)), secret_(key_of(secret)) {}

Nonce EdgeBinding::nonce_of(const SocketAddress& source, std::int64_t period) const {
  std::array<std::uint8_t, 28> message{};
  std::copy(source.ip.bytes.begin(), source.ip.bytes.end(), message.begin());
  write_be16(message.data() + 16, source.port);
  write_be16(message.data() + 18, flow_);
  write_be32(message.data() + 20, static_cast<std::uint32_t>(period >> 32));
  write_be32(message.data() + 24, static_cast<std::uint32_t>(period));
  std::array<std::uint8_t, kSha1Bytes> code{};
  hmac_sha1(secret_, message, {}, code.data());
  Nonce nonce{};
  std::copy_n(code.begin(), nonce.size(), nonce.begin());
  return nonce;
}

bool EdgeBinding::nonce_is_right(const stun::Message& request, const SocketAddress& source,
                                 Instant now) const {
  const std::optional<stun::Bytes> given = request.find(stun::kNonce);
  if (!given || given->size() != kNonceBytes) return false;
  const std::int64_t period = period_of(now);
  for (const std::int64_t candidate : {period, period - 1}) {
    const Nonce right = nonce_of(source, candidate);
    if (equal_constant_time(right.data(), given->data(), right.size())) return true;
  }
  return false;
}

EdgeBinding::Answer EdgeBinding::handle(const stun::Message& request, const SocketAddress& source,
                                        Instant now, BindingBuffer& buffer) {
  const std::optional<std::uint64_t> counter = request.u64(kCounter);
  const std::optional<std::uint16_t> flow = flow_of(request);
  if (request.message_class() != stun::Class::kRequest || request.method() != stun::kBinding ||
      !counter || !flow) {
    return {BindingOutcome::kMalformed, {}};
  }
  if (*flow != flow_) return {BindingOutcome::kUnknownFlow, {}};
  if (!is_authentic(request, key_)) return {BindingOutcome::kNotAuthentic, {}};
  if (*counter <= counter_) return {BindingOutcome::kReplayed, {}};
  counter_ = *counter;

  const bool refresh = source == address(now);
  if (!refresh && !nonce_is_right(request, source, now)) {
    const Nonce nonce = nonce_of(source, period_of(now));
    stun::Writer writer(buffer, stun::Class::kError, stun::kBinding, request.transaction());
    writer.add_error_code(kUnauthenticated);
    writer.add(stun::kNonce, nonce);
    return {BindingOutcome::kChallenged, seal(writer, key_)};
  }
  address_ = source;
  until_ = now + kBindingLifetime;
  stun::Writer writer(buffer, stun::Class::kSuccess, stun::kBinding, request.transaction());
  writer.add_xor_address(stun::kXorMappedAddress, source);
  return {refresh ? BindingOutcome::kRefreshed : BindingOutcome::kMoved, seal(writer, key_)};
}

SocketAddress EdgeBinding::address(Instant now) const {
  return now < until_ ? address_ : SocketAddress{};
}

stun::Bytes EdgeBinding::hint(const stun::TransactionId& transaction, BindingBuffer& buffer) const {
  stun::Writer writer(buffer, stun::Class::kIndication, stun::kBinding, transaction);
  return seal(writer, key_);
}

// ---- The core

CoreBinding::CoreBinding(std::uint16_t flow, const BindingKey& key, Instant now)
    : flow_(flow), key_(key_of(key)), due_(now) {}

void CoreBinding::renumber(std::uint16_t flow, Instant now) {
  flow_ = flow;
  due_ = now;
}

stun::Bytes CoreBinding::request(Instant now, const stun::TransactionId& transaction,
                                 BindingBuffer& buffer) {
  if (waiting_) ++unanswered_;
  waiting_ = true;
  transaction_ = transaction;
  asked_ = now;
  const std::uint32_t doublings = std::min(unanswered_, 4U);
  due_ = now + std::min<Milliseconds>(kRetryFirst * (1 << doublings), kRetryMax);
  stun::Writer writer(buffer, stun::Class::kRequest, stun::kBinding, transaction);
  writer.add_u32(kFlow, flow_);
  writer.add_u64(kCounter, ++counter_);
  writer.add(stun::kNonce, nonce_);  // always: an answer must not be longer than what it answers
  return seal(writer, key_);
}

bool CoreBinding::handle(const stun::Message& message, Instant now) {
  if (message.method() != stun::kBinding) return false;
  if (message.message_class() == stun::Class::kIndication) {
    if (!is_authentic(message, key_)) return false;
    if (hinted_ == Instant{} || now - hinted_ >= kHintPause) {
      hinted_ = now;
      due_ = now;
    }
    return true;
  }
  if (!waiting_ || message.transaction() != transaction_ || !is_authentic(message, key_)) {
    return false;
  }
  if (message.message_class() == stun::Class::kError) {
    const std::optional<stun::Bytes> nonce = message.find(stun::kNonce);
    if (message.error_code() != kUnauthenticated || !nonce || nonce->size() != kNonceBytes) {
      return false;
    }
    // Once at once; an edge that never has enough of it is asked as one that does not answer.
    const bool again = std::memcmp(nonce->data(), nonce_.data(), kNonceBytes) == 0;
    std::copy(nonce->begin(), nonce->end(), nonce_.begin());
    if (!again) {
      waiting_ = false;
      due_ = now;
    }
    return true;
  }
  const std::optional<SocketAddress> mapped = message.xor_address(stun::kXorMappedAddress);
  if (message.message_class() != stun::Class::kSuccess || !mapped) return false;
  waiting_ = false;
  unanswered_ = 0;
  mapped_ = *mapped;
  round_trip_ = now - asked_;
  until_ = now + kBindingLifetime;
  due_ = now + kBindingInterval;
  return true;
}

}  // namespace turnpike::mux
