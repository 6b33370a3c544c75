// An authorization server's part in RFC 7635: makes tokens, apart from the code that opens them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/evp.h>

namespace turnpike::test {

using TokenBytes = std::vector<std::uint8_t>;

inline void append_be(TokenBytes& to, std::uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    to.push_back(static_cast<std::uint8_t>(value >> shift));
  }
}

/// A token around any block (RFC 7635 section 6.2).
inline TokenBytes seal_token(std::string_view key, std::string_view server, const TokenBytes& nonce,
                             const TokenBytes& block) {
  const auto bytes_of = [](std::string_view text) {
    return static_cast<const unsigned char*>(static_cast<const void*>(text.data()));
  };
  TokenBytes token;
  append_be(token, nonce.size(), 2);
  token.insert(token.end(), nonce.begin(), nonce.end());
  TokenBytes sealed(block.size());
  TokenBytes tag(16);
  EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
  int written = 0;
  EVP_EncryptInit_ex(context, key.size() == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm(), nullptr,
                     nullptr, nullptr);
  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, static_cast<int>(nonce.size()), nullptr);
  EVP_EncryptInit_ex(context, nullptr, nullptr, bytes_of(key), nonce.data());
  EVP_EncryptUpdate(context, nullptr, &written, bytes_of(server), static_cast<int>(server.size()));
  EVP_EncryptUpdate(context, sealed.data(), &written, block.data(), static_cast<int>(block.size()));
  EVP_EncryptFinal_ex(context, sealed.data() + sealed.size(), &written);
  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag.data());
  EVP_CIPHER_CTX_free(context);
  token.insert(token.end(), sealed.begin(), sealed.end());
  token.insert(token.end(), tag.begin(), tag.end());
  return token;
}

/// `timestamp`: 48 bits of seconds, 16 of 1/64000 seconds.
inline TokenBytes token_block(const TokenBytes& session_key, std::uint64_t timestamp,
                              std::uint32_t lifetime_s) {
  TokenBytes block;
  append_be(block, session_key.size(), 2);
  block.insert(block.end(), session_key.begin(), session_key.end());
  append_be(block, timestamp, 8);
  append_be(block, lifetime_s, 4);
  return block;
}

}  // namespace turnpike::test
