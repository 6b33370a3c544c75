#include "relay/crypto/aes_gcm.h"

#include <algorithm>
#include <array>
#include <memory>

#include <openssl/evp.h>

#include "relay/core/bytes.h"

namespace turnpike {
namespace {

struct ContextFree {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

bool open(std::span<const std::uint8_t> key, std::span<const std::uint8_t, kGcmNonceBytes> nonce,
          std::span<const std::uint8_t> associated, std::span<const std::uint8_t> sealed,
          std::span<std::uint8_t> plain) {
  const EVP_CIPHER* const cipher = key.size() == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm();
  const std::unique_ptr<EVP_CIPHER_CTX, ContextFree> context(EVP_CIPHER_CTX_new());
  std::array<std::uint8_t, kGcmTagBytes> tag{};
  const auto code = sealed.last(kGcmTagBytes);
  std::copy(code.begin(), code.end(), tag.begin());
  int written = 0;
  return context != nullptr &&
         EVP_DecryptInit_ex(context.get(), cipher, nullptr, key.data(), nonce.data()) == 1 &&
         EVP_DecryptUpdate(context.get(), nullptr, &written, associated.data(),
                           static_cast<int>(associated.size())) == 1 &&
         EVP_DecryptUpdate(context.get(), plain.data(), &written, sealed.data(),
                           static_cast<int>(plain.size())) == 1 &&
         EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kGcmTagBytes, tag.data()) == 1 &&
         EVP_DecryptFinal_ex(context.get(), plain.data() + plain.size(), &written) == 1;
}

}  // namespace

bool open_aes_gcm(std::span<const std::uint8_t> key,
                  std::span<const std::uint8_t, kGcmNonceBytes> nonce,
                  std::span<const std::uint8_t> associated, std::span<const std::uint8_t> sealed,
                  std::span<std::uint8_t> plain) {
  if (key.size() != 16 && key.size() != 32) return false;
  if (sealed.size() != plain.size() + kGcmTagBytes) return false;
  if (open(key, nonce, associated, sealed, plain)) return true;
  secure_wipe(plain.data(), plain.size());
  return false;
}

}  // namespace turnpike
