#include "control/config/limits.h"

#include <algorithm>
#include <array>
#include <utility>

#include "control/config/reload.h"
#include "control/config/schema.h"

namespace turnpike::config {
namespace {

struct Name {
  std::string_view section;
  std::string_view key;
};
constexpr std::array kLimits = {
    Name{"media", "sessions_max"},
    Name{"media", "calls_max"},
    Name{"media", "streams_per_leg_max"},
    Name{"media", "busy_max_percent"},
    Name{"ng", "client_requests_max"},
    Name{"ng", "client_requests_per_second_max"},
    Name{"turn", "allocations_max"},
    Name{"turn", "connections_max"},
    Name{"turn", "connections_per_source_max"},
};

std::string path_of(const Name& name) {
  return std::string(name.section) + "." + std::string(name.key);
}

const Key& key_of(const Name& name) {
  std::string unused;
  const Section* section = find_section(std::string(name.section), unused);
  return *std::find_if(section->keys.begin(), section->keys.end(),
                       [&](const Key& key) { return key.name == name.key; });
}

std::int64_t value_of(const Loaded& running, const Name& name) {
  const Node* const section = running.document.member(name.section);
  const Node* const value = section == nullptr ? nullptr : section->member(name.key);
  return (value == nullptr ? key_of(name).initial : *value).integer;
}

Node& member(Node& table, std::string_view name) {
  for (Node::Member& one : table.members) {
    if (one.name == name) return one.value;
  }
  table.members.push_back({std::string(name), Node{}});
  return table.members.back().value;
}

/// Of "FILE:LINE: what; what to do": there is no file.
std::string without_place(const std::string& mistake) {
  const std::size_t end = mistake.find(": ");
  return end == std::string::npos ? mistake : mistake.substr(end + 2);
}

}  // namespace

std::vector<Limit> limits_of(const Loaded& running) {
  std::vector<Limit> limits;
  for (const Name& name : kLimits) {
    if (name.section == "turn" && running.settings.turn.realms.empty()) continue;
    limits.push_back({path_of(name), value_of(running, name), key_of(name).effect == Effect::kHot});
  }
  return limits;
}

Result<LimitPlan> plan_limit(const Loaded& running, std::string_view key, std::int64_t value) {
  const auto* const found = std::find_if(kLimits.begin(), kLimits.end(),
                                         [key](const Name& name) { return path_of(name) == key; });
  if (found == kLimits.end()) {
    return Error{"there is no limit of this name; turnpikectl limits names them"};
  }
  if (key_of(*found).effect != Effect::kHot) {
    return Error{path_of(*found) +
                 " cannot change while turnpiked runs; change the file and restart"};
  }
  Node wanted = running.document;
  member(member(wanted, found->section), found->key) = Node::of_integer(value);
  LimitPlan plan{load_document(std::move(wanted), path_of(*found), running.folder),
                 value_of(running, *found)};
  if (plan.next.findings.has_mistakes()) {
    return Error{without_place(plan.next.findings.mistakes().front())};
  }
  keep_addresses(running, plan.next);
  return plan;
}

}  // namespace turnpike::config
