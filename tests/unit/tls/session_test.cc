// Two sessions that talk through strings; every reason to refuse.
#include "control/tls/session.h"

#include <algorithm>
#include <functional>

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "tests/support/certificates.h"

namespace turnpike::tls {
namespace {

constexpr const char* kProtocol = "turnpike-test/1";

class TlsSession : public ::testing::Test {
 protected:
  TlsSession() {
    authority_.issue("edge", {.common_name = "edge", .alternative_names = "DNS:edge.example.com"});
    authority_.issue("core", {.common_name = "core",
                              .alternative_names = "DNS:core.example.com,DNS:cluster.example.com"});
  }

  ContextOptions options(const std::string& name) const {
    return {.certificate_file = authority_.path(name + ".pem"),
            .private_key_file = authority_.path(name + ".key"),
            .trust_file = authority_.trust(),
            .protocol = kProtocol};
  }
  static std::shared_ptr<const Context> load(const ContextOptions& options) {
    auto context = Context::load(options);
    EXPECT_TRUE(context) << (context ? "" : context.error().message);
    return context ? *context : nullptr;
  }

  /// An edge that listens and a core that dials.
  void connect(const ContextOptions& server, const ContextOptions& client,
               PeerRule of_server = {{}, {"core.example.com"}, false},
               PeerRule of_client = {{}, {"edge.example.com"}, false}) {
    server_ = std::make_unique<Session>(load(server), Role::kServer, std::move(of_server), "");
    client_ = std::make_unique<Session>(load(client), Role::kClient, std::move(of_client),
                                        "edge.example.com");
    shuttle();
  }
  /// Until nobody has anything to say; in pieces of `piece` bytes.
  void shuttle(std::size_t piece = 1000000) {
    for (bool moved = true; moved;) {
      moved = false;
      for (auto* from : {client_.get(), server_.get()}) {
        auto* to = from == client_.get() ? server_.get() : client_.get();
        auto& text = to == server_.get() ? at_server_ : at_client_;
        const std::string bytes = from->take_output();
        for (std::size_t at = 0; at < bytes.size(); at += piece) {
          to->receive(std::string_view(bytes).substr(at, piece), text);
          moved = true;
        }
      }
    }
  }
  /// The server refuses the client's certificate with these options.
  Refusal refusal_of_client(const LeafOptions& leaf,
                            PeerRule rule = {{}, {"core.example.com"}, false}) {
    authority_.issue("bad", leaf);
    connect(options("edge"), options("bad"), std::move(rule));
    EXPECT_EQ(client_->refusal(), Refusal::kRefusedByPeer) << info_of(client_->refusal()).label;
    return server_->refusal();
  }

  CertificateFolder authority_;
  std::unique_ptr<Session> server_;
  std::unique_ptr<Session> client_;
  WipedText at_server_;
  WipedText at_client_;
};

TEST_F(TlsSession, both_ends_open_and_know_each_other) {
  connect(options("edge"), options("core"),
          {"cluster.example.com", {"other", "core.example.com"}, false});
  ASSERT_EQ(server_->state(), Session::State::kOpen) << server_->detail();
  ASSERT_EQ(client_->state(), Session::State::kOpen) << client_->detail();
  EXPECT_EQ(server_->peer_name(), "core.example.com");
  EXPECT_EQ(client_->peer_name(), "edge.example.com");
  EXPECT_EQ(server_->peer().subject, "CN=core");
  EXPECT_EQ(client_->version(), "TLSv1.3");
  EXPECT_EQ(client_->channel_binding("x"), server_->channel_binding("x"));
  EXPECT_NE(client_->channel_binding("x"), server_->channel_binding("y"));
}

TEST_F(TlsSession, carries_bytes_both_ways_in_pieces_of_any_size) {
  connect(options("edge"), options("core"));
  std::string much;
  for (int i = 0; i < 100000; ++i) much += static_cast<char>(i * 7);
  client_->send(much);
  server_->send("answer");
  shuttle(7);
  EXPECT_EQ(std::string_view(at_server_), much);
  EXPECT_EQ(at_client_, "answer");
  server_->close();
  shuttle();
  EXPECT_EQ(client_->state(), Session::State::kEnded);
}

TEST_F(TlsSession, two_connections_have_two_bindings) {
  connect(options("edge"), options("core"));
  const auto first = client_->channel_binding("x");
  connect(options("edge"), options("core"));
  EXPECT_NE(first, client_->channel_binding("x"));
}

TEST_F(TlsSession, a_session_is_never_resumed) {
  connect(options("edge"), options("core"));
  client_->send("x");
  shuttle();
  // Without tickets the server sends nothing after its handshake.
  EXPECT_TRUE(server_->take_output().empty());
}

TEST_F(TlsSession, plain_text_is_not_tls) {
  Session server(load(options("edge")), Role::kServer, {}, "");
  WipedText text;
  server.receive("GET / HTTP/1.1\r\n\r\n", text);
  EXPECT_EQ(server.refusal(), Refusal::kNotTls);
  Session client(load(options("core")), Role::kClient, {}, "");
  client.receive("SSH-2.0-OpenSSH_9.2\r\n", text);
  EXPECT_EQ(client.refusal(), Refusal::kNotTls);
  Session slow(load(options("edge")), Role::kServer, {}, "");
  slow.receive("\x16", text);
  EXPECT_EQ(slow.state(), Session::State::kHandshake);
  slow.receive("G", text);
  EXPECT_EQ(slow.refusal(), Refusal::kNotTls);
  EXPECT_TRUE(text.empty());
}

TEST_F(TlsSession, garbage_that_begins_like_tls_is_refused) {
  Session server(load(options("edge")), Role::kServer, {}, "");
  WipedText text;
  server.receive(std::string("\x16\x03\x01\x00\x10", 5) + std::string(16, 'x'), text);
  EXPECT_EQ(server.state(), Session::State::kRefused);
  EXPECT_EQ(server.refusal(), Refusal::kBadRecord) << info_of(server.refusal()).label;
}

TEST_F(TlsSession, another_authority_is_refused_by_both_ends) {
  CertificateFolder other;
  other.issue("core", {.alternative_names = "DNS:core.example.com"});
  ContextOptions stranger = options("core");
  stranger.certificate_file = other.path("core.pem");
  stranger.private_key_file = other.path("core.key");
  connect(options("edge"), stranger);
  EXPECT_EQ(server_->refusal(), Refusal::kUnknownAuthority);
  EXPECT_EQ(client_->refusal(), Refusal::kRefusedByPeer);
  EXPECT_NE(client_->detail().find("unknown CA"), std::string::npos) << client_->detail();

  stranger.trust_file = other.trust();
  connect(options("edge"), stranger);
  EXPECT_EQ(client_->refusal(), Refusal::kUnknownAuthority);
}

TEST_F(TlsSession, names_are_those_of_the_alternative_names_only) {
  EXPECT_EQ(refusal_of_client({.alternative_names = "DNS:other.example.com"}), Refusal::kWrongName);
  EXPECT_NE(server_->detail().find("wanted core.example.com, it has other.example.com"),
            std::string::npos)
      << server_->detail();
  EXPECT_EQ(refusal_of_client(
                {.common_name = "core.example.com", .alternative_names = "DNS:other.example.com"}),
            Refusal::kWrongName);
  EXPECT_EQ(refusal_of_client({.common_name = "core.example.com"}), Refusal::kCommonNameOnly);
  EXPECT_EQ(refusal_of_client({.alternative_names = "DNS:*.example.com"}), Refusal::kWrongName);
}

TEST_F(TlsSession, the_subject_is_demanded_besides_the_name) {
  EXPECT_EQ(refusal_of_client({.alternative_names = "DNS:core.example.com"},
                              {"cluster.example.com", {"core.example.com"}, false}),
            Refusal::kWrongName);
  EXPECT_EQ(refusal_of_client({.alternative_names = "DNS:cluster.example.com"},
                              {"cluster.example.com", {"core.example.com"}, false}),
            Refusal::kWrongName);
}

TEST_F(TlsSession, a_common_name_counts_where_that_was_chosen) {
  authority_.issue("old", {.common_name = "core.example.com"});
  connect(options("edge"), options("old"), {{}, {"core.example.com"}, true});
  EXPECT_EQ(server_->state(), Session::State::kOpen) << server_->detail();
  EXPECT_EQ(server_->peer_name(), "core.example.com");
  // Not where there are alternative names.
  EXPECT_EQ(refusal_of_client(
                {.common_name = "core.example.com", .alternative_names = "DNS:other.example.com"},
                {{}, {"core.example.com"}, true}),
            Refusal::kWrongName);
}

TEST_F(TlsSession, addresses_are_names_too) {
  authority_.issue("by_ip", {.alternative_names = "IP:192.0.2.7"});
  connect(options("edge"), options("by_ip"), {{}, {"192.0.2.7"}, false});
  EXPECT_EQ(server_->state(), Session::State::kOpen) << server_->detail();
}

TEST_F(TlsSession, dates_are_checked) {
  EXPECT_EQ(refusal_of_client({.alternative_names = "DNS:core.example.com",
                               .valid_from_seconds = -7200,
                               .valid_to_seconds = -3600}),
            Refusal::kExpired);
  EXPECT_EQ(
      refusal_of_client({.alternative_names = "DNS:core.example.com", .valid_from_seconds = 3600}),
      Refusal::kNotYetValid);
}

TEST_F(TlsSession, both_purposes_are_demanded_of_both_ends) {
  const std::string name = "DNS:core.example.com";
  EXPECT_EQ(refusal_of_client({.alternative_names = name, .purposes = "serverAuth"}),
            Refusal::kNoClientAuth);
  EXPECT_EQ(refusal_of_client({.alternative_names = name, .purposes = "clientAuth"}),
            Refusal::kNoServerAuth);
  EXPECT_EQ(refusal_of_client({.alternative_names = name, .purposes = ""}), Refusal::kNoClientAuth);

  authority_.issue("half", {.alternative_names = "DNS:edge.example.com", .purposes = "serverAuth"});
  connect(options("half"), options("core"));
  EXPECT_EQ(client_->refusal(), Refusal::kNoClientAuth);
  EXPECT_EQ(server_->refusal(), Refusal::kRefusedByPeer);
}

TEST_F(TlsSession, a_leaf_cannot_sign) {
  // "core" signs nothing: a certificate that claims it as issuer has no authority above it.
  CertificateFolder other;
  other.issue("core", {.alternative_names = "DNS:core.example.com"});
  ContextOptions odd = options("edge");
  odd.trust_file = authority_.path("core.pem");
  ContextOptions stranger = options("core");
  stranger.certificate_file = other.path("core.pem");
  stranger.private_key_file = other.path("core.key");
  connect(odd, stranger);
  EXPECT_EQ(server_->refusal(), Refusal::kUnknownAuthority);
}

TEST_F(TlsSession, another_protocol_is_refused) {
  ContextOptions web = options("core");
  web.protocol = "h2";
  connect(options("edge"), web);
  EXPECT_EQ(server_->refusal(), Refusal::kOtherProtocol);
  EXPECT_EQ(client_->refusal(), Refusal::kOtherProtocol);
}

TEST_F(TlsSession, a_connection_that_breaks_off_is_not_an_end) {
  connect(options("edge"), options("core"));
  server_->on_transport_end();
  EXPECT_EQ(server_->refusal(), Refusal::kClosedEarly);
  client_->close();
  client_->on_transport_end();
  EXPECT_EQ(client_->refusal(), Refusal::kNone);
}

TEST_F(TlsSession, damaged_records_end_the_session) {
  connect(options("edge"), options("core"));
  client_->send("secret");
  std::string bytes = client_->take_output();
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  server_->receive(bytes, at_server_);
  EXPECT_EQ(server_->refusal(), Refusal::kBadRecord);
  EXPECT_TRUE(at_server_.empty());
}

TEST_F(TlsSession, an_oldest_version_of_1_3_refuses_1_2) {
  ContextOptions strict = options("edge");
  strict.oldest = Version::kTls13;
  server_ = std::make_unique<Session>(load(strict), Role::kServer, PeerRule{}, "");
  SSL_CTX* old = SSL_CTX_new(TLS_method());
  SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
  SSL* ssl = SSL_new(old);
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
  SSL_set_connect_state(ssl);
  SSL_do_handshake(ssl);
  std::string bytes(BIO_ctrl_pending(out), '\0');
  BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
  server_->receive(bytes, at_server_);
  EXPECT_EQ(server_->refusal(), Refusal::kTooOld) << server_->detail();
  SSL_free(ssl);
  SSL_CTX_free(old);
}

TEST_F(TlsSession, a_reload_leaves_live_sessions_alone) {
  connect(options("edge"), options("core"));
  CertificateFolder other;
  other.issue("edge", {.alternative_names = "DNS:edge.example.com"});
  ContextOptions renewed = options("edge");
  renewed.certificate_file = other.path("edge.pem");
  renewed.private_key_file = other.path("edge.key");
  const auto next = load(renewed);
  EXPECT_NE(next->own().sha256, client_->peer().sha256);
  client_->send("still here");
  shuttle();
  EXPECT_EQ(at_server_, "still here");
}

TEST_F(TlsSession, unusable_files_are_named) {
  ContextOptions broken = options("edge");
  broken.private_key_file = authority_.path("core.key");
  auto context = Context::load(broken);
  ASSERT_FALSE(context);
  EXPECT_NE(context.error().message.find("core.key: is not the key of"), std::string::npos);
  broken = options("edge");
  broken.trust_file = authority_.path("none.pem");
  EXPECT_FALSE(Context::load(broken));
}

TEST_F(TlsSession, no_certificate_is_its_own_reason) {
  // A client without one cannot be made with our own context.
  server_ = std::make_unique<Session>(load(options("edge")), Role::kServer, PeerRule{}, "");
  SSL_CTX* bare = SSL_CTX_new(TLS_method());
  SSL* ssl = SSL_new(bare);
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, in, out);
  SSL_set_connect_state(ssl);
  const std::string protocol = std::string(1, '\x0f') + kProtocol;
  SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(protocol.data()),
                      static_cast<unsigned>(protocol.size()));
  for (int i = 0; i < 4; ++i) {
    SSL_do_handshake(ssl);
    std::string bytes(BIO_ctrl_pending(out), '\0');
    if (!bytes.empty()) BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
    server_->receive(bytes, at_server_);
    const std::string answer = server_->take_output();
    BIO_write(in, answer.data(), static_cast<int>(answer.size()));
  }
  EXPECT_EQ(server_->refusal(), Refusal::kNoCertificate) << server_->detail();
  SSL_free(ssl);
  SSL_CTX_free(bare);
}

TEST(TlsRefusal, labels_are_unique_and_complete) {
  for (std::size_t i = 0; i < kRefusalCount; ++i) {
    EXPECT_NE(kRefusals[i].label, nullptr) << i;
    for (std::size_t j = 0; j < i; ++j) EXPECT_STRNE(kRefusals[i].label, kRefusals[j].label);
  }
  EXPECT_STREQ(info_of(Refusal::kOurFault).label, "our_fault");
}

}  // namespace
}  // namespace turnpike::tls
