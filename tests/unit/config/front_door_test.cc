// [front_door]: values, every rule, and what comes of them elsewhere.
#include "control/config/front_door.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/config/load.h"
#include "control/config/products.h"
#include "control/config/turn_listeners.h"

namespace turnpike::config {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kTurn = "[turn.realm.main]\nsecret_files = [\"turn-secret\"]\n";
const std::string kCertificate =
    "[turn]\ncertificate_file = \"t.pem\"\nprivate_key_file = \"t.key\"\n";

Loaded load(const std::string& text) {
  return load_text(
      "[interface.outside]\naddresses = [\"45.9.1.1\", \"2a09::1\"]\n[interface.inside]\naddresses "
      "= [\"10.0.0.1\"]\n" +
          text,
      "t.toml", "/etc/turnpike");
}

std::vector<std::string> mistakes(const std::string& text) {
  return load(text).findings.mistakes();
}

Host host() {
  Host host;
  host.addresses = {IpAddress::v4(45, 9, 1, 1), IpAddress::v4(10, 0, 0, 1)};
  return host;
}

const door::TargetRule& turn_of(const door::Config& config) {
  return config.targets[static_cast<std::size_t>(door::Target::kTurn)];
}

TEST(FrontDoorConfig, none_unless_there_is_a_port) {
  const Loaded loaded = load(kTurn);
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  EXPECT_TRUE(front_door_config(loaded.settings, host()).listeners.empty());
  for (const TurnListener& one : turn_listeners(loaded.settings)) EXPECT_FALSE(one.at_door);
}

TEST(FrontDoorConfig, listens_where_the_host_has_the_address) {
  const Loaded loaded = load("[front_door]\nport = 443\nturn = true\n" + kCertificate + kTurn);
  ASSERT_THAT(loaded.findings.mistakes(), IsEmpty());
  const door::Config config = front_door_config(loaded.settings, host());
  ASSERT_EQ(config.listeners.size(), 1U);
  EXPECT_EQ(to_string(config.listeners[0]), "45.9.1.1:443");
  EXPECT_TRUE(turn_of(config).open);
  EXPECT_EQ(config.connections_max, 1000U);
  EXPECT_EQ(config.connections_per_source_max, 50U);
}

TEST(FrontDoorConfig, turn_listens_there_over_tcp_and_with_a_certificate_over_tls) {
  const auto at_door = [](const std::string& text) {
    std::vector<std::string> all;
    for (const TurnListener& one : turn_listeners(load(text).settings)) {
      if (!one.at_door) continue;
      all.push_back(std::string(turn::kTransportNames[static_cast<std::size_t>(one.transport)]) +
                    " " + to_string(one.local) + " " + one.realm);
    }
    return all;
  };
  const std::string door = "[front_door]\nport = 443\nturn = true\n";
  EXPECT_THAT(at_door(door + kTurn), ElementsAre("tcp 45.9.1.1:443 ", "tcp [2a09::1]:443 "));
  EXPECT_THAT(at_door(door + kCertificate + kTurn + "addresses = [\"2a09::1\"]\n"),
              ElementsAre("tcp 45.9.1.1:443 ", "tls 45.9.1.1:443 ", "tcp [2a09::1]:443 main",
                          "tls [2a09::1]:443 main"));
  const Loaded without = load(door + kTurn);
  EXPECT_FALSE(turn_of(front_door_config(without.settings, host())).open) << "nothing to show";
  EXPECT_FALSE(shows_turn_certificate(without.settings));
  EXPECT_TRUE(shows_turn_certificate(
      load(door + kCertificate + "tls_port = 0\ndtls_port = 0\n" + kTurn).settings));
}

TEST(FrontDoorConfig, names_are_told_in_lower_case) {
  const Loaded loaded =
      load("[front_door]\nport = 443\nturn = true\nturn_names = [\"Turn.Example.org\"]\n" + kTurn);
  ASSERT_THAT(loaded.findings.mistakes(), IsEmpty());
  EXPECT_THAT(turn_of(front_door_config(loaded.settings, host())).names,
              ElementsAre("turn.example.org"));
  EXPECT_THAT(mistakes("[front_door]\nturn_names = [\"a b\"]\n"),
              Contains(HasSubstr("front_door.turn_names")));
}

TEST(FrontDoorConfig, leads_somewhere) {
  EXPECT_THAT(mistakes("[front_door]\nport = 443\n"),
              Contains(HasSubstr("front_door.port is given, but the door leads to nobody")));
  EXPECT_THAT(mistakes("[front_door]\nport = 443\nturn = true\n"),
              Contains(HasSubstr("front_door.turn is true, but there is no TURN server")));
  EXPECT_THAT(mistakes("[front_door]\nport = 443\nturn = true\ninterface = \"x\"\n" + kTurn),
              Contains(HasSubstr("front_door.interface names no section")));
  EXPECT_THAT(mistakes("[front_door]\nport = 443\nturn = true\ninterface = \"inside\"\n" + kTurn),
              Contains(HasSubstr("but turn.interface is \"outside\"")));
}

const std::string kSip =
    "[sip]\ndomains = [\"edge.example\"]\nwss_port = 8443\nwebsocket_origins = "
    "[\"https://a.example\"]\ncertificate_file = \"s.pem\"\nprivate_key_file = \"s.key\"\n"
    "trust_file = \"ca.pem\"\ninside_networks = [\"10.0.0.0/8\"]\n";
const std::string kApi =
    "[api]\nlisten = \"127.0.0.1:8444\"\ncertificate_file = \"a.pem\"\nprivate_key_file = "
    "\"a.key\"\ntokens_file = \"tokens\"\n";

TEST(FrontDoorConfig, other_targets_need_what_they_lead_to) {
  const std::string door = "[front_door]\nport = 443\n";
  EXPECT_THAT(mistakes(door + "sip = true\n"),
              Contains(HasSubstr("front_door.sip is true, but there is no SIP server")));
  EXPECT_THAT(mistakes(door + "sip = true\n[sip]\ndomains = [\"edge.example\"]\n"),
              Contains(HasSubstr("front_door.sip is true, but sip.wss_port is 0")));
  EXPECT_THAT(mistakes(door + "api = true\n"),
              Contains(HasSubstr("api.listen or api.certificate_file is \"\"")));
  EXPECT_THAT(mistakes(door + "sip = true\napi = true\n" + kSip + kApi),
              Contains(HasSubstr("front_door.api_names tells clients")));
  EXPECT_THAT(mistakes(door +
                       "sip = true\nsip_names = [\"a.example\"]\napi = true\n"
                       "api_names = [\"A.example\"]\n" +
                       kSip + kApi),
              Contains(HasSubstr("front_door.api_names tells clients")));
  const Loaded loaded =
      load(door + "sip = true\napi = true\napi_names = [\"Api.example\"]\n" + kSip + kApi);
  ASSERT_THAT(loaded.findings.mistakes(), IsEmpty());
  const door::Config config = front_door_config(loaded.settings, host());
  EXPECT_TRUE(config.targets[static_cast<std::size_t>(door::Target::kSip)].open);
  EXPECT_THAT(config.targets[static_cast<std::size_t>(door::Target::kApi)].names,
              ElementsAre("api.example"));
  EXPECT_EQ(to_string(config.sip), "127.0.0.1:8443");
  EXPECT_TRUE(sip_config(loaded.settings).wss_at_door);
  EXPECT_THAT(mistakes(door + "api_names = [\"a.example\"]\n"),
              Contains(HasSubstr("front_door.api is false")));
}

TEST(FrontDoorConfig, load_balancers_are_networks_but_not_everybody) {
  for (const char* text : {"x", "0.0.0.0/0", "::/0"}) {
    EXPECT_THAT(mistakes("[front_door]\nport = 443\nturn = true\nproxies = [\"" +
                         std::string(text) + "\"]\n" + kTurn),
                Contains(HasSubstr("front_door.proxies holds")));
  }
  const Loaded loaded = load(
      "[front_door]\nport = 443\nturn = true\nproxies = [\"192.0.2.8/31\", \"2001:db8::9\"]\n" +
      kTurn);
  ASSERT_THAT(loaded.findings.mistakes(), IsEmpty());
  const auto proxies = front_door_config(loaded.settings, host()).proxies;
  ASSERT_EQ(proxies.size(), 2U);
  EXPECT_EQ(proxies[0].length, 31);
  EXPECT_EQ(proxies[1].length, 128);
}

TEST(FrontDoorConfig, shares_its_port_with_nobody) {
  const auto clash = [](const std::string& port, const std::string& other) {
    return mistakes("[front_door]\nport = " + port + "\nturn = true\n" + other + kTurn);
  };
  EXPECT_THAT(clash("3478", ""), Contains(HasSubstr("front_door.port both listen on")));
  EXPECT_THAT(clash("8444",
                    "[api]\nlisten = \"45.9.1.1:8444\"\ntokens_file = \"t\"\n"
                    "certificate_file = \"a.pem\"\nprivate_key_file = \"a.key\"\n"),
              Contains(HasSubstr("front_door.port and api.listen both listen on")));
  EXPECT_THAT(mistakes("[front_door]\nport = 443\nsip = true\n" + kSip +
                       "[api]\nmetrics = \"127.0.0.1:8443\"\n"),
              Contains(HasSubstr("both listen on 127.0.0.1:8443")));
  EXPECT_THAT(clash("5070", ""), Contains(HasSubstr("reserved")));
  EXPECT_THAT(clash("443", ""), IsEmpty());
}

}  // namespace
}  // namespace turnpike::config
