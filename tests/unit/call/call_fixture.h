// A CallService on a FakeRelay with a settable clock and predictable keys, for the call tests.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "control/call/call_service.h"
#include "tests/support/fake_relay.h"

namespace turnpike::call {

inline Interface interface_of(std::string name, IpAddress v4, const char* v6) {
  const IpAddress ipv6 = *parse_ip(v6);
  return {std::move(name), {{v4, v4}, {ipv6, ipv6}}};
}

inline CallServiceConfig test_config() {
  CallServiceConfig config;
  config.interfaces = {interface_of("outside", IpAddress::v4(198, 51, 100, 1), "2001:db8:1::1"),
                       interface_of("inside", IpAddress::v4(10, 0, 0, 1), "fd00::1")};
  return config;
}

using Dict = ng::Value::Dict;

inline const ng::Value* find(const Dict& dict, std::string_view key) {
  for (const auto& [name, value] : dict) {
    if (name == key) return &value;
  }
  return nullptr;
}
inline std::string text(const Dict& dict, std::string_view key) {
  const ng::Value* value = find(dict, key);
  return value != nullptr && value->as_string() != nullptr ? *value->as_string() : "";
}
inline std::int64_t number(const Dict& dict, std::string_view key) {
  const ng::Value* value = find(dict, key);
  return value != nullptr && value->as_integer() != nullptr ? *value->as_integer() : -1;
}
inline const Dict& dict(const Dict& outer, std::string_view key) {
  static const Dict kNone;
  const ng::Value* value = find(outer, key);
  return value != nullptr && value->as_dict() != nullptr ? *value->as_dict() : kNone;
}

/// A description with these m= sections; lines may be separated by LF.
inline std::string sdp_of(std::string_view media, std::string_view connection = "192.0.2.10") {
  const bool is_v6 = connection.find(':') != std::string_view::npos;
  const std::string address = (is_v6 ? "IN IP6 " : "IN IP4 ") + std::string(connection);
  return "v=0\no=- 5 6 " + address + "\ns=-\nc=" + address + "\nt=0 0\n" + std::string(media);
}

/// Every line that begins with `start`, without it, joined by '|'.
inline std::string lines(const std::string& sdp, std::string_view start) {
  std::string found;
  std::size_t at = 0;
  while (at < sdp.size()) {
    const std::size_t end = sdp.find("\r\n", at);
    const std::string line = sdp.substr(at, end - at);
    if (line.starts_with(start)) found += (found.empty() ? "" : "|") + line.substr(start.size());
    if (end == std::string::npos) break;
    at = end + 2;
  }
  return found;
}

class CallTest : public testing::Test {
 protected:
  CallTest() { start(test_config()); }

  void start(CallServiceConfig config) {
    relay_ = std::make_unique<test::FakeRelay>(config.interfaces);
    restart(std::move(config));
  }
  /// A new service on the same relay, as after a crash of the process.
  void restart(CallServiceConfig config) {
    CallService::Environment environment;
    environment.clock = [this] { return now_; };
    environment.random_bytes = [this](void* data, std::size_t size) {
      auto* bytes = static_cast<std::uint8_t*>(data);
      for (std::size_t i = 0; i < size; ++i) bytes[i] = next_random_++;
    };
    environment.log = [this](const CallSummary& summary, const std::string& what) {
      log_.push_back(summary.call_id + ": " + what);
    };
    environment.ended = [this](const CallSummary& summary, const std::string& why,
                               const std::map<SessionId, SessionStats>& stats,
                               const auto& verdicts) {
      log_.push_back(summary.call_id + ": ended: " + why);
      ended_.push_back(summary);
      ended_stats_.clear();
      for (const auto& [id, figures] : stats) ended_stats_.push_back(figures);
      ended_verdicts_ = verdicts;
    };
    environment.keeps_ends = [this] { return keeps_ends_; };
    environment.adopt_end = [this](std::uint64_t, const std::string& bytes) {
      if (!bytes.starts_with("{")) return false;
      ends_adopted_.push_back(bytes);
      return true;
    };
    environment.silent = [this](const CallSummary&, const SessionSummary& session, Side side,
                                const diagnosis::Verdict& verdict) {
      silent_.push_back(session.kind + (side == Side::kA ? " a " : " b ") +
                        std::string(verdict.info().id));
    };
    environment.unix_time_us = [] { return std::int64_t{1'700'000'000'250'000}; };
    service_ = CallService::create(std::move(config), *relay_, std::move(environment));
  }

  static CallRequest request(std::string sdp, std::string from = "a", std::string to = "") {
    CallRequest request;
    request.call_id = "call-1";
    request.from_tag = std::move(from);
    request.to_tag = std::move(to);
    request.sdp = std::move(sdp);
    return request;
  }

  Dict offer(const CallRequest& request) {
    Dict reply;
    service_->offer(request, [&](Dict dict) { reply = std::move(dict); });
    return reply;
  }
  Dict answer(const CallRequest& request) {
    Dict reply;
    service_->answer(request, [&](Dict dict) { reply = std::move(dict); });
    return reply;
  }
  /// Deletes and delivers the relay's events.
  Dict remove(const CallRequest& request) {
    std::optional<Dict> reply;
    service_->remove(request, [&](Dict dict) { reply = std::move(dict); });
    deliver_events();
    EXPECT_TRUE(reply) << "delete got no reply";
    return reply.value_or(Dict{});
  }
  Dict query(const CallRequest& request) {
    std::optional<Dict> reply;
    service_->query(request, [&](Dict dict) { reply = std::move(dict); });
    deliver_events();
    EXPECT_TRUE(reply) << "query got no reply";
    return reply.value_or(Dict{});
  }
  void deliver_events() {
    relay_->poll_events([&](const Event& event) { service_->on_event(event); });
  }

  static std::string offered_sdp(const Dict& reply) {
    EXPECT_EQ(text(reply, "result"), "ok") << text(reply, "error-reason");
    return text(reply, "sdp");
  }
  const LegConfig& leg(std::size_t session, Side side) {
    return relay_->session(session).legs[index_of(side)];
  }
  /// Nothing of any call is left anywhere.
  void expect_nothing_left() {
    EXPECT_EQ(service_->call_count(), 0U);
    EXPECT_TRUE(relay_->sessions.empty());
    EXPECT_TRUE(relay_->records.empty());
  }

  std::unique_ptr<test::FakeRelay> relay_;
  std::unique_ptr<CallService> service_;
  Instant now_{Seconds{1000}};
  std::uint8_t next_random_ = 1;
  std::vector<std::string> log_;
  std::vector<CallSummary> ended_;
  bool keeps_ends_ = false;  ///< what is done with blobs of calls that are over is the test's part
  std::vector<std::string> ends_adopted_;
  std::array<diagnosis::Verdict, 2> ended_verdicts_;
  std::vector<std::string> silent_;        ///< "SIDE verdict"
  std::vector<SessionStats> ended_stats_;  ///< of the call that ended last
};

constexpr std::string_view kAudio = "m=audio 4000 RTP/AVP 0\n";

}  // namespace turnpike::call
