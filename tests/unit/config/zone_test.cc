// [zone.ZONE] and what lies below: values, and every rule.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "control/config/load.h"
#include "control/config/products.h"
#include "control/config/secret_file.h"

namespace turnpike::config {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string files(const std::string& zone) {
  return "certificate_file = \"" + zone + "/node.pem\"\nprivate_key_file = \"" + zone +
         "/node.key\"\ntrust_file = \"" + zone + "/ca.pem\"\npassword_file = \"" + zone +
         "/password\"\n";
}

std::string edge_zone(const std::string& name, int port, const std::string& more = "") {
  return "[zone." + name + "]\nlisten = \"192.0.2.10:" + std::to_string(port) +
         "\"\ntls_name = \"edge.example.com\"\ntls_verify_subject = \"cluster." + name +
         "\"\ndomains = [\"" + name + ".example.com\"]\n" + files(name) + more;
}

std::string edge_peer(const std::string& zone, int port) {
  return "[zone." + zone + ".peer.c1]\ntls_name = \"core.example.com\"\nsip_listen = " +
         "\"127.0.0.1:" + std::to_string(port) + "\"\nsip_target = \"127.0.0.1:5070\"\n";
}

const std::string kCoreZone = "[zone.dmz]\ntls_name = \"core.example.com\"\n" + files("dmz");
const std::string kCorePeer =
    "[zone.dmz.peer.e1]\ntls_name = \"edge.example.com\"\naddress = \"192.0.2.10:7001\"\n";

Loaded load(const std::string& role, const std::string& zones) {
  return load_text(
      "[node]\nrole = \"" + role +
          "\"\n[interface.outside]\naddresses = [\"192.0.2.10\"]\n[interface.inside]\naddresses = "
          "[\"198.51.100.10\"]\n" +
          zones,
      "t.toml", "/etc/turnpike");
}

std::vector<std::string> mistakes(const std::string& role, const std::string& zones) {
  return load(role, zones).findings.mistakes();
}

TEST(ConfigZone, an_edge_has_a_zone_for_each_tenant) {
  const Loaded loaded = load("edge", edge_zone("acme", 7001) + edge_peer("acme", 7101) +
                                         edge_zone("beta", 7002, "keepalive_seconds = 5\n") +
                                         edge_peer("beta", 7102));
  ASSERT_THAT(loaded.findings.mistakes(), IsEmpty());
  const zone::ServiceConfig config = zone_config(loaded.settings);
  EXPECT_EQ(config.role, zone::Role::kEdge);
  EXPECT_EQ(config.sip_user, "kamailio");
  ASSERT_EQ(config.zones.size(), 2U);
  const zone::ZoneConfig& acme = config.zones[0];
  EXPECT_EQ(acme.name, "acme");
  EXPECT_EQ(acme.kind, "uc");
  EXPECT_EQ(to_string(acme.listen), "192.0.2.10:7001");
  EXPECT_EQ(acme.tls.trust_file, "/etc/turnpike/acme/ca.pem");
  EXPECT_EQ(acme.tls.protocol, "turnpike-zone/1");
  EXPECT_EQ(acme.tls_verify_subject, "cluster.acme");
  EXPECT_FALSE(acme.accept_common_name);
  EXPECT_EQ(acme.keepalive, Seconds{10});
  EXPECT_EQ(config.zones[1].keepalive, Seconds{5});
  ASSERT_EQ(acme.peers.size(), 1U);
  EXPECT_EQ(acme.peers[0].name, "c1");
  EXPECT_EQ(to_string(acme.peers[0].sip_listen), "127.0.0.1:7101");
  EXPECT_EQ(to_string(acme.peers[0].sip_target), "127.0.0.1:5070");
  EXPECT_FALSE(acme.peers[0].address.is_set());
}

TEST(ConfigZone, a_core_has_one_zone_and_dials) {
  const Loaded loaded = load("core", kCoreZone +
                                         "verify_name = \"san-or-cn\"\nkind = \"traversal\"\n"
                                         "tls_min_version = \"1.3\"\n" +
                                         kCorePeer);
  ASSERT_THAT(loaded.findings.mistakes(), IsEmpty());
  const zone::ServiceConfig config = zone_config(loaded.settings);
  EXPECT_EQ(config.role, zone::Role::kCore);
  EXPECT_TRUE(config.zones[0].accept_common_name);
  EXPECT_EQ(config.zones[0].tls.oldest, tls::Version::kTls13);
  EXPECT_EQ(to_string(config.zones[0].peers[0].address), "192.0.2.10:7001");
}

TEST(ConfigZone, an_edge_keeps_shared_ports_from_its_media_ports) {
  const Loaded loaded = load("edge", edge_zone("acme", 7001) + edge_peer("acme", 7101) +
                                         edge_zone("beta", 7002, "flow_port_max = 36003\n") +
                                         edge_peer("beta", 7102));
  ASSERT_THAT(loaded.findings.mistakes(), IsEmpty());
  const RelayConfig relay = relay_config(loaded.settings);
  EXPECT_EQ(relay.pair_role, PairRole::kEdge);
  EXPECT_EQ(relay.port_min, 36012);
  ASSERT_EQ(relay.flow_ports.size(), 12U) << "zones share them";
  EXPECT_EQ(to_string(relay.flow_ports[0]), "192.0.2.10:36000");
  EXPECT_EQ(to_string(relay.flow_ports[11]), "192.0.2.10:36011");
  const auto peers = pair_peers(loaded.settings);
  ASSERT_EQ(peers.size(), 2U);
  EXPECT_EQ(peers[1].name, "beta/c1");
  EXPECT_EQ(peers[1].ports.size(), 4U);
}

TEST(ConfigZone, a_core_has_no_shared_ports_and_knows_where_its_edges_are) {
  const Loaded loaded = load("core", kCoreZone + kCorePeer);
  ASSERT_THAT(loaded.findings.mistakes(), IsEmpty());
  EXPECT_THAT(loaded.findings.warnings(), IsEmpty());
  const RelayConfig relay = relay_config(loaded.settings);
  EXPECT_EQ(relay.pair_role, PairRole::kCore);
  EXPECT_EQ(relay.port_min, 36000);
  EXPECT_THAT(relay.flow_ports, IsEmpty());
  EXPECT_EQ(to_string(pair_peers(loaded.settings).at(0).edge), "192.0.2.10");
  EXPECT_EQ(relay_config(load("single", "").settings).pair_role, PairRole::kNone);
}

TEST(ConfigZone, shared_ports_that_cannot_be_are_mistakes) {
  const auto with = [](const std::string& more) {
    return mistakes("edge", edge_zone("acme", 7001, more) + edge_peer("acme", 7101));
  };
  EXPECT_THAT(with("flow_port_max = 35999\n"), ElementsAre(HasSubstr("flow_port_max is 35999")));
  EXPECT_THAT(with("flow_port_min = 30000\nflow_port_max = 30064\n"),
              ElementsAre(HasSubstr("up to 63 more")));
  EXPECT_THAT(with("flow_port_min = 40000\nflow_port_max = 40011\n"),
              ElementsAre(HasSubstr("lie within the media ports")));
  EXPECT_THAT(with("flow_port_min = 30000\nflow_port_max = 30063\n"), IsEmpty());
  std::string wildcard = edge_zone("acme", 7001);
  wildcard.replace(wildcard.find("192.0.2.10"), 10, "0.0.0.0");
  EXPECT_THAT(mistakes("edge", wildcard + edge_peer("acme", 7101)),
              ElementsAre(HasSubstr("stands for every address of this host")));
}

TEST(ConfigZone, roles_and_zones_belong_together) {
  EXPECT_THAT(mistakes("single", kCoreZone + kCorePeer),
              ElementsAre(HasSubstr("[zone.dmz] needs a node of a traversal pair; set node.role to "
                                    "\"core\"")));
  EXPECT_THAT(mistakes("core", ""), ElementsAre(HasSubstr("there is no zone")));
  EXPECT_THAT(
      mistakes("core", kCoreZone + kCorePeer + "[zone.lab]\ntls_name = \"c\"\n" + files("lab") +
                           "[zone.lab.peer.e1]\ntls_name = \"e\"\n"
                           "address = \"192.0.2.10:7001\"\n"),
      ElementsAre(HasSubstr("a core has exactly one zone, here are 2")));
  EXPECT_THAT(mistakes("core", kCoreZone + "listen = \"192.0.2.10:7001\"\n" + kCorePeer),
              ElementsAre(HasSubstr("t.toml:13: zone.dmz.listen is set, but a core listens for "
                                    "nobody")));
  EXPECT_THAT(mistakes("edge", edge_zone("acme", 7001) + edge_peer("acme", 7101) +
                                   "address = \"192.0.2.10:7001\"\n"),
              ElementsAre(HasSubstr("zone.acme.peer.c1.address is set, but an edge never dials")));
}

TEST(ConfigZone, a_wrong_role_is_one_mistake) {
  const auto mistakes_of = [](const std::string& node, const std::string& rest) {
    return load_text(node + "[interface.outside]\naddresses = [\"192.0.2.10\"]\n" + rest, "t.toml",
                     "/etc/turnpike")
        .findings.mistakes();
  };
  const std::string edge = edge_zone("acme", 7001) + edge_peer("acme", 7101) +
                           "[sip]\ndomains = [\"acme.example.com\"]\nwss_port = 8443\n";
  EXPECT_THAT(
      mistakes_of("[node]\nrole = \"core\"\n", edge),
      ElementsAre(HasSubstr("t.toml:2: node.role is \"core\", but the zones are those of the "
                            "other node: they listen; set node.role to \"edge\"")));
  EXPECT_THAT(mistakes_of("", edge), ElementsAre(HasSubstr("set node.role to \"edge\"")));
  EXPECT_THAT(mistakes_of("[node]\nrole = \"egde\"\n", edge),
              ElementsAre(HasSubstr("node.role is \"egde\"; give one of")));
  EXPECT_THAT(mistakes_of("[node]\nrole = \"edge\"\n", kCoreZone + kCorePeer),
              ElementsAre(HasSubstr("their peers have addresses; set node.role to \"core\"")));
}

TEST(ConfigZone, a_peer_has_a_name_of_its_own) {
  std::string peer = kCorePeer;
  peer.replace(peer.find("edge.example.com"), 16, "core.example.com");
  EXPECT_THAT(mistakes("core", kCoreZone + peer),
              ElementsAre(HasSubstr("zone.dmz.peer.e1.tls_name is \"core.example.com\", which is "
                                    "this node's own")));
}

TEST(ConfigZone, a_uc_zone_cannot_be_weakened) {
  EXPECT_THAT(mistakes("core", kCoreZone + "verify_name = \"san-or-cn\"\n" + kCorePeer),
              ElementsAre(HasSubstr("zone.dmz.verify_name would weaken a zone of kind \"uc\"")));
  EXPECT_THAT(mistakes("core", kCoreZone + "tls_min_version = \"1.1\"\n" + kCorePeer),
              ElementsAre(HasSubstr("is \"1.1\"; give one of \"1.2\", \"1.3\"")));
  std::string without = edge_zone("acme", 7001) + edge_peer("acme", 7101);
  without.replace(without.find("tls_verify_subject"), sizeof "tls_verify_subject" - 1 + 17, "");
  EXPECT_THAT(mistakes("edge", without),
              ElementsAre(HasSubstr("zone.acme.tls_verify_subject is empty")));
}

TEST(ConfigZone, tenants_share_nothing) {
  std::string both = edge_zone("acme", 7001) + edge_peer("acme", 7101) + edge_zone("beta", 7002) +
                     edge_peer("beta", 7102);
  const auto change = [&both](const std::string& from, const std::string& to) {
    std::string changed = both;
    changed.replace(changed.find(from), from.size(), to);
    return mistakes("edge", changed);
  };
  EXPECT_THAT(
      change("beta.example.com", "acme.example.com"),
      ElementsAre(HasSubstr("zone.beta.domains claims acme.example.com, as zone acme does")));
  EXPECT_THAT(change("beta/ca.pem", "acme/ca.pem"),
              ElementsAre(HasSubstr("zone.beta.trust_file is that of zone acme too")));
  EXPECT_THAT(change("192.0.2.10:7002", "192.0.2.10:7001"),
              ElementsAre(HasSubstr("both listen on 192.0.2.10:7001")));
  EXPECT_THAT(change("127.0.0.1:7102", "127.0.0.1:7101"),
              ElementsAre(HasSubstr("both listen on 127.0.0.1:7101")));
  EXPECT_THAT(change("domains = [\"beta.example.com\"]", "domains = []"),
              ElementsAre(HasSubstr("zone.beta.domains is empty")));
}

TEST(ConfigZone, everything_wrong_is_told_at_once) {
  const auto all = mistakes(
      "edge",
      "[zone.acme]\nlisten = \"\"\nuser = \"\"\nwaiting_max = 2\ntls_name = \"*.example.com\"\n"
      "[zone.acme.peer.c1]\ntls_name = \"Core\"\nsip_listen = \"192.0.2.1:7101\"\n"
      "sip_target = \"10.0.0.1:5060\"\n[zone.acme.peer.c2]\n");
  for (const char* wanted :
       {"[zone.acme] has no certificate_file", "[zone.acme] has no private_key_file",
        "[zone.acme] has no trust_file", "[zone.acme] has no password_file",
        "zone.acme.listen is empty", "zone.acme.user is missing",
        "zone.acme.tls_verify_subject is empty", "zone.acme.waiting_per_source_max is more",
        "zone.acme.tls_name holds a text that is no name",
        "zone.acme.peer.c1.tls_name holds a text that is no name",
        "zone.acme.peer.c1.sip_listen is 192.0.2.1:7101, which others could reach",
        "zone.acme.peer.c1.sip_target is 10.0.0.1:5060, which others could reach",
        "[zone.acme.peer.c2] has no tls_name"}) {
    EXPECT_THAT(all, Contains(HasSubstr(wanted)));
  }
}

TEST(ConfigZone, peers_are_one_to_six_and_differ) {
  EXPECT_THAT(mistakes("core", kCoreZone), ElementsAre(HasSubstr("zone dmz has 0 peers")));
  std::string seven = kCoreZone;
  for (int i = 0; i < 7; ++i) {
    seven += "[zone.dmz.peer.e" + std::to_string(i) + "]\ntls_name = \"e" + std::to_string(i) +
             "\"\naddress = \"192.0.2.10:7001\"\n";
  }
  EXPECT_THAT(mistakes("core", seven), ElementsAre(HasSubstr("zone dmz has 7 peers")));
  EXPECT_THAT(mistakes("core", kCoreZone + kCorePeer +
                                   "[zone.dmz.peer.e2]\ntls_name = \"edge.example.com\"\naddress = "
                                   "\"192.0.2.11:7001\"\n"),
              ElementsAre(HasSubstr("zone.dmz.peer.e2.tls_name is that of another peer too")));
}

TEST(ConfigZone, a_circle_is_refused) {
  EXPECT_THAT(mistakes("core", kCoreZone + kCorePeer +
                                   "sip_listen = \"127.0.0.1:7101\"\nsip_target = "
                                   "\"127.0.0.1:7101\"\n"),
              ElementsAre(HasSubstr("would come back in a circle")));
}

TEST(ConfigZone, unknown_keys_and_sections_below_are_mistakes) {
  EXPECT_THAT(mistakes("core", kCoreZone + kCorePeer + "adress = \"\"\n"),
              ElementsAre(HasSubstr("unknown key \"adress\" in [zone.dmz.peer.e1]; did you mean "
                                    "\"address\"?")));
  EXPECT_THAT(mistakes("core", kCoreZone + kCorePeer + "[zone.dmz.pear.e2]\n"),
              ElementsAre(HasSubstr("unknown section [zone.dmz.pear]; did you mean "
                                    "[zone.dmz.peer]?")));
  EXPECT_THAT(mistakes("core", kCoreZone + kCorePeer + "[zone.dmz.peer.e1.more]\n"),
              ElementsAre(HasSubstr("unknown section [zone.dmz.peer.e1.more]")));
}

TEST(ConfigZone, a_zone_that_only_its_peers_imply_lacks_everything) {
  EXPECT_THAT(mistakes("core", kCorePeer),
              Contains(HasSubstr("[zone.dmz] has no certificate_file")));
}

class SecretFile : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/turnpike-secret-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& text, mode_t mode = 0600) const {
    std::ofstream(folder_ + "/password") << text;
    ::chmod((folder_ + "/password").c_str(), mode);
    return folder_ + "/password";
  }
  std::string folder_;
};

TEST_F(SecretFile, is_one_line) {
  for (const char* text :
       {"correct horse battery", "correct horse battery\n", "correct horse battery\r\n\n"}) {
    const auto secret = read_secret_file(write(text));
    ASSERT_TRUE(secret);
    EXPECT_EQ(secret->reveal(), "correct horse battery");
  }
}

TEST_F(SecretFile, is_refused_without_being_shown) {
  for (const auto& [text, mode, why] :
       {std::tuple{"hunter2\n", 0600U, "the secret has 7 characters"},
        std::tuple{"", 0600U, "the secret has 0 characters"},
        std::tuple{"correct horse battery\nstaple\n", 0600U, "has more than one line"},
        std::tuple{"correct horse battery\n", 0644U, "every account of this host may read"},
        std::tuple{"correct horse battery\n", 0602U, "every account of this host may write"}}) {
    const auto secret = read_secret_file(write(text, mode));
    ASSERT_FALSE(secret);
    EXPECT_THAT(secret.error().message, HasSubstr(why));
    EXPECT_THAT(secret.error().message, testing::Not(HasSubstr("hunter2")));
    EXPECT_THAT(secret.error().message, testing::Not(HasSubstr("horse")));
  }
  EXPECT_FALSE(read_secret_file(folder_ + "/none"));
  EXPECT_FALSE(read_secret_file(folder_));
}

}  // namespace
}  // namespace turnpike::config
