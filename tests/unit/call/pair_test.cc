// Calls through a traversal pair: two services, an edge and a core, each on its own relay; every
// description goes through both.
#include "tests/unit/call/browsers.h"
#include "tests/unit/call/pair_fixture.h"

namespace turnpike::call {
namespace {

constexpr std::string_view kClientKey = "BASE64KEYoftheCLIENT0123456789abcdefghij";
constexpr std::string_view kSource = "IN IP6 100::";

std::string client_sdp(std::string_view more = "", std::string_view crypto = kClientKey) {
  return sdp_of("m=audio 4000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" +
                std::string(crypto) + "\n" + std::string(more));
}
std::string phone_sdp(std::string_view more = "") {
  return sdp_of("m=audio 5000 RTP/AVP 0\n" + std::string(more), "10.0.0.50");
}

/// The client's answer to an offer of several a=crypto lines: it takes one under its tag.
std::string chosen(const std::string& offer) {
  const std::string suite = " AES_CM_128_HMAC_SHA1_80 inline:";
  const std::string all = "|" + lines(offer, "a=crypto:");
  const std::size_t end = all.find(suite);
  const std::size_t begin = all.rfind('|', end) + 1;
  return "a=crypto:" + all.substr(begin, end - begin) + suite + std::string(kClientKey) + "\n";
}

TEST_F(PairCall, media_is_blocked_where_its_keys_are) {
  offer_in(client_sdp());
  answer_out(phone_sdp());
  const auto block = [](Node& node) {
    std::string error;
    node.service->switch_media(MediaCommand::kBlock, request("", "a", ""),
                               [&](const Dict& reply) { error = text(reply, "error-reason"); });
    return error;
  };
  EXPECT_NE(block(edge_).find("block it at the node that has its keys"), std::string::npos);
  EXPECT_FALSE(edge_.relay.session(0).switches[0].blocked);
  EXPECT_EQ(block(core_), "");
  EXPECT_TRUE(core_.relay.session(0).switches[0].blocked);
}

TEST_F(PairCall, keys_pass_the_edge_and_end_at_the_core) {
  const std::string to_phone = offer_in(client_sdp("a=turnpike-session:1 9 a 9 9\n"));
  EXPECT_NE(zone_offer_.find(kClientKey), std::string::npos) << "as the client wrote it";
  EXPECT_EQ(lines(zone_offer_, "c="), kSource);
  EXPECT_EQ(zone_offer_.find("198.51.100"), std::string::npos) << "no address of the edge's";
  EXPECT_EQ(lines(zone_offer_, "a=turnpike-session:"), "1 0 b 0 1")
      << "the edge's, not the client's";
  EXPECT_EQ(to_phone.find("crypto"), std::string::npos);
  EXPECT_EQ(to_phone.find("turnpike-session"), std::string::npos);
  EXPECT_EQ(lines(to_phone, "m="), "audio 46000 RTP/AVP 0");

  const std::string to_client = answer_out(phone_sdp());
  EXPECT_EQ(lines(zone_answer_, "a=turnpike-session:"), "1 0 a 0 1");
  EXPECT_EQ(lines(to_client, "a=crypto:"), lines(zone_answer_, "a=crypto:"));
  EXPECT_EQ(lines(to_client, "a=crypto:").find(kClientKey), std::string::npos) << "the core's own";
  EXPECT_EQ(lines(to_client, "m="), "audio 36000 RTP/SAVP 0");
  EXPECT_EQ(lines(to_client, "c="), "IN IP4 198.51.100.1");
  EXPECT_EQ(to_client.find("turnpike-session"), std::string::npos);

  const SessionSpec& at_edge = edge_.relay.session(0).spec;
  EXPECT_FALSE(at_edge.carried[0]);
  EXPECT_TRUE(at_edge.carried[1]);
  for (const Side side : {Side::kA, Side::kB}) {
    EXPECT_TRUE(edge_.leg(side).opaque);
    EXPECT_EQ(edge_.leg(side).send.suite, SrtpSuite::kNone) << "the edge has no key";
    EXPECT_EQ(edge_.leg(side).receive.suite, SrtpSuite::kNone);
    EXPECT_FALSE(core_.leg(side).opaque);
  }
  EXPECT_EQ(to_string(edge_.leg(Side::kA).remote[0]), "192.0.2.10:4000");
  EXPECT_EQ(edge_.leg(Side::kB).carriage, (Carriage{100, 0, Side::kA, 0, 1}));
  EXPECT_EQ(core_.leg(Side::kA).carriage, (Carriage{100, 0, Side::kB, 0, 1}));
  EXPECT_EQ(core_.leg(Side::kA).remote[0], address_of_source(0));
  EXPECT_EQ(core_.leg(Side::kA).remote[1], address_of_source(0));
  EXPECT_FALSE(core_.leg(Side::kA).remote_unproven);
  EXPECT_EQ(core_.leg(Side::kA).receive.suite, SrtpSuite::kAesCm128HmacSha1_80);
  EXPECT_NE(core_.leg(Side::kA).send.suite, SrtpSuite::kNone);
  EXPECT_EQ(to_string(core_.leg(Side::kB).remote[0]), "10.0.0.50:5000");
  EXPECT_EQ(edge_.asked, std::set<std::string>{"dmz/core-1"});
  EXPECT_EQ(core_.asked, std::set<std::string>{"dmz/edge-1"});
  EXPECT_EQ(edge_.service->calls().at(0).sessions.at(0).legs[0].keying, "signalling-sees-keys");
  EXPECT_EQ(edge_.service->calls().at(0).sessions.at(0).legs[1].interface, "dmz/core-1");
}

TEST_F(PairCall, the_edge_keeps_no_key_in_its_records) {
  offer_in(client_sdp());
  answer_out(phone_sdp());
  for (const auto& [key, record] : edge_.relay.records) {
    EXPECT_EQ(record.find(kClientKey.substr(0, 10)), std::string::npos);
    for (const LegConfig& leg : core_.relay.session(0).legs) {
      for (const SrtpKeying& keying : {leg.receive, leg.send}) {
        if (keying.suite == SrtpSuite::kNone) continue;
        const std::string bytes(keying.master_key.begin(), keying.master_key.begin() + 16);
        EXPECT_EQ(record.find(bytes), std::string::npos);
      }
    }
  }
  EXPECT_EQ(edge_.relay.records.size(), 1U);
  // The search itself: the core's record has them.
  const auto& used = core_.leg(Side::kA).receive.master_key;
  EXPECT_NE(core_.relay.records.begin()->second.find(std::string(used.begin(), used.begin() + 16)),
            std::string::npos);
}

TEST_F(PairCall, a_call_from_inside_is_keyed_by_the_core) {
  const std::string to_client = offer_out(phone_sdp(), "RTP/SAVP", IceWish::kDefault);
  EXPECT_EQ(lines(to_client, "m="), "audio 46000 RTP/SAVP 0");
  EXPECT_EQ(lines(to_client, "a=crypto:"), lines(zone_offer_, "a=crypto:"));
  const std::string to_phone = answer_in(sdp_of("m=audio 4000 RTP/SAVP 0\n" + chosen(to_client)));
  EXPECT_EQ(lines(to_phone, "m="), "audio 36000 RTP/AVP 0");
  EXPECT_EQ(edge_.leg(Side::kA).carriage, (Carriage{100, 0, Side::kB, 0, 1}));
  EXPECT_EQ(core_.leg(Side::kB).carriage, (Carriage{100, 0, Side::kA, 0, 1}));
  EXPECT_EQ(to_string(edge_.leg(Side::kB).remote[0]), "192.0.2.10:4000");
  EXPECT_TRUE(core_.leg(Side::kB).must_encrypt);
  EXPECT_TRUE(edge_.relay.session(0).spec.family[1] == AddressFamily::kIpv4);
}

TEST_F(PairCall, a_browser_has_ice_with_the_edge_and_dtls_with_the_core) {
  const std::string to_phone = offer_in(chromium_offer());
  EXPECT_EQ(zone_offer_.find("candidate"), std::string::npos);
  EXPECT_EQ(zone_offer_.find("ice-"), std::string::npos);
  EXPECT_EQ(lines(zone_offer_, "a=group:"), "BUNDLE 0 1");
  const std::string fingerprint = "sha-256 C1:00:00:";
  EXPECT_EQ(lines(zone_offer_, "a=fingerprint:").substr(0, fingerprint.size()), fingerprint);
  EXPECT_EQ(lines(zone_offer_, "a=setup:"), "actpass|actpass");
  EXPECT_NE(zone_offer_.find("a=rtcp-mux\r\n"), std::string::npos);
  EXPECT_EQ(lines(zone_offer_, "a=turnpike-session:"), "1 0 b 0 1|1 0 b 1 1");
  const std::string to_client =
      answer_out(sdp_of("m=audio 5000 RTP/AVP 8\nm=video 0 RTP/AVP 96\n", "10.0.0.50"));
  EXPECT_EQ(lines(to_client, "a=fingerprint:"), lines(zone_answer_, "a=fingerprint:"));
  EXPECT_NE(lines(to_client, "a=candidate:").find("198.51.100.1 36000"), std::string::npos);
  EXPECT_EQ(lines(to_client, "a=setup:"), "passive");
  EXPECT_EQ(lines(to_client, "a=group:"), "BUNDLE 0");
  EXPECT_TRUE(edge_.leg(Side::kA).ice);
  EXPECT_TRUE(edge_.leg(Side::kA).opaque);
  EXPECT_FALSE(edge_.leg(Side::kA).dtls);
  EXPECT_FALSE(core_.leg(Side::kA).ice);
  EXPECT_TRUE(core_.leg(Side::kA).dtls);
  EXPECT_TRUE(core_.leg(Side::kA).rtcp_mux);
  EXPECT_TRUE(edge_.leg(Side::kA).rtcp_mux);
  EXPECT_EQ(edge_.service->calls().at(0).sessions.at(0).legs[0].keying, "keyless: dtls");
}

TEST_F(PairCall, a_browser_that_is_called_gets_a_description_that_it_takes) {
  const std::string to_client = offer_out(phone_sdp(), "UDP/TLS/RTP/SAVPF", IceWish::kForce);
  EXPECT_EQ(lines(to_client, "a=group:"), "BUNDLE 0");
  EXPECT_EQ(lines(to_client, "a=mid:"), "0");
  EXPECT_NE(to_client.find("a=rtcp-mux"), std::string::npos);
  EXPECT_NE(to_client.find("a=ice-ufrag"), std::string::npos);
  EXPECT_EQ(zone_offer_.find("ice-"), std::string::npos);
  const std::string answer = sdp_of(
      "m=audio 4000 UDP/TLS/RTP/SAVPF 0\na=mid:0\na=rtcp-mux\na=ice-ufrag:abcd\n"
      "a=ice-pwd:0123456789012345678901\na=setup:active\n" +
      fingerprint_line(0xc1));
  const std::string to_phone = answer_in(answer);
  EXPECT_EQ(lines(to_phone, "m="), "audio 36000 RTP/AVP 0");
  EXPECT_TRUE(core_.leg(Side::kB).dtls);
  EXPECT_TRUE(edge_.leg(Side::kB).ice);
  EXPECT_EQ(zone_answer_.find("ice-"), std::string::npos);
}

TEST_F(PairCall, hold_and_a_moved_client_go_through) {
  offer_in(client_sdp());
  answer_out(phone_sdp());
  std::string held = client_sdp("a=sendonly\n");
  const std::string to_phone = offer_in(held, "b");
  EXPECT_EQ(lines(to_phone, "a=sendonly"), "");
  EXPECT_NE(to_phone.find("a=sendonly"), std::string::npos);
  EXPECT_EQ(lines(zone_offer_, "a=turnpike-session:"), "1 0 b 0 1") << "the same session";
  answer_out(phone_sdp("a=recvonly\n"));
  EXPECT_FALSE(core_.leg(Side::kB).expects_media);
  // A null address means the same (RFC 3264 section 8.4).
  const std::string null_address =
      sdp_of("m=audio 4000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" +
                 std::string(kClientKey) + "\n",
             "0.0.0.0");
  EXPECT_NE(offer_in(null_address, "b").find("a=sendonly"), std::string::npos);
  EXPECT_EQ(lines(zone_offer_, "c="), kSource);
  answer_out(phone_sdp("a=recvonly\n"));
  EXPECT_FALSE(edge_.leg(Side::kA).remote[0].is_set());
  EXPECT_EQ(edge_.relay.opened_ever, 1);
  EXPECT_EQ(core_.relay.opened_ever, 1);
}

TEST_F(PairCall, hairpins_through_the_core_have_a_flow_on_both_sides) {
  zone_offer_ = sdp(edge_.offer(request(client_sdp(), "a", "", {"outside", "dmz/core-1"})));
  auto turned = request(zone_offer_, "a", "", {"dmz/edge-1", "dmz/edge-2"});
  turned.transport_protocol = "RTP/SAVP";
  const std::string back = sdp(core_.offer(turned));
  EXPECT_EQ(lines(back, "a=turnpike-session:"), "1 0 b 0 1");
  EXPECT_EQ(back.find(kClientKey), std::string::npos) << "each leg has its own key";
  const SessionSpec& spec = core_.relay.session(0).spec;
  EXPECT_TRUE(spec.carried[0] && spec.carried[1]);
  sdp(core_.answer(request(
      sdp_of("m=audio 1024 RTP/SAVP 0\na=turnpike-session:1 1 a 7 3\n" + chosen(back), "100::"),
      "a", "b")));
  EXPECT_EQ(core_.leg(Side::kB).carriage, (Carriage{101, 1, Side::kA, 7, 3}));
  EXPECT_EQ(core_.asked, (std::set<std::string>{"dmz/edge-1", "dmz/edge-2"}));
}

TEST_F(PairCall, flows_that_are_other_ones_are_told_to_their_sessions) {
  offer_in(client_sdp());
  answer_out(phone_sdp());
  edge_.flows = 500;
  const int before = edge_.relay.session(0).updates[1];
  edge_.service->on_flows_changed("dmz/other");
  EXPECT_EQ(edge_.relay.session(0).updates[1], before);
  edge_.service->on_flows_changed("dmz/core-1");
  EXPECT_EQ(edge_.leg(Side::kB).carriage.flow, 500);
  EXPECT_EQ(edge_.leg(Side::kB).carriage.slot, 0U);
}

TEST_F(PairCall, a_restart_knows_the_other_nodes_session) {
  offer_in(client_sdp());
  answer_out(phone_sdp());
  for (Node* node : {&edge_, &core_}) {
    for (const auto& [key, record] : node->relay.records) {
      node->relay.records_found.emplace_back(key, record);
    }
    for (const auto& [id, session] : node->relay.sessions) {
      node->relay.sessions_found.push_back({id, session.ports});
    }
    node->flows = 300;
  }
  // Other zones and interfaces came meanwhile: indices are others, names are not.
  CallServiceConfig edge = edge_config();
  edge.interfaces.insert(edge.interfaces.begin(), {"lab", {}});
  edge.interfaces.insert(edge.interfaces.end() - 1, {"acme/core-1", {}});
  edge.zone_peers = 2;
  CallServiceConfig core = core_config();
  core.interfaces.insert(core.interfaces.end() - 2, {"dmz/edge-0", {}});
  core.zone_peers = 3;
  edge_.asked.clear();
  core_.asked.clear();
  edge_.start(edge);
  core_.start(core);
  EXPECT_EQ(edge_.service->adopt().calls, 1U);
  EXPECT_EQ(core_.service->adopt().calls, 1U);
  EXPECT_EQ(edge_.asked, std::set<std::string>{"dmz/core-1"});
  EXPECT_EQ(core_.asked, std::set<std::string>{"dmz/edge-1"});
  EXPECT_EQ(core_.leg(Side::kA).carriage.flow, 300) << "known at once";
  edge_.service->on_flows_changed("dmz/core-1");
  core_.service->on_flows_changed("dmz/edge-1");
  EXPECT_EQ(edge_.leg(Side::kB).carriage, (Carriage{300, 0, Side::kA, 0, 1}));
  EXPECT_EQ(core_.leg(Side::kA).carriage, (Carriage{300, 0, Side::kB, 0, 1}));
  EXPECT_EQ(core_.leg(Side::kA).receive.suite, SrtpSuite::kAesCm128HmacSha1_80);
}

TEST_F(PairCall, a_client_that_names_an_inside_address_is_sent_nothing_on_its_word) {
  CallServiceConfig config = edge_config();
  config.networks["dmz"] = {*parse_network("192.0.2.0/24")};
  edge_.start(config);
  offer_in(client_sdp());
  answer_out(phone_sdp());
  EXPECT_TRUE(edge_.leg(Side::kA).opaque);
  EXPECT_FALSE(edge_.leg(Side::kA).remote[0].is_set()) << "the core names the source that proves";
}

// ---- What is refused

std::string refusal(const Dict& reply) {
  EXPECT_EQ(text(reply, "result"), "error");
  return text(reply, "error-reason");
}

TEST_F(PairCall, plain_rtp_is_refused_by_either_node) {
  EXPECT_NE(refusal(edge_.offer(request(phone_sdp(), "a", "", {"outside", "dmz/core-1"})))
                .find("must be SRTP"),
            std::string::npos);
  auto plain = request(phone_sdp(), "a", "", {"inside", "dmz/edge-1"});
  plain.transport_protocol = "RTP/AVP";
  EXPECT_NE(refusal(core_.offer(plain)).find("must be SRTP"), std::string::npos);
  EXPECT_NE(refusal(core_.offer(request(phone_sdp("a=turnpike-session:1 0 b 0 1\n"), "a", "",
                                        {"dmz/edge-1", "inside"})))
                .find("must be SRTP"),
            std::string::npos);
  EXPECT_TRUE(edge_.relay.sessions.empty());
  EXPECT_TRUE(core_.relay.sessions.empty());
}

TEST_F(PairCall, srtp_without_any_keys_is_refused) {
  const auto bare =
      request(sdp_of("m=audio 4000 RTP/SAVP 0\n"), "a", "", {"outside", "dmz/core-1"});
  EXPECT_NE(refusal(edge_.offer(bare)).find("without a=crypto and without a=fingerprint"),
            std::string::npos);
}

TEST_F(PairCall, a_zone_that_requires_dtls_takes_no_keys_in_the_sdp) {
  CallServiceConfig config = edge_config();
  config.dtls_interfaces = {"dmz/core-1"};
  edge_.start(config);
  EXPECT_NE(refusal(edge_.offer(request(client_sdp(), "a", "", {"outside", "dmz/core-1"})))
                .find("require_dtls"),
            std::string::npos);
  offer_in(chromium_offer());
  zone_answer_ = sdp(core_.answer(
      request(sdp_of("m=audio 5000 RTP/AVP 8\nm=video 0 RTP/AVP 96\n", "10.0.0.50"), "a", "b")));
  EXPECT_EQ(text(edge_.answer(request(zone_answer_, "a", "b")), "result"), "ok");
}

TEST_F(PairCall, a_core_that_requires_dtls_takes_and_offers_nothing_else) {
  CallServiceConfig config = core_config();
  config.dtls_interfaces = {"dmz/edge-1"};
  core_.start(config);
  zone_offer_ = sdp(edge_.offer(request(client_sdp(), "a", "", {"outside", "dmz/core-1"})));
  EXPECT_NE(refusal(core_.offer(request(zone_offer_, "a", "", {"dmz/edge-1", "inside"})))
                .find("require_dtls"),
            std::string::npos);
  auto outwards = request(phone_sdp(), "a", "", {"inside", "dmz/edge-1"});
  outwards.transport_protocol = "RTP/SAVP";
  EXPECT_NE(refusal(core_.offer(outwards)).find("require_dtls"), std::string::npos);
  outwards.transport_protocol = "UDP/TLS/RTP/SAVPF";
  EXPECT_EQ(text(core_.offer(outwards), "result"), "ok");
}

TEST_F(PairCall, a_shard_without_a_flow_takes_no_call) {
  core_.unbound_shard = 0;
  zone_offer_ = sdp(edge_.offer(request(client_sdp(), "a", "", {"outside", "dmz/core-1"})));
  EXPECT_NE(refusal(core_.offer(request(zone_offer_, "a", "", {"dmz/edge-1", "inside"})))
                .find("no media can go to dmz/edge-1"),
            std::string::npos);
  EXPECT_TRUE(core_.relay.sessions.empty());
  core_.unbound_shard = -2;
  edge_.unbound_shard = 1;  // where the core has this one
  offer_in(client_sdp());
  zone_answer_ = sdp(core_.answer(request(phone_sdp(), "a", "b")));
  EXPECT_NE(refusal(edge_.answer(request(zone_answer_, "a", "b"))).find("no media can go to"),
            std::string::npos);
}

TEST_F(PairCall, a_node_that_names_no_session_is_refused) {
  const auto refused = [&](const std::string& line) {
    return refusal(core_.offer(request(client_sdp(line), "a", "", {"dmz/edge-1", "inside"})));
  };
  EXPECT_NE(refused("").find("no a=turnpike-session"), std::string::npos);
  EXPECT_NE(refused("a=turnpike-session:2 0 b 0 1\n").find("another version"), std::string::npos);
  for (const char* damaged : {"1", "1 0 c 0 1", "1 0 b 0 0", "1 256 b 0 1", "1 0 b 0 1 1",
                              "1 0 b 0", "1 0 b 4294967296 1", "1 0 b 16777216 1", "1  0 b 0 1",
                              "x 0 b 0 1", "", "1 0 b -1 1", "1 0 b 0 1 "}) {
    EXPECT_NE(refused("a=turnpike-session:" + std::string(damaged) + "\n").find("damaged"),
              std::string::npos)
        << damaged;
  }
  EXPECT_NE(refused("a=turnpike-session:1 0 b 0 1\na=turnpike-session:1 0 b 1 1\n").find("damaged"),
            std::string::npos);
  EXPECT_TRUE(core_.relay.sessions.empty());
}

TEST_F(PairCall, an_edge_relays_nothing_but_between_a_client_and_a_core) {
  for (const auto& direction : {std::vector<std::string>{"outside", "outside"},
                                std::vector<std::string>{"dmz/core-1", "dmz/core-1"}}) {
    EXPECT_NE(refusal(edge_.offer(request(client_sdp(), "a", "", direction)))
                  .find("between its clients and a core"),
              std::string::npos);
  }
  EXPECT_NE(refusal(edge_.offer(request(client_sdp(), "a", "", {"outside", "dmz/core-9"})))
                .find("not configured"),
            std::string::npos);
}

TEST_F(PairCall, without_a_flow_no_call_begins_and_those_that_are_up_go_on) {
  edge_.bound = false;
  const auto refused =
      refusal(edge_.offer(request(client_sdp(), "a", "", {"outside", "dmz/core-1"})));
  EXPECT_NE(refused.find("no media can go to dmz/core-1 now"), std::string::npos) << refused;
  // A SIP server that asks why is told that there is no room: 503, another core may have some.
  Dict reply;
  edge_.service->remove(request("", "a", ""), [&](Dict dict) { reply = std::move(dict); });
  EXPECT_EQ(text(reply, "result"), "error");
  edge_.bound = true;
  offer_in(client_sdp());
  answer_out(phone_sdp());
  edge_.bound = core_.bound = false;
  offer_in(client_sdp("a=sendonly\n"), "b");
  answer_out(phone_sdp("a=recvonly\n"));
}

}  // namespace
}  // namespace turnpike::call
