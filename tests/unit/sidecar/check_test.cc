// What check() refuses: above all, values that would say something to Kamailio's parser.
#include <functional>

#include <gtest/gtest.h>

#include "control/sidecar/grammar.h"
#include "tests/unit/sidecar/example.h"

namespace turnpike::sidecar {
namespace {

/// Keys of the mistakes, apart by spaces.
std::string keys(const SipConfig& config) {
  std::string all;
  for (const Mistake& mistake : check(config)) all += (all.empty() ? "" : " ") + mistake.key;
  return all;
}

std::string keys_with(const std::function<void(SipConfig&)>& change) {
  SipConfig config = example();
  change(config);
  return keys(config);
}

const std::vector<std::string> kHostile = {
    "",
    "a\"b",
    "a'b",
    "a\nb",
    "a\rb",
    "a b",
    "a;b",
    "a\\b",
    "$fU",
    "a$b",
    "#!define",
    "a//b",
    "a/*b",
    "a)b",
    "\"; }",
    "a\tb",
    "a\x01"
    "b",
    "\xc3\xa4",
    "a`b",
    "a{b}",
    "a=>b",
    "a!b",
    "../a",
    "a@b",
};

TEST(Check, the_example_is_sound) {
  EXPECT_EQ(keys(example()), "");
}

TEST(Check, hostile_text_is_refused_wherever_text_is_taken) {
  const std::vector<std::function<std::string&(SipConfig&)>> fields = {
      [](SipConfig& c) -> std::string& { return c.domains[0]; },
      [](SipConfig& c) -> std::string& { return c.inside_networks[0]; },
      [](SipConfig& c) -> std::string& { return c.websocket_origins[0]; },
      [](SipConfig& c) -> std::string& { return c.certificate_file; },
      [](SipConfig& c) -> std::string& { return c.private_key_file; },
      [](SipConfig& c) -> std::string& { return c.trust_file; },
      [](SipConfig& c) -> std::string& { return c.sni_certificates[0].server_name; },
      [](SipConfig& c) -> std::string& { return c.sni_certificates[0].certificate_file; },
      [](SipConfig& c) -> std::string& { return c.sni_certificates[0].private_key_file; },
      [](SipConfig& c) -> std::string& { return c.users[0].name; },
      [](SipConfig& c) -> std::string& { return c.users[0].domain; },
      [](SipConfig& c) -> std::string& { return c.users[0].ha1; },
      [](SipConfig& c) -> std::string& { return c.servers[1].name; },
      [](SipConfig& c) -> std::string& { return c.servers[0].uris[0]; },
      [](SipConfig& c) -> std::string& { return c.routes[0].servers; },
      [](SipConfig& c) -> std::string& { return c.peers[0].name; },
      [](SipConfig& c) -> std::string& { return c.peers[0].domains[0]; },
      [](SipConfig& c) -> std::string& { return c.peers[0].certificate_names[0]; },
      [](SipConfig& c) -> std::string& { return c.emergency_numbers[0]; },
      [](SipConfig& c) -> std::string& { return c.emergency_servers; },
      [](SipConfig& c) -> std::string& { return c.ng_endpoint; },
      [](SipConfig& c) -> std::string& { return c.run_user; },
      [](SipConfig& c) -> std::string& { return c.relay_user; },
      [](SipConfig& c) -> std::string& { return c.runtime_directory; },
  };
  for (std::size_t i = 0; i < fields.size(); ++i) {
    for (const std::string& text : kHostile) {
      SipConfig config = example();
      fields[i](config) = text;
      EXPECT_FALSE(check(config).empty()) << "field " << i << " took [" << text << "]";
      EXPECT_FALSE(generate(config, "/etc/turnpike/sidecar", kSigningKey));
    }
  }
}

TEST(Check, patterns_are_regular_expressions_of_few_characters) {
  for (const char* good :
       {"6...", "[1-9][0-9]{3}", "(100|200)", "\\+49[0-9]+", "\\*21#", "^a_b$x"}) {
    const bool dollar = std::string(good).find('$') != std::string::npos;
    EXPECT_EQ(is_dial_pattern(good), !dollar) << good;
  }
  for (const char* bad : {"", "[1", "(1", "a{2", "1\\", "1\\d", "\"", "1 2", "1/2", "1;2", "1\n"}) {
    EXPECT_FALSE(is_dial_pattern(bad)) << bad;
  }
  EXPECT_FALSE(is_dial_pattern(std::string(129, '1')));
}

TEST(Check, targets) {
  EXPECT_EQ(to_uri(*parse_target("sip:10.0.0.1")), "sip:10.0.0.1:5060;transport=udp");
  EXPECT_EQ(to_uri(*parse_target("sip:a.b:5070;transport=tcp")), "sip:a.b:5070;transport=tcp");
  EXPECT_EQ(to_uri(*parse_target("sip:[::1];transport=tls")), "sip:[::1]:5061;transport=tls");
  EXPECT_TRUE(parse_target("sip:10.0.0.1")->is_address);
  EXPECT_FALSE(parse_target("sip:a.b")->is_address);
  for (const char* bad :
       {"", "sip:", "10.0.0.1", "sips:a.b", "sip:x@a.b", "sip:a.b:0", "sip:a.b:65536",
        "sip:a.b:", "sip:[::1", "sip:::1", "sip:[10.0.0.1]", "sip:a.b;transport=ws", "sip:a.b;lr",
        "sip:a_b", "sip:192.168.1.300", "sip:a.b:5060x", "sip:a.b;transport=tls;x", "sip:-a.b"}) {
    EXPECT_FALSE(parse_target(bad)) << bad;
  }
}

TEST(Check, ports) {
  EXPECT_EQ(keys_with([](auto& c) { c.mtls_port = c.tls_port; }), "mtls_port");
  EXPECT_EQ(keys_with([](auto& c) { c.tls_port = 1023; }), "tls_port");
  EXPECT_EQ(keys_with([](auto& c) { c.tls_port = 65535; }), "tls_port");
  EXPECT_EQ(keys_with([](auto& c) { c.tls_port = 5063; }), "tls_port");
  EXPECT_EQ(keys_with([](auto& c) { c.inside_port = 0; }), "inside_port");
  EXPECT_EQ(keys_with([](auto& c) { c.inside_tls_port = c.inside_port; }), "inside_tls_port");
  EXPECT_EQ(keys_with([](auto& c) { c.mtls_port = 0; }), "mtls_port") << "there are peers";
  EXPECT_EQ(keys_with([](auto& c) { c.tls_port = 0; }), "") << "a site may have no clients";
  EXPECT_EQ(keys_with([](auto& c) { c.wss_port = c.tls_port; }), "wss_port");
  EXPECT_EQ(keys_with([](auto& c) { c.wss_port = c.mtls_port; }), "wss_port");
  EXPECT_EQ(keys_with([](auto& c) { c.wss_port = 443; }), "wss_port") << "it is no root's process";
}

TEST(Check, only_named_pages_may_connect) {
  EXPECT_EQ(keys_with([](auto& c) { c.websocket_origins.clear(); }), "websocket_origins");
  EXPECT_EQ(keys_with([](auto& c) { c.wss_port = 0, c.websocket_origins.clear(); }), "");
  EXPECT_EQ(keys_with([](auto& c) { c.websocket_origins[1] = c.websocket_origins[0]; }),
            "websocket_origins[1]");
  for (const char* good :
       {"https://a.example", "https://a.example:8443", "https://192.0.2.1", "https://[2001:db8::1]",
        "https://[2001:db8::1]:8443", "https://localhost", "http://localhost",
        "http://localhost:8080", "http://127.0.0.1:8080", "https://a.example:80"}) {
    EXPECT_EQ(keys_with([good](auto& c) { c.websocket_origins[0] = good; }), "") << good;
  }
  for (const char* bad : {"*",
                          "null",
                          "",
                          "a.example",
                          "https://",
                          "https://*",
                          "https://*.a.example",
                          "https://a.example/",
                          "https://a.example:443",
                          "http://localhost:80",
                          "http://a.example",
                          "http://192.0.2.1",
                          "wss://a.example",
                          "https://A.example",
                          "HTTPS://a.example",
                          "https://a.example:",
                          "https://a.example:0",
                          "https://a.example:08443",
                          "https://:8443",
                          "https://a.example:65536",
                          "https://a.example:8443/",
                          "https://u@a.example",
                          "https://[192.0.2.1]",
                          "https://2001:db8::1",
                          "https://[2001:DB8::1]",
                          "https://[::1",
                          "https://a.example?x",
                          "https://a.example#x",
                          "https://a example",
                          "file://"}) {
    EXPECT_EQ(keys_with([bad](auto& c) { c.websocket_origins[0] = bad; }), "websocket_origins[0]")
        << bad;
  }
}

TEST(Check, one_address_for_both_sides_needs_different_ports) {
  const auto share = [](SipConfig& c) { c.inside.addresses = {c.outside.addresses[0]}; };
  EXPECT_EQ(keys_with([&](auto& c) { share(c), c.inside_tls_port = 5090; }), "");
  EXPECT_EQ(keys_with([&](auto& c) { share(c); }), "inside_tls_port");
  EXPECT_EQ(keys_with([&](auto& c) { share(c), c.inside_tls_port = 5090, c.inside_port = 5061; }),
            "inside_port");
  EXPECT_EQ(keys_with([&](auto& c) { share(c), c.inside_tls_port = c.wss_port; }),
            "inside_tls_port");
}

TEST(Check, addresses) {
  EXPECT_EQ(keys_with([](auto& c) { c.outside.addresses.clear(); }), "outside");
  EXPECT_EQ(keys_with([](auto& c) { c.inside.addresses = {address("0.0.0.0")}; }), "inside");
  EXPECT_EQ(keys_with([](auto& c) { c.inside_networks.clear(); }), "inside_networks");
  EXPECT_EQ(keys_with([](auto& c) { c.inside_networks = {"10.0.0.0/33"}; }), "inside_networks[0]");
  EXPECT_EQ(keys_with([](auto& c) { c.inside_networks = {"192.168.1.300"}; }),
            "inside_networks[0]");
}

TEST(Check, a_peer_speaks_for_its_own_domains_only) {
  EXPECT_EQ(keys_with([](auto& c) { c.peers[0].domains = {"example.com"}; }), "peers[0].domains");
  EXPECT_EQ(keys_with([](auto& c) { c.peers[1].domains = c.peers[0].domains; }),
            "peers[1].domains");
  EXPECT_EQ(keys_with([](auto& c) { c.peers[1].certificate_names = c.peers[0].certificate_names; }),
            "peers[1].certificate_names");
  EXPECT_EQ(keys_with([](auto& c) { c.peers[0].edges = {"edge-1"}; }), "peers[0].edges");
  EXPECT_EQ(keys_with([](auto& c) { c.peers[0].certificate_names = {"*.partner.example"}; }),
            "peers[0].certificate_names");
  EXPECT_EQ(keys_with([](auto& c) { c.peers[0].certificate_names.clear(); }),
            "peers[0].certificate_names");
  EXPECT_EQ(keys_with([](auto& c) { c.peers[0].uri = "sip:a.b:5062;transport=tcp"; }),
            "peers[0].uri")
      << "never in clear";
  EXPECT_EQ(keys_with([](auto& c) { c.peers[1].uri = c.peers[0].uri; }), "peers[1].uri");
}

TEST(Check, servers_and_routes) {
  EXPECT_EQ(keys_with([](auto& c) { c.routes[0].servers = "nobody"; }), "routes[0].servers");
  EXPECT_EQ(keys_with([](auto& c) { c.servers[1].name = "pbx"; }),
            "servers[1].name routes[1].servers emergency_servers");
  EXPECT_EQ(keys_with([](auto& c) { c.servers[0].uris.clear(); }), "servers[0].uris");
  EXPECT_EQ(keys_with([](auto& c) { c.servers[0].uris.assign(7, "sip:10.0.0.1"); }),
            "servers[0].uris");
  EXPECT_EQ(keys_with([](auto& c) { c.inside_tls_port = 0; }), "servers[0].uris");
}

TEST(Check, identities_towards_servers) {
  const auto own = [](const char* uri) {
    return [uri](auto& c) {
      c.peers[0].uri = uri;
      c.peers[0].identity = {"/etc/p.pem", "/etc/p.key", "/etc/p-ca.pem"};
    };
  };
  EXPECT_EQ(keys_with(own("sip:203.0.113.5:5062;transport=tls")), "");
  EXPECT_EQ(keys_with(own("sip:[2001:db8::5]:5062;transport=tls")), "");
  EXPECT_EQ(keys_with(own("sip:sip.partner.example:5062;transport=tls")), "");
  EXPECT_EQ(keys_with(own("")), "peers[0].uri") << "never used";
  EXPECT_EQ(keys_with([](auto& c) { c.servers[1].identity.trust_file = "/etc/p-ca.pem"; }),
            "servers[1].uris")
      << "no TLS there";
  EXPECT_EQ(keys_with([](auto& c) {
              c.servers[0].uris = {"sip:10.0.0.10;transport=tls"};
              c.servers[0].identity.certificate_file = "/etc/p.pem";
            }),
            "servers[0].certificate_file");
  EXPECT_EQ(keys_with([](auto& c) {
              c.servers[0].uris = {"sip:10.0.0.10;transport=tls"};
              c.servers[0].identity.trust_file = "relative.pem";
            }),
            "servers[0].trust_file");
  EXPECT_EQ(keys_with([](auto& c) {
              c.servers[0].uris = c.servers[1].uris = {"sip:10.0.0.10;transport=tls"};
              c.servers[0].identity.trust_file = "/etc/p-ca.pem";
            }),
            "servers[1].uris")
      << "one address, two answers";
}

TEST(Check, users) {
  EXPECT_EQ(keys_with([](auto& c) { c.users[0].domain = "other.example"; }), "users[0].domain");
  EXPECT_EQ(keys_with([](auto& c) { c.users.push_back(c.users[0]); }), "users[1]");
  EXPECT_EQ(keys_with([](auto& c) { c.digest = DigestAlgorithm::kSha256; }), "users[0].ha1");
  EXPECT_EQ(keys_with([](auto& c) { c.users[0].ha1 = "secret"; }), "users[0].ha1")
      << "a clear password is no hash";
}

TEST(Check, messages_never_hold_a_hash) {
  SipConfig config = example();
  config.users[0].ha1 = "0123456789ABCDEF0123456789abcdef";
  for (const Mistake& mistake : check(config)) {
    EXPECT_EQ(mistake.message.find("0123456789ABCDEF"), std::string::npos);
  }
}

TEST(Check, what_keeps_connections_open_comes_before_they_are_closed) {
  SipConfig config = core_example();
  config.keepalive_interval = std::chrono::seconds(60);
  EXPECT_EQ(keys(config), "");
  config.keepalive_interval = std::chrono::seconds(61);
  EXPECT_EQ(keys(config), "keepalive_seconds");
  config = example();
  config.keepalive_interval = std::chrono::seconds(61);
  EXPECT_EQ(keys(config), "keepalive_seconds") << "TLS servers";
  config.peers.clear();
  config.mtls_port = 0;
  for (auto& group : config.servers) group.uris = {"sip:10.0.0.10:5060"};
  EXPECT_EQ(keys(config), "") << "over UDP nothing is kept open";
}

TEST(Check, ng_endpoint_is_local) {
  for (const char* bad : {"udp:192.0.2.1:2223", "udp:127.0.0.1", "tcp:127.0.0.1:2223", "unix:ng"}) {
    EXPECT_EQ(keys_with([bad](auto& c) { c.ng_endpoint = bad; }), "ng_endpoint") << bad;
  }
  EXPECT_EQ(keys_with([](auto& c) { c.ng_endpoint = "udp:127.0.0.1:2223"; }), "");
}

std::string keys_of_edge_with(const std::function<void(SipConfig&)>& change) {
  SipConfig config = edge_example();
  change(config);
  return keys(config);
}

std::string keys_of_core_with(const std::function<void(SipConfig&)>& change) {
  SipConfig config = core_example();
  change(config);
  return keys(config);
}

TEST(CheckPair, the_examples_are_sound) {
  EXPECT_EQ(keys(edge_example()), "");
  EXPECT_EQ(keys(core_example()), "");
  EXPECT_EQ(keys(edge_with_peers()), "");
  EXPECT_EQ(keys(core_with_peers()), "");
}

TEST(CheckPair, who_a_peer_is_stands_on_the_edge_and_whom_it_speaks_for_on_both) {
  SipConfig edge = edge_with_peers();
  edge.peers[0].zone = "";
  EXPECT_EQ(keys(edge), "peers[0].zone") << "there are two";
  edge.peers[0].zone = "nowhere";
  EXPECT_EQ(keys(edge), "peers[0].zone");
  edge = edge_with_peers();
  edge.peers[1].certificate_names.clear();
  edge.peers[0].domains.clear();
  EXPECT_EQ(keys(edge), "peers[0].domains peers[1].certificate_names");
  edge = edge_with_peers();
  edge.keepalive_interval = std::chrono::seconds(61);
  EXPECT_EQ(keys(edge), "keepalive_seconds") << "its connection would close";
  edge.peers[0].uri.clear();
  EXPECT_EQ(keys(edge), "") << "who is never called is never asked";
  edge.zones.pop_back();
  edge.domains.pop_back();
  edge.peers.pop_back();
  edge.peers[0].zone = "";
  EXPECT_EQ(keys(edge), "") << "there is one";

  SipConfig core = core_with_peers();
  core.peers[0].certificate_names = {"sip.partner.example"};
  core.peers[0].verify_name = VerifyName::kSanOrCn;
  core.peers[0].uri = "sip:sip.partner.example:5062;transport=tls";
  core.peers[0].identity = {"/etc/p.pem", "/etc/p.key", "/etc/p-ca.pem"};
  EXPECT_EQ(keys(core),
            "peers[0].certificate_names peers[0].verify_name peers[0].uri "
            "peers[0].certificate_file peers[0].private_key_file peers[0].trust_file");
  core = core_with_peers();
  core.mtls_port = 0;
  EXPECT_EQ(keys(core), "") << "it has no such listener";
  core.peers[0].domains = {"example.com"};
  EXPECT_EQ(keys(core), "peers[0].domains") << "is ours";
  EXPECT_EQ(keys_with([](auto& c) { c.peers[0].zone = "dmz"; }), "peers[0].zone") << "has none";
}

TEST(CheckPair, what_belongs_on_the_core_is_refused_on_an_edge) {
  EXPECT_EQ(keys_of_edge_with([](SipConfig& c) { c.inside_networks = {"10.0.0.0/8"}; }),
            "inside_networks");
  EXPECT_EQ(keys_of_edge_with([](SipConfig& c) { c.users = example().users; }), "users[0]");
  EXPECT_EQ(keys_of_edge_with([](SipConfig& c) { c.inside_tls_port = 5061; }), "inside_tls_port");
  EXPECT_EQ(keys_of_edge_with([](SipConfig& c) { c.upstream = "sip:10.0.0.1"; }), "upstream");
  EXPECT_EQ(keys_of_edge_with([](SipConfig& c) { c.trust_local_processes = true; }),
            "trust_local_processes");
  EXPECT_EQ(keys_of_edge_with([](SipConfig& c) {
              c.servers = {{"pbx", {"sip:10.0.0.1"}}};
            }),
            "servers[0]");
  EXPECT_EQ(keys_of_edge_with([](SipConfig& c) { c.outside.addresses.clear(); }), "outside");
}

TEST(CheckPair, what_belongs_on_the_edge_is_refused_on_a_core) {
  EXPECT_EQ(keys_of_core_with([](SipConfig& c) {
              c.wss_port = 8443;
              c.websocket_origins = {"https://phone.example.com"};
            }),
            "wss_port websocket_origins");
  EXPECT_EQ(keys_of_core_with([](SipConfig& c) { c.inside_networks.clear(); }), "inside_networks");
  EXPECT_EQ(keys_of_core_with([](SipConfig& c) { c.inside.addresses.clear(); }), "inside");
  EXPECT_EQ(keys_of_core_with([](SipConfig& c) { c.inside_tls_port = 5061; }),
            "certificate_file private_key_file trust_file")
      << "with TLS inside a core needs certificates";
}

TEST(CheckPair, each_peer_has_loopback_ports_of_its_own) {
  const auto peer = [](SipConfig& c) -> ZonePeer& { return c.zones[0].peers[1]; };
  EXPECT_EQ(keys_of_edge_with([&](SipConfig& c) { peer(c).listen = {}; }), "zones");
  EXPECT_EQ(keys_of_edge_with([&](SipConfig& c) { peer(c).target = {}; }), "zones");
  EXPECT_EQ(keys_of_edge_with([&](SipConfig& c) { peer(c).target = c.zones[0].peers[0].target; }),
            "zones");
  EXPECT_EQ(keys_of_edge_with([&](SipConfig& c) { peer(c).target = c.zones[1].peers[0].listen; }),
            "zones");
  EXPECT_EQ(keys_of_edge_with([&](SipConfig& c) {
              peer(c).target = {IpAddress::v4(192, 0, 2, 10), 7202};
            }),
            "zones");
  EXPECT_EQ(keys_of_edge_with([](SipConfig& c) { c.zones.clear(); }), "zones domains domains");
  for (const std::string& text : kHostile) {
    EXPECT_NE(keys_of_edge_with([&](SipConfig& c) { c.zones[0].name = text; }), "") << text;
    EXPECT_NE(keys_of_edge_with([&](SipConfig& c) { peer(c).name = text; }), "") << text;
  }
}

TEST(CheckPair, a_route_set_can_name_so_many_peers_and_no_more) {
  const auto fill = [](SipConfig& c, std::size_t count) {
    c.zones.clear();
    for (std::size_t i = 0; i < count; ++i) {
      const auto port = static_cast<std::uint16_t>(10000 + 2 * i);
      const IpAddress ip = IpAddress::v4(127, 0, 0, 1);
      const ZonePeer peer{"core", {ip, port}, {ip, static_cast<std::uint16_t>(port + 1)}};
      c.zones.push_back({"z" + std::to_string(i), {}, {peer}});
    }
  };
  EXPECT_EQ(keys_of_edge_with([&](SipConfig& c) { fill(c, kZoneSidesMax); }), "");
  EXPECT_EQ(keys_of_edge_with([&](SipConfig& c) { fill(c, kZoneSidesMax + 1); }), "zones");
}

TEST(CheckPair, domains_of_an_edge_and_of_its_zones_agree) {
  EXPECT_EQ(keys_of_edge_with([](SipConfig& c) { c.domains.pop_back(); }), "domains");
  EXPECT_EQ(keys_of_edge_with([](SipConfig& c) { c.zones.pop_back(); }), "domains");
}

}  // namespace
}  // namespace turnpike::sidecar
