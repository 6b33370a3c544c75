// The file of tokens: its form, its faults, and that no fault tells a token.
#include "control/config/api_tokens.h"

#include <cstdio>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "control/config/identities.h"
#include "control/config/load.h"
#include "tests/support/certificates.h"

namespace turnpike::config {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string kToken = "0123456789abcdef01234567";
const std::string kInterfaces =
    "[interface.outside]\naddresses = [\"192.0.2.10\"]\n[interface.inside]\naddresses = "
    "[\"10.0.0.1\"]\n[api]\n";

class ApiTokens : public testing::Test {
 protected:
  std::string write(const std::string& text, mode_t mode = 0600) {
    const std::string path = files_.path("tokens");
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }
  std::string trouble(const std::string& text, mode_t mode = 0600) {
    const auto read = read_tokens_file(write(text, mode));
    return read ? "none" : read.error().message;
  }

  CertificateFolder files_;
};

TEST_F(ApiTokens, names_scopes_and_comments) {
  const auto read = read_tokens_file(
      write("# who asks\n\ngrafana  read " + kToken + "\r\n  anna\toperate\t" + kToken + "/+x=\n"));
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ((*read)[0].name, "grafana");
  EXPECT_EQ((*read)[0].scope, api::Scope::kRead);
  EXPECT_EQ((*read)[0].text.reveal(), kToken);
  EXPECT_EQ((*read)[1].scope, api::Scope::kOperate);
}

TEST_F(ApiTokens, T10_one_broken_line_refuses_the_file_and_tells_no_token) {
  const std::string good = "a read " + kToken + "\n";
  const std::string other = "x" + kToken;
  for (const auto& [text, complaint] : std::vector<std::pair<std::string, std::string>>{
           {good + "b " + other, "line 2 is not \"NAME SCOPE TOKEN\""},
           {good + "b read " + other + " more", "line 2 is not"},
           {good + other, "line 2 is not"},
           {good + "b write " + other, "line 2 has no scope"},
           {good + "b read 0123456789abcdef0123456", "line 2 has a token that is not 24 to 256"},
           {good + "b read " + std::string(257, 'x'), "line 2 has a token"},
           {good + "b read \"" + other + "\"", "line 2 has a token"},
           {good + "b\"c read " + other, "line 2 has a name"},
           {good + "a read " + other, "line 2 has the name of another"},
           {good + "b read " + kToken, "line 2 has the token of another"},
           {"# nothing\n", "holds no token"}}) {
    EXPECT_THAT(trouble(text),
                AllOf(HasSubstr(complaint), Not(HasSubstr("0123")), Not(HasSubstr("xxx"))));
  }
  EXPECT_THAT(trouble(good, 0644), HasSubstr("every account of this host may read these tokens"));
  EXPECT_THAT(trouble(good, 0602), HasSubstr("every account of this host may write these tokens"));
  EXPECT_THAT(read_tokens_file("/nonexistent").error().message, HasSubstr("/nonexistent: "));
  EXPECT_THAT(read_tokens_file("/dev/zero").error().message, HasSubstr("/dev/zero: "));
  std::string many;
  for (int i = 0; i < 65; ++i) {
    many += "n" + std::to_string(i) + " read " + kToken + std::to_string(i) + "\n";
  }
  EXPECT_THAT(trouble(many), HasSubstr("line 65 is one token too many"));
}

TEST_F(ApiTokens, files_are_judged_only_where_something_listens) {
  ApiSection api;
  api.tokens_file = "/nonexistent";
  EXPECT_THAT(judge_api_files(api).mistakes, IsEmpty());
  api.listen = *parse_socket_address("127.0.0.1:9465");
  EXPECT_THAT(judge_api_files(api).mistakes, ElementsAre(HasSubstr("/nonexistent: ")));
  api.tokens_file = write("a read " + kToken + "\n");
  api.certificate_file = files_.path("missing.pem");
  api.client_trust_file = files_.trust();
  EXPECT_THAT(judge_api_files(api).mistakes, Not(IsEmpty()));
  files_.issue("node", {.alternative_names = "DNS:edge.example.com"});
  api.certificate_file = files_.path("node.pem");
  api.private_key_file = files_.path("node.key");
  EXPECT_THAT(judge_api_files(api).mistakes, IsEmpty());
}

TEST_F(ApiTokens, certificates_of_ng_are_judged_only_where_it_listens) {
  Settings settings;
  settings.ng.certificate_file = files_.path("node.pem");
  settings.ng.private_key_file = files_.path("node.key");
  EXPECT_THAT(judge_ng_certificates(settings).mistakes, IsEmpty());
  settings.ng.http = *parse_socket_address("127.0.0.1:2225");
  EXPECT_THAT(judge_ng_certificates(settings).mistakes, Not(IsEmpty())) << "it is missing";
  files_.issue("node", {.valid_to_seconds = 8640000});
  EXPECT_THAT(judge_ng_certificates(settings).mistakes, IsEmpty());
  files_.issue("other", {});
  settings.ng.private_key_file = files_.path("other.key");
  EXPECT_THAT(judge_ng_certificates(settings).mistakes, Not(IsEmpty())) << "another key";
  settings.ng.private_key_file = files_.path("node.key");
  settings.ng.client_trust_file = files_.path("missing.pem");
  EXPECT_THAT(judge_ng_certificates(settings).mistakes, ElementsAre(HasSubstr("missing.pem")));
  files_.issue("node", {.valid_from_seconds = -7200, .valid_to_seconds = -3600});
  settings.ng.client_trust_file = files_.trust();
  EXPECT_THAT(judge_ng_certificates(settings).mistakes, ElementsAre(HasSubstr("expired")));
}

TEST(ApiListener, T19_others_get_in_neither_without_tls_nor_without_proof) {
  const std::string tls = "certificate_file = \"c.pem\"\nprivate_key_file = \"k.pem\"\n";
  const std::string tokens = "tokens_file = \"t\"\n";
  const auto mistakes = [](const std::string& keys) {
    return load_text(kInterfaces + keys, "t.toml", "/etc").findings.mistakes();
  };
  const std::string outside = "listen = \"192.0.2.10:9465\"\n";
  const std::string loopback = "listen = \"127.0.0.1:9465\"\n";
  EXPECT_THAT(mistakes(outside + tokens), ElementsAre(HasSubstr("and has no TLS")));
  EXPECT_THAT(mistakes("listen = \"10.0.0.1:9465\"\n" + tokens),
              ElementsAre(HasSubstr("and has no TLS")));
  EXPECT_THAT(mistakes("listen = \"0.0.0.0:9465\"\n" + tls),
              ElementsAre(HasSubstr("nothing tells who may ask")));
  EXPECT_THAT(mistakes(loopback), ElementsAre(HasSubstr("nothing tells who may ask")));
  EXPECT_THAT(mistakes(outside).size(), 2u);
  EXPECT_THAT(mistakes(loopback + "client_trust_file = \"ca.pem\"\n"),
              ElementsAre(HasSubstr("without TLS no client shows a certificate")));
  EXPECT_THAT(mistakes(loopback + tokens + "certificate_file = \"c.pem\"\n"),
              ElementsAre(HasSubstr("api.private_key_file is empty")));
  EXPECT_THAT(mistakes(loopback + tokens + "private_key_file = \"k.pem\"\n"),
              ElementsAre(HasSubstr("api.certificate_file is empty")));
  EXPECT_THAT(mistakes("listen = \"127.0.0.1:9464\"\n" + tokens),
              ElementsAre(HasSubstr("both listen on 127.0.0.1:9464")));
  EXPECT_THAT(mistakes(loopback + tokens), IsEmpty());
  EXPECT_THAT(mistakes(outside + tls + tokens), IsEmpty());
  EXPECT_THAT(mistakes(outside + tls + "client_trust_file = \"ca.pem\"\n"), IsEmpty());
}

}  // namespace
}  // namespace turnpike::config
