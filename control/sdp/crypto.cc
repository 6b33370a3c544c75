// Implements crypto.h.
#include "control/sdp/crypto.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "control/sdp/sdp.h"
#include "control/sdp/text.h"

namespace turnpike::sdp {
namespace {

constexpr std::string_view kBase64Alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNoDigit = 0xff;
constexpr std::array<std::uint8_t, 256> kBase64Digits = [] {
  std::array<std::uint8_t, 256> digits{};
  digits.fill(kNoDigit);
  for (std::size_t i = 0; i < kBase64Alphabet.size(); ++i) {
    digits[static_cast<unsigned char>(kBase64Alphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return digits;
}();
constexpr std::uint64_t kLifetimeMax = std::uint64_t{1} << 48;  // RFC 3711 section 9.2
constexpr unsigned kTagMax = 999'999'999;                       // RFC 4568 section 9.1: 1*9DIGIT

/// Key and salt together, on the way from or to text.
struct KeyBytes {
  std::array<std::uint8_t, 46> bytes{};
  std::size_t size = 0;

  KeyBytes() = default;
  KeyBytes(const KeyBytes&) = delete;
  KeyBytes& operator=(const KeyBytes&) = delete;
  ~KeyBytes() { explicit_bzero(bytes.data(), bytes.size()); }
};

/// Exactly out.size bytes or false. Missing padding is tolerated.
bool decode_base64(std::string_view text, KeyBytes& out) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  if (text.size() != (out.size * 8 + 5) / 6) return false;
  std::uint32_t buffer = 0;
  unsigned bits = 0;
  std::size_t at = 0;
  for (const char c : text) {
    const std::uint8_t digit = kBase64Digits[static_cast<unsigned char>(c)];
    if (digit == kNoDigit) return false;
    buffer = (buffer << 6) | digit;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    if (at < out.size) out.bytes[at++] = static_cast<std::uint8_t>(buffer >> bits);
    buffer &= (1U << bits) - 1;
  }
  return at == out.size;
}

void append_base64(std::string& out, const KeyBytes& in) {
  for (std::size_t i = 0; i < in.size; i += 3) {
    const std::size_t rest = std::min<std::size_t>(3, in.size - i);
    std::uint32_t group = std::uint32_t{in.bytes[i]} << 16;
    if (rest > 1) group |= std::uint32_t{in.bytes[i + 1]} << 8;
    if (rest > 2) group |= in.bytes[i + 2];
    std::array<char, 4> digits;
    for (std::size_t k = 0; k < 4; ++k) {
      digits[k] = k <= rest ? kBase64Alphabet[(group >> (18 - 6 * k)) & 63] : '=';
    }
    out.append(digits.data(), digits.size());
  }
}

/// "MKI:length" (RFC 4568 section 6.1): a decimal number and the bytes that it has on the wire.
bool parse_mki(std::string_view text, SrtpKeying& keying) {
  const std::size_t colon = text.find(':');
  const auto length = number_of<unsigned>(text.substr(colon + 1));
  if (!length || *length == 0 || *length > kMkiBytesMax) return false;
  const std::string_view digits = text.substr(0, colon);
  if (digits.empty()) return false;
  std::array<std::uint8_t, kMkiBytesMax> value{};  // big endian, right-aligned in *length bytes
  for (const char c : digits) {
    if (c < '0' || c > '9') return false;
    unsigned carry = static_cast<unsigned>(c - '0');
    for (std::size_t i = *length; i-- > 0;) {
      const unsigned product = value[i] * 10U + carry;
      value[i] = static_cast<std::uint8_t>(product);
      carry = product >> 8;
    }
    if (carry != 0) return false;
  }
  keying.mki = value;
  keying.mki_bytes = static_cast<std::uint8_t>(*length);
  return true;
}

std::string mki_text(const SrtpKeying& keying) {
  // Digits of a number of up to 16 bytes by repeated division by ten.
  std::array<std::uint8_t, kMkiBytesMax> value = keying.mki;
  std::string digits;
  const auto end = value.begin() + keying.mki_bytes;
  do {
    unsigned remainder = 0;
    for (auto byte = value.begin(); byte != end; ++byte) {
      const unsigned dividend = remainder * 256 + *byte;
      *byte = static_cast<std::uint8_t>(dividend / 10);
      remainder = dividend % 10;
    }
    digits += static_cast<char>('0' + remainder);
  } while (std::any_of(value.begin(), end, [](auto byte) { return byte != 0; }));
  std::reverse(digits.begin(), digits.end());
  return digits + ':' + std::to_string(keying.mki_bytes);
}

std::optional<std::uint64_t> parse_lifetime(std::string_view text) {
  if (text.starts_with("2^")) {
    const auto exponent = number_of<unsigned>(text.substr(2));
    if (!exponent || *exponent > 48) return std::nullopt;
    return std::uint64_t{1} << *exponent;
  }
  const auto packets = number_of<std::uint64_t>(text);
  if (!packets || *packets == 0 || *packets > kLifetimeMax) return std::nullopt;
  return packets;
}

std::string_view parse_inline_key(std::string_view text, SrtpKeying& keying) {
  if (text.find(';') != std::string_view::npos) return "has more than one key";
  if (!text.starts_with("inline:")) return "key method is not inline";
  const auto pieces = pieces_of(text.substr(7), '|');
  const SrtpSuiteInfo& info = info_of(keying.suite);
  KeyBytes key;
  key.size = std::size_t{info.key_bytes} + info.salt_bytes;
  if (!decode_base64(pieces[0], key)) return "key is not base64 of the suite's size";
  std::copy_n(key.bytes.begin(), info.key_bytes, keying.master_key.begin());
  std::copy_n(key.bytes.begin() + info.key_bytes, info.salt_bytes, keying.master_salt.begin());

  std::size_t next = 1;
  if (next < pieces.size() && pieces[next].find(':') == std::string_view::npos) {
    const auto lifetime = parse_lifetime(pieces[next++]);
    if (!lifetime) return "lifetime is not a number of packets up to 2^48";
    keying.lifetime_packets = *lifetime;
  }
  if (next < pieces.size() && !parse_mki(pieces[next++], keying)) {
    return "MKI is damaged or longer than 16 bytes";
  }
  return next == pieces.size() ? "" : "key has too many fields";
}

/// RFC 4568 section 6.3. What changes the packet format is not supported.
std::string_view refusal_of_parameter(std::string_view parameter) {
  if (parameter.starts_with("WSH=")) return "";
  if (parameter.starts_with('-')) return "";
  return "has a session parameter that is not supported";
}

std::string_view parse_into(std::string_view value, CryptoLine& line) {
  const auto words = words_of(value);
  if (words.size() < 3) return "needs tag, suite and key";
  const auto tag = number_of<unsigned>(words[0]);
  if (!tag || *tag > kTagMax) return "tag is not a number of up to nine digits";
  line.tag = *tag;
  line.suite = suite_of(words[1]);
  if (line.suite == SrtpSuite::kNone) return "suite is not supported";
  line.keying.value.suite = line.suite;
  const std::string_view refusal = parse_inline_key(words[2], line.keying.value);
  if (!refusal.empty()) return refusal;
  for (std::size_t i = 3; i < words.size(); ++i) {
    const std::string_view parameter = refusal_of_parameter(words[i]);
    if (!parameter.empty()) return parameter;
  }
  return "";
}

}  // namespace

void wipe(SrtpKeying& keying) {
  explicit_bzero(&keying, sizeof keying);  // all zero is also the empty value
}

SrtpSuite suite_of(std::string_view name) {
  for (std::size_t i = 1; i < kSrtpSuiteCount; ++i) {
    if (kSrtpSuites[i].name == name) return static_cast<SrtpSuite>(i);
  }
  return SrtpSuite::kNone;
}

CryptoLine parse_crypto(std::string_view value) {
  CryptoLine line;
  line.refusal = std::string(parse_into(value, line));
  if (!line.usable()) wipe(line.keying.value);
  return line;
}

std::string write_crypto(unsigned tag, const SrtpKeying& keying) {
  const SrtpSuiteInfo& info = info_of(keying.suite);
  KeyBytes key;
  key.size = std::size_t{info.key_bytes} + info.salt_bytes;
  std::copy_n(keying.master_key.begin(), info.key_bytes, key.bytes.begin());
  std::copy_n(keying.master_salt.begin(), info.salt_bytes, key.bytes.begin() + info.key_bytes);

  std::string out;
  out.reserve(256);
  out += std::to_string(tag);
  out += ' ';
  out += info.name;
  out += " inline:";
  append_base64(out, key);
  if (keying.lifetime_packets != 0) {
    if (std::has_single_bit(keying.lifetime_packets)) {
      out += "|2^" + std::to_string(std::countr_zero(keying.lifetime_packets));
    } else {
      out += '|' + std::to_string(keying.lifetime_packets);
    }
  }
  if (keying.mki_bytes != 0) out += '|' + mki_text(keying);
  return out;
}

}  // namespace turnpike::sdp
