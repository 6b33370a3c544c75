#include "relay/turn/nonce.h"

#include <algorithm>

#include "relay/core/bytes.h"

namespace turnpike::turn {
namespace {

constexpr std::string_view kCookie = "obMatJos2";
constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::size_t kTailBytes = 8;
constexpr std::size_t kTimeBytes = 2;

std::uint64_t second_of(Instant now) {
  return static_cast<std::uint64_t>(now.time_since_epoch() / Nanoseconds(Seconds(1)));
}

int digit(char c) {
  const std::size_t at = kDigits.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

// The low bits of the second, from the first three characters behind the features.
int time_of(std::string_view nonce) {
  const int a = digit(nonce[13]);
  const int b = digit(nonce[14]);
  const int c = digit(nonce[15]);
  if (a < 0 || b < 0 || c < 0) return -1;
  return ((a << 12) | (b << 6) | c) >> 2;
}

}  // namespace

NonceText Nonces::write(const SocketAddress& client, std::uint8_t features,
                        std::uint64_t second) const {
  std::array<std::uint8_t, 28> message{};
  std::copy(client.ip.bytes.begin(), client.ip.bytes.end(), message.begin());
  message[16] = static_cast<std::uint8_t>(client.ip.family);
  message[17] = features;
  write_be16(message.data() + 18, client.port);
  write_be32(message.data() + 20, static_cast<std::uint32_t>(second >> 32));
  write_be32(message.data() + 24, static_cast<std::uint32_t>(second));
  std::array<std::uint8_t, kSha256Bytes> code{};
  hmac_sha256(key_, message, {}, code.data());

  std::array<std::uint8_t, kTailBytes + 1> tail{};  // a zero more: 11 characters are 66 bits
  write_be16(tail.data(), static_cast<std::uint16_t>(second));
  std::copy_n(code.begin(), kTailBytes - kTimeBytes, tail.begin() + kTimeBytes);
  NonceText text{};
  char* at = std::copy(kCookie.begin(), kCookie.end(), text.data());
  *at++ = kDigits[features >> 2];
  *at++ = kDigits[(features & 3U) << 4];
  *at++ = kDigits[0];
  *at++ = kDigits[0];
  for (std::size_t bit = 0; at != text.data() + text.size(); bit += 6) {
    const std::size_t byte = bit / 8;
    const unsigned pair = (unsigned{tail[byte]} << 8) | tail[byte + 1];
    *at++ = kDigits[(pair >> (10 - bit % 8)) & 63];
  }
  return text;
}

NonceText Nonces::make(const SocketAddress& client, std::uint8_t features, Instant now) const {
  return write(client, features, second_of(now));
}

Nonces::Verdict Nonces::judge(std::string_view nonce, const SocketAddress& client,
                              std::uint8_t features, Instant now, Seconds lifetime) const {
  if (nonce.size() != kNonceChars) return Verdict::kForeign;
  const int low = time_of(nonce);
  if (low < 0) return Verdict::kForeign;
  const std::uint64_t second = second_of(now);
  // The newest second that is not later than now and ends with these bits; an older one has
  // another code.
  const std::uint64_t age = (second - static_cast<std::uint64_t>(low)) & 0xffff;
  if (age > second) return Verdict::kForeign;
  const NonceText right = write(client, features, second - age);
  if (!equal_constant_time(right.data(), nonce.data(), right.size())) return Verdict::kForeign;
  return age > static_cast<std::uint64_t>(lifetime.count()) ? Verdict::kOld : Verdict::kGood;
}

}  // namespace turnpike::turn
