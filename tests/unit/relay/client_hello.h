// A DTLS client's first words, byte by byte.
#pragma once

#include <cstdint>
#include <vector>

namespace turnpike::test {

/// The shortest ClientHello that can go on, with `cookie`.
inline std::vector<std::uint8_t> client_hello(const std::vector<std::uint8_t>& cookie = {},
                                              std::uint8_t random = 1) {
  std::vector<std::uint8_t> body = {0xfe, 0xfd};
  body.insert(body.end(), 32, random);
  body.push_back(0);  // session_id
  body.push_back(static_cast<std::uint8_t>(cookie.size()));
  body.insert(body.end(), cookie.begin(), cookie.end());
  // ECDHE-ECDSA-AES128-GCM-SHA256; P-256; ecdsa_secp256r1_sha256.
  const auto suites_and_extensions = {0, 2, 0xc0, 0x2b, 1, 0,  0, 16, 0, 10, 0, 4,
                                      0, 2, 0,    0x17, 0, 13, 0, 4,  0, 2,  4, 3};
  for (const int one : suites_and_extensions) body.push_back(static_cast<std::uint8_t>(one));
  const auto size = static_cast<std::uint8_t>(body.size());
  std::vector<std::uint8_t> hello = {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  hello.push_back(static_cast<std::uint8_t>(size + 12));
  const std::vector<std::uint8_t> header = {1, 0, 0, size, 0, 0, 0, 0, 0, 0, 0, size};
  hello.insert(hello.end(), header.begin(), header.end());
  hello.insert(hello.end(), body.begin(), body.end());
  return hello;
}

}  // namespace turnpike::test
