// Two configurations side by side: what a reload changes, what waits, what is refused. And that
// each key's effect in the tables is true: only kHot keys reach what a reload hands to the parts.
#include "control/config/reload.h"

#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "control/config/products.h"

namespace turnpike::config {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string kInterfaces =
    "[interface.outside]\n"
    "addresses = [\"192.0.2.10\"]\n"
    "[interface.inside]\n"
    "addresses = [\"198.51.100.10\"]\n";

/// Every section of the schema once; the values need not go together.
const std::string kEverySection =
    kInterfaces +
    "[media]\n[ng]\n[api]\n[log]\n[records]\n[homer]\n[holder]\n[node]\n[sip]\n"
    "[sip.user.alice]\nha1 = \"00112233445566778899aabbccddeeff\"\n"
    "[sip.servers.pbx]\nuris = [\"sip:10.0.0.10:5060\"]\n"
    "[sip.route.all]\npattern = \"1\"\nservers = \"pbx\"\n"
    "[sip.peer.carrier]\ndomains = [\"a.example\"]\ncertificate_names = [\"a.example\"]\n"
    "[sip.certificate.second]\nserver_name = \"b.example\"\n"
    "[zone.dmz]\ntls_name = \"edge.example\"\n[zone.dmz.peer.core]\ntls_name = \"core.example\"\n"
    "[turn]\n[turn.realm.guests]\nusers_file = \"/etc/turnpike/users\"\n"
    "[front_door]\n";

Loaded load(const std::string& text) {
  return load_text(text, "t.toml", "/etc/turnpike");
}

/// A value of the key's type that is not `now`.
Node another(const Key& key, const Node& now) {
  const auto begins = [&key](const char* type) { return key.type.starts_with(type); };
  if (begins("integer")) {
    const std::int64_t min = std::stoll(key.type.substr(8));
    return Node::of_integer(now.integer == min ? min + 1 : min);
  }
  if (begins("true or false")) return Node::of_boolean(!now.boolean);
  if (begins("list of IP")) return Node::of_list({Node::of_text("203.0.113.77")});
  if (begins("list")) return Node::of_list({Node::of_text("203.0.113.0/24")});
  if (begins("address:port")) return Node::of_text("127.0.0.1:17777");
  if (begins("path")) return Node::of_text("/somewhere/else");
  if (begins("\"")) {  // one of a few words: the first or the second
    const auto end = key.type.find('"', 1);
    const std::string first = key.type.substr(1, end - 1);
    const auto next = key.type.find('"', end + 1);
    const bool is_first = now.kind == Node::Kind::kText && now.text == first;
    const std::string second = key.type.substr(next + 1, key.type.find('"', next + 1) - next - 1);
    return Node::of_text(is_first ? second : first);
  }
  return Node::of_text("other");
}

/// The table at `path`, "*" standing for the only name there; `path` then has that name.
Node* table_at(Node& root, std::string pattern, std::string& path) {
  Node* at = &root;
  while (!pattern.empty() && at != nullptr) {
    const std::string name = pattern.substr(0, pattern.find('.'));
    pattern.erase(0, name.size() + 1);
    Node* found = nullptr;
    for (Node::Member& member : at->members) {
      const bool fits = name == "*" ? member.value.kind == Node::Kind::kTable : member.name == name;
      if (!fits || found != nullptr) continue;
      found = &member.value;
      path += (path.empty() ? "" : ".") + member.name;
    }
    at = found;
  }
  return at;
}

void set(Node& table, const std::string& name, Node value) {
  std::erase_if(table.members, [&name](const auto& member) { return member.name == name; });
  table.members.push_back({name, std::move(value)});
}

Settings settings_of(const Node& document) {
  return load_document(document, "t.toml", "/etc/turnpike").settings;
}

TEST(Reload, each_key_has_the_effect_that_its_table_says) {
  const Node before = load(kEverySection).document;
  const Host host;
  const LiveSettings running = live_settings(settings_of(before), host);
  std::size_t keys = 0;
  for (const Section& section : sections()) {
    for (const Key& key : section.keys) {
      Node wanted = before;
      std::string path;
      Node* table = table_at(wanted, section.path, path);
      ASSERT_NE(table, nullptr) << "kEverySection has no [" << section.path << "]";
      const std::string name = path + "." + key.name;
      const Node* given = table->member(key.name);
      set(*table, key.name, another(key, given != nullptr ? *given : key.initial));

      const Merged merged = merge(before, wanted);
      ASSERT_EQ(merged.changes.size(), 1u) << name;
      EXPECT_EQ(merged.changes[0].key, name);
      EXPECT_EQ(merged.changes[0].effect, key.effect) << name;
      const bool is_live = !(live_settings(settings_of(merged.document), host) == running);
      // The relay learns which networks are inside from the sidecar's section.
      const bool is_both = name == "sip.inside_networks";
      EXPECT_EQ(is_live, key.effect == Effect::kHot || is_both) << name;
      if (key.effect == Effect::kHot) continue;
      // A key that would be read by a part while it runs is no kRestart.
      const bool reaches = !(live_settings(settings_of(wanted), host) == running);
      static const std::vector<std::string> kReadWithOthers = {
          "node.role", "interface.inside.addresses", "media.port_min", "media.port_max",
          "zone.dmz.require_dtls"};
      const bool known =
          std::find(kReadWithOthers.begin(), kReadWithOthers.end(), name) != kReadWithOthers.end();
      EXPECT_TRUE(!reaches || known || is_both) << name << " could be hot";
      ++keys;
    }
  }
  EXPECT_GT(keys, 60u);
}

TEST(Reload, keys_that_need_a_restart_keep_their_old_value) {
  const Loaded running = load(kInterfaces + "[media]\nport_min = 40000\ncalls_max = 5\n");
  const Merged merged = merge(
      running.document, load(kInterfaces + "[media]\nport_min = 41000\ncalls_max = 7\n").document);
  const Settings settings = settings_of(merged.document);
  EXPECT_EQ(settings.media.port_min, 40000);
  EXPECT_EQ(settings.media.calls_max, 7u);
  ASSERT_EQ(merged.changes.size(), 2u);
  EXPECT_EQ(merged.changes[0].key, "media.port_min");
  EXPECT_EQ(merged.changes[0].from, "40000");
  EXPECT_EQ(merged.changes[0].to, "41000");
  EXPECT_EQ(merged.changes[1].effect, Effect::kHot);
}

TEST(Reload, a_key_that_is_left_out_has_its_default_again) {
  const Loaded running = load(kInterfaces + "[media]\ncalls_max = 5\n[log]\nlevel = \"debug\"\n");
  const Merged merged = merge(running.document, load(kInterfaces).document);
  const Settings settings = settings_of(merged.document);
  EXPECT_EQ(settings.media.calls_max, 4000u);
  EXPECT_EQ(settings.log.level, "info");
  const Merged back = merge(merged.document, load(kInterfaces + "[log]\n").document);
  EXPECT_THAT(back.changes, IsEmpty()) << "an empty section is as good as none";
  const Merged written =
      merge(merged.document, load(kInterfaces + "[media]\ncalls_max = 4000\n").document);
  EXPECT_THAT(written.changes, IsEmpty()) << "the default, written out";
}

TEST(Reload, new_and_gone_sections_of_the_relay_wait_for_a_restart) {
  const std::string dmz = "[interface.dmz]\naddresses = [\"203.0.113.1\"]\n";
  const Node with = load(kInterfaces + dmz).document;
  const Node without = load(kInterfaces).document;
  const Merged added = merge(without, with);
  ASSERT_EQ(added.changes.size(), 1u);
  EXPECT_EQ(added.changes[0].key, "[interface.dmz]");
  EXPECT_EQ(added.changes[0].effect, Effect::kRestart);
  EXPECT_EQ(added.changes[0].to, "there");
  EXPECT_EQ(settings_of(added.document).interfaces.size(), 2u);
  const Merged gone = merge(with, without);
  ASSERT_EQ(gone.changes.size(), 1u);
  EXPECT_EQ(gone.changes[0].to, "absent");
  EXPECT_EQ(settings_of(gone.document).interfaces.size(), 3u);
}

TEST(Reload, a_section_that_is_new_with_those_below_it_waits_with_them) {
  const Node without = load(kInterfaces).document;
  const Loaded with = load(kInterfaces +
                           "[turn]\npermissions_max = 8\n"
                           "[turn.realm.guests]\nusers_file = \"/etc/turnpike/users\"\n");
  const Merged added = merge(without, with.document);
  EXPECT_EQ(added.document.member("turn"), nullptr) << "without its realm it would be a mistake";
  ASSERT_EQ(added.changes.size(), 2u);
  EXPECT_EQ(added.changes[0].key, "turn.permissions_max");
  EXPECT_EQ(added.changes[1].key, "[turn.realm.guests]");
  EXPECT_EQ(added.changes[1].effect, Effect::kRestart);
}

TEST(Reload, sections_of_the_sidecar_are_the_sidecars) {
  const Node without = load(kInterfaces).document;
  const Node with = load(kInterfaces + "[sip.servers.pbx]\nuris = [\"sip:10.0.0.1\"]\n").document;
  const Merged added = merge(without, with);
  ASSERT_EQ(added.changes.size(), 1u);
  EXPECT_EQ(added.changes[0].key, "[sip.servers.pbx]");
  EXPECT_EQ(added.changes[0].effect, Effect::kSidecar);
}

TEST(Reload, a_secret_is_never_shown) {
  const std::string user = "[sip.user.alice]\nha1 = \"";
  const Node before = load(kInterfaces + user + "00112233445566778899aabbccddeeff\"\n").document;
  const Node after = load(kInterfaces + user + "ffeeddccbbaa99887766554433221100\"\n").document;
  const Merged merged = merge(before, after);
  ASSERT_EQ(merged.changes.size(), 1u);
  EXPECT_EQ(merged.changes[0].from + merged.changes[0].to, "(secret)(secret)");
}

class ReloadFile : public testing::Test {
 protected:
  ReloadFile() : path_(testing::TempDir() + "reload_" + std::to_string(getpid()) + ".toml") {}
  ~ReloadFile() override { unlink(path_.c_str()); }

  ReloadPlan plan(const std::string& running, const std::string& text) const {
    std::ofstream(path_) << text;
    return plan_reload(load(running), path_);
  }

  const std::string path_;
};

TEST_F(ReloadFile, mistakes_are_named_with_their_lines_and_nothing_is_planned) {
  const ReloadPlan bad = plan(kInterfaces, kInterfaces + "[media]\ncalls_max = 0\ncalls = 1\n");
  ASSERT_EQ(bad.mistakes.size(), 2u);
  EXPECT_THAT(bad.mistakes[0], HasSubstr(":6: media.calls_max is 0"));
  EXPECT_THAT(bad.mistakes[1], HasSubstr(":7: unknown key"));
  EXPECT_THAT(bad.changes, IsEmpty());
}

TEST_F(ReloadFile, a_file_that_has_gone_is_a_mistake) {
  const ReloadPlan gone = plan_reload(load(kInterfaces), path_ + ".none");
  ASSERT_EQ(gone.mistakes.size(), 1u);
  EXPECT_THAT(gone.mistakes[0], HasSubstr("cannot be read"));
}

TEST_F(ReloadFile, what_would_not_fit_beside_old_values_is_refused) {
  // Right as a file; but the second address waits for a restart, and its public one would not.
  const std::string two =
      "[interface.outside]\n"
      "addresses = [\"192.0.2.10\", \"192.0.2.11\"]\n"
      "advertised = [\"203.0.113.1\", \"203.0.113.2\"]\n"
      "[interface.inside]\n"
      "addresses = [\"198.51.100.10\"]\n";
  const ReloadPlan mixed = plan(kInterfaces, two);
  ASSERT_EQ(mixed.mistakes.size(), 1u);
  EXPECT_THAT(mixed.mistakes[0], HasSubstr("interface.outside.advertised"));
  EXPECT_THAT(mixed.mistakes[0], HasSubstr("wait for a restart"));
}

TEST_F(ReloadFile, the_front_door_does_not_follow_the_sip_servers_port) {
  const std::string sip =
      "[sip]\ndomains = [\"edge.example\"]\nwebsocket_origins = [\"https://a.example\"]\n"
      "certificate_file = \"s.pem\"\nprivate_key_file = \"s.key\"\ntrust_file = \"ca.pem\"\n"
      "inside_networks = [\"10.0.0.0/8\"]\nwss_port = ";
  const auto told = [&](const std::string& before, const std::string& after) {
    Loaded running = load(kInterfaces + before);
    running.settings.front_door.port = 443;
    running.settings.front_door.sip = true;
    std::ofstream(path_) << kInterfaces + after;
    return plan_reload(running, path_).warnings;
  };
  EXPECT_THAT(told(sip + "8443\n", sip + "9443\n"),
              Contains(HasSubstr("sip.wss_port: the front door leads browsers")));
  EXPECT_THAT(plan(kInterfaces + sip + "8443\n", kInterfaces + sip + "9443\n").mistakes, IsEmpty());
  EXPECT_THAT(told(sip + "8443\n", sip + "8443\n"), Not(Contains(HasSubstr("front door leads"))));
  EXPECT_THAT(plan(kInterfaces + sip + "8443\n", kInterfaces + sip + "9443\n").warnings,
              Not(Contains(HasSubstr("front door leads"))));
}

TEST_F(ReloadFile, automatic_addresses_stay_what_they_were_at_start) {
  Loaded running = load(kInterfaces);
  running.settings.interfaces[0].addresses = {*parse_ip("192.0.2.200")};
  std::ofstream(path_) << kInterfaces;
  const ReloadPlan same = plan_reload(running, path_);
  ASSERT_THAT(same.mistakes, IsEmpty());
  EXPECT_EQ(to_string(same.next.settings.interfaces[0].addresses.at(0)), "192.0.2.200");
}

}  // namespace
}  // namespace turnpike::config
