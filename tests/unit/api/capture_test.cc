// POST /v1/calls/capture: what it takes, what it refuses, and who is told.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/api/endpoints.h"
#include "tests/unit/api/fakes.h"

namespace turnpike::api {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class NoPackets final : public Captures {
 public:
  bool add(const CaptureTap& tap) override {
    taps.push_back(tap);
    return true;
  }
  void remove(const CaptureTap&) override {}
  std::uint64_t missed(std::uint8_t) const override { return 0; }
  void poll(const std::function<void(const CapturedPacket&)>&) override {}

  std::vector<CaptureTap> taps;
};

class CaptureEndpointTest : public testing::Test {
 protected:
  CaptureEndpointTest() : service_(relay_captures_, environment()), endpoints_(context()) {}

  capture::Service::Environment environment() {
    capture::Service::Environment environment;
    environment.clock = [] { return Instant{Seconds(1000)}; };
    environment.date = [] { return capture::Date{}; };
    environment.calls = [](const std::string& call_id) {
      std::vector<call::CallSummary> calls;
      if (call_id != "known") return calls;
      calls.resize(1);
      calls[0].sessions.resize(1);
      calls[0].sessions[0].id = {1, 1, 0};
      return calls;
    };
    environment.ended = [](const capture::End&) {};
    return environment;
  }
  EndpointsContext context() {
    EndpointsContext context{.relay = relay_,
                             .calls = calls_,
                             .node_name = "edge1",
                             .clock = [] { return Instant{Seconds(1000)}; },
                             .draining = [] { return false; },
                             .metrics = [] { return Response{}; }};
    context.log_operation = [this](const char* what, const std::string& object, const Request&) {
      operations_.push_back(std::string(what) + " " + object);
    };
    context.captures = &service_;
    return context;
  }
  Response post(std::map<std::string, std::string> query, Door door = Door::kUnix) {
    Response got;
    endpoints_.handle({door, "/v1/calls/capture", Method::kPost, std::move(query)},
                      [&got](Response response) { got = std::move(response); });
    return got;
  }

  FakeRelay relay_;
  FakeCalls calls_;
  NoPackets relay_captures_;
  std::vector<std::string> operations_;
  capture::Service service_;
  Endpoints endpoints_;
};

TEST_F(CaptureEndpointTest, a_known_call_streams_and_is_logged) {
  const Response response = post(
      {{"call_id", "known"}, {"leg", "b"}, {"headers", "true"}, {"seconds", "600"}}, Door::kApi);
  EXPECT_EQ(response.status, 200u);
  EXPECT_EQ(response.content_type, "application/x-pcapng");
  ASSERT_NE(response.stream, nullptr);
  EXPECT_FALSE(response.stream->take(100).empty()) << "the file begins at once";
  ASSERT_EQ(relay_captures_.taps.size(), 1u);
  EXPECT_TRUE(relay_captures_.taps[0].headers_only);
  EXPECT_FALSE(relay_captures_.taps[0].plain_payload);
  EXPECT_THAT(operations_, ElementsAre("capture known leg=b headers"));
}

TEST_F(CaptureEndpointTest, payload_is_given_on_the_unix_socket_only) {
  EXPECT_EQ(post({{"call_id", "known"}, {"plain_payload", "true"}}, Door::kApi).status, 403u);
  EXPECT_EQ(post({{"call_id", "known"}, {"headers", "false"}}, Door::kApi).status, 403u);
  EXPECT_TRUE(relay_captures_.taps.empty() && operations_.empty());
  EXPECT_EQ(post({{"call_id", "known"}}, Door::kApi).status, 200u);
  ASSERT_EQ(relay_captures_.taps.size(), 2u);
  for (const CaptureTap& tap : relay_captures_.taps) {
    EXPECT_TRUE(tap.headers_only) << "what a leg receives may be plain whatever was agreed";
  }
  EXPECT_THAT(std::exchange(operations_, {}), ElementsAre("capture known headers"));
  EXPECT_EQ(post({{"call_id", "known"}, {"plain_payload", "true"}}).status, 200u);
  EXPECT_THAT(operations_, ElementsAre("capture known plain_payload"));
}

TEST_F(CaptureEndpointTest, wrong_queries_and_unknown_calls_are_refused) {
  EXPECT_EQ(post({}).status, 400u);
  EXPECT_EQ(post({{"call_id", ""}}).status, 400u);
  EXPECT_EQ(post({{"call_id", "known"}, {"leg", "c"}}).status, 400u);
  EXPECT_EQ(post({{"call_id", "known"}, {"headers", "yes"}}).status, 400u);
  EXPECT_EQ(post({{"call_id", "known"}, {"keys", "true"}}).status, 400u);
  for (const char* seconds : {"0", "601", "-1", "1x", "", "99999999999999999999"}) {
    EXPECT_EQ(post({{"call_id", "known"}, {"seconds", seconds}}).status, 400u) << seconds;
  }
  EXPECT_EQ(post({{"call_id", "known"}, {"packets", "1000001"}}).status, 400u);
  EXPECT_EQ(post({{"call_id", "other"}}).status, 404u);
  std::vector<Response> running;
  for (std::size_t i = 0; i < capture::kCapturesMax; ++i) {
    running.push_back(post({{"call_id", "known"}}));
    EXPECT_EQ(running.back().status, 200u);
  }
  const Response fifth = post({{"call_id", "known"}});
  EXPECT_EQ(fifth.status, 409u);
  EXPECT_THAT(fifth.body, HasSubstr("4 captures run already"));
  running.pop_back();
  EXPECT_EQ(post({{"call_id", "known"}}).status, 200u) << "there is room again";
}

TEST_F(CaptureEndpointTest, configuration_may_forbid_captures_or_their_payload) {
  service_.allow(capture::Allowed::kHeaders);
  const Response whole = post({{"call_id", "known"}});
  EXPECT_EQ(whole.status, 403u);
  EXPECT_THAT(whole.body, HasSubstr("only headers"));
  EXPECT_EQ(post({{"call_id", "known"}, {"headers", "true"}}).status, 200u);
  service_.allow(capture::Allowed::kNothing);
  EXPECT_EQ(post({{"call_id", "known"}, {"headers", "true"}}).status, 403u);
}

TEST_F(CaptureEndpointTest, a_place_is_kept_for_the_unix_socket) {
  std::vector<Response> running;
  for (std::size_t i = 0; i < capture::kRemoteCapturesMax; ++i) {
    running.push_back(post({{"call_id", "known"}}, Door::kApi));
    EXPECT_EQ(running.back().status, 200u);
  }
  const Response refused = post({{"call_id", "known"}}, Door::kApi);
  EXPECT_EQ(refused.status, 409u);
  EXPECT_THAT(refused.body, HasSubstr("3 captures run already"));
  EXPECT_EQ(post({{"call_id", "known"}}).status, 200u);
}

}  // namespace
}  // namespace turnpike::api
