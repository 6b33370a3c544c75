// Files on disk, and Kamailio's own opinion of them.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/sidecar/example.h"

namespace turnpike::sidecar {
namespace {

namespace fs = std::filesystem;

class Write : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/turnpike-sidecar-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    home_ = pattern;
    directory_ = home_ + "/sidecar";
  }
  void TearDown() override { fs::remove_all(home_); }

  static std::string read(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static unsigned mode(const std::string& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777U : 0U;
  }

  std::string home_;
  std::string directory_;
};

TEST_F(Write, files_are_not_for_everybody) {
  ASSERT_TRUE(write_sidecar(example(), directory_));
  EXPECT_EQ(mode(directory_), 0750U);
  EXPECT_EQ(mode(directory_ + "/db"), 0750U);
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(directory_)) {
    if (!entry.is_regular_file()) continue;
    EXPECT_EQ(mode(entry.path()), 0640U) << entry.path();
    ++files;
  }
  EXPECT_EQ(files, 11);
}

TEST_F(Write, the_signing_key_is_made_once) {
  ASSERT_TRUE(write_sidecar(example(), directory_));
  const std::string first = read(directory_ + "/signing_key");
  EXPECT_EQ(first.size(), 65U);
  ASSERT_TRUE(write_sidecar(example(), directory_));
  EXPECT_EQ(read(directory_ + "/signing_key"), first);
  EXPECT_NE(read(directory_ + "/kamailio.cfg").find(first.substr(0, 64)), std::string::npos);

  std::ofstream(directory_ + "/signing_key") << "damaged";
  ASSERT_TRUE(write_sidecar(example(), directory_));
  EXPECT_EQ(read(directory_ + "/signing_key").size(), 65U);
}

TEST_F(Write, an_older_file_is_replaced_whole) {
  ASSERT_TRUE(write_sidecar(example(), directory_));
  const std::string before = read(directory_ + "/tls.cfg");
  SipConfig config = example();
  config.peers.clear();
  ASSERT_TRUE(write_sidecar(config, directory_));
  EXPECT_LT(read(directory_ + "/tls.cfg").size(), before.size());
}

TEST_F(Write, a_directory_of_others_is_left_alone) {
  fs::create_directory(directory_);
  std::ofstream(directory_ + "/kamailio.cfg") << "mine";
  const auto written = write_sidecar(example(), directory_);
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("did not write"), std::string::npos);
  EXPECT_EQ(read(directory_ + "/kamailio.cfg"), "mine");
}

TEST_F(Write, a_place_that_others_may_replace_is_refused) {
  ASSERT_TRUE(write_sidecar(example(), directory_));
  for (const std::string& open_to_others : {home_, directory_}) {
    ASSERT_EQ(::chmod(open_to_others.c_str(), 0777), 0);
    const auto written = write_sidecar(example(), directory_);
    ASSERT_FALSE(written);
    EXPECT_NE(written.error().message.find("chmod go-w"), std::string::npos);
    ASSERT_EQ(::chmod(open_to_others.c_str(), 01777), 0);
    EXPECT_TRUE(write_sidecar(example(), directory_)) << "as /tmp is";
    ASSERT_EQ(::chmod(open_to_others.c_str(), 0755), 0);
  }
}

TEST_F(Write, a_place_of_another_account_is_refused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_TRUE(write_sidecar(example(), directory_));
  for (const std::string& given_away : {home_, directory_}) {
    ASSERT_EQ(::chown(given_away.c_str(), 65534, 65534), 0);
    const auto written = write_sidecar(example(), directory_);
    ASSERT_FALSE(written);
    EXPECT_NE(written.error().message.find("another account"), std::string::npos);
    ASSERT_EQ(::chown(given_away.c_str(), 0, 0), 0);
  }
}

TEST_F(Write, a_link_in_place_of_a_file_is_not_followed) {
  ASSERT_TRUE(write_sidecar(example(), directory_));
  std::ofstream(home_ + "/victim") << "mine";
  fs::create_symlink(home_ + "/victim", directory_ + "/tls.cfg.part");
  fs::remove(directory_ + "/site.cfg");
  fs::create_symlink(home_ + "/victim", directory_ + "/site.cfg");
  ASSERT_TRUE(write_sidecar(example(), directory_));
  EXPECT_EQ(read(home_ + "/victim"), "mine");
  EXPECT_FALSE(fs::is_symlink(directory_ + "/site.cfg"));
}

TEST_F(Write, a_mistake_writes_nothing) {
  SipConfig config = example();
  config.domains = {"a\"b"};
  EXPECT_FALSE(write_sidecar(config, directory_));
  EXPECT_FALSE(fs::exists(directory_));
}

TEST_F(Write, no_place_to_write_is_said) {
  const auto written = write_sidecar(example(), home_ + "/missing/sidecar");
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("No such file"), std::string::npos);
}

/// Kamailio's parser and its checks of routes and parameters. Loading certificates comes later.
class Accepted : public Write {
 protected:
  void expect_accepted(const SipConfig& config) {
    if (::access("/usr/sbin/kamailio", X_OK) != 0) GTEST_SKIP() << "kamailio is not installed";
    ASSERT_TRUE(write_sidecar(config, directory_));
    const std::string log = home_ + "/log";
    const std::string command =
        "/usr/sbin/kamailio -c -f " + directory_ + "/kamailio.cfg > " + log + " 2>&1";
    EXPECT_EQ(std::system(command.c_str()), 0) << read(log);
  }
};

TEST_F(Accepted, with_one_of_everything) {
  expect_accepted(example());
}

TEST_F(Accepted, with_the_least) {
  SipConfig config = example();
  config.sni_certificates.clear();
  config.users.clear();
  config.servers.clear();
  config.routes.clear();
  config.peers.clear();
  config.emergency_numbers.clear();
  config.wss_port = 0;
  config.websocket_origins.clear();
  expect_accepted(config);
}

TEST_F(Accepted, with_an_upstream) {
  SipConfig config = example();
  config.upstream = "sip:10.0.0.20";
  expect_accepted(config);
}

TEST_F(Accepted, with_peers_alone) {
  SipConfig config = example();
  config.tls_port = 0;
  config.wss_port = 0;
  expect_accepted(config);
}

TEST_F(Accepted, with_browsers_alone) {
  SipConfig config = example();
  config.tls_port = 0;
  config.peers.clear();
  config.outside_media = OutsideMedia::kDtls;
  expect_accepted(config);
}

}  // namespace
}  // namespace turnpike::sidecar
