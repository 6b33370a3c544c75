// Implements gatherer.h.
#include "control/call/gatherer.h"

#include <utility>

namespace turnpike::call {

void Gatherer::query(const std::vector<SessionId>& sessions, Instant now, Done done) {
  const std::uint64_t token = next_token();
  Wait wait{now + kPatience, {}, {}, std::move(done), false};
  for (const SessionId id : sessions) {
    if (relay_.query_session(id, token)) wait.missing.insert(id);
  }
  wait_for(token, std::move(wait));
}

void Gatherer::close(const std::vector<SessionId>& sessions, Instant now, Done done) {
  const std::uint64_t token = next_token();
  for (const SessionId id : sessions) relay_.close_session(id, token);
  wait_for(token, {now + kPatience, {sessions.begin(), sessions.end()}, {}, std::move(done), true});
}

void Gatherer::wait_for(std::uint64_t token, Wait wait) {
  closing_ += wait.closes ? 1 : 0;
  const auto at = wait_by_token_.emplace(token, std::move(wait)).first;
  if (at->second.missing.empty()) finish(at);
}

void Gatherer::on_event(const Event& event) {
  const auto wait = wait_by_token_.find(event.token);
  if (wait == wait_by_token_.end() || wait->second.missing.erase(event.session) == 0) return;
  wait->second.stats.emplace(event.session, event.stats);
  if (wait->second.missing.empty()) finish(wait);
}

void Gatherer::on_tick(Instant now) {
  // Tokens ascend with time, so those whose patience is over come first.
  while (!wait_by_token_.empty() && wait_by_token_.begin()->second.give_up_at <= now) {
    finish(wait_by_token_.begin());
  }
}

void Gatherer::finish(std::map<std::uint64_t, Wait>::iterator wait) {
  // Out of the table first: `done` may ask for more.
  const Wait finished = std::move(wait->second);
  wait_by_token_.erase(wait);
  finished.done(finished.stats);
  closing_ -= finished.closes ? 1 : 0;
}

}  // namespace turnpike::call
