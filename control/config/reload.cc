// Two documents side by side, walked along the tables of sections.cc.
#include "control/config/reload.h"

#include <algorithm>
#include <array>

#include "control/config/accounts.h"

namespace turnpike::config {
namespace {

constexpr std::size_t kShownBytesMax = 200;

bool same(const Node& a, const Node& b) {
  const auto same_member = [&b](const Node::Member& one) {
    const Node* other = b.member(one.name);
    return other != nullptr && same(one.value, *other);
  };
  return a.kind == b.kind && a.text == b.text && a.integer == b.integer && a.real == b.real &&
         a.boolean == b.boolean && a.members.size() == b.members.size() &&
         std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), same) &&
         std::all_of(a.members.begin(), a.members.end(), same_member);
}

std::string text_of(const Key& key, const Node& node) {
  if (node.kind == Node::Kind::kTable) return "(none)";
  if (key.secret) return "(secret)";
  if (node.kind != Node::Kind::kList) return describe(node);
  std::string text = "[";
  for (const Node& item : node.items) {
    if (text.size() > kShownBytesMax) return text + ", …]";
    text += (text.size() > 1 ? ", " : "") + describe(item);
  }
  return text + "]";
}

std::string join(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

/// Whether only the sidecar reads what is at and below `path`.
bool is_sidecars(const std::string& path) {
  return path == "sip" || path.starts_with("sip.");
}

bool has_own_name(const Section* section) {
  return section != nullptr && section->named();
}

bool has_tables(const Node& node) {
  return std::any_of(node.members.begin(), node.members.end(),
                     [](const Node::Member& one) { return one.value.kind == Node::Kind::kTable; });
}

class Merger {
 public:
  Node visit(const Node& running, const Node& wanted, const std::string& path) {
    std::string name;
    const Section* section = path.empty() ? nullptr : find_section(path, name);
    Node merged;
    merged.line = wanted.line;
    if (section != nullptr) take_keys(*section, running, wanted, path, merged);
    static const Node kAbsent;
    for (const auto& [child, node] : running.members) {
      if (node.kind != Node::Kind::kTable) continue;
      const Node* other = wanted.member(child);
      take_section(node, other != nullptr ? *other : kAbsent, other != nullptr, true,
                   join(path, child), child, merged);
    }
    for (const auto& [child, node] : wanted.members) {
      if (node.kind != Node::Kind::kTable || running.member(child) != nullptr) continue;
      take_section(kAbsent, node, true, false, join(path, child), child, merged);
    }
    return merged;
  }

  std::vector<Change> changes() {
    std::stable_sort(changes_.begin(), changes_.end(),
                     [](const Placed& a, const Placed& b) { return a.place < b.place; });
    std::vector<Change> changes;
    for (Placed& one : changes_) changes.push_back(std::move(one.change));
    return changes;
  }

 private:
  struct Placed {
    std::size_t place = 0;  // of the section in the reference
    Change change;
  };

  void take_keys(const Section& section, const Node& running, const Node& wanted,
                 const std::string& path, Node& merged) {
    for (const Key& key : section.keys) {
      const Node* old_one = running.member(key.name);
      const Node* new_one = wanted.member(key.name);
      const Node& from = old_one != nullptr ? *old_one : key.initial;
      const Node& to = new_one != nullptr ? *new_one : key.initial;
      if (!same(from, to)) {
        note(section, {join(path, key.name), key.effect, text_of(key, from), text_of(key, to)});
      }
      const Node* kept = key.effect == Effect::kRestart ? old_one : new_one;
      if (kept != nullptr) merged.members.push_back({key.name, *kept});
    }
  }

  void take_section(const Node& running, const Node& wanted, bool is_wanted, bool is_running,
                    const std::string& path, const std::string& child, Node& merged) {
    std::string name;
    const Section* section = find_section(path, name);
    if (is_wanted == is_running || !has_own_name(section)) {
      Node inner = visit(running, wanted, path);
      // What is new and only there for sections below it waits with them.
      if (!is_running && has_tables(wanted) && !has_tables(inner)) return;
      merged.members.push_back({child, std::move(inner)});
      return;
    }
    const bool sidecars = is_sidecars(path);
    note(*section, {"[" + path + "]", sidecars ? Effect::kSidecar : Effect::kRestart,
                    is_running ? "there" : "absent", is_wanted ? "there" : "absent"});
    if (sidecars ? is_wanted : is_running) {
      merged.members.push_back({child, sidecars ? wanted : running});
    }
  }

  void note(const Section& section, Change change) {
    const auto place = static_cast<std::size_t>(&section - sections().data());
    changes_.push_back({place, std::move(change)});
  }

  std::vector<Placed> changes_;
};

}  // namespace

std::string_view name_of(Effect effect) {
  static constexpr std::array<std::string_view, 3> kNames{"restart", "hot", "sidecar"};
  return kNames[static_cast<std::size_t>(effect)];
}

Merged merge(const Node& running, const Node& wanted) {
  Merger merger;
  Merged merged;
  merged.document = merger.visit(running, wanted, "");
  merged.changes = merger.changes();
  return merged;
}

ReloadPlan plan_reload(const Loaded& running, const std::string& path) {
  ReloadPlan plan;
  Loaded wanted = load_file(path);
  if (!wanted.findings.has_mistakes()) check_accounts(wanted.settings, wanted.findings);
  plan.mistakes = wanted.findings.mistakes();
  plan.warnings = wanted.findings.warnings();
  if (!plan.mistakes.empty()) return plan;
  Merged merged = merge(running.document, wanted.document);
  plan.changes = std::move(merged.changes);
  plan.next = load_document(std::move(merged.document), path, wanted.folder);
  for (const std::string& mistake : plan.next.findings.mistakes()) {
    plan.mistakes.push_back(mistake +
                            " (beside the old values of keys that wait for a restart: restart "
                            "instead, or change these keys back)");
  }
  keep_addresses(running, plan.next);
  const FrontDoorSection& door = running.settings.front_door;
  if (door.port != 0 && door.sip &&
      plan.next.settings.sip.wss_port != running.settings.sip.wss_port) {
    plan.warnings.push_back(
        "sip.wss_port: the front door leads browsers to the port that the SIP server had when "
        "turnpiked was started; restart turnpiked as well, when the SIP server has the new one");
  }
  return plan;
}

// Sockets are bound to them.
void keep_addresses(const Loaded& running, Loaded& next) {
  for (InterfaceSection& section : next.settings.interfaces) {
    for (const InterfaceSection& known : running.settings.interfaces) {
      if (known.name == section.name) section.addresses = known.addresses;
    }
  }
}

}  // namespace turnpike::config
