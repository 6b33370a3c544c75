// Service::adopt: after a restart, calls come back from their records and sessions from the relay.
// Either may lack the other when the process died between two steps.
#include <set>
#include <utility>

#include "control/call/record.h"
#include "control/call/service.h"

namespace turnpike::call {

bool Service::may_adopt(const Call& call, std::uint64_t key) const {
  if (call.record_key != key || call_by_id_.contains(call.id)) return false;
  for (const CallSide& side : call.sides) {
    if (side.interface_index >= config_.interfaces.size()) return false;
  }
  return true;
}

void Service::adopt() {
  std::set<SessionId> orphans;
  for (const auto& opened : relay_.adopted_sessions()) orphans.insert(opened.id);

  for (auto& [key, bytes] : relay_.adopted_records()) {
    std::string record = std::move(bytes);
    auto call = read_record(record);
    sdp::wipe(record);
    bool alive = false;
    if (call && may_adopt(*call, key)) {
      for (CallMedia& media : call->media) {
        if (!media.has_session()) continue;
        if (orphans.erase(media.session) != 0) {
          call_id_by_session_[media.session] = call->id;
          alive = true;
        } else {
          media = CallMedia{};
        }
      }
    }
    if (!alive) {
      if (call) log(*call, "not taken over: none of its sessions lives on");
      relay_.erase_record(key);
      continue;
    }
    log(*call, "taken over");
    const std::string id = call->id;
    call_by_id_.emplace(id, std::move(*call));
  }
  for (const SessionId id : orphans) relay_.close_session(id, 0);
}

}  // namespace turnpike::call
