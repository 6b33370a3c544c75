// What TURN clients over TLS and over DTLS have in common, in tests: they take every certificate
// and old versions. Is not: the socket's set-up, which differs.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/relay/relay_with_turn.h"

namespace turnpike::test {

class SecureClient {
 public:
  ~SecureClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
    close(fd_);
  }
  SecureClient(const SecureClient&) = delete;
  SecureClient& operator=(const SecureClient&) = delete;

  bool is_up() const { return is_up_; }
  int fd() const { return fd_; }
  SSL* ssl() { return ssl_; }
  bool send(const std::vector<std::uint8_t>& bytes) {
    return SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) ==
           static_cast<int>(bytes.size());
  }
  std::vector<std::uint8_t> receive() {
    std::vector<std::uint8_t> bytes(4096);
    const int length = SSL_read(ssl_, bytes.data(), static_cast<int>(bytes.size()));
    ERR_clear_error();
    bytes.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
    return bytes;
  }
  bool is_answered() {
    if (!is_up_ || !send(binding())) return false;
    const auto answer = receive();
    return answer.size() == 32 && answer[0] == 1 && answer[1] == 1;
  }
  std::string alpn() const {
    const unsigned char* name = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_, &name, &length);
    return {name, name + length};
  }
  std::string server_name() const {
    X509* const certificate = SSL_get1_peer_certificate(ssl_);
    std::array<char, 64> name{};
    if (certificate != nullptr) {
      X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name.data(),
                                static_cast<int>(name.size()));
    }
    X509_free(certificate);
    return name.data();
  }

 protected:
  /// `fd`: owned from now on.
  SecureClient(const SSL_METHOD* method, int fd, int version, std::string_view alpn)
      : context_(SSL_CTX_new(method)), fd_(fd) {
    const timeval patience{5, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    SSL_CTX_set_security_level(context_, 0);
    SSL_CTX_set_min_proto_version(context_, version);
    SSL_CTX_set_max_proto_version(context_, version);
    ssl_ = SSL_new(context_);
    const std::string wire = static_cast<char>(alpn.size()) + std::string(alpn);
    const void* const offered = wire.data();
    if (alpn.empty()) return;
    SSL_set_alpn_protos(ssl_, static_cast<const unsigned char*>(offered),
                        static_cast<unsigned>(wire.size()));
  }
  void shake_hands() {
    is_up_ = SSL_connect(ssl_) == 1;
    ERR_clear_error();
  }

 private:
  SSL_CTX* context_;
  int fd_;
  SSL* ssl_ = nullptr;
  bool is_up_ = false;
};

}  // namespace turnpike::test
