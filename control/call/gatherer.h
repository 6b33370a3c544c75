// Waits for the figures of several sessions and then hands them on, at the latest after a timeout:
// events can be lost, a reply must not be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "control/call/statistics.h"
#include "turnpike/event.h"
#include "turnpike/relay.h"

namespace turnpike::call {

class Gatherer {
 public:
  using Done = std::function<void(const StatsBySession&)>;
  static constexpr Milliseconds kPatience{2000};

  explicit Gatherer(Relay& relay) : relay_(relay) {}

  /// Asks for the figures of `sessions`. Calls `done` at once when there is nothing to wait for.
  void query(const std::vector<SessionId>& sessions, Instant now, Done done);
  /// Closes `sessions` and waits for their last figures.
  void close(const std::vector<SessionId>& sessions, Instant now, Done done);

  /// Takes kSessionStats and kSessionClosed events that it waits for.
  void on_event(const Event& event);
  /// Gives up waiting where patience is over; what did not come is missing from the figures.
  void on_tick(Instant now);
  /// Calls of close() whose figures were not handed on yet.
  std::size_t closing() const { return closing_; }

 private:
  struct Wait {
    Instant give_up_at{};
    std::set<SessionId> missing;
    StatsBySession stats;
    Done done;
    bool closes = false;
  };
  std::uint64_t next_token() { return next_token_++; }
  void finish(std::map<std::uint64_t, Wait>::iterator wait);
  void wait_for(std::uint64_t token, Wait wait);

  Relay& relay_;
  std::uint64_t next_token_ = 1;  // 0 is for sessions that nobody asks about
  std::map<std::uint64_t, Wait> wait_by_token_;
  std::size_t closing_ = 0;
};

}  // namespace turnpike::call
