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

bool Service::may_adopt(Call& call, std::uint64_t key) const {
  return call.record_key == key && !call_by_id_.contains(call.id) && find_interfaces(call);
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

CallAdoption Service::adopt() {
  CallAdoption adoption;
  std::set<SessionId> orphans;
  for (const auto& opened : relay_.adopted_sessions()) orphans.insert(opened.id);

  for (auto& [key, bytes] : relay_.adopted_records()) {
    std::string record = std::move(bytes);
    auto call = read_record(record);
    sdp::wipe(record);
    const bool readable = call && may_adopt(*call, key);
    bool alive = false;
    if (readable) {
      for (auto* sessions : {&call->media, &call->carriers}) {
        for (CallMedia& media : *sessions) {
          if (!media.has_session()) continue;
          if (orphans.erase(media.session) != 0) {
            call_id_by_session_[media.session] = call->id;
            alive = true;
          } else {
            media = CallMedia{};
          }
        }
      }
      lose_carriers(*call);
    }
    if (!alive) {
      ++(readable ? adoption.calls_without_sessions : adoption.records_unreadable);
      if (readable) log(*call, "not taken over: none of its sessions lives on");
      relay_.erase_record(key);
      continue;
    }
    ++adoption.calls;
    log_detail(*call, "taken over");
    lose_associations(*call, relay_.dtls_identity().id);
    update_transports(relay_, *call);
    update_switches(relay_, *call, true);  // the relay may have missed the last change
    const bool is_carried = std::any_of(call->sides.begin(), call->sides.end(), [&](auto& side) {
      return config_.is_zone_peer(side.interface_index);
    });
    if (is_carried) tell_legs(*call, Which::kAll);  // which flow it is now
    const std::string id = call->id;
    call_by_id_.emplace(id, std::move(*call));
  }
  adopt_subscriptions();
  cut_lost_bridges();
  adoption.sessions_without_call = static_cast<std::uint32_t>(orphans.size());
  for (const SessionId id : orphans) relay_.close_session(id, 0);
  relay_.flush();
  return adoption;
}

}  // namespace turnpike::call
