// Warnings about the host, and what the settings mean for the parts.
#include "control/config/host.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/config/load.h"
#include "control/config/products.h"

namespace turnpike::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Loaded load(const std::string& more = "") {
  return load_text(
      "[interface.outside]\n"
      "addresses = [\"192.0.2.10\", \"192.0.2.11\"]\n"
      "advertised = [\"203.0.113.10\", \"203.0.113.11\"]\n"
      "[interface.inside]\n"
      "addresses = [\"2001:db8::10\"]\n" +
          more,
      "t.toml", "");
}

Host fitting_host() {
  Host host;
  host.addresses = {*parse_ip("192.0.2.10"), *parse_ip("192.0.2.11"), *parse_ip("2001:db8::10")};
  host.open_files_max = 100000;
  host.cores = 4;
  return host;
}

std::vector<std::string> warnings_of(Loaded loaded, const Host& host) {
  check_host(loaded.settings, host, loaded.findings);
  return loaded.findings.warnings();
}

TEST(ConfigHost, fitting_host_gives_no_warning) {
  EXPECT_THAT(warnings_of(load("[media]\nshards = 4\n"), fitting_host()), IsEmpty());
}

TEST(ConfigHost, missing_address_is_named) {
  Host host = fitting_host();
  host.addresses.erase(host.addresses.begin());
  EXPECT_THAT(warnings_of(load(), host),
              ElementsAre("t.toml:2: interface.outside.addresses: 192.0.2.10 is not an address of "
                          "this host; give one of those that `ip address` shows"));
  EXPECT_THAT(missing_addresses(load().settings, host), testing::SizeIs(1));
  EXPECT_THAT(interfaces_without_address(load().settings, host), IsEmpty());
}

TEST(ConfigHost, listeners_at_addresses_of_others_are_named) {
  const std::string zone =
      "[zone.dmz]\nlisten = \"192.0.2.99:7001\"\n[zone.dmz.peer.c1]\naddress = "
      "\"192.0.2.11:7001\"\n[zone.dmz.peer.c2]\naddress = \"127.0.0.1:7001\"\n";
  const std::string ng =
      "[ng]\nudp = \"10.0.0.8:2223\"\ntcp = \"10.0.0.9:2224\"\n"
      "http = \"127.0.0.5:2225\"\ntoken_file = \"/nowhere\"\n";
  EXPECT_THAT(warnings_of(load(ng + "[api]\nmetrics = \"10.0.0.9:9105\"\n" + zone), fitting_host()),
              testing::UnorderedElementsAre(
                  HasSubstr("ng.udp: 10.0.0.8 is not an address of this host"),
                  HasSubstr("ng.tcp: 10.0.0.9 is not an address of this host"),
                  HasSubstr("api.metrics: 10.0.0.9 is not an address of this host"),
                  HasSubstr("zone.dmz.listen: 192.0.2.99 is not an address of this host"),
                  HasSubstr("zone.dmz.peer.c1.address: 192.0.2.11 is an address of this host "
                            "itself")));
}

TEST(ConfigHost, interface_without_any_address_is_named) {
  Host host = fitting_host();
  host.addresses.pop_back();
  EXPECT_THAT(interfaces_without_address(load().settings, host),
              ElementsAre(HasSubstr("interface.inside.addresses: none of")));
}

TEST(ConfigHost, open_files_count_sessions_and_the_stock_of_ports) {
  // Three addresses with 2,048 pairs in stock each, six sockets a session, and the rest.
  EXPECT_EQ(open_files_needed(load("[media]\nsessions_max = 500\n").settings),
            6u * 500 + 3 * 2 * 2048 + 1000);
  EXPECT_EQ(
      open_files_needed(load("[media]\nsessions_max = 500\nconnect_after_packets = 0\n").settings),
      4u * 500 + 3 * 2 * 2048 + 1000);
  // With ICE, of each family.
  EXPECT_EQ(open_files_needed(load("[media]\nsessions_max = 500\n[interface.dmz]\n"
                                   "addresses = [\"192.0.2.20\", \"2001:db8::20\"]\n")
                                  .settings),
            10u * 500 + 5 * 2 * 2048 + 1000);
  // Two sockets of an allocation, one of a connection.
  EXPECT_EQ(open_files_needed(load("[media]\nsessions_max = 500\n[turn]\nallocations_max = 100\n"
                                   "connections_max = 70\n[turn.realm.a]\nusers_file = \"u\"\n")
                                  .settings),
            6u * 500 + 3 * 2 * 2048 + 1000 + 270);
  // Who waits at the front door has one, what it carries to the SIP server two.
  const std::string door = "[media]\nsessions_max = 500\n[front_door]\nconnections_max = 2000\n";
  EXPECT_EQ(open_files_needed(load(door).settings), 6u * 500 + 3 * 2 * 2048 + 1000) << "closed";
  EXPECT_EQ(open_files_needed(load(door + "port = 443\n").settings),
            6u * 500 + 3 * 2 * 2048 + 1000 + 512);
  EXPECT_EQ(open_files_needed(load(door + "port = 443\nsip = true\n").settings),
            6u * 500 + 3 * 2 * 2048 + 1000 + 512 + 4000);
  // And one of each TCP connection with a peer.
  EXPECT_EQ(open_files_needed(load("[media]\nsessions_max = 500\n[turn]\nallocations_max = 100\n"
                                   "connections_max = 70\ntcp_allocations = true\n"
                                   "tcp_connections_max = 30\n[turn.realm.a]\n"
                                   "users_file = \"u\"\n")
                                  .settings),
            6u * 500 + 3 * 2 * 2048 + 1000 + 300);
  // Never more than there are ports.
  EXPECT_EQ(open_files_needed(load("[media]\nport_min = 40000\nport_max = 40099\n").settings),
            3u * 100 + 3 * 100 + 1000);
}

TEST(ConfigHost, loopback_network_is_always_there) {
  const Loaded loaded = load("[interface.lab]\naddresses = [\"127.0.3.4\"]\n");
  EXPECT_THAT(missing_addresses(loaded.settings, fitting_host()), IsEmpty());
}

TEST(ConfigHost, unreserved_ports_are_warned_about) {
  Host host = fitting_host();
  host.port_advice = "set a sysctl";
  EXPECT_THAT(warnings_of(load("[media]\nport_min = 36000\n"), host),
              ElementsAre("t.toml:7: set a sysctl"));
}

TEST(ConfigHost, low_file_limit_is_warned_about) {
  Host host = fitting_host();
  host.open_files_max = 1024;
  EXPECT_THAT(
      warnings_of(load("[media]\nsessions_max = 1000\n"), host),
      ElementsAre(HasSubstr("t.toml:7: media.sessions_max = 1000 needs 19288 open files, but "
                            "the limit is 1024")));
  host.open_files_max = 13324;
  EXPECT_THAT(warnings_of(load("[media]\nsessions_max = 6\n"), host), IsEmpty());
}

TEST(ConfigHost, more_shards_than_cores_are_warned_about) {
  EXPECT_THAT(warnings_of(load("[media]\nshards = 5\n"), fitting_host()),
              ElementsAre(HasSubstr("media.shards = 5 is more than the 4 cores")));
}

TEST(ConfigHost, this_host_can_be_read) {
  const Host host = Host::read(load().settings);
  EXPECT_GE(host.cores, 1u);
  EXPECT_GT(host.open_files_max, 0u);
  EXPECT_THAT(host.addresses, testing::Contains(IpAddress::v4(127, 0, 0, 1)));
}

TEST(ConfigProducts, relay_and_calls_get_what_the_file_says) {
  const Settings settings = load(
                                "[media]\nport_min = 40000\nport_max = 40999\nshards = 2\n"
                                "sessions_max = 77\ncalls_max = 66\nmedia_timeout_seconds = 9\n"
                                "dscp_video = 35\nsource_policy = \"latch\"\nice_prefer = "
                                "\"ipv4\"\n[holder]\nunix = \"/run/h.sock\"\n")
                                .settings;
  const RelayConfig relay = relay_config(settings);
  EXPECT_EQ(relay.port_min, 40000);
  EXPECT_EQ(relay.port_max, 40999);
  EXPECT_EQ(relay.shards, 2u);
  EXPECT_EQ(relay.sessions_max, 77u);
  EXPECT_EQ(relay.media_timeout, Seconds(9));
  EXPECT_EQ(relay.holder_socket, "/run/h.sock");
  ASSERT_EQ(relay.interfaces.size(), 2u);
  EXPECT_EQ(relay.interfaces[0].name, "inside");
  EXPECT_EQ(relay.interfaces[0].addresses[0].advertised, relay.interfaces[0].addresses[0].local);
  EXPECT_EQ(to_string(relay.interfaces[1].addresses[1].advertised), "203.0.113.11");
  const call::CallServiceConfig calls = call_config(settings, {});
  EXPECT_EQ(calls.calls_max, 66u);
  EXPECT_EQ(calls.dscp[1], 35);
  EXPECT_EQ(calls.source_policy, SourcePolicy::kLatch);
  EXPECT_EQ(calls.ice_preferred_family, AddressFamily::kIpv4);
  EXPECT_EQ(call_config(load("").settings, {}).ice_preferred_family, AddressFamily::kIpv6);
  EXPECT_EQ(calls.interfaces.size(), 2u);
  EXPECT_EQ(calls.media_port_min, 40000);
  EXPECT_EQ(calls.media_port_max, 40999);
}

TEST(ConfigProducts, networks_come_from_keys_and_from_the_host) {
  const Settings settings = load(
                                "networks = [\"10.0.0.0/8\"]\n"
                                "[sip]\ninside_networks = [\"172.16.0.0/12\"]\n")
                                .settings;
  Host host = fitting_host();
  host.networks = {*call::parse_network("192.0.2.10/24"), *call::parse_network("192.0.2.11/25"),
                   *call::parse_network("2001:db8::10/64")};
  const call::CallServiceConfig calls = call_config(settings, host);
  const auto is_in = [&calls](const char* interface, const char* ip) {
    const auto& all = calls.networks.at(interface);
    return std::any_of(all.begin(), all.end(),
                       [&](const auto& network) { return network.contains(*parse_ip(ip)); });
  };
  for (const char* ip : {"10.1.1.1", "172.31.0.1", "2001:db8::99"}) {
    EXPECT_TRUE(is_in("inside", ip)) << ip;
    EXPECT_FALSE(is_in("outside", ip)) << ip;
  }
  EXPECT_TRUE(is_in("outside", "192.0.2.99"));
  EXPECT_FALSE(is_in("inside", "192.0.2.99"));
  EXPECT_EQ(calls.host_addresses, host.addresses);
}

TEST(ConfigHost, knows_what_it_is_connected_to) {
  const Host host = Host::read(load().settings);
  ASSERT_EQ(host.networks.size(), host.addresses.size());
  const auto loopback =
      std::find(host.addresses.begin(), host.addresses.end(), IpAddress::v4(127, 0, 0, 1)) -
      host.addresses.begin();
  ASSERT_LT(static_cast<std::size_t>(loopback), host.addresses.size());
  EXPECT_EQ(host.networks[static_cast<std::size_t>(loopback)].bits, 8u);
}

}  // namespace
}  // namespace turnpike::config
