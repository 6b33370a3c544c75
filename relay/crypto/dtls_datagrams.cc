// The BIO that keeps the borders of datagrams.
#include <algorithm>

#include <openssl/bio.h>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/crypto/dtls_library.h"

namespace turnpike {
namespace {

constexpr std::size_t kRecordHeaderBytes = 13;
constexpr std::size_t kDatagramBytesMax = 2048;

int read_datagram(BIO* bio, char* to, int room) {
  auto& datagrams = *static_cast<DtlsDatagrams*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (datagrams.in.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t bytes = std::min(datagrams.in.size(), static_cast<std::size_t>(room));
  std::copy_n(datagrams.in.begin(), bytes, to);
  datagrams.in = {};
  return static_cast<int>(bytes);
}

/// Plaintext records of a server that was asked for a cookie by somebody else before go on with
/// the client's numbers (RFC 6347 section 4.2.1); OpenSSL has begun to count with 1.
void renumber(std::span<std::uint8_t> datagram, std::uint64_t offset) {
  while (datagram.size() >= kRecordHeaderBytes) {
    std::uint8_t* header = datagram.data();
    if (read_be16(header + 3) == 0) {
      const std::uint64_t sequence =
          ((std::uint64_t{read_be16(header + 5)} << 32) | read_be32(header + 7)) + offset;
      write_be16(header + 5, static_cast<std::uint16_t>(sequence >> 32));
      write_be32(header + 7, static_cast<std::uint32_t>(sequence));
    }
    const std::size_t bytes = kRecordHeaderBytes + read_be16(header + 11);
    datagram = datagram.subspan(std::min(bytes, datagram.size()));
  }
}

int write_datagram(BIO* bio, const char* from, int size) {
  auto& datagrams = *static_cast<DtlsDatagrams*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  std::array<std::uint8_t, kDatagramBytesMax> copy;
  const std::size_t bytes = static_cast<std::size_t>(size);
  if (datagrams.out == nullptr || bytes > copy.size()) return size;
  std::copy_n(from, bytes, copy.begin());
  const std::span<std::uint8_t> datagram(copy.data(), bytes);
  if (datagrams.sequence_offset != 0) renumber(datagram, datagrams.sequence_offset);
  datagrams.out->datagram(datagram);
  return size;
}

long control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int create(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

BIO_METHOD* make_method() {
  BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "datagrams");
  CHECK(method != nullptr);
  BIO_meth_set_read(method, read_datagram);
  BIO_meth_set_write(method, write_datagram);
  BIO_meth_set_ctrl(method, control);
  BIO_meth_set_create(method, create);
  return method;
}

int tell_cookie(SSL* ssl, unsigned char* cookie, unsigned int* bytes) {
  const auto& datagrams = *static_cast<const DtlsDatagrams*>(SSL_get_app_data(ssl));
  std::copy_n(datagrams.cookie.begin(), datagrams.cookie_bytes, cookie);
  *bytes = static_cast<unsigned>(datagrams.cookie_bytes);
  return 1;
}

}  // namespace

bool use_datagrams(SSL_CTX& context) {
  SSL_CTX_set_options(&context, SSL_OP_NO_QUERY_MTU);
  // Buffers are as long as what they may hold; our records are never longer than a datagram.
  SSL_CTX_set_max_send_fragment(&context, static_cast<long>(kDatagramBytesMax));
  SSL_CTX_set_cookie_generate_cb(&context, tell_cookie);
  return SSL_CTX_set_min_proto_version(&context, DTLS1_2_VERSION) == 1 &&
         SSL_CTX_set_max_proto_version(&context, DTLS1_2_VERSION) == 1;
}

BIO* make_datagram_bio(DtlsDatagrams& datagrams) {
  static BIO_METHOD* const method = make_method();
  BIO* bio = BIO_new(method);
  if (bio != nullptr) BIO_set_data(bio, &datagrams);
  return bio;
}

}  // namespace turnpike
