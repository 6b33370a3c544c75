// Commands of control that did not fit into a shard's mailbox, in order. Bounded: a leg's newer
// configuration takes the place of the one that still waits, so besides what full() refuses there
// are at most three updates of each leg, one close of each session and one set of limits. Keys are
// wiped when they go.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>

#include "relay/core/bytes.h"
#include "relay/shard.h"
#include "turnpike/ids.h"

namespace turnpike {

class PendingCommands {
 public:
  /// From so many on, no new session is opened and no figures are asked for.
  static constexpr std::size_t kWaitingMax = 4096;

  PendingCommands() = default;
  ~PendingCommands() {
    while (!empty()) pop();
  }
  PendingCommands(PendingCommands&&) = default;
  PendingCommands(const PendingCommands&) = delete;
  PendingCommands& operator=(const PendingCommands&) = delete;

  bool empty() const { return waiting_.empty(); }
  bool full() const { return waiting_.size() >= kWaitingMax; }
  std::size_t size() const { return waiting_.size(); }
  const Command& front() const { return waiting_.front(); }

  void push(const Command& command) {
    if (is_update(command)) {
      const auto [known, is_new] = update_by_leg_.try_emplace(key_of(command), next_);
      if (!is_new) {
        Command& older = waiting_[known->second - (next_ - waiting_.size())];
        if (older.id.generation == command.id.generation) {
          older = command;  // its keys are overwritten
          return;
        }
        known->second = next_;
      }
    }
    if (command.kind == CommandKind::kSetLimits) {
      for (Command& older : waiting_) {
        if (older.kind != CommandKind::kSetLimits) continue;
        older = command;
        return;
      }
    }
    waiting_.push_back(command);
    ++next_;
  }

  void pop() {
    Command& oldest = waiting_.front();
    if (is_update(oldest)) {
      const auto known = update_by_leg_.find(key_of(oldest));
      const bool is_it = known != update_by_leg_.end() && known->second == next_ - waiting_.size();
      if (is_it) update_by_leg_.erase(known);
    }
    secure_wipe(&oldest.leg, sizeof oldest.leg);
    secure_wipe(&oldest.transport, sizeof oldest.transport);
    waiting_.pop_front();
  }

 private:
  static bool is_update(const Command& command) {
    return command.kind == CommandKind::kUpdateLeg ||
           command.kind == CommandKind::kUpdateTransport ||
           command.kind == CommandKind::kSwitchMedia;
  }
  static std::uint64_t key_of(const Command& command) {
    const std::uint64_t leg = std::uint64_t{command.id.slot} * 2 + index_of(command.id.side);
    return leg << 8 | static_cast<std::uint8_t>(command.kind);
  }

  std::deque<Command> waiting_;
  std::uint64_t next_ = 0;  // number of the next command; the oldest has next_ - size()
  std::unordered_map<std::uint64_t, std::uint64_t> update_by_leg_;  // to its number
};

}  // namespace turnpike
