// The call table: CallService carried out on a Relay. Private to control/call; users include
// call_service.h.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/call/call.h"
#include "control/call/call_service.h"
#include "control/call/gatherer.h"
#include "control/call/legs.h"
#include "control/call/tally.h"
#include "control/sdp/sdp.h"

namespace turnpike::call {

/// Between the call-id and the tag of a subscriber, in the id of the subscription. No Call-ID of
/// SIP has a comma (RFC 3261 section 25.1), and one that has this is refused.
inline constexpr std::string_view kSubscriberMark = ",subscriber=";

/// Most bytes of a call-id and of a tag.
inline constexpr std::size_t kIdBytesMax = 1024;

class Service final : public CallService {
 public:
  Service(CallServiceConfig config, Relay& relay, Environment environment);

  void offer(const CallRequest& request, ReplyFunction reply) override;
  void answer(const CallRequest& request, ReplyFunction reply) override;
  void remove(const CallRequest& request, ReplyFunction reply) override;
  void query(const CallRequest& request, ReplyFunction reply) override;
  void switch_media(MediaCommand what, const CallRequest& request, ReplyFunction reply) override;
  void publish(const CallRequest& request, ReplyFunction reply) override;
  void subscribe(const CallRequest& request, ReplyFunction reply) override;
  void answer_subscription(const CallRequest& request, ReplyFunction reply) override;
  void unsubscribe(const CallRequest& request, ReplyFunction reply) override;
  void connect(const CallRequest& request, ReplyFunction reply) override;
  void list(const CallRequest& request, ReplyFunction reply) override;
  ng::Value::Dict node_statistics() const override;
  void on_event(const Event& event) override;
  void on_tick() override;
  void on_flows_changed(const std::string& peer) override;
  void reconfigure(CallServiceConfig config) override { config_ = std::move(config); }
  std::pair<std::uint16_t, std::uint16_t> media_ports() const override {
    return {config_.media_port_min, config_.media_port_max};
  }
  std::vector<CallSummary> calls_named(const std::string& call_id) const override;
  bool end_call(const std::string& call_id) override;
  void set_draining(bool draining) override { draining_ = draining; }
  std::size_t call_count() const override { return call_by_id_.size(); }
  std::size_t calls_ending() const override { return gatherer_.closing(); }
  std::size_t session_count() const override { return call_id_by_session_.size(); }
  std::vector<CallSummary> sessions_after(SessionId after, std::size_t limit) const override;
  std::uint64_t ice_candidates_skipped() const override { return ice_candidates_skipped_; }
  std::vector<CallSummary> calls() const override;
  CallAdoption adopt() override;

 private:
  Call new_call(const CallRequest& request);
  /// The subscription of that call and tag; null: there is none.
  const Call* find_subscription(const CallRequest& request) const;
  /// The request as that of a call of its own, whose from-tag is the subscriber's.
  Result<CallRequest> subscription_wanted(const Call& call, const CallRequest& request) const;
  /// The shard of who subscribes to this call; -1: nobody does.
  int shard_of_subscribers(const std::string& call_id) const;
  /// Who subscribes to this call hears what its m-lines are now, unless an end that was named is
  /// not the one that answers any more.
  void follow(const Call& call);
  std::vector<Subscriber> subscribers_of(const Call& call) const;
  Result<std::vector<HeardMedia>> media_to_hear(const Call& call, const CallRequest& request) const;
  /// Room for one more, or for what takes the place of subscription `id`.
  Result<void> check_room_to_subscribe(const Call& call, const std::string& id,
                                       const std::vector<HeardMedia>& heard) const;
  Result<sdp::Session> parse(const CallRequest& request) const;
  /// A new call is refused for want of room: kept for who asks by `delete`.
  void remember_refusal(const std::string& call_id);
  void refuse_for_load(const CallRequest& request, const char* message, const ReplyFunction& reply);
  Moment now() const;
  void tell_legs(const Call& call, Which which);
  Gatherer::Done reply_with_statistics(const Call& call, ReplyFunction reply) const;
  CallSummary summary_of(const Call& call) const;
  void log(const Call& call, const std::string& what) const;
  std::array<diagnosis::Verdict, 2> verdicts_at_end(const CallSummary& summary,
                                                    const StatsBySession& stats,
                                                    bool said_goodbye) const;
  void log_detail(const Call& call, const std::string& what) const;

  /// Ends of other calls that were connected to ends of this one, and are not any more, are sent
  /// nothing. `after`: null when the call is over.
  void cut(const Call& before, const Call* after);
  /// Session `from` had a bridge to session `lost`.
  void cut_bridge_to(SessionId lost, SessionId from);
  bool has_bridge_to(SessionId from, SessionId to) const;
  /// After a restart.
  void cut_lost_bridges();
  /// Makes `next` the call's state; index and record follow, and sessions that it gave up end.
  void keep(Call next, const std::vector<SessionId>& to_close);
  void store(const Call& call);
  /// Takes the call out of the table and closes its sessions.
  void end(const std::string& call_id, Ending why, Gatherer::Done done);
  /// Closes `sessions` of a call that is over and in no table, and tells of its end.
  void close(const Call& call, const End& end, const std::vector<SessionId>& sessions,
             Gatherer::Done done);
  void keep_end(const Call& call, const End& end);
  void adopt_subscriptions();
  bool find_interfaces(Call& call) const;
  bool may_adopt(Call& call, std::uint64_t key, bool goes_on) const;
  void go_on(Call call, const std::vector<SessionId>& alive);
  void adopt_end(const Call& call, std::optional<End> end, const std::vector<SessionId>& alive);
  void on_media_timeout(const Event& event);
  void on_silence(const Event& event);
  void on_transport_state(const Event& event);
  Relayed relayed() const;
  std::vector<PortsInUse> ports_in_use() const;
  /// Why a call has had its time; unset: it goes on.
  std::optional<Ending> end_of_time(const Call& call, Instant moment) const;
  void look_for_silence(const Call& call);
  void end_if_silent(const std::string& call_id, const StatsBySession& stats);

  CallServiceConfig config_;
  Relay& relay_;
  const Environment environment_;
  Gatherer gatherer_;
  std::unordered_map<std::string, Call> call_by_id_;
  std::map<SessionId, std::string> call_id_by_session_;
  /// By call-id, the ids of the subscriptions to it.
  std::map<std::string, std::set<std::string>> subscriptions_;
  /// The latest calls that were refused for want of room, oldest first.
  std::deque<std::string> refused_for_load_;
  std::uint64_t ice_candidates_skipped_ = 0;
  bool draining_ = false;
  Tally tally_;
};

}  // namespace turnpike::call
