// [turn] and [turn.realm.NAME]: values, every rule, and the files of users and secrets.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/config/load.h"
#include "control/config/turn_products.h"
#include "control/pki/turn_keys.h"

namespace turnpike::config {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string kRealm = "[turn.realm.main]\nsecret_files = [\"turn-secret\"]\n";

Loaded load(const std::string& text, const std::string& more = "") {
  return load_text(
      "[interface.outside]\naddresses = [\"45.9.1.1\", \"2a09::1\"]\nadvertised = [\"45.9.1.9\", "
      "\"2a09::9\"]\n[interface.inside]\naddresses = [\"10.0.0.1\"]\n" +
          more + text,
      "t.toml", "/etc/turnpike");
}

TEST(TurnConfig, none_unless_there_is_a_realm) {
  const Loaded loaded = load("");
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  EXPECT_TRUE(turn_config(loaded.settings, Host{}).listeners.empty());
}

TEST(TurnConfig, defaults) {
  const Loaded loaded = load(kRealm);
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  Host host;
  host.addresses = {IpAddress::v4(45, 9, 2, 1), IpAddress::v4(45, 9, 1, 1), *parse_ip("2a09::1")};
  const turn::Config config = turn_config(loaded.settings, host);
  ASSERT_EQ(config.listeners.size(), 4U);
  EXPECT_EQ(to_string(config.listeners[0].local), "45.9.1.1:3478");
  EXPECT_EQ(config.listeners[0].transport, turn::ListenerTransport::kUdp);
  EXPECT_EQ(to_string(config.listeners[1].local), "45.9.1.1:3478");
  EXPECT_EQ(config.listeners[1].transport, turn::ListenerTransport::kTcp);
  EXPECT_EQ(to_string(config.listeners[2].local), "[2a09::1]:3478");
  EXPECT_EQ(config.connections_per_source_max, 100U);
  EXPECT_EQ(to_string(config.relay_addresses[0].advertised), "45.9.1.9");
  EXPECT_EQ(config.port_min, 24000);
  EXPECT_EQ(config.port_max, 29999);
  std::vector<std::string> own;
  for (const IpAddress& ip : config.own_addresses) own.push_back(to_string(ip));
  EXPECT_THAT(
      own, testing::UnorderedElementsAre("45.9.2.1", "45.9.1.1", "2a09::1", "45.9.1.1", "45.9.1.9",
                                         "2a09::1", "2a09::9", "10.0.0.1", "10.0.0.1"));
  host.addresses.pop_back();
  EXPECT_EQ(turn_config(loaded.settings, host).listeners.size(), 2U) << "the host lacks the other";
  EXPECT_THAT(loaded.settings.turn.realms.front().secret_files,
              ElementsAre("/etc/turnpike/turn-secret"));
}

TEST(TurnConfig, tcp_is_off_with_port_0) {
  const Loaded loaded = load("[turn]\ntcp_port = 0\n" + kRealm);
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  Host host;
  host.addresses = {IpAddress::v4(45, 9, 1, 1)};
  EXPECT_EQ(turn_config(loaded.settings, host).listeners.size(), 1U);
}

TEST(TurnConfig, tls_is_on_once_there_is_a_certificate) {
  Host host;
  host.addresses = {IpAddress::v4(45, 9, 1, 1)};
  EXPECT_EQ(turn_config(load(kRealm).settings, host).listeners.size(), 2U);
  const std::string files = "certificate_file = \"c.pem\"\nprivate_key_file = \"k.pem\"\n";
  const turn::Config config = turn_config(load("[turn]\n" + files + kRealm).settings, host);
  ASSERT_EQ(config.listeners.size(), 4U);
  EXPECT_EQ(config.listeners[2].transport, turn::ListenerTransport::kTls);
  EXPECT_EQ(config.listeners[2].local.port, 5349);
  EXPECT_EQ(config.listeners[3].transport, turn::ListenerTransport::kDtls);
  EXPECT_EQ(config.listeners[3].local.port, 5349);
  const auto left = [&](const std::string& keys) {
    return turn_config(load("[turn]\n" + keys + files + kRealm).settings, host).listeners;
  };
  ASSERT_EQ(left("tls_port = 0\n").size(), 3U);
  EXPECT_EQ(left("tls_port = 0\n")[2].transport, turn::ListenerTransport::kDtls);
  ASSERT_EQ(left("dtls_port = 0\n").size(), 3U);
  EXPECT_EQ(left("dtls_port = 0\n")[2].transport, turn::ListenerTransport::kTls);
}

std::vector<std::string> shown(const turn::Config& config) {
  std::vector<std::string> all;
  for (const turn::Listener& one : config.listeners) {
    all.push_back(std::string(turn::kTransportNames[static_cast<std::size_t>(one.transport)]) +
                  " " + to_string(one.local) + " " + one.realm);
  }
  return all;
}

TEST(TurnConfig, realms_have_addresses_and_ports_of_their_own) {
  Host host;
  host.addresses = {IpAddress::v4(45, 9, 1, 1), *parse_ip("2a09::1")};
  const std::string secret = "secret_files = [\"s\"]\n";
  const std::string head =
      "[turn]\ndefault_realm = \"a\"\ncertificate_file = \"c\"\nprivate_key_file = \"k\"\n"
      "tls_port = 0\ndtls_port = 0\n[turn.realm.a]\n" +
      secret;
  Loaded loaded = load(head + "[turn.realm.b]\nrealm = \"b.example\"\nport = 3480\n" +
                       "tls_port = 5350\ndtls_port = 5351\naddresses = [\"2a09::1\"]\n" + secret);
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  EXPECT_THAT(shown(turn_config(loaded.settings, host)),
              ElementsAre("udp 45.9.1.1:3478 ", "tcp 45.9.1.1:3478 ", "udp [2a09::1]:3478 ",
                          "tcp [2a09::1]:3478 ", "udp [2a09::1]:3480 b.example",
                          "tcp [2a09::1]:3480 b.example", "tls [2a09::1]:5350 b.example",
                          "dtls [2a09::1]:5351 b.example"));
  // Without a port the address is the realm's alone.
  loaded = load(head + "[turn.realm.b]\naddresses = [\"2a09::1\"]\n" + secret);
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  EXPECT_THAT(shown(turn_config(loaded.settings, host)),
              ElementsAre("udp 45.9.1.1:3478 ", "tcp 45.9.1.1:3478 ", "udp [2a09::1]:3478 b",
                          "tcp [2a09::1]:3478 b"));
  loaded = load(head + "[turn.realm.b]\ndtls_port = 5351\naddresses = [\"2a09::1\"]\n" + secret);
  EXPECT_THAT(shown(turn_config(loaded.settings, host)),
              ElementsAre("udp 45.9.1.1:3478 ", "tcp 45.9.1.1:3478 ", "udp [2a09::1]:3478 ",
                          "tcp [2a09::1]:3478 ", "dtls [2a09::1]:5351 b"));
  // And with a port at every address.
  loaded = load(head + "[turn.realm.b]\nport = 3480\n" + secret);
  EXPECT_EQ(turn_config(loaded.settings, host).listeners.size(), 8U);
}

Loaded with_addresses(const std::string& outside, const std::string& turn) {
  return load_text("[interface.outside]\n" + outside + "[interface.inside]\naddresses = " +
                       "[\"10.0.0.1\"]\n[turn]\n" + turn + kRealm,
                   "t.toml", "/etc/turnpike");
}

TEST(TurnConfig, discovery_has_two_ports_at_two_addresses_of_a_family) {
  const std::string two =
      "addresses = [\"45.9.1.1\", \"2a09::1\", \"45.9.1.2\", \"45.9.1.3\", \"2a09::2\"]\n";
  const Loaded loaded = with_addresses(two, "tcp_port = 0\ndiscovery_port = 3479\n");
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  Host host;
  for (const char* ip : {"45.9.1.1", "2a09::1", "45.9.1.2", "45.9.1.3", "2a09::2"}) {
    host.addresses.push_back(*parse_ip(ip));
  }
  turn::Config config = turn_config(loaded.settings, host);
  EXPECT_THAT(shown(config),
              ElementsAre("udp 45.9.1.1:3478 ", "udp 45.9.1.1:3479 ", "udp [2a09::1]:3478 ",
                          "udp [2a09::1]:3479 ", "udp 45.9.1.2:3478 ", "udp 45.9.1.2:3479 ",
                          "udp 45.9.1.3:3478 ", "udp [2a09::2]:3478 ", "udp [2a09::2]:3479 "));
  using Places = std::array<std::uint32_t, 4>;
  EXPECT_THAT(config.discovery, ElementsAre(Places{0, 1, 4, 5}, Places{2, 3, 7, 8}));
  host.addresses.pop_back();
  EXPECT_EQ(turn_config(loaded.settings, host).discovery.size(), 1U) << "the host lacks one";
  EXPECT_TRUE(turn_config(with_addresses(two, "").settings, host).discovery.empty()) << "off";
}

TEST(TurnConfig, discovery_needs_addresses_that_differ) {
  const std::string key = "discovery_port = 3479\n";
  EXPECT_THAT(with_addresses("addresses = [\"45.9.1.1\", \"2a09::1\"]\n", key).findings.mistakes(),
              ElementsAre(HasSubstr("needs two addresses of one family")));
  EXPECT_THAT(with_addresses("addresses = [\"10.1.1.1\", \"10.1.1.2\"]\n"
                             "advertised = [\"45.9.1.1\", \"45.9.1.1\"]\n",
                             key)
                  .findings.mistakes(),
              Contains(HasSubstr("are both advertised as 45.9.1.1")));
  EXPECT_THAT(
      with_addresses("addresses = [\"45.9.1.1\", \"45.9.1.2\"]\n", "discovery_port = 3478\n")
          .findings.mistakes(),
      Contains(HasSubstr("both listen on")));
}

TEST(TurnConfig, a_realm_that_nobody_is_told_is_a_warning) {
  const std::string text =
      "[turn]\ndefault_realm = \"a\"\n[turn.realm.a]\nusers_file = \"u\"\n"
      "[turn.realm.b]\nusers_file = \"u\"\n";
  EXPECT_THAT(load(text).findings.mistakes(), IsEmpty());
  EXPECT_THAT(load(text).findings.warnings(), Contains(HasSubstr("is told to no client")));
  EXPECT_THAT(load(text + "port = 3480\n").findings.warnings(),
              Not(Contains(HasSubstr("is told to no client"))));
}

struct Mistake {
  const char* text;
  const char* told;
};

class TurnMistakes : public testing::TestWithParam<Mistake> {};

TEST_P(TurnMistakes, T10_refuse_to_start) {
  const std::string text = GetParam().text;
  const std::string realm = text.find("realm") == std::string::npos ? kRealm : "";
  EXPECT_THAT(load(text + "\n" + realm).findings.mistakes(), Contains(HasSubstr(GetParam().told)))
      << text;
}

INSTANTIATE_TEST_SUITE_P(
    Security, TurnMistakes,
    testing::Values(
        Mistake{"[turn]\nport_min = 40000\nport_max = 41000", "overlap the ports from media"},
        Mistake{"[turn]\nport_min = 24000\nport_max = 36000", "overlap the ports from media"},
        Mistake{"[turn]\nport_min = 24000\nport_max = 24003", "at least 256 ports"},
        Mistake{"[turn]\nudp_port = 25000", "lies in the TURN ports"},
        Mistake{"[turn]\nudp_port = 40000", "lies in the media ports"},
        Mistake{"[turn]\ntls_port = 5349", "turn.tls_port is given, but it needs a certificate"},
        Mistake{"[turn]\ndtls_port = 5349", "turn.dtls_port is given, but it needs a certificate"},
        Mistake{"[turn]\ncertificate_file = \"c.pem\"", "turn.private_key_file is empty"},
        Mistake{"[turn]\nserver_name = \"edge:5349\"",
                "turn.server_name holds a text that is no host name"},
        Mistake{"[turn]\nprivate_key_file = \"k.pem\"", "turn.certificate_file is empty"},
        Mistake{"[turn]\ntcp_port = 5349\ncertificate_file = \"c\"\nprivate_key_file = \"k\"",
                "turn.tls_port and turn.tcp_port both listen on 45.9.1.1:5349"},
        Mistake{"[turn]\ntcp_port = 4444\n[api]\nmetrics = \"45.9.1.1:4444\"\n"
                "metrics_public = true",
                "turn.tcp_port and api.metrics both listen on 45.9.1.1:4444"},
        Mistake{"[turn]\ninterface = \"dmz\"", "names no section"},
        Mistake{"[turn]\nlifetime_seconds = 7200", "more than turn.lifetime_max_seconds"},
        Mistake{"[turn]\nport = 1", "unknown key"}, Mistake{"[turn]\n# no realm.", "has no realm"},
        Mistake{"[turn.realm.a]\n", "nobody could use the realm"},
        Mistake{"[turn.realm.a]\nusers_file = \"u\"\nallowed_peers = [\"10.0.0.0/33\"]",
                "turn.realm.a.allowed_peers holds \"10.0.0.0/33\", which is no network"},
        Mistake{"[turn.realm.a]\nusers_file = \"u\"\ndenied_peers = [\"10.0.0.0-10.1\"]",
                "which is no network"},
        Mistake{"[turn.realm.a]\nusers_file = \"u\"\nonly_allowed_peers = true\n"
                "own_media = false",
                "nobody could be reached"},
        Mistake{"[turn.realm.a]\nusers_file = \"u\"\nrealm = \"x\\\"y\"", "holds quotes"},
        Mistake{"[turn.realm.a]\nusers_file = \"u\"\n[turn.realm.b]\nusers_file = \"u\"\n"
                "realm = \"a\"",
                "turn.realm.b.realm is \"a\", as that of [turn.realm.a]"},
        Mistake{"[turn.realm.a]\nusers_file = \"u\"\n[turn.realm.b]\nusers_file = \"u\"",
                "turn.default_realm is empty, but there are several realms"},
        Mistake{"[turn]\ndefault_realm = \"c\"\n[turn.realm.a]\nusers_file = \"u\"",
                "there is no section [turn.realm.c]"},
        Mistake{"[turn.realm.a]\nusers_file = \"u\"\nport = 3478",
                "turn.realm.a.port and turn.udp_port both listen on 45.9.1.1:3478"},
        Mistake{"[turn.realm.a]\nusers_file = \"u\"\naddresses = [\"45.9.1.2\"]",
                "holds 45.9.1.2, which is none of [interface.outside].addresses"},
        Mistake{"[turn.realm.a]\nusers_file = \"u\"\naddresses = [\"45.9.1.1\"]\n"
                "[turn.realm.b]\nusers_file = \"u\"\naddresses = [\"45.9.1.1\"]",
                "give one of them a port"},
        Mistake{"[turn.realm.a]\nusers_file = \"u\"\ntls_port = 5350",
                "turn.realm.a.tls_port is given, but it needs a certificate"},
        Mistake{"[turn.realm.a]\nusers_file = \"u\"\ndtls_port = 5350",
                "turn.realm.a.dtls_port is given, but it needs a certificate"},
        Mistake{"[turn]\ncertificate_file = \"c\"\nprivate_key_file = \"k\"\n"
                "[turn.realm.a]\nusers_file = \"u\"\ndtls_port = 5349",
                "turn.realm.a.dtls_port and turn.dtls_port both listen on 45.9.1.1:5349"},
        Mistake{"[turn.realm.a]\nusers_file = \"u\"\nallowed_peers = [\"45.9.1.1/32\"]",
                "an address of this node"},
        Mistake{"[turn.realm.a]\nusers_file = \"u\"\nallowed_peers = [\"2a09::9\"]",
                "an address of this node"}));

class TurnFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("turn-" + std::to_string(getpid()));
    fs::create_directories(folder_);
    settings_ = load("[turn.realm.main]\nrealm = \"example.org\"\nusers_file = \"" + path("users") +
                     "\"\nsecret_files = [\"" + path("new") + "\", \"" + path("old") +
                     "\"]\nsecret_hash = \"sha256\"\nallowed_peers = [\"10.1.0.0/16\"]")
                    .settings;
    write("users", "# two of them\nalice wonderland\r\nbob \tbuilder\n\n");
    write("new", "the-newest-secret-of-all\n");
    write("old", "the-oldest-secret-of-all\n");
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name, const std::string& text, int mode = 0600) const {
    std::ofstream(path(name)) << text;
    fs::permissions(path(name), fs::perms(mode));
  }
  std::string error() const {
    const auto made = turn_settings(settings_);
    return made ? "" : made.error().message;
  }

  fs::path folder_;
  Settings settings_;
};

TEST_F(TurnFiles, users_and_secrets_are_read) {
  const auto made = turn_settings(settings_);
  ASSERT_TRUE(made) << made.error().message;
  const turn::Realm& realm = (*made)->realms.front();
  EXPECT_EQ(realm.name, "example.org");
  ASSERT_EQ(realm.users.size(), 2U);
  EXPECT_EQ(realm.users.at("alice").md5,
            pki::long_term_keys("alice", "example.org", "wonderland").md5);
  EXPECT_EQ(realm.users.at("bob").sha256,
            pki::long_term_keys("bob", "example.org", "builder").sha256);
  ASSERT_EQ(realm.secrets.size(), 2U);
  EXPECT_EQ(realm.secrets[0].id, "new");
  EXPECT_EQ(realm.secrets[0].secret, "the-newest-secret-of-all");
  EXPECT_TRUE(realm.secrets[0].sha256);
  ASSERT_EQ(realm.peers.allowed.size(), 1U);
  EXPECT_EQ(realm.peers.allowed[0].length, 16);
  EXPECT_EQ(realm.quotas.allocations, 4000U) << "of the whole relay when the realm has no own";
  EXPECT_THAT(judge_turn_files(settings_).mistakes, IsEmpty());
}

TEST_F(TurnFiles, the_default_realm_is_the_first) {
  settings_ =
      load("[turn]\ndefault_realm = \"main\"\n[turn.realm.main]\nusers_file = \"" + path("users") +
           "\"\n[turn.realm.a]\nport = 3480\nusers_file = \"" + path("users") +
           "\"\n[turn.realm.z]\nport = 3481\nusers_file = \"" + path("users") + "\"\n")
          .settings;
  const auto made = turn_settings(settings_);
  ASSERT_TRUE(made) << made.error().message;
  std::vector<std::string> names;
  for (const turn::Realm& realm : (*made)->realms) names.push_back(realm.name);
  EXPECT_THAT(names, ElementsAre("main", "a", "z"));
}

TEST_F(TurnFiles, T10_a_bad_line_is_named_and_its_content_is_not) {
  write("users", "alice wonderland\nbob\n");
  EXPECT_THAT(error(), HasSubstr("line 2 is not \"NAME PASSWORD\""));
  write("users", "alice wonderland secret-word\n");
  EXPECT_THAT(error(), HasSubstr("line 1"));
  EXPECT_THAT(error(), Not(HasSubstr("secret-word")));
  write("users", "alice a\nalice b\n");
  EXPECT_THAT(error(), HasSubstr("line 2 has the name of another line"));
  write("users", "\n# nobody\n");
  EXPECT_THAT(error(), HasSubstr("holds no user"));
  write("users", "alice wonderland\n", 0644);
  EXPECT_THAT(error(), HasSubstr("every account of this host may read these passwords"));
  fs::remove(path("users"));
  EXPECT_THAT(error(), HasSubstr("No such file"));
  EXPECT_THAT(judge_turn_files(settings_).mistakes, Contains(HasSubstr("turn.realm.main")));
}

TEST_F(TurnFiles, T10_bad_secrets_are_refused) {
  write("old", "short\n");
  EXPECT_THAT(error(), HasSubstr("the secret has 5 characters"));
  write("old", std::string(300, 'x') + "\n");
  EXPECT_THAT(error(), HasSubstr("longer than 256"));
  write("old", "the-oldest-secret-of-all\n", 0604);
  EXPECT_THAT(error(), HasSubstr("every account"));
}

const std::string kLongKey = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const std::string kShortKey = "MTIzNDU2Nzg5MDEyMzQ1Ng==";

class TurnTokenKeys : public TurnFiles {
 protected:
  void read(const std::string& more = "") {
    settings_ = load("[turn.realm.main]\nrealm = \"example.org\"\ntoken_keys_file = \"" +
                     path("keys") + "\"\n" + more)
                    .settings;
  }
};

TEST_F(TurnTokenKeys, are_read_with_their_times) {
  read();
  write("keys", "# two\nnorth A256GCM " + kLongKey + "\nunion  A128GCM\t" + kShortKey +
                    " 1700000000-1800000000\nlate A128GCM " + kShortKey +
                    " 1700000000-\nearly A128GCM " + kShortKey + " -1800000000\n");
  auto made = turn_settings(settings_);
  ASSERT_TRUE(made) << made.error().message;
  const turn::Realm& realm = (*made)->realms.front();
  EXPECT_EQ(realm.token_server, "example.org") << "the realm's name";
  ASSERT_EQ(realm.token_keys.size(), 4U);
  EXPECT_EQ(realm.token_keys[0],
            (turn::TokenKey{"north", "01234567890123456789012345678901", {}, {}}));
  EXPECT_EQ(realm.token_keys[1], (turn::TokenKey{"union", "1234567890123456", Seconds(1700000000),
                                                 Seconds(1800000000)}));
  EXPECT_EQ(realm.token_keys[2].not_before, Seconds(1700000000));
  EXPECT_EQ(realm.token_keys[2].not_after, Seconds(0));
  EXPECT_EQ(realm.token_keys[3].not_before, Seconds(0));
  EXPECT_EQ(realm.token_keys[3].not_after, Seconds(1800000000));
  read("token_server_name = \"turn.example.org\"\n");
  made = turn_settings(settings_);
  ASSERT_TRUE(made);
  EXPECT_EQ((*made)->realms.front().token_server, "turn.example.org");
}

TEST_F(TurnTokenKeys, T10_a_bad_line_is_named_and_its_content_is_not) {
  read();
  const std::string good = "north A256GCM " + kLongKey;
  const std::vector<std::string> lines = {"north",
                                          "north A256GCM " + kShortKey,
                                          "north A128GCM " + kLongKey,
                                          "north A512GCM " + kLongKey,
                                          "north " + kLongKey,
                                          "north A128GCM MTIzNDU2Nzg5MDEyMzQ1====",
                                          "north A128GCM MTIzNDU2Nzg5MDEyMzQ!Ng==",
                                          "north A128GCM MTIzNDU2Nzg5MDEyMzQ1=g=="};
  for (const std::string& line : lines) {
    write("keys", "\n" + line + "\n");
    EXPECT_THAT(error(), HasSubstr("line 2 is not \"KID ALGORITHM KEY FROM-UNTIL\"")) << line;
    EXPECT_THAT(error(), Not(HasSubstr("MTIz")));
  }
  for (const char* times : {" 1", " x-", " -1x", " 0-", " --", " 1-2-3", " 1-2 3"}) {
    write("keys", good + times + "\n");
    EXPECT_THAT(error(), HasSubstr("line 1 has a time that is not FROM-UNTIL")) << times;
  }
  write("keys", good + "\nnorth A128GCM " + kShortKey + "\n");
  EXPECT_THAT(error(), HasSubstr("line 2 has the KID of another line"));
  write("keys", std::string(300, 'k') + " A256GCM " + kLongKey + "\n");
  EXPECT_THAT(error(), HasSubstr("more than 256 bytes"));
  write("keys", "# none\n");
  EXPECT_THAT(error(), HasSubstr("holds no key"));
  write("keys", good + "\n", 0644);
  EXPECT_THAT(error(), HasSubstr("every account of this host may read these keys"));
}

TEST(TurnConfig, a_name_for_tokens_needs_tokens) {
  EXPECT_THAT(load(kRealm + "token_server_name = \"a\"\n").findings.mistakes(),
              ElementsAre(HasSubstr("no tokens are taken")));
  EXPECT_THAT(load("[turn.realm.a]\ntoken_keys_file = \"k\"\n").findings.mistakes(), IsEmpty());
}

}  // namespace
}  // namespace turnpike::config
