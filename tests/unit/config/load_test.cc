// Loading: defaults, values, and for each kind of mistake its exact line.
#include "control/config/load.h"

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/config/products.h"

namespace turnpike::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string kInterfaces =
    "[interface.outside]\n"
    "addresses = [\"192.0.2.10\"]\n"
    "[interface.inside]\n"
    "addresses = [\"198.51.100.10\"]\n";

Loaded load(const std::string& text) {
  return load_text(text, "t.toml", "/etc/turnpike");
}

/// The mistakes of a file that holds the two interfaces (lines 1 to 4) and then `text` (line 5).
std::vector<std::string> mistakes_of(const std::string& text) {
  return load(kInterfaces + text).findings.mistakes();
}

TEST(ConfigLoad, interfaces_alone_give_every_default) {
  const Loaded loaded = load(kInterfaces);
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  EXPECT_THAT(loaded.findings.warnings(), IsEmpty());
  const Settings& settings = loaded.settings;
  EXPECT_EQ(settings.node.role, "single");
  EXPECT_EQ(settings.node.drain_timeout, Seconds(30));
  EXPECT_EQ(settings.media.port_min, 36000);
  EXPECT_EQ(settings.media.port_max, 59999);
  EXPECT_EQ(settings.media.source_policy, SourcePolicy::kStrict);
  EXPECT_EQ(settings.media.dscp_audio, 46);
  EXPECT_TRUE(settings.media.pin_shards);
  EXPECT_EQ(settings.ng.unix_path, "/run/turnpike/ng.sock");
  EXPECT_FALSE(settings.ng.udp.is_set());
  EXPECT_FALSE(settings.ng.tcp.is_set()) << "guarded listeners are off";
  EXPECT_FALSE(settings.ng.http.is_set());
  EXPECT_EQ(to_string(settings.api.metrics), "127.0.0.1:9464");
  EXPECT_EQ(settings.log.level, "info");
  ASSERT_EQ(settings.interfaces.size(), 2u);
  EXPECT_EQ(settings.interfaces[0].name, "inside");
  EXPECT_EQ(to_string(settings.interfaces[0].addresses.at(0)), "198.51.100.10");
}

TEST(ConfigLoad, values_replace_defaults) {
  const Loaded loaded = load(kInterfaces +
                             "[interface.dmz]\n"
                             "addresses = [\"2001:db8::1\", \"192.0.2.20\"]\n"
                             "advertised = [\"2001:db8::2\", \"203.0.113.20\"]\n"
                             "[media]\n"
                             "source_policy = \"asymmetric\"\n"
                             "quarantine_seconds = 60\n"
                             "pin = false\n"
                             "[ng]\n"
                             "unix = \"ng.sock\"\n"
                             "udp = \"[::1]:2223\"\n"
                             "[log]\n"
                             "level = \"debug\"\n");
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  const Settings& settings = loaded.settings;
  EXPECT_EQ(settings.media.source_policy, SourcePolicy::kAsymmetric);
  EXPECT_EQ(settings.media.quarantine, Seconds(60));
  EXPECT_FALSE(settings.media.pin_shards);
  EXPECT_EQ(settings.ng.unix_path, "/etc/turnpike/ng.sock") << "relative to the file's folder";
  EXPECT_EQ(to_string(settings.ng.udp), "[::1]:2223");
  EXPECT_EQ(settings.log.level, "debug");
  ASSERT_EQ(settings.interfaces.size(), 3u);
  EXPECT_EQ(to_string(settings.interfaces[0].advertised.at(1)), "203.0.113.20");
}

struct Mistake {
  const char* text;     ///< begins on line 5
  const char* message;  ///< the one line that it gives
};
void PrintTo(const Mistake& mistake, std::ostream* out) {
  *out << mistake.text;
}

class ConfigMistake : public testing::TestWithParam<Mistake> {};

TEST_P(ConfigMistake, gives_its_exact_line) {
  EXPECT_THAT(mistakes_of(GetParam().text), ElementsAre(GetParam().message));
}

const Mistake kMistakes[] = {
    {"[medai]\n", "t.toml:5: unknown section [medai]; did you mean [media]?"},
    {"[interface.dmz.deep]\n[interface.dmz]\naddresses=[\"192.0.2.30\"]\n",
     "t.toml:5: unknown section [interface.dmz.deep]; remove it (docs/configuration.md lists what "
     "there is)"},
    {"[media]\nport_mni = 36000\n",
     "t.toml:6: unknown key \"port_mni\" in [media]; did you mean \"port_min\"?"},
    {"[media]\nzzzzzzzz = 36000\n",
     "t.toml:6: unknown key \"zzzzzzzz\" in [media]; remove it (docs/configuration.md lists what "
     "there is)"},
    {"media = 5\n",
     "t.toml:5: unknown key \"media\" in [interface.inside]; remove it (docs/configuration.md "
     "lists what there is)"},
    {"[media]\nport_min = 70000\n",
     "t.toml:6: media.port_min is 70000; give a whole number from 1024 to 65534"},
    {"[media]\nport_min = 36000.5\n",
     "t.toml:6: media.port_min is 36000.5; give a whole number from 1024 to 65534"},
    {"[media]\npin = \"yes\"\n",
     "t.toml:6: media.pin is \"yes\"; give true or false (without quotes)"},
    {"[log]\nlevel = \"inof\"\n",
     "t.toml:6: log.level is \"inof\"; give one of \"debug\", \"info\", \"warning\", \"error\", "
     "did "
     "you mean \"info\"?"},
    {"[log]\nlevel = 3\n",
     "t.toml:6: log.level is 3; give one of \"debug\", \"info\", \"warning\", \"error\""},
    {"[node]\nname = 2024-01-01\n", "t.toml:6: node.name is a date; give text in quotes"},
    {"[node]\nname = \"\"\n", "t.toml:6: node.name is empty; give the node a name or leave it out"},
    {"[node]\nname = \"a\\u0007b\"\n", "t.toml:6: node.name holds control characters; remove them"},
    {"[node]\nrole = \"edge\"\n",
     "t.toml:6: node.role is \"edge\", but there is no zone; add a section [zone.NAME], or use "
     "\"single\""},
    {"[node]\nrole = \"double\"\n",
     "t.toml:6: node.role is \"double\"; give one of \"single\", \"edge\", \"core\""},
    {"[media]\nport_min = 36001\n",
     "t.toml:6: media.port_min is odd (36001); RTP ports are even, give an even number"},
    {"[media]\nport_max = 59998\n",
     "t.toml:6: media.port_max is even (59998); RTCP ports are odd, give an odd number"},
    {"[media]\nport_min = 40000\nport_max = 39999\n",
     "t.toml:7: media.port_max (39999) is not above media.port_min (40000); give a range from low "
     "to high"},
    {"[media]\nport_min = 5000\n",
     "t.toml:6: the media ports overlap 5060-5080, which belong to SIP; choose a range above, such "
     "as 36000-59999"},
    {"[interface.x]\naddresses = [\"192.168.1.300\"]\n",
     "t.toml:6: interface.x.addresses holds \"192.168.1.300\", which is not an IP address; give "
     "literal addresses such as \"192.0.2.10\" or \"2001:db8::10\""},
    {"[interface.x]\naddresses = [5]\n",
     "t.toml:6: interface.x.addresses has an entry that is 5; give text in quotes"},
    {"[interface.x]\naddresses = \"192.0.2.30\"\n",
     "t.toml:6: interface.x.addresses is \"192.0.2.30\"; give a list such as [\"a\", \"b\"]"},
    {"[interface.x]\naddresses = []\n",
     "t.toml:6: interface.x.addresses is empty; give at least one address"},
    {"[interface.x]\n",
     "t.toml:5: [interface.x] has no addresses; add addresses = "
     "[\"192.0.2.10\"]"},
    {"[interface.x]\naddresses = [\"0.0.0.0\"]\n",
     "t.toml:6: interface.x.addresses: 0.0.0.0 means every address; name the addresses one by "
     "one"},
    {"[interface.x]\naddresses = [\"::\"]\n",
     "t.toml:6: interface.x.addresses: :: means every address; name the addresses one by one"},
    {"[interface.x]\naddresses = [\"224.0.0.1\"]\n",
     "t.toml:6: interface.x.addresses: 224.0.0.1 is a multicast address; give a unicast one"},
    {"[interface.x]\naddresses = [\"255.255.255.255\"]\n",
     "t.toml:6: interface.x.addresses: 255.255.255.255 is the broadcast address; give a unicast "
     "one"},
    {"[interface.x]\naddresses = [\"fe80::1\"]\n",
     "t.toml:6: interface.x.addresses: fe80::1 is link-local; give a global or unique local "
     "address"},
    {"[interface.x]\naddresses = [\"192.0.2.30\", \"192.0.2.30\"]\n",
     "t.toml:6: interface.x.addresses holds 192.0.2.30 twice; remove one"},
    {"[interface.x]\naddresses = [\"192.0.2.30\"]\nadvertised = [\"192.0.2.1\", \"192.0.2.2\"]\n",
     "t.toml:7: interface.x.advertised has 2 entries for 1 addresses; give one for each address, "
     "in the same order"},
    {"[interface.x]\naddresses = [\"192.0.2.30\", \"192.0.2.31\"]\n"
     "advertised = [\"192.0.2.1\", \"192.0.2.1\"]\n",
     "t.toml:7: interface.x.advertised holds 192.0.2.1 twice; one port there cannot lead to two "
     "addresses"},
    {"[interface.x]\naddresses = [\"192.0.2.30\"]\nadvertised = [\"2001:db8::1\"]\n",
     "t.toml:7: interface.x.advertised: 2001:db8::1 stands for 192.0.2.30, which is of another "
     "family; advertise an address of the same"},
    {"[interface.\"Bad Name\"]\naddresses = [\"192.0.2.30\"]\n",
     "t.toml:5: the section name \"Bad Name\" is not usable; take 1 to 32 of a-z, 0-9, - and _"},
    {"[ng]\nudp = \"192.0.2.10:2223\"\n",
     "t.toml:6: ng.udp is 192.0.2.10:2223, but the protocol has no authentication; use a loopback "
     "address such as 127.0.0.1"},
    {"[ng]\nudp = \"127.0.0.1\"\n",
     "t.toml:6: ng.udp is \"127.0.0.1\", which is not an address and port; give one such as "
     "\"127.0.0.1:9464\" or \"[::1]:9464\""},
    {"[ng]\nudp = \"127.0.0.1:5065\"\n",
     "t.toml:6: ng.udp uses port 5065, which is reserved (5063-5080); choose another"},
    {"[ng]\nudp = \"127.0.0.1:22\"\n",
     "t.toml:6: ng.udp uses port 22; give a port from 1024 to 65534"},
    {"[ng]\nunix = \"\"\n",
     "t.toml:6: ng.unix and ng.udp are both empty, no SIP server could ask for media; set one of "
     "them"},
    {"[ng]\nhttp = \"0.0.0.0:2225\"\ntoken_file = \"t\"\n",
     "t.toml:6: ng.http is 0.0.0.0:2225, but the listener has no TLS and messages carry keys; set "
     "ng.certificate_file and ng.private_key_file, or use a loopback address such as 127.0.0.1"},
    {"[ng]\nhttp = \"192.0.2.10:2225\"\ntoken_file = \"t\"\ncertificate_file = \"c\"\n"
     "private_key_file = \"k\"\n",
     "t.toml:6: ng.clients is empty, so only loopback addresses may connect, and ng.http is "
     "192.0.2.10:2225; name the networks of the SIP servers in ng.clients"},
    {"[ng]\nhttp = \"[::1]:2225\"\ncertificate_file = \"c\"\nprivate_key_file = \"k\"\n",
     "t.toml:6: ng.http needs a token, since every process of this host may connect; put one into "
     "a file and name it in ng.token_file, or set ng.client_trust_file"},
    {"[ng]\ntcp = \"127.0.0.1:2224\"\nhttp = \"127.0.0.1:2225\"\ncertificate_file = \"c\"\n"
     "private_key_file = \"k\"\nclient_trust_file = \"a\"\n",
     "t.toml:6: ng.tcp needs a token, since every process of this host may connect; put one into a "
     "file and name it in ng.token_file"},
    {"[ng]\nhttp = \"127.0.0.1:2225\"\ntoken_file = \"t\"\ncertificate_file = \"c\"\n",
     "t.toml:5: ng.private_key_file is empty; give the key of ng.certificate_file"},
    {"[ng]\nhttp = \"127.0.0.1:2225\"\ntoken_file = \"t\"\nprivate_key_file = \"k\"\n",
     "t.toml:5: ng.certificate_file is empty; give the certificate of ng.private_key_file"},
    {"[ng]\nhttp = \"127.0.0.1:2225\"\ntoken_file = \"t\"\nclient_trust_file = \"a\"\n",
     "t.toml:8: ng.client_trust_file is set, but without TLS no client shows a certificate; set "
     "ng.certificate_file and ng.private_key_file"},
    {"[ng]\ntcp = \"192.0.2.10:2224\"\ntoken_file = \"t\"\n",
     "t.toml:6: ng.tcp is 192.0.2.10:2224, but the listener has no TLS and messages carry keys; "
     "use "
     "a loopback address such as 127.0.0.1, and ng.http with a certificate for clients elsewhere"},
    {"[ng]\ntcp = \"127.0.0.1:2224\"\n",
     "t.toml:6: ng.tcp needs a token, since every process of this host may connect; put one into a "
     "file and name it in ng.token_file"},
    {"[ng]\nhttp = \"[::1]:2225\"\n",
     "t.toml:6: ng.http needs a token, since every process of this host may connect; put one into "
     "a file and name it in ng.token_file, or set ng.client_trust_file"},
    {"[ng]\nclients = [\"localhost\"]\n",
     "t.toml:6: ng.clients holds a text that is no network; write networks like \"127.0.0.1/32\" "
     "or "
     "\"::1\""},
    {"[ng]\nhost_names = [\"a b\"]\n",
     "t.toml:6: ng.host_names holds a text that is no host name; give names without port, such as "
     "\"edge.example.com\""},
    {"[ng]\ntcp = \"127.0.0.1:2224\"\nhttp = \"127.0.0.1:2224\"\ntoken_file = \"t\"\n",
     "t.toml:7: ng.http and ng.tcp both listen on 127.0.0.1:2224; give them different ports"},
    {"[interface.x]\naddresses = [\"127.0.0.1\"]\n[ng]\nudp = \"127.0.0.1:40000\"\n",
     "t.toml:8: ng.udp uses port 40000, which lies in the media ports of [interface.x]; choose one "
     "outside of them"},
    {"[api]\nmetrics = \"0.0.0.0:9464\"\n",
     "t.toml:6: api.metrics is 0.0.0.0:9464, open to the internet; use a loopback or management "
     "address, or set metrics_public = true"},
    {"[api]\nmetrics = \"203.0.113.5:9464\"\n",
     "t.toml:6: api.metrics is 203.0.113.5:9464, open to the internet; use a loopback or "
     "management address, or set metrics_public = true"},
    {"[api]\nhost_names = [\"a:1\"]\n",
     "t.toml:6: api.host_names holds a text that is no host name; give names without port, such "
     "as \"edge.example.com\""},
    {"[api]\nunix = \"/run/turnpike/ng.sock\"\n",
     "t.toml:6: api.unix and ng.unix name the same socket; give each its own path"},
    {"[media]\nport_min = = 5\n",
     "t.toml:6: not valid TOML: Error while parsing value: could not determine value type; correct "
     "this line"},
    {"[media\nport_min = 5\n",
     "t.toml:5: not valid TOML: Error while parsing table header: expected ']', saw '\\n'; correct "
     "this line"},
    {"[media]\npin = true\npin = false\n",
     "t.toml:7: not valid TOML: Error while parsing key-value pair: cannot redefine existing "
     "boolean 'pin'; correct this line"},
};
INSTANTIATE_TEST_SUITE_P(Table, ConfigMistake, testing::ValuesIn(kMistakes));

TEST(ConfigLoad, every_mistake_is_reported_in_line_order) {
  EXPECT_THAT(
      mistakes_of("[media]\n"
                  "port_min = = 1\n"
                  "shards = -1\n"
                  "[log]\n"
                  "lvl = 1\n"
                  "target = \"syslog\"\n"),
      ElementsAre(HasSubstr("t.toml:6: not valid TOML"), HasSubstr("t.toml:7: media.shards"),
                  HasSubstr("t.toml:9: unknown key \"lvl\" in [log]; did you mean"),
                  HasSubstr("t.toml:10: log.target is \"syslog\"")));
}

TEST(ConfigLoad, empty_file_asks_for_both_interfaces) {
  EXPECT_THAT(load("").findings.mistakes(),
              ElementsAre("t.toml:1: there is no [interface.inside]; add the section "
                          "[interface.inside] with addresses = [\"192.0.2.10\"]",
                          "t.toml:1: there is no [interface.outside]; add the section "
                          "[interface.outside] with addresses = [\"192.0.2.10\"]"));
}

TEST(ConfigLoad, unreadable_file_is_a_mistake) {
  EXPECT_THAT(load_file("/nonexistent/turnpike.toml").findings.mistakes(),
              ElementsAre("/nonexistent/turnpike.toml:1: the file cannot be read (No such file or "
                          "directory); give an existing, readable file with --config"));
  EXPECT_THAT(load_file("/tmp").findings.mistakes(), ElementsAre(HasSubstr("it is a directory")));
  EXPECT_THAT(load_file("/dev/zero").findings.mistakes(),
              ElementsAre(HasSubstr("it is no regular file")));
  EXPECT_THAT(load_file("/dev/null").findings.mistakes(),
              ElementsAre(HasSubstr("it is no regular file")));
}

class ConfigLoadFile : public testing::Test {
 protected:
  std::string path_ = testing::TempDir() + "turnpike-load-" + std::to_string(::getpid());
  ~ConfigLoadFile() override { ::unlink(path_.c_str()); }
};

TEST_F(ConfigLoadFile, a_fifo_is_refused_without_waiting) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(load_file(path_).findings.mistakes(),
              ElementsAre(HasSubstr("it is no regular file")));
}

TEST_F(ConfigLoadFile, an_empty_file_lacks_interfaces) {
  ::close(::open(path_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  EXPECT_THAT(load_file(path_).findings.mistakes(),
              ElementsAre(HasSubstr(":1: there is no [interface.inside]"),
                          HasSubstr(":1: there is no [interface.outside]")));
}

TEST_F(ConfigLoadFile, an_oversized_file_is_refused) {
  ::close(::open(path_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_EQ(::truncate(path_.c_str(), (1 << 20) + 1), 0);
  EXPECT_THAT(load_file(path_).findings.mistakes(),
              ElementsAre(HasSubstr("it is larger than 1 MiB")));
}

TEST(ConfigLoad, long_socket_path_is_refused) {
  const std::string path = "/" + std::string(107, 'x');
  EXPECT_THAT(mistakes_of("[ng]\nunix = \"" + path + "\"\n"),
              ElementsAre("t.toml:6: ng.unix is a path of 108 bytes, too long for a unix socket; "
                          "give one of at most 107 bytes"));
}

TEST(ConfigLoad, hostile_values_are_shortened_and_escaped) {
  const auto mistakes = mistakes_of("[log]\nlevel = \"" + std::string(5000, 'x') + "\"\n");
  ASSERT_EQ(mistakes.size(), 1u);
  EXPECT_LT(mistakes[0].size(), 250u);
  EXPECT_THAT(mistakes_of("[log]\nlevel = \"a\\nb\\u001b[1m\"\n"),
              ElementsAre(HasSubstr("\"a\\x0ab\\x1b[1m\"")));
}

TEST(ConfigLoad, syntax_errors_do_not_show_values) {
  for (const char* line : {"password = 99887766554433221100998877665544", "password = hunter2\n",
                           "password = \"hunter2", "password = 0xhunter2", "password = 1hunter2",
                           "password = 1979-05-99hunter2", "password = {hunter2}",
                           "password = [\"hunter2\" \"hunter2\"]"}) {
    const auto mistakes = mistakes_of(std::string("[log]\n") + line + "\n");
    ASSERT_FALSE(mistakes.empty()) << line;
    for (const std::string& mistake : mistakes) {
      EXPECT_THAT(mistake, Not(HasSubstr("unter2")));
      EXPECT_THAT(mistake, Not(HasSubstr("9988")));
    }
  }
}

TEST(ConfigLoad, values_of_unknown_keys_are_not_shown) {
  EXPECT_THAT(mistakes_of("[log]\npassword = \"hunter2\"\n"),
              ElementsAre(Not(HasSubstr("hunter2"))));
}

TEST(ConfigLoad, outside_is_srtp_unless_said_otherwise) {
  const std::string more = "[interface.dmz]\naddresses = [\"203.0.113.10\"]\n";
  using Names = std::set<std::string>;
  EXPECT_EQ(call_config(load(kInterfaces + more).settings, {}).srtp_interfaces, Names{"outside"});
  EXPECT_EQ(
      call_config(load(kInterfaces + more + "srtp = \"required\"\n").settings, {}).srtp_interfaces,
      (Names{"dmz", "outside"}));
  const Loaded open = load(
      "[interface.outside]\nsrtp = \"optional\"\naddresses = [\"192.0.2.10\"]\n"
      "[interface.inside]\naddresses = [\"198.51.100.10\"]\n");
  EXPECT_THAT(open.findings.mistakes(), IsEmpty());
  EXPECT_EQ(call_config(open.settings, {}).srtp_interfaces, Names{});
  EXPECT_THAT(mistakes_of("srtp = \"maybe\"\n"), ElementsAre(HasSubstr("interface.inside.srtp")));
}

TEST(ConfigLoad, warnings_do_not_refuse) {
  const Loaded loaded = load(
      "[interface.outside]\naddresses = [\"127.0.0.1\"]\n"
      "[interface.inside]\naddresses = [\"192.0.2.10\"]\n"
      "[media]\nsource_policy = \"latch-any\"\nsessions_max = 20000\n"
      "[api]\nmetrics = \"203.0.113.5:9464\"\nmetrics_public = true\n");
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  EXPECT_THAT(
      loaded.findings.warnings(),
      ElementsAre(HasSubstr("t.toml:2: interface.outside.addresses: 127.0.0.1 is a loopback"),
                  HasSubstr("t.toml:6: media.source_policy \"latch-any\""),
                  HasSubstr("[interface.inside], fewer than media.sessions_max"),
                  HasSubstr("[interface.outside], fewer than media.sessions_max"),
                  HasSubstr("t.toml:10: the metrics listener 203.0.113.5:9464")));
}

TEST(ConfigLoad, private_management_address_is_allowed) {
  for (const char* address : {"10.1.2.3:9464", "172.16.0.1:9464", "[fd00::1]:9464", ""}) {
    EXPECT_THAT(mistakes_of(std::string("[api]\nmetrics = \"") + address + "\"\n"), IsEmpty());
  }
}

TEST(Security, T10_every_broken_line_refuses_the_file) {
  // Any damage to one line of a good file is either harmless (comment, blank) or refused: never
  // accepted with the damaged setting silently ignored.
  const std::string good = kInterfaces + "[api]\nmetrics_public = false\n[media]\npin = true\n";
  ASSERT_FALSE(load(good).findings.has_mistakes());
  for (const char* broken : {"[api]\nmetrics_public false\n", "[api]\nmetrics_public = flase\n",
                             "[api]\nmetrics_pubic = false\n", "[apii]\nmetrics_public = false\n",
                             "[api]\nmetrics_public = \"false\"\n", "[api]\nmetrics_public = 0\n",
                             "[api\nmetrics_public = false\n", "api.metrics_public = false\n"}) {
    EXPECT_TRUE(load(kInterfaces + broken).findings.has_mistakes()) << broken;
  }
}

TEST(ConfigReference, committed_document_is_up_to_date) {
  std::ifstream file(std::string(TURNPIKE_SOURCE_DIR) + "/docs/configuration.md");
  std::ostringstream text;
  text << file.rdbuf();
  const std::string marker = "<!-- generated: turnpiked --print-config-reference -->\n";
  const auto begin = text.str().find(marker);
  ASSERT_NE(begin, std::string::npos);
  EXPECT_EQ(text.str().substr(begin + marker.size()), reference())
      << "replace what follows the marker by the output of turnpiked --print-config-reference";
}

TEST(ConfigReference, shipped_file_is_right) {
  const Loaded loaded = load_file(std::string(TURNPIKE_SOURCE_DIR) + "/deploy/turnpike.toml");
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
}

TEST(ConfigSuggestion, nearest_word) {
  EXPECT_EQ(nearest("prot_min", {"port_min", "port_max"}), "port_min");
  EXPECT_EQ(nearest("lgo", {"log", "ng"}), "log");
  EXPECT_EQ(nearest("quarantine", {"port_min", "quarantine_seconds"}), "quarantine_seconds");
  EXPECT_EQ(nearest("elephant", {"log", "ng"}), "");
  EXPECT_EQ(nearest("", {"log"}), "");
  EXPECT_EQ(nearest(std::string(100000, 'x'), {"log"}), "");
}

}  // namespace
}  // namespace turnpike::config
