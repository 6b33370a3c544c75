// Generated files: against golden copies, and by what must and must not stand in them.
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/sidecar/example.h"

namespace turnpike::sidecar {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string file_of(const SipConfig& config, const std::string& path) {
  const auto files = generate(config, "/etc/turnpike/sidecar", kSigningKey);
  if (!files) return "error: " + files.error().message;
  for (const GeneratedFile& file : *files) {
    if (file.path == path) return file.contents;
  }
  return "no such file";
}

class Golden : public ::testing::TestWithParam<const char*> {};

TEST_P(Golden, file_is_as_reviewed) {
  const std::string name = GetParam();
  std::string copy = name;
  for (char& c : copy) c = c == '/' ? '-' : c;
  copy = TURNPIKE_SOURCE_DIR "/tests/unit/sidecar/golden/" + copy;
  // After a wanted change: run with TURNPIKE_UPDATE_GOLDEN=1 and review the difference.
  if (std::getenv("TURNPIKE_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(copy) << file_of(example(), name);
  }
  std::ifstream file(copy);
  ASSERT_TRUE(file) << "no golden copy of " << name;
  std::stringstream expected;
  expected << file.rdbuf();
  EXPECT_EQ(file_of(example(), name), expected.str());
}

INSTANTIATE_TEST_SUITE_P(Sidecar, Golden,
                         ::testing::Values("kamailio.cfg", "site.cfg", "tls.cfg", "dispatcher.list",
                                           "db/subscriber", "db/version", "nftables.conf"));

TEST(FrontDoor, browsers_come_to_loopback_as_well_and_from_turnpiked_alone) {
  SipConfig config = example();
  EXPECT_THAT(file_of(config, "kamailio.cfg"), Not(HasSubstr("browsers_door")));
  EXPECT_THAT(file_of(config, "nftables.conf"), Not(HasSubstr("8443")));
  EXPECT_THAT(file_of(config, "nftables.conf"), Not(HasSubstr("127.0.0.0/8")));
  config.wss_at_door = true;
  EXPECT_THAT(file_of(config, "kamailio.cfg"),
              HasSubstr("listen=tls:127.0.0.1:8443 name \"browsers_door\"\n"));
  EXPECT_THAT(file_of(config, "nftables.conf"),
              HasSubstr("ip daddr 127.0.0.1 tcp dport 8443 meta skuid != { turnpike } counter "
                        "reject\n"));
  EXPECT_THAT(file_of(config, "nftables.conf"),
              HasSubstr("iifname != \"lo\" ip daddr 127.0.0.0/8 tcp dport 8443 counter drop\n"));
  config.wss_port = 0;
  EXPECT_THAT(file_of(config, "kamailio.cfg"), Not(HasSubstr("browsers_door")));
}

TEST(Tls, peers_profile_never_has_a_server_name) {
  const std::string text = file_of(example(), "tls.cfg");
  std::istringstream lines(text);
  std::string profile;
  int peers_profiles = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("[")) profile = line;
    const bool exact = profile.find(":5062]") != std::string::npos;
    if (exact && line == "require_certificate = yes") ++peers_profiles;
    EXPECT_FALSE(exact && line.starts_with("server_name")) << profile;
    if (profile == "[server:default]" || profile == "[server:any]") {
      EXPECT_NE(line, "require_certificate = yes") << "clients have no certificates";
    }
  }
  EXPECT_EQ(peers_profiles, 2) << "one for each outside address";
  EXPECT_THAT(text, Not(HasSubstr(":5061]"))) << "the client listener has the default profile";
}

TEST(Tls, every_profile_is_tls_1_2_or_newer) {
  const std::string text = file_of(example(), "tls.cfg");
  std::size_t profiles = 0;
  std::size_t methods = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    profiles += line.starts_with("[") ? 1 : 0;
    methods += line == "method = TLSv1.2+" ? 1 : 0;
  }
  EXPECT_EQ(profiles, 5U);
  EXPECT_EQ(methods, profiles);
}

TEST(Tls, without_peers_there_is_no_second_listener) {
  SipConfig config = example();
  config.peers.clear();
  EXPECT_THAT(file_of(config, "tls.cfg"), Not(HasSubstr("5062")));
  EXPECT_THAT(file_of(config, "kamailio.cfg"), Not(HasSubstr(":5062")));
  EXPECT_THAT(file_of(config, "kamailio.cfg"), Not(HasSubstr("WITH_PEERS")));
}

TEST(Tls, peers_are_shown_their_own_identity) {
  SipConfig config = example();
  config.peer_certificate_file = "/etc/turnpike/traversal.pem";
  config.peer_private_key_file = "/etc/turnpike/traversal.key";
  const std::string text = file_of(config, "tls.cfg");
  EXPECT_THAT(text.substr(text.find(":5062]")), HasSubstr("traversal.pem"));
  EXPECT_THAT(text.substr(text.find("[client:default]")), HasSubstr("traversal.pem"));
  EXPECT_THAT(text.substr(0, text.find(":5062]")), Not(HasSubstr("traversal.pem")));
}

TEST(Tls, a_server_has_an_identity_and_a_trust_of_its_own) {
  SipConfig config = example();
  config.peers[0].identity = {"/etc/p.pem", "/etc/p.key", "/etc/p-ca.pem"};
  config.servers[0].uris = {"sip:10.0.0.10:5060", "sip:[fd00::10];transport=tls"};
  config.servers[0].identity.trust_file = "/etc/pbx-ca.pem";
  const std::string text = file_of(config, "tls.cfg");
  const auto general = text.find("[client:default]");
  const auto server = text.find("[client:any]");
  const auto peer = text.find("[client:any]", server + 1);
  ASSERT_NE(peer, std::string::npos) << text;
  EXPECT_THAT(text.substr(peer), HasSubstr("certificate = /etc/p.pem\nprivate_key = /etc/p.key\n"));
  EXPECT_THAT(text.substr(peer), HasSubstr("ca_list = /etc/p-ca.pem\n"));
  const std::string of_server = text.substr(server, peer - server);
  EXPECT_THAT(of_server, HasSubstr("certificate = /etc/turnpike/server.pem\n"));
  EXPECT_THAT(of_server, HasSubstr("ca_list = /etc/pbx-ca.pem\n"));
  EXPECT_THAT(text.substr(general, server - general), HasSubstr("ca_list = /etc/turnpike/ca.pem"));
  const std::string choice = file_of(config, "site.cfg");
  EXPECT_THAT(
      choice,
      HasSubstr("\"[fd00::10]:5061\") {\n        tls_set_connect_server_id(\"servers-pbx\")"));
  EXPECT_THAT(choice, HasSubstr("\"sip.partner.example:5062\") {\n        tls_set_connect_"));
  // A reload after another entry has come must not give one name to another identity.
  config.servers.insert(config.servers.begin(), {"new", {"sip:10.0.0.11:5060"}, {}});
  EXPECT_THAT(file_of(config, "tls.cfg"), HasSubstr("server_id = servers-pbx\n"));
  EXPECT_THAT(file_of(config, "tls.cfg"), HasSubstr("server_id = peer-partner\n"));
}

TEST(Script, nothing_listens_in_clear_outside) {
  const std::string text = file_of(example(), "kamailio.cfg");
  for (const char* clear : {"udp:192.0.2.10", "tcp:192.0.2.10", "udp:[2001:db8", "tcp:[2001:db8"}) {
    EXPECT_THAT(text, Not(HasSubstr(clear)));
  }
}

TEST(Script, users_stand_as_hashes_in_their_table_only) {
  const SipConfig config = example();
  const auto files = generate(config, "/etc/turnpike/sidecar", kSigningKey);
  ASSERT_TRUE(files);
  for (const GeneratedFile& file : *files) {
    if (file.path == "db/subscriber") continue;
    EXPECT_THAT(file.contents, Not(HasSubstr(config.users[0].ha1))) << file.path;
  }
}

TEST(Script, credentials_are_compared_with_the_uri_that_they_were_made_for) {
  const SipConfig config = example();
  EXPECT_THAT(file_of(config, "kamailio.cfg"), HasSubstr("\"one_time_nonce\", 1)"));
  for (const std::string& domain : config.domains) {
    for (const char* header : {"@authorization", "@proxy_authorization"}) {
      EXPECT_THAT(file_of(config, "site.cfg"),
                  HasSubstr("$vn(digest_uri) = " + (header + ("[\"" + domain + "\"].uri;"))));
    }
  }
  EXPECT_THAT(file_of(edge_example(), "site.cfg"), Not(HasSubstr("digest_uri")));
}

TEST(Script, an_upstream_registrar_needs_no_users) {
  SipConfig config = example();
  config.upstream = "sip:10.0.0.20:5080;transport=tcp";
  EXPECT_EQ(file_of(config, "db/subscriber"), "no such file");
  const std::string text = file_of(config, "kamailio.cfg");
  EXPECT_THAT(text, HasSubstr("#!define WITH_UPSTREAM"));
  EXPECT_THAT(text, Not(HasSubstr("auth_db")));
  EXPECT_THAT(file_of(config, "dispatcher.list"),
              HasSubstr("3 sip:10.0.0.20:5080;transport=tcp 0 100 socket=tcp:10.0.0.1:5060"));
}

TEST(Script, inside_media_may_be_encrypted) {
  SipConfig config = example();
  config.inside_media = InsideMedia::kSrtp;
  EXPECT_THAT(file_of(config, "kamailio.cfg"), HasSubstr("#!define INSIDE_PROTOCOL \"RTP/SAVP\""));
}

TEST(Script, browsers_come_in_only_where_the_site_says_so) {
  SipConfig config = example();
  EXPECT_THAT(file_of(config, "kamailio.cfg"), HasSubstr("listen=tls:192.0.2.10:8443 advertise "
                                                         "203.0.113.7:8443 name \"browsers0\"\n"));
  EXPECT_THAT(file_of(config, "site.cfg"),
              HasSubstr("if ($vn(origin) == \"https://phone.example.com\" || "));
  EXPECT_THAT(file_of(config, "site.cfg"),
              HasSubstr("$vn(host) =~ \"^edge[.]example[.]com(:[0-9]+)?$\""));
  EXPECT_THAT(file_of(config, "site.cfg"),
              HasSubstr("$vn(host) =~ \"^[[]2001:db8::10[]](:[0-9]+)?$\""));
  config.wss_port = 0;
  EXPECT_EQ(file_of(config, "websocket.cfg"), "no such file");
  for (const char* trace : {"BROWSERS", "browsers", "websocket", "xhttp", "accept_no_cl", "8443"}) {
    EXPECT_THAT(file_of(config, "kamailio.cfg"), Not(HasSubstr(trace)));
  }
}

TEST(Script, browsers_need_no_listener_for_other_clients) {
  SipConfig config = example();
  config.tls_port = 0;
  const std::string text = file_of(config, "kamailio.cfg");
  EXPECT_THAT(text, HasSubstr("#!define WITH_CLIENTS\n"));
  EXPECT_THAT(text, HasSubstr("name \"browsers1\""));
  EXPECT_THAT(text, Not(HasSubstr("name \"clients")));
}

TEST(Script, tls_clients_may_be_offered_dtls) {
  SipConfig config = example();
  EXPECT_THAT(file_of(config, "kamailio.cfg"), Not(HasSubstr("OUTSIDE_DTLS")));
  config.outside_media = OutsideMedia::kDtls;
  EXPECT_THAT(file_of(config, "kamailio.cfg"), HasSubstr("#!define OUTSIDE_DTLS\n"));
}

TEST(Script, backslashes_of_patterns_become_brackets) {
  EXPECT_THAT(file_of(example(), "site.cfg"), HasSubstr("\"^([+]49[0-9]+)$\""));
}

TEST(Script, local_processes_are_trusted_on_request_only) {
  SipConfig config = example();
  EXPECT_THAT(file_of(config, "site.cfg"), HasSubstr("src_ip == 10.0.0.1"));
  EXPECT_THAT(file_of(config, "nftables.conf"), HasSubstr("ip daddr 10.0.0.1 udp dport 5060"));
  config.trust_local_processes = true;
  EXPECT_THAT(file_of(config, "site.cfg"), Not(HasSubstr("src_ip == 10.0.0.1")));
  EXPECT_THAT(file_of(config, "nftables.conf"), Not(HasSubstr("dport 5060")));
}

TEST(Script, inside_ports_are_open_to_the_inside_only) {
  const std::string text = file_of(example(), "nftables.conf");
  const std::string chain = text.substr(text.find("  chain inside {"));
  EXPECT_THAT(text, HasSubstr("ip daddr 10.0.0.1 meta l4proto { tcp, udp } th dport { 5060, 5061 } "
                              "jump inside\n"));
  EXPECT_THAT(text, Not(HasSubstr("192.0.2.10"))) << "nothing is said about the outside address";
  EXPECT_LT(chain.find("fib saddr . iif oif missing counter drop"), chain.find("accept"));
  EXPECT_THAT(chain, HasSubstr("    ip6 saddr fd00::9 accept\n    counter drop\n  }\n"));
}

TEST(Script, ng_over_udp_is_guarded_by_account) {
  SipConfig config = example();
  EXPECT_THAT(file_of(config, "nftables.conf"), Not(HasSubstr("2223")));
  config.ng_endpoint = "udp:127.0.0.1:2223";
  EXPECT_THAT(file_of(config, "nftables.conf"),
              HasSubstr("ip daddr 127.0.0.1 udp dport 2223 meta skuid != { root, kamailio, "
                        "turnpike } counter reject"));
}

TEST(Script, listeners_towards_a_zone_are_for_the_sip_server_only) {
  SipConfig config = example();
  config.zones = {{"dmz", {}, {{"core-1", {IpAddress::v4(127, 0, 0, 1), 7101}, {}}}}};
  EXPECT_THAT(file_of(config, "nftables.conf"),
              HasSubstr("    ip daddr 127.0.0.1 tcp dport 7101 meta skuid != { kamailio } counter "
                        "reject\n"));
}

/// By which the script knows a peer.
std::string digits_of(const SipConfig& config, const std::string& peer) {
  const std::string site = file_of(config, "site.cfg");
  const std::size_t name = site.find("/" + peer + "\";");
  const std::size_t start = site.rfind("$var(side) == \"", name);
  if (name == std::string::npos || start == std::string::npos) return "no such peer";
  return site.substr(start + 15, 16);
}

TEST(Pair, peers_keep_their_digits_when_others_come) {
  SipConfig config = edge_example();
  const std::string before = digits_of(config, "core-2");
  EXPECT_EQ(before.find_first_not_of("0123456789abcdef"), std::string::npos) << before;
  EXPECT_NE(before, digits_of(config, "core-1"));
  config.zones[0].peers.insert(
      config.zones[0].peers.begin(),
      {"core-0", {IpAddress::v4(127, 0, 0, 1), 7109}, {IpAddress::v4(127, 0, 0, 1), 7209}});
  EXPECT_EQ(digits_of(config, "core-2"), before);
  config.zones[0].name = "elsewhere";
  EXPECT_NE(digits_of(config, "core-2"), before) << "the same name in another zone";
}

TEST(Pair, an_edge_has_clients_and_zones_but_no_inside) {
  const SipConfig config = edge_example();
  const std::string text = file_of(config, "kamailio.cfg");
  EXPECT_THAT(text,
              HasSubstr("listen=tcp:127.0.0.1:7202 name \"zone" + digits_of(config, "core-2")));
  EXPECT_THAT(text, HasSubstr("listen=tls:192.0.2.10:5061 "));
  EXPECT_THAT(text, HasSubstr("#!define WITH_EDGE\n"));
  EXPECT_THAT(text, HasSubstr("\"ds_ping_interval\", 1)"));
  for (const char* trace : {"inside_udp", "inside_tcp", "WITH_REGISTRAR", "WITH_UPSTREAM",
                            "auth_db", "usrloc", "WITH_CORE"}) {
    EXPECT_THAT(text, Not(HasSubstr(trace)));
  }
  EXPECT_EQ(file_of(config, "db/subscriber"), "no such file");
  EXPECT_EQ(file_of(config, "dispatcher.list"),
            "# set, URI, flags, priority, attributes. Generated: do not edit.\n"
            "1 sip:127.0.0.1:7101;transport=tcp 0 100 socket=tcp:127.0.0.1:7201\n"
            "1 sip:127.0.0.1:7102;transport=tcp 0 99 socket=tcp:127.0.0.1:7202\n"
            "2 sip:127.0.0.1:7103;transport=tcp 0 100 socket=tcp:127.0.0.1:7203\n");
}

TEST(Pair, each_domain_leads_to_the_cores_of_its_zone) {
  const std::string text = file_of(edge_example(), "site.cfg");
  EXPECT_THAT(text, HasSubstr("if ($vn(domain) == \"example.com\") {\n"
                              "        $var(servers) = 1; $var(zone) = \"dmz\";\n"));
  EXPECT_THAT(text, HasSubstr("if ($vn(domain) == \"other.example\") {\n"
                              "        $var(servers) = 2; $var(zone) = \"lab\";\n"));
  EXPECT_THAT(text, HasSubstr("$var(direction) = \"dmz/core-2\";"));
  EXPECT_THAT(text, Not(HasSubstr("SOURCE_IS_INSIDE")));
}

TEST(Pair, a_peer_is_met_by_the_edge_and_belongs_to_one_zone) {
  const SipConfig config = edge_with_peers();
  const std::string text = file_of(config, "kamailio.cfg");
  EXPECT_THAT(text, HasSubstr("#!define WITH_PEERS\n#!define WITH_CALLED_PEERS\n"));
  EXPECT_THAT(text, HasSubstr("listen=tls:192.0.2.10:5062 "));
  EXPECT_THAT(text, HasSubstr("timer=peers;route=ASK_PEERS"));
  EXPECT_THAT(text, HasSubstr("#!define PEER_SILENT_SECONDS 25\n"));
  EXPECT_THAT(file_of(config, "dispatcher.list"), Not(HasSubstr("partner")))
      << "would be asked every second, as cores are";
  const std::string site = file_of(config, "site.cfg");
  EXPECT_THAT(site, HasSubstr("if ($avp(peer) == \"quiet\") {\n"
                              "        $var(servers) = 3; $var(zone) = \"lab\";\n"));
  EXPECT_THAT(site, HasSubstr("$du = \"sip:sip.partner.example:5062;transport=tls\"; "
                              "$fs = \"tls:192.0.2.10:5062\"; $var(zone) = \"dmz\";"));
  EXPECT_THAT(site, HasSubstr("if ($vn(domain) == \"quiet.example\") {\n"
                              "        $var(zone) = \"lab\";\n"));
  const std::string tls = file_of(config, "tls.cfg");
  EXPECT_THAT(tls, HasSubstr("[server:192.0.2.10:5062]\n"));
}

TEST(Pair, an_edge_asks_nobody_where_no_peer_can_be_called) {
  SipConfig config = edge_with_peers();
  config.peers[0].uri.clear();
  EXPECT_THAT(file_of(config, "kamailio.cfg"), Not(HasSubstr("ASK_PEERS")));
  EXPECT_THAT(file_of(config, "kamailio.cfg"), Not(HasSubstr("WITH_CALLED_PEERS")));
  EXPECT_THAT(file_of(config, "site.cfg"), Not(HasSubstr("ASK_PEERS")));
}

TEST(Pair, a_core_knows_whom_a_peer_speaks_for_and_has_no_listener_for_it) {
  const SipConfig config = core_with_peers();
  const std::string text = file_of(config, "kamailio.cfg");
  EXPECT_THAT(text, HasSubstr("#!define WITH_PEERS\n"));
  for (const char* trace : {"listen=tls", "WITH_TLS", "WITH_CALLED_PEERS", "ASK_PEERS"}) {
    EXPECT_THAT(text, Not(HasSubstr(trace)));
  }
  const std::string site = file_of(config, "site.cfg");
  EXPECT_THAT(site, HasSubstr("$avp(peer) == \"partner\" && ($vn(domain) == "
                              "\"partner.example\")"));
  EXPECT_THAT(site, HasSubstr("$var(servers) = 3; $avp(peer_called) = \"partner\";"));
  EXPECT_THAT(site, Not(HasSubstr("PEER_OF_CERTIFICATE")));
}

TEST(Pair, a_zone_without_domains_serves_all) {
  SipConfig config = edge_example();
  config.zones.pop_back();
  config.zones[0].domains.clear();
  EXPECT_THAT(file_of(config, "site.cfg"), HasSubstr("if ($vn(domain) == \"example.com\" || "
                                                     "$vn(domain) == \"other.example\") {\n"));
}

TEST(Pair, a_core_has_an_inside_and_zones_but_nothing_outside) {
  const SipConfig config = core_example();
  const std::string text = file_of(config, "kamailio.cfg");
  EXPECT_THAT(text, HasSubstr("listen=udp:10.0.0.1:5060 name \"inside_udp0\"\n"));
  EXPECT_THAT(text,
              HasSubstr("listen=tcp:127.0.0.1:7201 name \"zone" + digits_of(config, "edge-1")));
  EXPECT_THAT(text, HasSubstr("#!define WITH_CORE\n"));
  EXPECT_THAT(text, HasSubstr("#!define WITH_REGISTRAR\n"));
  EXPECT_THAT(text, HasSubstr("\"use_path\", 1)"));
  EXPECT_THAT(text, HasSubstr("\"handle_lost_tcp\", 0)"));
  EXPECT_THAT(text, HasSubstr("\"desc_time_order\", 1)"));
  EXPECT_THAT(text, HasSubstr("modparam(\"jsonrpcs\", \"transport\", 8)")) << "it listens nowhere";
  EXPECT_THAT(text, HasSubstr("timer=zone;route=ZONE_TICK"));
  for (const char* trace : {"listen=tls", "\"tls.so\"", "WITH_EDGE", "WITH_TLS"}) {
    EXPECT_THAT(text, Not(HasSubstr(trace)));
  }
  EXPECT_EQ(file_of(config, "tls.cfg"), "no such file");
  const std::string site = file_of(config, "site.cfg");
  EXPECT_THAT(site, HasSubstr("$var(direction) = \"dmz/edge-1\";"));
  EXPECT_THAT(site, Not(HasSubstr("<127.0.0.1:7101>"))) << "an edge is no inside server";
}

TEST(Pair, an_upstream_of_a_core_is_told_a_path) {
  SipConfig config = core_example();
  config.upstream = "sip:10.0.0.20:5080;transport=tcp";
  EXPECT_THAT(file_of(config, "site.cfg"),
              HasSubstr("$var(path) = \"sip:10.0.0.1:5060;transport=tcp;lr\";"));
}

TEST(Pair, loopback_ports_are_kept_from_other_accounts) {
  const std::string text = file_of(edge_example(), "nftables.conf");
  EXPECT_THAT(text, HasSubstr("ip daddr 127.0.0.1 tcp dport 7103 meta skuid != { kamailio } "));
  EXPECT_THAT(text, HasSubstr("ip daddr 127.0.0.1 tcp dport 7203 meta skuid != { turnpike } "));
  EXPECT_THAT(text, Not(HasSubstr("chain inside"))) << "an edge has none";
  EXPECT_THAT(file_of(core_example(), "nftables.conf"), Not(HasSubstr("saddr 127.0.0.1")));
}

TEST(Pair, a_single_node_knows_nothing_of_zones) {
  EXPECT_EQ(file_of(example(), "zone.cfg"), "no such file");
  for (const char* path : {"kamailio.cfg", "site.cfg"}) {
    EXPECT_THAT(file_of(example(), path), Not(HasSubstr("ZONE"))) << path;
  }
}

TEST(Generate, refuses_a_directory_that_cannot_stand_in_a_script) {
  for (const char* directory : {"", "relative", "/a b", "/a\"b", "/a/../b", "/a\nb", "/a$b"}) {
    EXPECT_FALSE(generate(example(), directory, kSigningKey)) << directory;
  }
  EXPECT_FALSE(generate(example(), "/etc/turnpike/sidecar", "short"));
}

}  // namespace
}  // namespace turnpike::sidecar
