// Service::adopt: after a restart, calls come back from their records and sessions from the relay.
// Either may lack the other when the process died between two steps.
#include <algorithm>
#include <set>
#include <utility>

#include "control/call/bundle.h"
#include "control/call/legs.h"
#include "control/call/record.h"
#include "control/call/service.h"

namespace turnpike::call {
namespace {

// What was said to the relay of the process before and may not have arrived is not older, unless
// the restart took that long. Of older calls nothing is said again: their latched sources stay
// latched, where those of newer ones may move once more as after any offer.
constexpr Seconds kMissedMax{30};

/// Our DTLS associations ended with the process that made them, and so did the certificates that
/// open offers name: whatever is said anew says something else.
void lose_associations(Call& call, std::uint32_t present) {
  for (auto* sessions : {&call.media, &call.carriers}) {
    for (CallMedia& media : *sessions) {
      for (MediaSide& side : media.sides)
        side.dtls.lost = side.dtls.is_set() && side.dtls.identity.id != present;
    }
  }
  for (auto& offer : call.offers) {
    if (!offer) continue;
    for (OfferedMedia& media : offer->media) {
      media.receiver_dtls.lost =
          media.receiver_dtls.is_set() && media.receiver_dtls.identity.id != present;
    }
  }
}

/// An m-line whose transport is gone has one of its own again, with the next offer.
void lose_carriers(Call& call) {
  std::erase_if(call.carriers, [](const CallMedia& media) { return !media.has_session(); });
  for (CallMedia& media : call.media) {
    for (MediaSide& side : media.sides) {
      if (find_session(call, side.carrier) == nullptr) side.carrier = SessionId{};
    }
  }
}

}  // namespace

/// Gives interfaces the index that they have now. False: one of them is gone.
bool Service::find_interfaces(Call& call) const {
  for (const Side side : {Side::kA, Side::kB}) {
    const auto found = std::find_if(
        config_.interfaces.begin(), config_.interfaces.end(),
        [&](const Interface& interface) { return interface.name == call.side(side).interface; });
    if (found == config_.interfaces.end()) return false;
    const auto index = static_cast<std::uint16_t>(found - config_.interfaces.begin());
    call.side(side).interface_index = index;
    for (auto* sessions : {&call.media, &call.carriers}) {
      for (CallMedia& media : *sessions) media.spec.interface_index[index_of(side)] = index;
    }
  }
  return true;
}

bool Service::may_adopt(Call& call, std::uint64_t key, bool goes_on) const {
  const bool is_known = goes_on && call_by_id_.contains(call.id);
  return call.record_key == key && !is_known && find_interfaces(call);
}

/// Those whose call is gone end; the others hear what is left of it.
void Service::adopt_subscriptions() {
  std::vector<std::string> lost;
  for (const auto& [id, call] : call_by_id_) {
    if (call.form != CallForm::kSubscribed) continue;
    subscriptions_[call.subscribed_to].insert(id);
    if (!call_by_id_.contains(call.subscribed_to)) lost.push_back(id);
  }
  for (const std::string& id : lost) end(id, Ending::kSilent, [](const StatsBySession&) {});
  for (const auto& [id, call] : call_by_id_) follow(call);
}

/// A call of which some session lives on.
void Service::go_on(Call call, const std::vector<SessionId>& alive) {
  for (auto* sessions : {&call.media, &call.carriers}) {
    for (CallMedia& media : *sessions) {
      if (std::find(alive.begin(), alive.end(), media.session) != alive.end()) {
        call_id_by_session_[media.session] = call.id;
      } else if (media.has_session()) {
        media = CallMedia{};
      }
    }
  }
  lose_carriers(call);
  lose_associations(call, relay_.dtls_identity().id);
  // The relay may have missed the last change. Flows to another node are other ones now.
  const bool is_carried = std::any_of(call.sides.begin(), call.sides.end(), [&](auto& side) {
    return config_.is_zone_peer(side.interface_index);
  });
  if (is_carried || environment_.clock() - call.last_signal < kMissedMax) {
    tell_legs(call, Which::kAll);
  } else {
    update_transports(relay_, call);
  }
  update_switches(relay_, call, true);
  const std::string id = call.id;
  call_by_id_.emplace(id, std::move(call));
}

/// One that was over already, or that no session is left of.
void Service::adopt_end(const Call& call, std::optional<End> end,
                        const std::vector<SessionId>& alive) {
  if (!end) {
    log(call, "not taken over: none of its sessions lives on");
    const Moment moment = now();
    end = {Ending::kLost, moment.monotonic, moment.unix_us};
    keep_end(call, *end);
  }
  close(call, *end, alive, [](const StatsBySession&) {});
}

CallAdoption Service::adopt() {
  CallAdoption adoption;
  std::set<SessionId> orphans;
  for (const auto& opened : relay_.adopted_sessions()) orphans.insert(opened.id);

  for (auto& [key, bytes] : relay_.adopted_records()) {
    std::string record = std::move(bytes);
    if (environment_.adopt_end && environment_.adopt_end(key, record)) {
      ++adoption.calls_ended;
      continue;
    }
    std::optional<End> end;
    auto call = read_record(record, end);
    sdp::wipe(record);
    if (!call || !may_adopt(*call, key, !end)) {
      ++adoption.records_unreadable;
      relay_.erase_record(key);
      continue;
    }
    std::vector<SessionId> alive = sessions_of(*call);
    std::erase_if(alive, [&](const SessionId& id) { return orphans.erase(id) == 0; });
    if (end || alive.empty()) {
      ++(end ? adoption.calls_ended : adoption.calls_without_sessions);
      adopt_end(*call, end, alive);
      continue;
    }
    ++adoption.calls;
    log_detail(*call, "taken over");
    go_on(std::move(*call), alive);
  }
  adopt_subscriptions();
  cut_lost_bridges();
  adoption.sessions_without_call = static_cast<std::uint32_t>(orphans.size());
  for (const SessionId id : orphans) relay_.close_session(id, 0);
  relay_.flush();
  return adoption;
}

}  // namespace turnpike::call
