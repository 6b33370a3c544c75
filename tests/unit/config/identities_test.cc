// Files that the settings name: certificates, trust and passwords.
#include "control/config/identities.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/certificates.h"

namespace turnpike::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Identities : public ::testing::Test {
 protected:
  Identities() {
    files_.issue("node", {.alternative_names = "DNS:edge.example.com"});
    std::ofstream(files_.path("password")) << "0123456789abcdef\n";
    ::chmod(files_.path("password").c_str(), 0600);
    ZoneSection zone;
    zone.name = "dmz";
    zone.tls_name = "edge.example.com";
    zone.certificate_file = files_.path("node.pem");
    zone.private_key_file = files_.path("node.key");
    zone.trust_file = files_.trust();
    zone.password_file = files_.path("password");
    settings_.zones = {zone};
  }

  CertificateFolder files_;
  Settings settings_;
};

TEST_F(Identities, sound_files_of_a_zone) {
  EXPECT_THAT(judge_zone_files(settings_).mistakes, IsEmpty());
  EXPECT_THAT(trust_clash(settings_), IsEmpty());
}

TEST_F(Identities, what_is_wrong_with_a_zone_is_told) {
  settings_.zones[0].tls_name = "other.example.com";
  settings_.zones[0].password_file = "/nonexistent";
  EXPECT_THAT(
      judge_zone_files(settings_).mistakes,
      ElementsAre(HasSubstr("is not valid for other.example.com"), HasSubstr("/nonexistent: ")));
}

TEST_F(Identities, two_zones_must_not_trust_one_authority) {
  settings_.zones.push_back(settings_.zones[0]);
  settings_.zones[1].name = "lab";
  EXPECT_THAT(trust_clash(settings_), HasSubstr("zone lab: its trust file holds"));
  settings_.zones[1].trust_file = "/nonexistent";
  EXPECT_THAT(trust_clash(settings_), IsEmpty());
}

TEST_F(Identities, sip_has_its_own) {
  EXPECT_THAT(judge_sip_identities(settings_).mistakes, IsEmpty()) << "there is no [sip]";
  settings_.sip.domains = {"example.com"};
  settings_.sip.certificate_file = files_.path("node.pem");
  settings_.sip.private_key_file = files_.path("node.key");
  settings_.sip.trust_file = files_.trust();
  EXPECT_THAT(judge_sip_identities(settings_).mistakes,
              ElementsAre(HasSubstr("is not valid for example.com")));
  settings_.node.role = "core";
  EXPECT_THAT(judge_sip_identities(settings_).mistakes, IsEmpty()) << "a core shows none";
}

}  // namespace
}  // namespace turnpike::config
