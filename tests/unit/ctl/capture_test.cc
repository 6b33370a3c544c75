// The file that `turnpikectl capture` writes: whose it may be, and who may read it.
#include "control/ctl/capture.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace turnpike::ctl {
namespace {

using testing::HasSubstr;

class OutputFileTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(folder_); }
  static void put(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
    ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  }
  static std::string text_of(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static unsigned mode_of(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return status.st_mode & 07777;
  }

  std::string name_ = "/tmp/tp-capture-XXXXXX";
  std::string folder_ = ::mkdtemp(name_.data());
  std::string path_ = folder_ + "/call.pcapng";
  std::string other_ = folder_ + "/other";
};

TEST_F(OutputFileTest, a_new_file_and_one_of_before_are_for_their_owner_alone) {
  OutputFile fresh(path_);
  EXPECT_TRUE(fresh.write("one ") && fresh.write("two")) << fresh.trouble();
  EXPECT_EQ(mode_of(path_), 0600u);
  EXPECT_EQ(text_of(path_), "one two");
  put(path_, "long and readable by everybody");
  OutputFile again(path_);
  EXPECT_TRUE(again.write("short")) << again.trouble();
  EXPECT_EQ(mode_of(path_), 0600u);
  EXPECT_EQ(text_of(path_), "short");
}

TEST_F(OutputFileTest, links_are_not_followed) {
  put(other_, "somebody's");
  ASSERT_EQ(::symlink(other_.c_str(), path_.c_str()), 0);
  OutputFile file(path_);
  EXPECT_FALSE(file.write("what was said"));
  EXPECT_THAT(file.trouble(), HasSubstr("symbolic link"));
  EXPECT_EQ(text_of(other_), "somebody's");
}

TEST_F(OutputFileTest, only_a_regular_file_of_ones_own_is_written) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  OutputFile pipe(path_);
  EXPECT_FALSE(pipe.write("what was said"));
  OutputFile device("/dev/null");
  EXPECT_FALSE(device.write("what was said"));
  EXPECT_THAT(device.trouble(), HasSubstr("no regular file"));
  if (::geteuid() != 0) return;  // only root can give files away
  put(other_, "somebody's");
  ASSERT_EQ(::chown(other_.c_str(), 65534, 65534), 0);
  OutputFile foreign(other_);
  EXPECT_FALSE(foreign.write("what was said"));
  EXPECT_THAT(foreign.trouble(), HasSubstr("another user"));
  EXPECT_EQ(text_of(other_), "somebody's");
}

}  // namespace
}  // namespace turnpike::ctl
