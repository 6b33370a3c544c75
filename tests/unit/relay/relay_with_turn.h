// A whole relay whose TURN server has a certificate, and what its tests ask of it.
#pragma once

#include <csignal>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>

#include "turnpike/relay.h"

namespace turnpike::test {

struct Identity {
  std::string certificate;
  std::string private_key;
};

inline std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(length));
  BIO_free(bio);
  return text;
}

/// Self-signed.
inline Identity make_identity(const char* name) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* subject = X509_get_subject_name(certificate);
  const void* const bytes = name;
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, static_cast<const unsigned char*>(bytes),
                             -1, -1, 0);
  X509_set_issuer_name(certificate, subject);
  X509_sign(certificate, key, EVP_sha256());
  BIO* certificate_text = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(certificate_text, certificate);
  BIO* key_text = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(key_text, key, nullptr, nullptr, 0, nullptr, nullptr);
  Identity identity{text_of(certificate_text), text_of(key_text)};
  X509_free(certificate);
  EVP_PKEY_free(key);
  return identity;
}

/// A STUN Binding request.
inline std::vector<std::uint8_t> binding() {
  std::vector<std::uint8_t> bytes = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
  bytes.resize(20, 7);
  return bytes;
}

/// A relay with two shards and a TURN server, at the first listener's address.
class RelayWithTurn : public testing::Test {
 protected:
  void start(const std::vector<turn::Listener>& listeners) {
    std::signal(SIGPIPE, SIG_IGN);  // as the daemon does
    RelayConfig config;
    const IpAddress ip = listeners.front().local.ip;
    config.interfaces = {{"outside", {{ip, ip}}}};
    config.shards = 2;
    config.pin_shards = false;
    config.sessions_max = 10;
    config.port_min = 40200;
    config.port_max = 40299;
    config.turn.listeners = listeners;
    config.turn.relay_addresses = {{ip, ip}};
    config.turn.port_min = 41200;
    config.turn.port_max = 41299;
    config.turn.connections_per_source_max = 20;
    if (connections_max_ != 0) config.turn.connections_max = connections_max_;
    auto started = Relay::start(config);
    ASSERT_TRUE(started) << started.error().message;
    relay_ = std::move(*started);
    show("first.example");
  }

  void show(const char* name) {
    const Identity identity = make_identity(name);
    auto settings = std::make_shared<turn::Settings>();
    settings->realms.emplace_back().name = "example.org";
    settings->certificate = identity.certificate;
    settings->private_key = identity.private_key;
    EXPECT_TRUE(relay_->turn()->configure(settings));
  }

  template <typename Condition>
  bool soon(Condition condition) {
    pollfd wait{relay_->event_fd(), POLLIN, 0};
    for (int i = 0; i < 100 && !condition(); ++i) {
      poll(&wait, 1, 50);
      relay_->poll_events([](const Event&) {});
    }
    return condition();
  }

  std::uint64_t closes(turn::StreamClose why) const {
    const auto at = static_cast<std::size_t>(why);
    std::uint64_t sum = relay_->turn()->common_counters().closes[at].value();
    for (std::size_t i = 0; i < relay_->shard_count(); ++i) {
      sum += relay_->turn()->counters(i).closes[at].value();
    }
    return sum;
  }
  std::uint64_t opened(turn::ListenerTransport transport) const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < relay_->shard_count(); ++i) {
      const auto& clients = relay_->turn()->counters(i).clients;
      sum += clients[static_cast<std::size_t>(transport)].connections_opened.value();
    }
    return sum;
  }

  std::unique_ptr<Relay> relay_;
  std::uint32_t connections_max_ = 0;  // of start(); 0: as many as usual
};

}  // namespace turnpike::test
