// [sip]: from the file to the generator's input, and the generator's judgement back to lines.
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "control/config/checks.h"
#include "control/config/load.h"
#include "control/config/products.h"

namespace turnpike::config {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kInterfaces =
    "[interface.outside]\n"
    "addresses = [\"192.0.2.10\"]\n"
    "advertised = [\"203.0.113.10\"]\n"
    "[interface.inside]\n"
    "addresses = [\"10.0.0.1\"]\n";

const std::string kSip =
    "[sip]\n"
    "domains = [\"edge.test\", \"b.test\"]\n"
    "inside_networks = [\"10.0.0.0/8\"]\n"
    "certificate_file = \"/etc/turnpike/edge.pem\"\n"
    "private_key_file = \"/etc/turnpike/edge.key\"\n"
    "trust_file = \"/etc/turnpike/ca.pem\"\n";

const std::string kHash = "0123456789abcdef0123456789abcdef";

Loaded load(const std::string& text) {
  return load_text(kInterfaces + text, "t.toml", "/etc/turnpike");
}

TEST(ConfigSip, no_section_means_no_sidecar) {
  const Loaded loaded = load("");
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  EXPECT_FALSE(wants_sidecar(loaded.settings));
  EXPECT_THAT(listeners(loaded.settings), SizeIs(1));  // the metrics
}

TEST(ConfigSip, section_without_domains_is_a_mistake) {
  EXPECT_THAT(load("[sip]\ntls_port = 5061\n").findings.mistakes(),
              ElementsAre("t.toml:6: [sip] has no domains; add domains = [\"example.com\"]"));
}

TEST(ConfigSip, values_reach_the_generator) {
  const Loaded loaded = load(kSip +
                             "tls_port = 6061\n"
                             "inside_media = \"srtp\"\n"
                             "outside_media = \"dtls\"\n"
                             "wss_port = 8443\n"
                             "websocket_origins = [\"https://phone.test\"]\n"
                             "keepalive_seconds = 7\n"
                             "[sip.user.alice]\n"
                             "ha1 = \"" +
                             kHash +
                             "\"\n"
                             "[sip.user.bob]\n"
                             "domain = \"b.test\"\n"
                             "ha1 = \"" +
                             kHash +
                             "\"\n"
                             "[sip.servers.pbx]\n"
                             "uris = [\"sip:10.0.0.10:5060\"]\n"
                             "[sip.route.2-all]\n"
                             "pattern = \"[0-9]+\"\n"
                             "servers = \"pbx\"\n"
                             "[sip.route.1-short]\n"
                             "pattern = \"[0-9]{3}\"\n"
                             "servers = \"pbx\"\n"
                             "[sip.peer.partner]\n"
                             "domains = [\"partner.test\"]\n"
                             "certificate_names = [\"sip.partner.test\"]\n"
                             "verify_name = \"san-or-cn\"\n");
  ASSERT_THAT(loaded.findings.mistakes(), IsEmpty());
  const sidecar::SipConfig sip = sip_config(loaded.settings);
  EXPECT_THAT(sip.domains, ElementsAre("edge.test", "b.test"));
  EXPECT_EQ(to_string(sip.outside.addresses.at(0).local), "192.0.2.10");
  EXPECT_EQ(to_string(sip.outside.addresses.at(0).advertised), "203.0.113.10");
  EXPECT_EQ(to_string(sip.inside.addresses.at(0).local), "10.0.0.1");
  EXPECT_EQ(sip.tls_port, 6061);
  EXPECT_EQ(sip.mtls_port, 5062);
  EXPECT_EQ(sip.inside_media, sidecar::InsideMedia::kSrtp);
  EXPECT_EQ(sip.outside_media, sidecar::OutsideMedia::kDtls);
  EXPECT_EQ(sip.wss_port, 8443);
  EXPECT_THAT(sip.websocket_origins, ElementsAre("https://phone.test"));
  EXPECT_EQ(sip.keepalive_interval, Seconds(7));
  EXPECT_EQ(sip.ng_endpoint, "unix:/run/turnpike/ng.sock");
  ASSERT_THAT(sip.users, SizeIs(2));
  EXPECT_EQ(sip.users[0].name, "alice");
  EXPECT_EQ(sip.users[0].domain, "edge.test");
  EXPECT_EQ(sip.users[1].domain, "b.test");
  EXPECT_EQ(sip.users[1].ha1, kHash);
  ASSERT_THAT(sip.routes, SizeIs(2));
  EXPECT_EQ(sip.routes[0].pattern, "[0-9]{3}");  // in the order of the names
  EXPECT_EQ(sip.peers.at(0).verify_name, sidecar::VerifyName::kSanOrCn);
}

TEST(ConfigSip, ng_over_udp_when_there_is_no_unix_socket) {
  const Loaded loaded = load("[ng]\nunix = \"\"\nudp = \"127.0.0.1:2223\"\n" + kSip);
  ASSERT_THAT(loaded.findings.mistakes(), IsEmpty());
  EXPECT_EQ(sip_config(loaded.settings).ng_endpoint, "udp:127.0.0.1:2223");
}

TEST(ConfigSip, mistakes_name_the_key_and_its_line) {
  const Loaded loaded = load(kSip +
                             "mtls_port = 5061\n"           // 12
                             "[sip.servers.pbx]\n"          // 13
                             "uris = [\"10.0.0.10\"]\n"     // 14
                             "[sip.route.short]\n"          // 15
                             "pattern = \"$(reboot)\"\n"    // 16
                             "servers = \"nobody\"\n"       // 17
                             "[sip.user.alice]\n"           // 18
                             "ha1 = \"not so secret\"\n");  // 19
  EXPECT_THAT(loaded.findings.mistakes(),
              testing::IsSupersetOf({HasSubstr("t.toml:12: sip.mtls_port "),
                                     HasSubstr("t.toml:14: sip.servers.pbx.uris "),
                                     HasSubstr("t.toml:16: sip.route.short.pattern "),
                                     HasSubstr("t.toml:17: sip.route.short.servers "),
                                     HasSubstr("t.toml:19: sip.user.alice.ha1 ")}));
  for (const std::string& line : loaded.findings.mistakes()) {
    EXPECT_THAT(line, testing::Not(HasSubstr("not so secret")));
  }
}

TEST(ConfigSip, ports_do_not_clash_with_other_listeners) {
  const Loaded loaded = load("[api]\nmetrics = \"10.0.0.1:5060\"\n" + kSip);
  EXPECT_THAT(loaded.findings.mistakes(), Contains(HasSubstr("both listen on 10.0.0.1:5060")));
}

TEST(ConfigSip, browsers_need_a_port_of_their_own_and_named_pages) {
  EXPECT_THAT(load(kSip + "wss_port = 8443\n").findings.mistakes(),
              ElementsAre(HasSubstr("sip.websocket_origins is empty, but wss_port is set; name")));
  EXPECT_THAT(load(kSip + "wss_port = 8443\nwebsocket_origins = [\"*\"]\n").findings.mistakes(),
              ElementsAre(HasSubstr("t.toml:13: sip.websocket_origins would let every page")));
  const std::string pages = "websocket_origins = [\"https://phone.test\"]\n";
  EXPECT_THAT(load(kSip + "wss_port = 5061\n" + pages).findings.mistakes(),
              Contains(HasSubstr("sip.wss_port and sip.tls_port both listen on")));
  const Loaded clash = load("[api]\nmetrics = \"192.0.2.10:8443\"\nmetrics_public = true\n" + kSip +
                            "wss_port = 8443\n" + pages);
  EXPECT_THAT(clash.findings.mistakes(), Contains(HasSubstr("both listen on 192.0.2.10:8443")));
}

const std::string kZoneFiles =
    "tls_name = \"a.test\"\ncertificate_file = \"n.pem\"\nprivate_key_file = \"n.key\"\n"
    "trust_file = \"z.pem\"\npassword_file = \"p\"\n";

Loaded load_edge(const std::string& sip, const std::string& more = "") {
  return load_text(
      "[node]\nrole = \"edge\"\n[interface.outside]\naddresses = [\"192.0.2.10\"]\n"
      "[zone.dmz]\nlisten = \"192.0.2.10:7001\"\ntls_verify_subject = \"c.test\"\n"
      "domains = [\"edge.test\"]\n" +
          kZoneFiles +
          "[zone.dmz.peer.core-1]\ntls_name = \"core.test\"\nsip_listen = \"127.0.0.1:7101\"\n"
          "sip_target = \"127.0.0.1:7201\"\n[sip]\ndomains = [\"edge.test\"]\n" +
          "certificate_file = \"/etc/turnpike/edge.pem\"\n"
          "private_key_file = \"/etc/turnpike/edge.key\"\ntrust_file = \"/etc/turnpike/ca.pem\"\n" +
          sip + more,
      "t.toml", "/etc/turnpike");
}

TEST(ConfigSip, an_edge_needs_no_inside) {
  const Loaded loaded = load_edge("");
  ASSERT_THAT(loaded.findings.mistakes(), IsEmpty());
  const sidecar::SipConfig sip = sip_config(loaded.settings);
  EXPECT_EQ(sip.role, sidecar::NodeRole::kEdge);
  ASSERT_THAT(sip.zones, SizeIs(1));
  EXPECT_EQ(sip.zones[0].name, "dmz");
  EXPECT_THAT(sip.zones[0].domains, ElementsAre("edge.test"));
  EXPECT_EQ(sip.zones[0].peers.at(0).name, "core-1");
  EXPECT_EQ(to_string(sip.zones[0].peers.at(0).listen), "127.0.0.1:7101");
  EXPECT_EQ(to_string(sip.zones[0].peers.at(0).target), "127.0.0.1:7201");
}

TEST(ConfigSip, a_core_needs_no_outside_and_no_certificate) {
  const Loaded loaded = load_text(
      "[node]\nrole = \"core\"\n[interface.inside]\naddresses = [\"10.0.0.1\"]\n[zone.dmz]\n" +
          kZoneFiles +
          "[zone.dmz.peer.edge-1]\ntls_name = \"edge.test\"\naddress = \"192.0.2.10:7001\"\n"
          "sip_listen = \"127.0.0.1:7101\"\nsip_target = \"127.0.0.1:7201\"\n[sip]\n"
          "domains = [\"edge.test\"]\ninside_networks = [\"10.0.0.0/8\"]\n",
      "t.toml", "/etc/turnpike");
  ASSERT_THAT(loaded.findings.mistakes(), IsEmpty());
  EXPECT_EQ(sip_config(loaded.settings).role, sidecar::NodeRole::kCore);
}

TEST(ConfigSip, what_a_role_has_no_use_for_is_told_in_words) {
  EXPECT_THAT(load_edge("inside_networks = [\"10.0.0.0/8\"]\n").findings.mistakes(),
              ElementsAre(HasSubstr("sip.inside_networks is given, but an edge has no inside "
                                    "network; move it to the core")));
  EXPECT_THAT(load_edge("users_file = \"users\"\n").findings.mistakes(),
              ElementsAre(HasSubstr("sip.users_file is given, but an edge has no passwords")));
  EXPECT_THAT(load_edge("", "[sip.user.alice]\nha1 = \"" + kHash + "\"\n").findings.mistakes(),
              ElementsAre(HasSubstr("sip.user.alice belongs on the core")));
  EXPECT_THAT(
      load_edge("", "[zone.dmz.peer.core-2]\ntls_name = \"core2.test\"\n").findings.mistakes(),
      ElementsAre(HasSubstr("zone dmz, peer core-2: sip_listen must be a loopback"),
                  HasSubstr("zone dmz, peer core-2: sip_target must be a loopback")));
}

TEST(ConfigSip, a_node_of_a_pair_needs_its_own_side) {
  const auto mistakes = load_text(
                            "[node]\nrole = \"edge\"\n[interface.inside]\n"
                            "addresses = [\"10.0.0.1\"]\n",
                            "t.toml", "/")
                            .findings.mistakes();
  EXPECT_THAT(mistakes, Contains(HasSubstr("there is no [interface.outside]; add the section")));
}

class ConfigSipUsersFile : public testing::Test {
 protected:
  std::string path_ = testing::TempDir() + "turnpike-users-" + std::to_string(::getpid());
  ~ConfigSipUsersFile() override { std::remove(path_.c_str()); }

  UsersFile add(const std::string& text, sidecar::SipConfig& config) {
    std::ofstream(path_) << text;
    const Loaded loaded = load(kSip + "users_file = \"" + path_ + "\"\n");
    EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
    config = sip_config(loaded.settings);
    return add_users_of_file(loaded.settings, config);
  }
};

TEST_F(ConfigSipUsersFile, users_are_added) {
  sidecar::SipConfig config;
  EXPECT_THAT(
      add("# users\nalice edge.test " + kHash + "\n\n  bob b.test " + kHash + " # x\n", config)
          .mistakes,
      IsEmpty());
  ASSERT_THAT(config.users, SizeIs(2));
  EXPECT_EQ(config.users[1].name, "bob");
  EXPECT_EQ(config.users[1].domain, "b.test");
  EXPECT_EQ(config.users[1].ha1, kHash);
}

TEST_F(ConfigSipUsersFile, every_wrong_line_is_named_and_not_shown) {
  sidecar::SipConfig config;
  const UsersFile file =
      add("alice edge.test " + kHash + "\nbob swordfish\n# x\ncarol foreign.test " + kHash +
              "\ndave edge.test 5w0rdf15h\nal/ice b.test " + kHash + "\nalice edge.test " + kHash +
              "\nerin b.test " + kHash + " more\n",
          config);
  EXPECT_FALSE(file.out_of_reach);
  EXPECT_THAT(
      file.mistakes,
      testing::ElementsAre(path_ + ":2: a line is name, domain and hash, separated by blanks",
                           path_ + ":4: domain is not one of `domains`",
                           path_ + ":5: ha1 must be 32 lower-case hexadecimal digits: the hash of "
                                   "name:domain:password",
                           path_ + ":6: name must be 1-64 letters, digits and . _ + -",
                           path_ + ":7: \"alice@edge.test\" is there twice; keep one",
                           path_ + ":8: a line is name, domain and hash, separated by blanks"));
}

TEST_F(ConfigSipUsersFile, missing_file_is_an_error) {
  const Loaded loaded = load(kSip + "users_file = \"/nonexistent/users\"\n");
  sidecar::SipConfig config = sip_config(loaded.settings);
  const UsersFile file = add_users_of_file(loaded.settings, config);
  EXPECT_TRUE(file.out_of_reach);
  EXPECT_THAT(file.mistakes,
              testing::ElementsAre(HasSubstr("/nonexistent/users cannot be read (No such file")));
}

TEST(ConfigSipUsers, folder_and_endless_device_are_no_users_file) {
  for (const char* path : {"/tmp", "/dev/zero"}) {
    const Loaded loaded = load(kSip + "users_file = \"" + path + "\"\n");
    sidecar::SipConfig config = sip_config(loaded.settings);
    const UsersFile file = add_users_of_file(loaded.settings, config);
    EXPECT_FALSE(file.out_of_reach) << path;
    EXPECT_THAT(file.mistakes, testing::ElementsAre(HasSubstr("cannot be read (it is "))) << path;
  }
}

}  // namespace
}  // namespace turnpike::config
