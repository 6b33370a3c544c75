// Commands that wait: their order, and what takes whose place.
#include "relay/pending_commands.h"

#include <vector>

#include <gtest/gtest.h>

namespace turnpike {
namespace {

Command update(std::uint32_t slot, Side side, std::uint16_t port, std::uint32_t generation = 1) {
  Command command;
  command.kind = CommandKind::kUpdateLeg;
  command.id = {slot, generation, side, Component::kRtp};
  command.leg.remote[0].port = port;
  return command;
}

Command other(CommandKind kind, std::uint64_t token) {
  Command command;
  command.kind = kind;
  command.token = token;
  return command;
}

/// Port of an update, token of anything else, in order.
std::vector<std::uint64_t> drain(PendingCommands& pending) {
  std::vector<std::uint64_t> seen;
  for (; !pending.empty(); pending.pop()) {
    const Command& front = pending.front();
    const bool is_update = front.kind == CommandKind::kUpdateLeg;
    seen.push_back(is_update ? front.leg.remote[0].port : front.token);
  }
  return seen;
}

using Seen = std::vector<std::uint64_t>;

TEST(PendingCommands, a_newer_configuration_takes_the_place_of_the_older) {
  PendingCommands pending;
  pending.push(other(CommandKind::kOpen, 1));
  pending.push(update(0, Side::kA, 10));
  pending.push(update(0, Side::kB, 20));
  pending.push(other(CommandKind::kQuery, 2));
  pending.push(update(0, Side::kA, 11));
  pending.push(update(1, Side::kA, 30));
  EXPECT_EQ(drain(pending), (Seen{1, 11, 20, 2, 30}));
  pending.push(update(0, Side::kA, 12));
  pending.push(update(0, Side::kA, 13));
  EXPECT_EQ(drain(pending), (Seen{13}));
}

TEST(PendingCommands, what_has_gone_is_not_replaced) {
  PendingCommands pending;
  pending.push(update(0, Side::kA, 10));
  pending.push(update(0, Side::kB, 20));
  pending.pop();
  pending.push(update(0, Side::kA, 11));
  pending.push(update(0, Side::kB, 21));
  EXPECT_EQ(drain(pending), (Seen{21, 11}));
}

TEST(PendingCommands, another_session_in_the_same_slot_is_another_leg) {
  PendingCommands pending;
  pending.push(update(0, Side::kA, 10, 1));
  pending.push(other(CommandKind::kClose, 5));
  pending.push(update(0, Side::kA, 11, 2));
  pending.push(update(0, Side::kA, 12, 2));
  EXPECT_EQ(drain(pending), (Seen{10, 5, 12}));
}

}  // namespace
}  // namespace turnpike
