// A traversal pair for calls: two services, an edge and a core, each on its own relay; every
// description goes through both.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/call/call_fixture.h"

namespace turnpike::call {

/// One node of the pair.
struct Node {
  explicit Node(const CallServiceConfig& config) : relay(config.interfaces) { start(config); }
  void start(const CallServiceConfig& config) {
    CallService::Environment environment;
    environment.clock = [] { return Instant{Seconds{1000}}; };
    environment.random_bytes = [this](void* data, std::size_t size) {
      auto* bytes = static_cast<std::uint8_t*>(data);
      for (std::size_t i = 0; i < size; ++i) bytes[i] = next_random++;
    };
    environment.flow_to = [this](const std::string& peer, std::uint16_t shard) {
      asked.insert(peer);
      return static_cast<std::uint16_t>(flows + shard);
    };
    environment.has_flow = [this](const std::string&, int shard) {
      return bound && shard != unbound_shard;
    };
    service = CallService::create(config, relay, environment);
  }
  Dict offer(const CallRequest& request) {
    Dict reply;
    service->offer(request, [&](Dict dict) { reply = std::move(dict); });
    return reply;
  }
  Dict answer(const CallRequest& request) {
    Dict reply;
    service->answer(request, [&](Dict dict) { reply = std::move(dict); });
    return reply;
  }
  const LegConfig& leg(Side side, std::size_t session = 0) {
    return relay.session(session).legs[index_of(side)];
  }

  test::FakeRelay relay;
  std::unique_ptr<CallService> service;
  std::uint8_t next_random = 1;
  std::uint16_t flows = 100;
  bool bound = true;
  int unbound_shard = -2;
  std::set<std::string> asked;
};

inline CallServiceConfig edge_config() {
  CallServiceConfig config = test_config();
  config.interfaces.erase(config.interfaces.begin() + 1);
  config.interfaces.push_back({"dmz/core-1", {}});
  config.zone_peers = 1;
  config.pair_role = PairRole::kEdge;
  config.srtp_interfaces = {"outside", "dmz/core-1"};
  return config;
}

inline CallServiceConfig core_config() {
  CallServiceConfig config = test_config();
  config.interfaces.erase(config.interfaces.begin());
  config.interfaces.push_back({"dmz/edge-1", {}});
  config.interfaces.push_back({"dmz/edge-2", {}});
  config.zone_peers = 2;
  config.pair_role = PairRole::kCore;
  config.srtp_interfaces = {"dmz/edge-1", "dmz/edge-2"};
  return config;
}

inline CallRequest request(std::string sdp, std::string from, std::string to,
                           std::vector<std::string> direction = {}) {
  CallRequest request;
  request.call_id = "call-1";
  request.from_tag = std::move(from);
  request.to_tag = std::move(to);
  request.sdp = std::move(sdp);
  request.direction = std::move(direction);
  return request;
}

inline std::string sdp(const Dict& reply) {
  EXPECT_EQ(text(reply, "result"), "ok") << text(reply, "error-reason");
  return text(reply, "sdp");
}

class PairCall : public testing::Test {
 protected:
  /// From outside in; what the phone is offered.
  std::string offer_in(const std::string& client, std::string to = "") {
    const auto passed = request(client, "a", to, {"outside", "dmz/core-1"});
    zone_offer_ = sdp(edge_.offer(passed));
    auto inside = request(zone_offer_, "a", std::move(to), {"dmz/edge-1", "inside"});
    inside.transport_protocol = "RTP/AVP";
    inside.rtcp_mux = {RtcpMuxFlag::kDemux};
    return sdp(core_.offer(inside));
  }
  /// The phone's answer; what the client gets.
  std::string answer_out(const std::string& phone) {
    zone_answer_ = sdp(core_.answer(request(phone, "a", "b")));
    return sdp(edge_.answer(request(zone_answer_, "a", "b")));
  }
  /// From inside out; what the client is offered.
  std::string offer_out(const std::string& phone, const std::string& protocol, IceWish ice) {
    auto keyed = request(phone, "a", "", {"inside", "dmz/edge-1"});
    keyed.transport_protocol = protocol;
    zone_offer_ = sdp(core_.offer(keyed));
    auto passed = request(zone_offer_, "a", "", {"dmz/core-1", "outside"});
    passed.ice = ice;
    return sdp(edge_.offer(passed));
  }
  std::string answer_in(const std::string& client) {
    zone_answer_ = sdp(edge_.answer(request(client, "a", "b")));
    return sdp(core_.answer(request(zone_answer_, "a", "b")));
  }

  Node edge_{edge_config()};
  Node core_{core_config()};
  std::string zone_offer_;
  std::string zone_answer_;
};

}  // namespace turnpike::call
