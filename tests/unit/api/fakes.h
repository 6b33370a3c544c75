// A relay and calls that answer what a test has put there.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "control/call/call_service.h"
#include "turnpike/relay.h"

namespace turnpike::api {

/// Answers at once what a test has put there.
class FakeTurn final : public TurnServer {
 public:
  void set_draining(bool) override {}
  Result<void> configure(std::shared_ptr<const turn::Settings>) override { return {}; }
  std::uint32_t allocations() const override { return static_cast<std::uint32_t>(reports.size()); }
  const turn::Counters& counters(std::size_t) const override { return counters_; }
  const turn::Counters& common_counters() const override { return common_; }
  const turn::Counters& tcp_counters() const override { return tcp_; }
  bool list(Listed done) override {
    if (!full) done(reports);
    return !full;
  }
  bool end(const turn::AllocationId& id, Ended done) override {
    if (!full) done(!reports.empty() && reports.front().id == id);
    return !full;
  }

  std::vector<turn::AllocationReport> reports;
  turn::Counters counters_;
  turn::Counters common_;
  turn::Counters tcp_;
  bool full = false;
};

/// A relay with one session on shard 0.
class FakeRelay final : public Relay {
 public:
  Result<Opened> open_session(const SessionSpec&, OpenFailure&) override { return Error{"none"}; }
  void update_leg(SessionId, Side, const LegConfig&) override {}
  void update_transport(SessionId, Side, const TransportConfig&) override {}
  void switch_media(SessionId, Side, const MediaSwitches&) override {}
  DtlsIdentity dtls_identity() const override { return {}; }
  TurnServer* turn() override { return turn_server; }
  void close_session(SessionId, std::uint64_t) override {}
  bool query_session(SessionId id, std::uint64_t token) override {
    if (id != session && !any_session) return false;
    tokens.push_back(token);
    return true;
  }
  int event_fd() const override { return -1; }
  void poll_events(const std::function<void(const Event&)>&) override {}
  RelayUsage usage() const override { return {.sessions = 1, .sessions_max = 10}; }
  std::size_t shard_count() const override { return 1; }
  const ShardCounters& shard_counters(std::size_t) const override { return counters; }
  const AdoptionReport& adoption() const override { return adopted; }
  std::vector<Opened> adopted_sessions() const override { return {}; }
  bool store_record(std::uint64_t, const std::string&) override { return true; }
  void erase_record(std::uint64_t) override {}
  std::vector<std::pair<std::uint64_t, std::string>> adopted_records() const override { return {}; }

  SessionId session{.slot = 7, .generation = 3, .shard = 0};
  bool any_session = false;  ///< there are all that are asked for
  ShardCounters counters;
  AdoptionReport adopted;
  TurnServer* turn_server = nullptr;
  std::vector<std::uint64_t> tokens;
};

class FakeCalls final : public call::CallService {
 public:
  void offer(const call::CallRequest&, call::ReplyFunction) override {}
  void answer(const call::CallRequest&, call::ReplyFunction) override {}
  void remove(const call::CallRequest&, call::ReplyFunction) override {}
  void query(const call::CallRequest&, call::ReplyFunction) override {}
  void list(const call::CallRequest&, call::ReplyFunction) override {}
  void publish(const call::CallRequest&, call::ReplyFunction) override {}
  void subscribe(const call::CallRequest&, call::ReplyFunction) override {}
  void answer_subscription(const call::CallRequest&, call::ReplyFunction) override {}
  void unsubscribe(const call::CallRequest&, call::ReplyFunction) override {}
  void connect(const call::CallRequest&, call::ReplyFunction) override {}
  void switch_media(call::MediaCommand, const call::CallRequest&, call::ReplyFunction) override {}
  ng::Value::Dict node_statistics() const override { return statistics; }
  void on_event(const Event&) override {}
  void on_tick() override {}
  void set_draining(bool) override {}
  std::size_t call_count() const override { return summaries.size(); }
  std::vector<call::CallSummary> calls() const override {
    ++asked_for_all;
    return summaries;
  }
  std::size_t session_count() const override { return summaries.size(); }
  /// Summaries with one session each, in the order of their IDs.
  std::vector<call::CallSummary> sessions_after(SessionId after, std::size_t limit) const override {
    std::vector<call::CallSummary> found;
    for (const call::CallSummary& call : summaries) {
      if (found.size() < limit && call.sessions.at(0).id > after) found.push_back(call);
    }
    return found;
  }
  call::CallAdoption adopt() override { return {}; }

  std::vector<call::CallSummary> summaries;
  mutable int asked_for_all = 0;
  ng::Value::Dict statistics;
};

}  // namespace turnpike::api
