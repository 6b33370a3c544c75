#include "relay/turn/access_token.h"

#include <algorithm>

namespace turnpike::turn {
namespace {

constexpr std::size_t kBlockBytesMin = 2 + SessionKey::kBytesMin + 8 + 4;
constexpr std::size_t kBlockBytesMax = 2 + SessionKey::kBytesMax + 8 + 4;

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {static_cast<const std::uint8_t*>(static_cast<const void*>(text.data())), text.size()};
}

}  // namespace

SessionKey::SessionKey(std::span<const std::uint8_t> key)
    : size_(static_cast<std::uint8_t>(std::min(key.size(), kBytesMax))) {
  std::copy_n(key.begin(), size_, bytes_.begin());
}

std::optional<AccessToken> open_token(std::string_view key, std::string_view server,
                                      std::span<const std::uint8_t> token) {
  constexpr std::size_t kHeadBytes = 2 + kGcmNonceBytes;
  if (token.size() < kHeadBytes + kBlockBytesMin + kGcmTagBytes ||
      token.size() > kHeadBytes + kBlockBytesMax + kGcmTagBytes ||
      read_be16(token.data()) != kGcmNonceBytes) {
    return std::nullopt;
  }
  const auto nonce = token.subspan<2, kGcmNonceBytes>();
  const auto sealed = token.subspan(kHeadBytes);
  std::array<std::uint8_t, kBlockBytesMax> memory{};
  const std::span block(memory.data(), sealed.size() - kGcmTagBytes);
  if (!open_aes_gcm(bytes_of(key), nonce, bytes_of(server), sealed, block)) return std::nullopt;
  std::optional<AccessToken> opened;
  const std::size_t key_bytes = read_be16(block.data());
  if (key_bytes >= SessionKey::kBytesMin && block.size() == 2 + key_bytes + 8 + 4) {
    opened.emplace();
    opened->key = SessionKey(block.subspan(2, key_bytes));
    std::copy(nonce.begin(), nonce.end(), opened->nonce.begin());
    // 48 bits of seconds and 16 of 1/64000 seconds.
    const std::uint8_t* const at = block.data() + 2 + key_bytes;
    opened->issued = Seconds((std::int64_t{read_be16(at)} << 32) | read_be32(at + 2));
    opened->lifetime = Seconds(read_be32(at + 8));
  }
  secure_wipe(memory.data(), memory.size());
  return opened;
}

}  // namespace turnpike::turn
