// What an offer and an answer cost before and after the sockets, stage by stage: NG message in and
// out, description, and a whole call in the call service on a relay that does nothing.
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <benchmark/benchmark.h>
#include <sys/random.h>

#include "control/call/call_service.h"
#include "control/call/rewrite.h"
#include "control/ng/bencode.h"
#include "control/ng/request.h"
#include "control/sdp/crypto.h"
#include "control/sdp/sdp.h"
#include "tests/support/fake_relay.h"

namespace turnpike {
namespace {

/// As a phone with SDES writes it.
constexpr std::string_view kOffer =
    "v=0\r\n"
    "o=alice 2890844526 2890844526 IN IP4 198.51.100.20\r\n"
    "s=call\r\n"
    "c=IN IP4 198.51.100.20\r\n"
    "t=0 0\r\n"
    "m=audio 49170 RTP/SAVP 96 9 0 8 101\r\n"
    "a=rtpmap:96 opus/48000/2\r\n"
    "a=fmtp:96 useinbandfec=1\r\n"
    "a=rtpmap:9 G722/8000\r\n"
    "a=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-16\r\n"
    "a=crypto:1 AEAD_AES_256_GCM "
    "inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis=\r\n"
    "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n"
    "a=crypto:3 AES_CM_128_HMAC_SHA1_32 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj\r\n"
    "a=rtcp-mux\r\n"
    "a=ptime:20\r\n"
    "a=sendrecv\r\n";

constexpr std::string_view kAnswer =
    "v=0\r\n"
    "o=bob 1 1 IN IP4 10.0.0.20\r\n"
    "s=-\r\n"
    "c=IN IP4 10.0.0.20\r\n"
    "t=0 0\r\n"
    "m=audio 40000 RTP/AVP 8 101\r\n"
    "a=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\n"
    "a=sendrecv\r\n";

std::string text(std::string_view value) {
  return std::to_string(value.size()) + ':' + std::string(value);
}

/// As Kamailio's rtpengine module writes it, in its order.
std::string kamailio_offer() {
  std::string message = "d" + text("supports") + "l" + text("load limit") + "e";
  message += text("sdp") + text(kOffer) + text("ICE") + text("remove");
  message += text("direction") + "l" + text("outside") + text("inside") + "e";
  message += text("replace") + "l" + text("origin") + "e";
  message += text("transport-protocol") + text("RTP/AVP");
  message += text("call-id") + text("3c2670a1e0c1-7d2f@192.0.2.10");
  message += text("via-branch") + text("z9hG4bK776asdhds");
  message += text("received-from") + "l" + text("IP4") + text("198.51.100.20") + "e";
  message += text("from-tag") + text("1928301774") + text("command") + text("offer") + "e";
  return message;
}

void ng_decode_offer(benchmark::State& state) {
  const std::string message = kamailio_offer();
  for (auto _ : state) {
    auto value = ng::decode_bencode(message);
    if (!value) return state.SkipWithError("not decoded");
    benchmark::DoNotOptimize(value);
  }
}
BENCHMARK(ng_decode_offer);

void ng_read_keys_of_offer(benchmark::State& state) {
  const auto value = ng::decode_bencode(kamailio_offer());
  if (!value) return state.SkipWithError("not decoded");
  ng::IgnoredNames ignored(nullptr);
  for (auto _ : state) {
    benchmark::DoNotOptimize(ng::to_call_request(*value->as_dict(), ignored));
  }
}
BENCHMARK(ng_read_keys_of_offer);

void ng_encode_reply(benchmark::State& state) {
  const ng::Value::Dict reply = {{"result", "ok"}, {"sdp", kOffer}};
  for (auto _ : state) benchmark::DoNotOptimize(ng::encode_bencode(reply));
}
BENCHMARK(ng_encode_reply);

void sdp_parse_sdes_offer(benchmark::State& state) {
  for (auto _ : state) {
    auto session = sdp::parse(kOffer);
    if (!session) return state.SkipWithError("not parsed");
    benchmark::DoNotOptimize(session);
  }
}
BENCHMARK(sdp_parse_sdes_offer);

/// Towards a side that is offered six suites, as the call service does it.
void sdp_parse_rewrite_write_sdes_offer(benchmark::State& state) {
  call::OutgoingMedia outgoing;
  outgoing.accepted = true;
  outgoing.protocol = "RTP/SAVP";
  outgoing.rtp = {IpAddress::v4(10, 0, 0, 1), 36000};
  outgoing.rtcp_port = 36001;
  unsigned tag = 0;
  for (const SrtpSuite suite : sdp::kSuitePreference) {
    SrtpKeying keying;
    keying.suite = suite;
    outgoing.crypto.push_back({++tag, sdp::SecretKeying(keying)});
  }
  const std::vector<call::OutgoingMedia> all(1, outgoing);
  for (auto _ : state) {
    auto session = sdp::parse(kOffer);
    if (!session) return state.SkipWithError("not parsed");
    call::rewrite(*session, all, {});
    benchmark::DoNotOptimize(sdp::write(*session));
  }
}
BENCHMARK(sdp_parse_rewrite_write_sdes_offer);

/// Offer, answer and delete with everything but NG and the relay: descriptions, keys, record.
/// `secure`: the side that answers is offered SRTP too.
void call_offer_answer_delete(benchmark::State& state) {
  const bool secure = state.range(0) != 0;
  call::CallServiceConfig config;
  const IpAddress outside = IpAddress::v4(198, 51, 100, 1);
  const IpAddress inside = IpAddress::v4(10, 0, 0, 1);
  config.interfaces = {{"outside", {{outside, outside}}}, {"inside", {{inside, inside}}}};
  test::FakeRelay relay(config.interfaces);
  call::CallService::Environment environment;
  Instant now{Seconds{1000}};
  environment.clock = [&] { return now; };
  environment.random_bytes = [](void* data, std::size_t size) { std::memset(data, 0x5a, size); };
  environment.log = [](const auto&, const auto&) {};
  const auto service = call::CallService::create(config, relay, environment);
  call::CallRequest request;
  request.call_id = "3c2670a1e0c1-7d2f@192.0.2.10";
  request.from_tag = "1928301774";
  bool failed = false;
  const auto check = [&](const ng::Value::Dict& reply) {
    failed = failed || ng::text_of(ng::find(reply, "result")) != "ok";
  };
  std::string answer(kAnswer);
  for (auto _ : state) {
    request.to_tag.clear();
    request.sdp = kOffer;
    request.transport_protocol = secure ? "RTP/SAVP" : "RTP/AVP";
    std::string offered;
    service->offer(request, [&](ng::Value::Dict reply) {
      check(reply);
      offered = ng::text_of(ng::find(reply, "sdp"));
    });
    request.to_tag = "a6c85cf";
    request.sdp = answer;
    if (secure) {
      request.sdp.replace(request.sdp.find("RTP/AVP"), 7, "RTP/SAVP");
      const std::size_t line = offered.find("a=crypto:");
      if (line == std::string::npos) return state.SkipWithError("no key was offered");
      request.sdp += offered.substr(line, offered.find("\r\n", line) + 2 - line);
    }
    request.transport_protocol = "RTP/SAVP";
    service->answer(request, check);
    service->remove(request, check);
    relay.poll_events([&](const Event& event) { service->on_event(event); });
    if (failed) return state.SkipWithError("a request was refused");
  }
}
BENCHMARK(call_offer_answer_delete)->ArgName("secure")->Arg(0)->Arg(1);

}  // namespace
}  // namespace turnpike
