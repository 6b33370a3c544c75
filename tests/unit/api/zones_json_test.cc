// The state of zones as the API tells it.
#include "control/api/zones_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace turnpike::api {
namespace {

using nlohmann::json;

class ZonesJson : public ::testing::Test {
 protected:
  ZonesJson() {
    zone_.name = "dmz";
    zone_.kind = "uc";
    zone_.role = zone::Role::kEdge;
    zone_.listen = "192.0.2.10:7001";
    zone_.domains = {"example.com"};
    zone_.certificate.subject = "CN=edge\xff";
    zone_.certificate.sha256 = "ab:cd";
    zone_.certificate.dns_names = {"edge.example.com"};
    zone_.certificate.not_after = wall_now_ + std::chrono::hours{36};
    zone_.refused[static_cast<std::size_t>(zone::Reason::kWrongPassword)] = 3;
    zone_.last_refusal = {zone::Reason::kWrongPassword, "words", "10.0.0.1:5", now_ - Seconds{4}};
    zone::PeerReport peer;
    peer.name = "c1";
    peer.tls_name = "core.example.com";
    peer.up = true;
    peer.since = now_ - Seconds{60};
    for (zone::ConnectionReport& one : peer.connections) {
      one.up = true;
      one.since = now_ - Seconds{60};
      one.round_trip = Milliseconds{12};
      one.streams = 2;
      one.connected = 1;
    }
    peer.flows.resize(3);
    peer.flows[1] = {1, 7, false, "", {}, 4};
    peer.flows[2] = {2, 8, true, "10.0.0.1:4000", Milliseconds{2}, 0};
    peer.connections[1].purpose = zone::Purpose::kSignallingByEdge;
    zone_.peers = {peer};
  }
  json told() const { return json::parse(zones_json({zone_}, now_, wall_now_)).at("zones").at(0); }

  Instant now_{Seconds{1000}};
  pki::WallTime wall_now_ = std::chrono::system_clock::now();
  zone::ZoneReport zone_;
};

TEST_F(ZonesJson, tells_zone_peer_and_connections) {
  const json zone = told();
  EXPECT_EQ(zone.at("state"), "up");
  EXPECT_EQ(zone.at("role"), "edge");
  EXPECT_EQ(zone.at("listen"), "192.0.2.10:7001");
  EXPECT_EQ(zone.at("certificate").at("expires_in_days"), 1.5);
  EXPECT_TRUE(zone.at("files_trouble").is_null());
  const json& peer = zone.at("peers").at(0);
  EXPECT_EQ(peer.at("since_seconds"), 60.0);
  EXPECT_TRUE(peer.at("certificate").is_null());
  EXPECT_EQ(peer.at("connections").at(1).at("purpose"), "signalling, opened by the edge");
  EXPECT_EQ(peer.at("connections").at(1).at("round_trip_ms"), 12.0);
  EXPECT_TRUE(peer.at("connections").at(0).at("last_error").is_null());
  EXPECT_EQ(peer.at("flows").at(0).at("state"), "not agreed");
  EXPECT_EQ(peer.at("flows").at(1).at("state"), "not bound");
  EXPECT_EQ(peer.at("flows").at(1).at("unanswered"), 4);
  EXPECT_TRUE(peer.at("flows").at(1).at("address").is_null());
  EXPECT_EQ(peer.at("flows").at(2).at("state"), "bound");
  EXPECT_EQ(peer.at("flows").at(2).at("core_shard"), 2);
  EXPECT_EQ(peer.at("flows").at(2).at("round_trip_ms"), 2.0);
}

TEST_F(ZonesJson, tells_reasons_in_words) {
  const json zone = told();
  ASSERT_EQ(zone.at("refused").size(), 1U);
  EXPECT_EQ(zone.at("refused").at(0).at("reason"), "wrong_password");
  EXPECT_EQ(zone.at("refused").at(0).at("count"), 3);
  EXPECT_EQ(zone.at("last_refusal").at("age_seconds"), 4.0);
  EXPECT_EQ(zone.at("last_refusal").at("address"), "10.0.0.1:5");
  EXPECT_EQ(zone.at("ended").size(), 0U);
}

TEST_F(ZonesJson, one_connection_down_is_a_zone_down) {
  zone_.peers[0].up = false;
  zone_.peers[0].connections[0].up = false;
  zone_.peers[0].connections[0].connecting = true;
  EXPECT_EQ(told().at("state"), "down");
  EXPECT_EQ(told().at("peers").at(0).at("connections").at(0).at("state"), "connecting");
}

TEST_F(ZonesJson, tells_the_bulk_connection_and_what_was_measured) {
  EXPECT_TRUE(told().at("peers").at(0).at("bulk").is_null());
  EXPECT_TRUE(told().at("peers").at(0).at("measurement").is_null());
  zone::PeerReport& peer = zone_.peers[0];
  peer.bulk.emplace();
  peer.bulk->purpose = zone::Purpose::kBulk;
  peer.measured.state = zone::MeasureReport::State::kRunning;
  peer.measured.id = 7;
  peer.measured.options = {.seconds = 2, .mbit = 30};
  peer.measured.at = now_ - Seconds{3};
  peer.measured.idle = {10, Milliseconds{1}, Milliseconds{2}};
  peer.measured.sent = {1000000, Milliseconds{500}, {}};
  const json with = told().at("peers").at(0);
  EXPECT_EQ(with.at("bulk").at("purpose"), "bulk, opened by the core");
  const json& measured = with.at("measurement");
  EXPECT_EQ(measured.at("state"), "running");
  EXPECT_EQ(measured.at("id"), 7);
  EXPECT_EQ(measured.at("age_seconds"), 3.0);
  EXPECT_EQ(measured.at("idle").at("longest_ms"), 2.0);
  EXPECT_EQ(measured.at("sent").at("mbit_per_second"), 16.0);
  EXPECT_TRUE(measured.at("sent").at("round_trips").at("median_ms").is_null());
  EXPECT_TRUE(measured.at("received").at("mbit_per_second").is_null());
}

TEST_F(ZonesJson, no_zones_are_an_empty_list) {
  EXPECT_EQ(json::parse(zones_json({}, now_, wall_now_)).at("zones").size(), 0U);
}

}  // namespace
}  // namespace turnpike::api
