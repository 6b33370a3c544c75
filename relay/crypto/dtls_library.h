// What the files of relay/crypto/dtls* share of OpenSSL: owning pointers, the context of a
// certificate, and a BIO that keeps the borders of datagrams (the memory BIO merges them).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <openssl/ssl.h>

#include "relay/crypto/dtls.h"
#include "relay/crypto/openssl_ptr.h"

namespace turnpike {

struct DtlsCertificate::Library {
  OpensslPtr<SSL_CTX> context;
};

/// The two ends of the BIO, and the cookie that the handshake is to ask for.
struct DtlsDatagrams {
  std::span<const std::uint8_t> in;  ///< read once, whole
  DatagramOut* out = nullptr;        ///< null: what is written is thrown away
  std::uint64_t sequence_offset = 0;
  std::array<std::uint8_t, 32> cookie{};
  std::size_t cookie_bytes = 0;
};

/// What every context for datagrams needs: DTLS 1.2, records of one datagram, the cookie of
/// DtlsDatagrams. False when the library fails.
bool use_datagrams(SSL_CTX& context);

/// A BIO over `datagrams`, which must outlive it. Null when memory is out.
BIO* make_datagram_bio(DtlsDatagrams& datagrams);

/// Hash of a certificate, as in a=fingerprint (RFC 8122 section 5). Unset when the library fails.
Fingerprint fingerprint_of(const X509& certificate, FingerprintHash hash);

}  // namespace turnpike
