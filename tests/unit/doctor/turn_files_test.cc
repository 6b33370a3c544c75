// What doctor says of the own files of TURN, and of NG's listener.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "control/doctor/own_files.h"
#include "tests/support/certificates.h"

namespace turnpike::doctor {
namespace {

using testing::HasSubstr;

class TurnFiles : public testing::Test {
 protected:
  TurnFiles() {
    files_.issue("node",
                 {.alternative_names = "DNS:turn.example.com", .valid_to_seconds = 8640000});
    std::ofstream(files_.path("users")) << "alice 0123456789\n";
    ::chmod(files_.path("users").c_str(), 0600);
    config::TurnRealmSection realm;
    realm.name = "main";
    realm.users_file = files_.path("users");
    config::InterfaceSection outside;
    outside.name = "outside";
    outside.addresses = {IpAddress::v4(198, 51, 100, 1)};
    settings_.interfaces = {outside};
    config::TurnSection& turn = settings_.turn;
    turn.interface = outside.name;
    turn.realms = {realm};
    turn.tls_port = turn.dtls_port = 5349;
    turn.certificate_file = files_.path("node.pem");
    turn.private_key_file = files_.path("node.key");
    turn.server_name = "turn.example.com";
  }

  std::string said() const {
    Report report;
    examine_turn_files(settings_, std::chrono::system_clock::now(), report);
    return to_text(report);
  }

  CertificateFolder files_;
  config::Settings settings_;
};

TEST_F(TurnFiles, sound_ones_with_the_name_and_the_end_of_the_certificate) {
  EXPECT_THAT(said(), HasSubstr("turn.example.com, ends in "));
  EXPECT_THAT(said(), testing::Not(HasSubstr("FAILED")));
}

TEST_F(TurnFiles, those_of_ng_are_looked_at_where_it_listens) {
  config::Settings settings;
  settings.ng.certificate_file = files_.path("node.pem");
  settings.ng.private_key_file = files_.path("node.key");
  const auto said_of_ng = [&settings] {
    Report report;
    examine_listener_files(settings, std::chrono::system_clock::now(), report);
    return to_text(report);
  };
  EXPECT_THAT(said_of_ng(), testing::Not(HasSubstr("NG")));
  settings.ng.http = {IpAddress::v4(127, 0, 0, 1), 2225};
  EXPECT_THAT(said_of_ng(), HasSubstr("NG: own certificate"));
  EXPECT_THAT(said_of_ng(), testing::Not(HasSubstr("FAILED")));
  settings.ng.token_file = files_.path("missing");
  EXPECT_THAT(said_of_ng(), HasSubstr("FAILED"));
  EXPECT_THAT(said_of_ng(), HasSubstr("ng.token_file: "));
}

TEST_F(TurnFiles, a_certificate_for_another_name_is_served_and_warned_of) {
  settings_.turn.server_name = "other.example.com";
  EXPECT_THAT(said(), HasSubstr("is not valid for other.example.com"));
  EXPECT_THAT(said(), HasSubstr("clients that are told that name go away"));
  EXPECT_THAT(said(), testing::Not(HasSubstr("FAILED")));
  EXPECT_THAT(said(), testing::Not(HasSubstr("would serve nobody")));
}

TEST_F(TurnFiles, files_that_are_not_there_fail) {
  settings_.turn.private_key_file = "/nonexistent";
  EXPECT_THAT(said(), HasSubstr("/nonexistent"));
  settings_.turn.realms[0].users_file = "/missing";
  EXPECT_THAT(said(), HasSubstr("/missing"));
}

TEST_F(TurnFiles, nothing_without_a_realm) {
  settings_.turn.realms.clear();
  Report report;
  examine_turn_files(settings_, std::chrono::system_clock::now(), report);
  EXPECT_TRUE(report.findings().empty());
}

}  // namespace
}  // namespace turnpike::doctor
