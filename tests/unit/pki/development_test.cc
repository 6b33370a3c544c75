// The development authority: what it makes, keeps, renews and refuses.
#include "control/pki/development.h"

#include <gmock/gmock.h>

#include "tests/unit/pki/folder.h"

namespace turnpike::pki {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class Development : public Folder {
 protected:
  DevelopmentOptions options() const {
    DevelopmentOptions all;
    all.directory = path("pki");
    all.names = {"edge.example.com", "192.0.2.1", "2001:db8::1"};
    all.peers = {{"partner", {"sip.partner.example"}}};
    return all;
  }
  DevelopmentFiles make(const DevelopmentOptions& wanted, WallTime now = kNow) const {
    auto made = make_development_pki(wanted, now);
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : DevelopmentFiles{};
  }
  std::string refusal(const DevelopmentOptions& wanted) const {
    const auto made = make_development_pki(wanted, kNow);
    return made ? "" : made.error().message;
  }
  Judgement judge(const std::string& name, const Purpose& purpose) const {
    return check_identity(path("pki/" + name + ".pem"), path("pki/" + name + ".key"), purpose,
                          kNow);
  }
};

TEST_F(Development, makes_what_listeners_need) {
  EXPECT_THAT(make(options()).made,
              UnorderedElementsAre("ca.pem", "ca.key", "server.pem", "server.key", "traversal.pem",
                                   "traversal.key", "partner.pem", "partner.key"));
  EXPECT_THAT(judge("server", {options().names, true, false}).mistakes, IsEmpty());
  EXPECT_FALSE(judge("server", {{}, true, true}).mistakes.empty()) << "serverAuth only";
  EXPECT_THAT(judge("traversal", {options().names, true, true}).mistakes, IsEmpty());
  EXPECT_THAT(judge("partner", {{"sip.partner.example"}, true, true}).mistakes, IsEmpty());
  EXPECT_THAT(check_trust(path("pki/ca.pem"), kNow).mistakes, IsEmpty());
  for (const char* name : {"server", "traversal", "partner"}) {
    openssl("verify -x509_strict -CAfile pki/ca.pem pki/" + std::string(name) + ".pem");
  }
}

TEST_F(Development, keys_are_for_their_owner) {
  make(options());
  EXPECT_EQ(mode("pki"), 0700U);
  for (const char* name : {"ca", "server", "traversal", "partner"}) {
    EXPECT_EQ(mode("pki/" + std::string(name) + ".key"), 0600U) << name;
  }
}

TEST_F(Development, a_group_may_read_the_edges_keys_only) {
  DevelopmentOptions wanted = options();
  wanted.key_group = "root";
  if (::geteuid() != 0) GTEST_SKIP() << "changing groups needs root";
  make(wanted);
  EXPECT_EQ(mode("pki/server.key"), 0640U);
  EXPECT_EQ(mode("pki/ca.key"), 0600U);
  EXPECT_EQ(mode("pki/partner.key"), 0600U);
  wanted.key_group = "no-such-group";
  EXPECT_THAT(refusal(wanted), HasSubstr("no group"));
}

TEST_F(Development, a_second_run_changes_nothing) {
  make(options());
  const std::string before = read("pki/ca.pem") + read("pki/server.pem") + read("pki/server.key");
  EXPECT_THAT(make(options()).made, IsEmpty());
  EXPECT_EQ(read("pki/ca.pem") + read("pki/server.pem") + read("pki/server.key"), before);
}

TEST_F(Development, renews_near_the_end_and_for_new_names) {
  make(options());
  const std::string key = read("pki/server.key");
  EXPECT_THAT(make(options(), kNow + 360 * kDay).made, IsEmpty());
  EXPECT_THAT(make(options(), kNow + 370 * kDay).made,
              UnorderedElementsAre("server.pem", "traversal.pem", "partner.pem"));
  DevelopmentOptions wanted = options();
  wanted.names.push_back("new.example.com");
  EXPECT_THAT(make(wanted, kNow + 370 * kDay).made,
              UnorderedElementsAre("server.pem", "traversal.pem"));
  EXPECT_EQ(read("pki/server.key"), key) << "pinned keys stay";
}

TEST_F(Development, a_lost_certificate_or_key_is_made_again) {
  make(options());
  std::filesystem::remove(path("pki/server.key"));
  EXPECT_THAT(make(options()).made, UnorderedElementsAre("server.key", "server.pem"));
  EXPECT_THAT(judge("server", {options().names}).mistakes, IsEmpty());
}

TEST_F(Development, foreign_files_are_left_alone) {
  make(options());
  self_signed("foreign", kEc, "");
  write("pki/server.pem", read("foreign.pem"));
  EXPECT_THAT(refusal(options()), HasSubstr("was not made here"));
  EXPECT_EQ(read("pki/server.pem"), read("foreign.pem"));
}

TEST_F(Development, a_foreign_authority_is_not_used) {
  self_signed("ca", kEc, "");
  std::filesystem::create_directory(path("pki"));
  write("pki/ca.pem", read("ca.pem"));
  EXPECT_THAT(refusal(options()), HasSubstr("without ca.key"));
  write("pki/ca.key", read("ca.key"));
  EXPECT_THAT(refusal(options()), HasSubstr("not a development authority of ours"));
  EXPECT_FALSE(std::filesystem::exists(path("pki/server.pem")));
}

TEST_F(Development, certificates_of_a_former_authority_are_renewed) {
  make(options());
  std::filesystem::remove(path("pki/ca.pem"));
  std::filesystem::remove(path("pki/ca.key"));
  EXPECT_THAT(make(options()).made, Contains("server.pem"));
  openssl("verify -CAfile pki/ca.pem pki/server.pem");
}

TEST_F(Development, names_cannot_smuggle_extensions) {
  for (const char* name : {"", "a,DNS:b", "a\nb", "A.example", "a b", "email:x", "1:2", "a/b"}) {
    DevelopmentOptions wanted = options();
    wanted.names = {name};
    EXPECT_FALSE(refusal(wanted).empty()) << name;
  }
  DevelopmentOptions wanted = options();
  wanted.names.clear();
  EXPECT_THAT(refusal(wanted), HasSubstr("no name"));
  for (const char* name : {"ca", "server", "../x", "", "a b"}) {
    wanted = options();
    wanted.peers[0].name = name;
    EXPECT_FALSE(refusal(wanted).empty()) << name;
  }
}

TEST_F(Development, no_place_to_write_is_said) {
  DevelopmentOptions wanted = options();
  wanted.directory = path("missing/pki");
  EXPECT_THAT(refusal(wanted), HasSubstr("No such file"));
}

TEST_F(Development, makes_what_the_nodes_of_a_zone_need) {
  const ZonePkiOptions zone{path("zone"),
                            {{"node", {"edge.example.com", "cluster.example.com"}},
                             {"peer-c1", {"core.example.com", "cluster.example.com"}}}};
  const auto made = make_zone_pki(zone, kNow);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_THAT(made->made, UnorderedElementsAre("ca.pem", "ca.key", "node.pem", "node.key",
                                               "peer-c1.pem", "peer-c1.key", "password"));
  const Purpose purpose{{"core.example.com", "cluster.example.com"}, true, true, true};
  EXPECT_THAT(
      check_identity(path("zone/peer-c1.pem"), path("zone/peer-c1.key"), purpose, kNow).mistakes,
      IsEmpty());
  EXPECT_EQ(mode("zone/password"), 0600U);
  const std::string password = read("zone/password");
  EXPECT_EQ(password.size(), 65U);
  const auto again = make_zone_pki(zone, kNow);
  ASSERT_TRUE(again);
  EXPECT_THAT(again->made, IsEmpty());
  EXPECT_EQ(read("zone/password"), password);
  EXPECT_FALSE(make_zone_pki({path("zone"), {{"node", {"*bad name"}}}}, kNow));
}

TEST_F(Development, a_certificate_without_purposes_is_none_for_a_zone) {
  self_signed("plain", kEc, "");
  const Purpose anything{{}, true, true, false};
  const Purpose named{{}, true, true, true};
  EXPECT_THAT(check_identity(path("plain.pem"), path("plain.key"), anything, kNow).mistakes,
              IsEmpty());
  EXPECT_THAT(check_identity(path("plain.pem"), path("plain.key"), named, kNow).mistakes,
              Contains(HasSubstr("names no purposes")));
}

}  // namespace
}  // namespace turnpike::pki
