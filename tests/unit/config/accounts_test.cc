// Accounts and groups of this host, and who may read private keys.
#include "control/config/accounts.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/config/load.h"

namespace turnpike::config {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Loaded load(const std::string& more) {
  Loaded loaded = load_text(
      "[interface.outside]\n"
      "addresses = [\"192.0.2.10\"]\n"
      "[interface.inside]\n"
      "addresses = [\"10.0.0.1\"]\n" +
          more,
      "t.toml", "/etc/turnpike");
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  check_accounts(loaded.settings, loaded.findings);
  return loaded;
}

TEST(ConfigAccounts, groups_that_the_host_lacks_are_mistakes) {
  const Loaded loaded = load(
      "[ng]\nunix_group = \"no-such-group\"\n"
      "[api]\nunix_group = \"nor-this-one\"\n");
  EXPECT_THAT(loaded.findings.mistakes(),
              ElementsAre("t.toml:6: ng.unix_group: there is no group \"no-such-group\" on this "
                          "host; create it or name another",
                          "t.toml:8: api.unix_group: there is no group \"nor-this-one\" on this "
                          "host; create it or name another"));
}

TEST(ConfigAccounts, groups_of_the_host_and_numbers_are_fine) {
  const Loaded loaded = load("[ng]\nunix_group = \"root\"\n[api]\nunix_group = \"4711\"\n");
  EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
  EXPECT_THAT(load("").findings.mistakes(), IsEmpty());
}

class ConfigKeyAccess : public testing::Test {
 protected:
  ConfigKeyAccess() {
    char folder[] = "/tmp/tp-keys-XXXXXX";
    folder_ = mkdtemp(folder);
    key_ = folder_ + "/edge.key";
    std::ofstream(key_) << "key";
    chmod(folder_.c_str(), 0755);
  }
  ~ConfigKeyAccess() override { std::filesystem::remove_all(folder_); }

  Loaded load_sip(const std::string& user) const {
    return load(
        "[sip]\ndomains = [\"edge.test\"]\ninside_networks = [\"10.0.0.0/8\"]\n"
        "certificate_file = \"" +
        folder_ + "/edge.pem\"\nprivate_key_file = \"" + key_ + "\"\ntrust_file = \"" + folder_ +
        "/ca.pem\"\nrun_user = \"" + user + "\"\n");
  }
  std::vector<std::string> warnings(mode_t mode, const std::string& user = "nobody") const {
    EXPECT_EQ(chmod(key_.c_str(), mode), 0);
    return key_access_warnings(load_sip(user).settings);
  }

  std::string folder_;
  std::string key_;
};

TEST_F(ConfigKeyAccess, an_account_that_cannot_read_its_key_is_warned_about) {
  EXPECT_THAT(warnings(0600),
              ElementsAre(key_ + ": the SIP server's account nobody cannot read this private key; "
                                 "chgrp nobody and chmod 0640"));
  EXPECT_THAT(warnings(0640), testing::SizeIs(1)) << "it is not in our group";
  EXPECT_THAT(warnings(0600, "root"), IsEmpty());
}

TEST_F(ConfigKeyAccess, a_key_for_everybody_is_warned_about) {
  EXPECT_THAT(warnings(0644), ElementsAre(AllOf(HasSubstr(key_), HasSubstr("every account"))));
}

TEST_F(ConfigKeyAccess, a_folder_on_the_way_counts) {
  EXPECT_EQ(chmod(folder_.c_str(), 0700), 0);
  EXPECT_THAT(warnings(0644),
              ElementsAre(HasSubstr("every account"), HasSubstr("may not enter " + folder_)));
  EXPECT_EQ(chmod(folder_.c_str(), 0711), 0);
  EXPECT_THAT(warnings(0644), ElementsAre(HasSubstr("every account")));
}

TEST_F(ConfigKeyAccess, a_missing_account_is_warned_about) {
  EXPECT_THAT(load_sip("no-such-user").findings.warnings(),
              ElementsAre("t.toml:11: sip.run_user: there is no account \"no-such-user\" on this "
                          "host; install the SIP server or name its account"));
  EXPECT_THAT(load_sip("nobody").findings.warnings(), IsEmpty());
  EXPECT_THAT(warnings(0600, "no-such-user"), IsEmpty());
}

}  // namespace
}  // namespace turnpike::config
