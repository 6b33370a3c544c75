// Random sequences of requests, failures and events against a FakeRelay. Whatever happens: sessions
// and calls belong to each other, keys are never shared or used again, an SRTP leg stays one, every
// request gets one reply, bundled m-lines have a transport of their call that lives, and deletion
// leaves nothing.
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "control/call/call_service.h"
#include "control/sdp/crypto.h"
#include "tests/support/fake_relay.h"

namespace turnpike::call {
namespace {

using Key = std::pair<SrtpSuite, std::array<std::uint8_t, 32>>;
using Leg = std::pair<SessionId, Side>;

CallServiceConfig config_of_test() {
  CallServiceConfig config;
  const IpAddress outside = IpAddress::v4(198, 51, 100, 1);
  const IpAddress inside = IpAddress::v4(10, 0, 0, 1);
  const IpAddress inside6 = *parse_ip("fd00::1");
  config.interfaces = {{"outside", {{outside, outside}}},
                       {"inside", {{inside, inside}, {inside6, inside6}}}};
  config.calls_max = 4;
  return config;
}

class World {
 public:
  explicit World(std::uint32_t seed) : random_(seed), relay_(config_of_test().interfaces) {
    start();
  }

  void step() {
    now_ += Milliseconds{static_cast<int>(below(3000))};
    relay_.opens_until_out_of_ports = below(10) == 0 ? below(2) : 1000;
    relay_.sessions_max = below(20) == 0 ? 2 : 1000;
    relay_.lose_events = below(10) == 0;
    switch (below(12)) {
      case 0:
        return remove(pick_call());
      case 1:
        return timeout();
      case 2:
        service_->on_tick();
        return deliver();
      case 3:
        if (below(20) == 0) crash();
        return;
      case 4: {
        ++asked_;
        CallRequest request;
        request.call_id = pick_call();
        service_->query(request, [this](ng::Value::Dict) { ++replied_; });
        return deliver();
      }
      case 5:
      case 6:
      case 7:
        return answer();
      default:
        return offer();
    }
  }

  void check() {
    std::set<SessionId> owned;
    for (const CallSummary& call : service_->calls()) {
      for (const SessionSummary& session : call.sessions) {
        EXPECT_TRUE(owned.insert(session.id).second) << "two calls have one session";
      }
    }
    std::set<SessionId> open;
    for (const auto& [id, session] : relay_.sessions) open.insert(id);
    EXPECT_EQ(owned, open);
    EXPECT_EQ(relay_.records.size(), service_->call_count());
    EXPECT_LE(service_->call_count(), config_of_test().calls_max);
    check_keys();
    check_bundles();
  }

  void finish() {
    relay_.lose_events = false;
    for (const CallSummary& call : service_->calls()) remove_now(call.call_id);
    now_ += Seconds{60};
    service_->on_tick();
    deliver();
    EXPECT_EQ(service_->call_count(), 0U);
    EXPECT_TRUE(relay_.sessions.empty());
    EXPECT_TRUE(relay_.records.empty());
    EXPECT_EQ(asked_, replied_ + lost_in_crash_);
  }

  int answered() const { return answered_; }
  int bundled() const { return bundled_; }
  int carried() const { return carried_; }
  int keyed() const { return static_cast<int>(owner_of_key_.size()); }

 private:
  std::uint32_t below(std::size_t n) { return static_cast<std::uint32_t>(random_() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  std::string pick_call() { return "call-" + std::to_string(below(6)); }
  std::string pick_tag() { return std::string(1, "aaabbbcd"[below(8)]); }

  void start() {
    CallService::Environment environment;
    environment.clock = [this] { return now_; };
    environment.random_bytes = [this](void* data, std::size_t size) {
      for (std::size_t i = 0; i < size; ++i) {
        static_cast<std::uint8_t*>(data)[i] = static_cast<std::uint8_t>(random_());
      }
    };
    environment.unix_time_us = [] { return std::int64_t{1'000'000}; };
    service_ = CallService::create(config_of_test(), relay_, environment);
  }

  std::string crypto_line(unsigned tag, SrtpSuite suite, bool damaged) {
    SrtpKeying keying;
    keying.suite = suite;
    for (std::size_t i = 0; i < info_of(suite).key_bytes; ++i) {
      keying.master_key[i] = static_cast<std::uint8_t>(random_());
    }
    std::string line = "a=crypto:" + sdp::write_crypto(tag, keying);
    if (damaged) line.resize(line.size() - below(20));
    return line + "\n";
  }

  std::string description(bool secure, const std::string& crypto, std::size_t lines) {
    const bool v6 = one_in(6);
    const char* address = one_in(8) ? (v6 ? "::" : "0.0.0.0") : (v6 ? "2001:db8::7" : "192.0.2.7");
    std::string text = "v=0\no=- 1 1 IN IP4 192.0.2.7\ns=-\n";
    text += std::string("c=IN ") + (v6 ? "IP6 " : "IP4 ") + address + "\nt=0 0\n";
    const bool grouped = lines > 1 && !one_in(4);
    if (grouped) {
      text += "a=group:BUNDLE";
      for (std::size_t i = 0; i < lines; ++i) {
        if (!one_in(6)) text += " " + std::to_string((i + below(2)) % lines);
      }
      text += "\n";
    }
    for (std::size_t i = 0; i < lines; ++i) {
      const bool bundle_only = grouped && i != 0 && one_in(4);
      text += one_in(8) != (i != 0) ? "m=video " : "m=audio ";
      text += bundle_only || one_in(grouped && i == 0 ? 3 : 10)
                  ? "0 "
                  : std::to_string(2000 + below(100)) + " ";
      text += one_in(20) ? "udptl t38\n" : secure ? "RTP/SAVP 0\n" : "RTP/AVP 0\n";
      if (!bundle_only || one_in(3)) text += crypto;
      if (grouped) text += "a=mid:" + std::to_string(one_in(15) ? 0 : i) + "\n";
      if (bundle_only) text += "a=bundle-only\n";
      if (grouped ? !one_in(6) : one_in(3)) text += "a=rtcp-mux\n";
      if (one_in(4)) text += "a=sendonly\n";
    }
    if (one_in(15)) text.erase(below(text.size()), below(8));
    return text;
  }

  CallRequest request() {
    CallRequest request;
    request.call_id = pick_call();
    request.from_tag = pick_tag();
    if (!one_in(3)) request.to_tag = pick_tag();
    if (one_in(4)) request.direction = {"inside", "outside"};
    request.port_latching = one_in(3);
    request.supports_load_limit = one_in(2);
    if (one_in(8)) request.rtcp_mux = {static_cast<RtcpMuxFlag>(below(5))};
    return request;
  }

  ReplyFunction keep_reply(std::string& sdp) {
    ++asked_;
    return [this, &sdp](ng::Value::Dict reply) {
      ++replied_;
      for (const auto& [key, value] : reply) {
        if (key == "sdp") sdp = *value.as_string();
      }
    };
  }

  void offer() {
    CallRequest r = request();
    const bool secure = one_in(2);
    std::string crypto;
    if (secure || one_in(10)) {
      crypto = crypto_line(1, SrtpSuite::kAesCm128HmacSha1_80, one_in(10));
      if (one_in(3)) crypto = crypto_line(2, SrtpSuite::kAeadAes128Gcm, false) + crypto;
    }
    r.sdp = description(secure, crypto, one_in(2) ? 1 + below(3) : 1);
    if (!one_in(3)) r.transport_protocol = one_in(2) ? "RTP/SAVP" : "RTP/AVP";
    if (one_in(20)) r.sdes = {"off"};
    std::string out;
    service_->offer(r, keep_reply(out));
    if (!out.empty()) offered_[r.call_id] = {r.from_tag, out};
    if (!one_in(3)) deliver();
  }

  void answer() {
    CallRequest r = request();
    const auto& [tag, offered] = offered_[r.call_id];
    if (!one_in(8)) r.from_tag = tag;
    if (r.to_tag.empty() && !one_in(8)) r.to_tag = "b";
    const bool secure = offered.find("RTP/SAVP") != std::string::npos;
    std::string crypto;
    if (secure) {
      crypto = crypto_line(static_cast<unsigned>(below(7)), sdp::kSuitePreference[below(6)], false);
      const auto lines = lines_of(offered);
      if (!lines.empty() && !one_in(4)) {
        const auto line = sdp::parse_crypto(lines[below(lines.size())]);
        crypto = crypto_line(line.tag, line.suite, one_in(20));
      }
    }
    std::size_t lines = 0;
    for (std::size_t at = 0; (at = offered.find("\nm=", at)) != std::string::npos; ++at) ++lines;
    if (one_in(10)) lines = 1 + below(3);
    r.sdp = description(one_in(12) ? !secure : secure, crypto, std::max<std::size_t>(lines, 1));
    std::string out;
    service_->answer(r, keep_reply(out));
    answered_ += out.empty() ? 0 : 1;
    check_group(out);
    if (!one_in(3)) deliver();
  }

  static std::vector<std::string> lines_of(const std::string& sdp) {
    std::vector<std::string> found;
    for (std::size_t at = sdp.find("a=crypto:"); at != std::string::npos;
         at = sdp.find("a=crypto:", at + 1)) {
      found.push_back(sdp.substr(at + 9, sdp.find("\r\n", at) - at - 9));
    }
    return found;
  }

  /// What an answer's group names are m-lines that it accepts, at one port.
  static void check_group(const std::string& sdp) {
    const std::string start = "\r\na=group:BUNDLE";
    std::size_t at = sdp.find(start);
    if (at == std::string::npos) return;
    at += start.size();
    const std::string group = sdp.substr(at, sdp.find("\r\n", at) - at) + " ";
    std::set<std::string> ports;
    for (std::size_t line = sdp.find("\r\nm="); line != std::string::npos;
         line = sdp.find("\r\nm=", line + 1)) {
      const std::string media = sdp.substr(line + 2, sdp.find("\r\nm=", line + 1) - line - 2);
      const std::size_t mid = media.find("a=mid:");
      if (mid == std::string::npos) continue;
      const std::string name = media.substr(mid + 6, media.find("\r\n", mid) - mid - 6);
      const std::size_t port = media.find(' ') + 1;
      if (group.find(" " + name + " ") == std::string::npos) continue;
      ports.insert(media.substr(port, media.find(' ', port) - port));
    }
    EXPECT_EQ(ports.size(), 1U) << sdp;
    EXPECT_FALSE(ports.contains("0")) << sdp;
  }

  void remove(const std::string& call_id) {
    ++asked_;
    CallRequest r = request();
    r.call_id = call_id;
    if (one_in(4)) r.delete_delay = Seconds{5};
    service_->remove(r, [this](ng::Value::Dict) { ++replied_; });
    if (!one_in(3)) deliver();
  }
  void remove_now(const std::string& call_id) {
    ++asked_;
    CallRequest r;
    r.call_id = call_id;
    service_->remove(r, [this](ng::Value::Dict) { ++replied_; });
  }

  void timeout() {
    if (relay_.sessions.empty()) return;
    Event event;
    event.kind = EventKind::kMediaTimeout;
    event.session = relay_.id_of(below(relay_.sessions.size()));
    event.side = one_in(2) ? Side::kA : Side::kB;
    service_->on_event(event);
    deliver();
  }

  void deliver() {
    relay_.poll_events([this](const Event& event) { service_->on_event(event); });
  }

  void crash() {
    relay_.sessions_found.clear();
    for (const auto& [id, session] : relay_.sessions) {
      relay_.sessions_found.push_back({id, session.ports});
    }
    relay_.records_found.assign(relay_.records.begin(), relay_.records.end());
    start();
    service_->adopt();
    lost_in_crash_ = asked_ - replied_;
    deliver();
  }

  void check_keys() {
    for (const auto& [id, session] : relay_.sessions) {
      for (const Side side : {Side::kA, Side::kB}) {
        const LegConfig& leg = session.legs[index_of(side)];
        const Leg name{id, side};
        if (!leg.must_encrypt) {
          // The only way to plain RTP is that the answer to the first offer had not come.
          EXPECT_FALSE(keyed_.contains(name)) << "SRTP leg became plain";
          EXPECT_EQ(leg.send.suite, SrtpSuite::kNone);
          EXPECT_EQ(leg.receive.suite, SrtpSuite::kNone);
        }
        if (leg.send.suite == SrtpSuite::kNone) {
          present_key_.erase(name);  // the relay forgets its indices
          continue;
        }
        keyed_.insert(name);
        const Key key{leg.send.suite, leg.send.master_key};
        const auto [owner, is_new] = owner_of_key_.emplace(key, name);
        EXPECT_EQ(owner->second, name) << "two legs send with one key";
        const auto present = present_key_.find(name);
        if (present == present_key_.end() || present->second != key) {
          EXPECT_TRUE(is_new) << "a key came back after another was in use";
          present_key_[name] = key;
        }
        EXPECT_NE(leg.send.master_key, leg.receive.master_key);
      }
    }
  }

  void check_bundles() {
    for (const auto& [id, session] : relay_.sessions) {
      for (const Side side : {Side::kA, Side::kB}) {
        const LegConfig& leg = session.legs[index_of(side)];
        const SessionId carrier = leg.bundle.transport;
        if (!carrier.is_set()) continue;
        ++bundled_;
        const auto found = relay_.sessions.find(carrier);
        ASSERT_NE(found, relay_.sessions.end()) << "the transport is gone";
        EXPECT_EQ(carrier.shard, id.shard);
        const LegConfig& transport = found->second.legs[index_of(side)];
        EXPECT_TRUE(transport.must_encrypt || !leg.must_encrypt);
        EXPECT_TRUE(leg.rtcp_mux && transport.rtcp_mux);
        if (carrier == id) continue;
        carried_ += transport.bundle.transport.is_set() ? 0 : 1;
        EXPECT_TRUE(!transport.bundle.transport.is_set() || transport.bundle.transport == carrier)
            << "a transport on a transport";
        EXPECT_EQ(leg.send.suite, SrtpSuite::kNone);
        EXPECT_EQ(leg.receive.suite, SrtpSuite::kNone);
        EXPECT_FALSE(leg.remote[0].is_set() || leg.ice || leg.dtls);
      }
    }
  }

  std::mt19937 random_;
  test::FakeRelay relay_;
  std::unique_ptr<CallService> service_;
  Instant now_{Seconds{1000}};
  std::map<std::string, std::pair<std::string, std::string>> offered_;
  std::map<Key, Leg> owner_of_key_;
  std::map<Leg, Key> present_key_;
  std::set<Leg> keyed_;
  int asked_ = 0;
  int replied_ = 0;
  int lost_in_crash_ = 0;
  int answered_ = 0;
  int bundled_ = 0;
  int carried_ = 0;
};

TEST(CallProperty, nothing_leaks_and_no_key_is_used_twice) {
  int answered = 0;
  int keyed = 0;
  int bundled = 0;
  int carried = 0;
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    for (int i = 0; i < 400; ++i) {
      world.step();
      world.check();
      if (testing::Test::HasFailure()) FAIL() << "step " << i;
    }
    world.finish();
    answered += world.answered();
    keyed += world.keyed();
    bundled += world.bundled();
    carried += world.carried();
  }
  // The sequences must reach what they are about.
  EXPECT_GT(answered, 300);
  EXPECT_GT(keyed, 100);
  EXPECT_GT(bundled, 100);
  EXPECT_GT(carried, 1) << "by a session that has no m-line any more";
}

}  // namespace
}  // namespace turnpike::call
