// The TLS connections as the API tells them.
#include "control/api/tls_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace turnpike::api {
namespace {

using nlohmann::json;

TEST(TlsJson, tells_what_was_agreed_on_and_how_the_peer_was_verified) {
  const Instant now{Seconds{1000}};
  const pki::WallTime wall_now = std::chrono::system_clock::now();
  zone::ZoneReport zone;
  zone.name = "dmz";
  zone.waiting = 2;
  zone::PeerReport peer;
  peer.name = "c1";
  zone::ConnectionReport& up = peer.connections[0];
  up.up = true;
  up.since = now - Seconds{90};
  up.address = "10.0.0.1:4";
  up.security = {.dialled = false,
                 .version = "TLSv1.3",
                 .cipher = "TLS_AES_256_GCM_SHA384",
                 .matched_name = "core.example.com",
                 .server_name = "edge\xff.example.com",
                 .certificate = {}};
  up.security.certificate.sha256 = "ab";
  up.security.certificate.dns_names = {"core.example.com"};
  up.security.certificate.not_after = wall_now + std::chrono::hours{48};
  zone.peers = {peer};
  const json told = json::parse(tls_connections_json({zone}, now, wall_now));
  EXPECT_EQ(told.at("handshakes_waiting"), 2);
  ASSERT_EQ(told.at("connections").size(), 1U) << "the other one is not up";
  const json& one = told.at("connections").at(0);
  EXPECT_EQ(one.at("peer"), "c1");
  EXPECT_EQ(one.at("dialled_by"), "the peer");
  EXPECT_EQ(one.at("verified"), "subject alternative name");
  EXPECT_EQ(one.at("matched_name"), "core.example.com");
  EXPECT_EQ(one.at("server_name"), "edge\xef\xbf\xbd.example.com");
  EXPECT_EQ(one.at("certificate").at("expires_in_days"), 2.0);
  EXPECT_EQ(one.at("age_seconds"), 90.0);
  EXPECT_TRUE(one.at("node").is_null());
}

TEST(TlsJson, a_common_name_is_told) {
  zone::ZoneReport zone;
  zone.peers.resize(1);
  zone.peers[0].connections[1].up = true;
  zone.peers[0].connections[1].purpose = zone::Purpose::kSignallingByEdge;
  const json told = json::parse(tls_connections_json({zone}, Instant{}, {}));
  EXPECT_EQ(told.at("connections").at(0).at("verified"), "common name");
  EXPECT_EQ(told.at("connections").at(0).at("purpose"), "signalling, opened by the edge");
  EXPECT_TRUE(json::parse(tls_connections_json({}, Instant{}, {})).at("connections").empty());
}

}  // namespace
}  // namespace turnpike::api
