// The file of records: whole lines, rotation, a full disk, somebody who moves the file away.
#include "control/log/record_file.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace turnpike::log {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Records : public testing::Test {
 protected:
  Records() { std::filesystem::create_directory(folder_); }
  ~Records() override { std::filesystem::remove_all(folder_); }

  std::string path(int n = 0) const {
    return folder_ + "/calls" + (n == 0 ? "" : "." + std::to_string(n));
  }
  RecordFileOptions options(std::uint64_t bytes = 1 << 20, std::uint32_t files = 3) const {
    return {path(), bytes, files};
  }
  static std::vector<std::string> lines(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  static bool settled(const RecordFile& file, std::uint64_t lines) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < deadline) {
      const auto counters = file.counters();
      if (counters.written + counters.lost == lines) return true;
      std::this_thread::yield();
    }
    return false;
  }

  const std::string folder_ = testing::TempDir() + "records_" + std::to_string(::getpid()) + "_" +
                              testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(Records, lines_are_appended_and_the_end_waits_for_them) {
  std::ofstream(path()) << "before\n";
  {
    RecordFile file(options());
    file.write("one");
    file.write("two");
  }
  EXPECT_THAT(lines(path()), ElementsAre("before", "one", "two"));
}

TEST_F(Records, a_new_file_is_its_groups_to_read_whatever_the_umask) {
  for (const mode_t mask : {mode_t{0}, mode_t{077}}) {
    const mode_t before = umask(mask);
    { RecordFile(options()).write("one"); }
    umask(before);
    EXPECT_EQ(std::filesystem::status(path()).permissions(), std::filesystem::perms{0640});
    std::filesystem::remove(path());
  }
}

TEST_F(Records, a_full_file_is_rotated_and_the_oldest_goes) {
  {
    RecordFile file(options(10, 3));
    for (const char* line : {"aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "gggg"}) {
      file.write(line);
    }
    ASSERT_TRUE(settled(file, 7));
    EXPECT_EQ(file.counters().rotations, 3u);
    EXPECT_EQ(file.counters().lost, 0u);
  }
  EXPECT_THAT(lines(path()), ElementsAre("gggg"));
  EXPECT_THAT(lines(path(1)), ElementsAre("eeee", "ffff"));
  EXPECT_THAT(lines(path(2)), ElementsAre("cccc", "dddd"));
  EXPECT_FALSE(std::filesystem::exists(path(3)));
}

TEST_F(Records, a_rotation_that_a_kill_cut_short_is_finished) {
  // Killed when the second was about to become the third.
  std::ofstream(path(1)) << "second\n";
  std::ofstream(path() + ".rotating") << "third\n";
  {
    RecordFile file(options(1 << 20, 4));
    file.write("fourth");
  }
  EXPECT_THAT(lines(path()), ElementsAre("fourth"));
  EXPECT_THAT(lines(path(1)), ElementsAre("third"));
  EXPECT_THAT(lines(path(2)), ElementsAre("second"));
  EXPECT_FALSE(std::filesystem::exists(path() + ".rotating"));
  // And a gap in the middle, without what was put aside.
  std::filesystem::rename(path(1), path(3));
  {
    RecordFile file(options(1, 4));
    file.write("fifth");
  }
  EXPECT_THAT(lines(path(1)), ElementsAre("fourth"));
  EXPECT_THAT(lines(path(2)), ElementsAre("second"));
  EXPECT_THAT(lines(path(3)), ElementsAre("third"));
}

TEST_F(Records, a_full_file_that_cannot_be_moved_loses_nothing) {
  std::filesystem::create_directories(path(2) + "/in-the-way");
  std::ofstream(path(1)) << "older\n";
  RecordFile file(options(10));
  for (const char* line : {"first", "second", "third"}) file.write(line);
  ASSERT_TRUE(settled(file, 3));
  EXPECT_EQ(file.counters().lost, 0u);
  EXPECT_THAT(lines(path()), ElementsAre("first", "second", "third"));
  EXPECT_THAT(lines(path(1)), ElementsAre("older"));
  EXPECT_THAT(file.trouble(), HasSubstr("cannot rotate"));
  std::filesystem::remove_all(path(2));
  file.write("fourth");
  ASSERT_TRUE(settled(file, 4));
  EXPECT_THAT(lines(path()), ElementsAre("fourth"));
  EXPECT_THAT(lines(path(1)), ElementsAre("first", "second", "third"));
  EXPECT_EQ(file.trouble(), "");
}

TEST_F(Records, one_file_alone_begins_anew) {
  {
    RecordFile file(options(10, 1));
    for (const char* line : {"aaaa", "bbbb", "cccc"}) file.write(line);
  }
  EXPECT_THAT(lines(path()), ElementsAre("cccc"));
  EXPECT_FALSE(std::filesystem::exists(path(1)));
}

TEST_F(Records, half_a_line_of_a_killed_process_is_cut_off) {
  std::ofstream(path()) << "whole\n{" << std::string(10000, 'x');
  { RecordFile(options()).write("next"); }
  EXPECT_THAT(lines(path()), ElementsAre("whole", "next"));
  std::ofstream(path()) << '{' << std::string(10000, 'x');
  { RecordFile(options()).write("only"); }
  EXPECT_THAT(lines(path()), ElementsAre("only"));
  RecordFileOptions longer = options();
  longer.line_begin = "{\"version\":";
  std::ofstream(path()) << "{\"ver";
  { RecordFile(longer).write("only"); }
  EXPECT_THAT(lines(path()), ElementsAre("only"));
}

TEST_F(Records, a_file_that_was_named_by_mistake_loses_nothing) {
  for (const char* text : {"the only copy of a letter", "{\"users\": []}", "line\nanother"}) {
    std::ofstream(path()) << text;
    std::filesystem::permissions(path(), std::filesystem::perms{0755});
    RecordFileOptions mistaken = options();
    mistaken.line_begin = "{\"version\":";
    RecordFile file(mistaken);
    file.write("lost");
    ASSERT_TRUE(settled(file, 1));
    EXPECT_EQ(file.counters().lost, 1u);
    EXPECT_THAT(file.trouble(), HasSubstr("ends with something else than a record"));
    std::ifstream kept(path());
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(kept), {}), text);
    EXPECT_EQ(std::filesystem::status(path()).permissions(), std::filesystem::perms{0755});
  }
}

TEST_F(Records, zeros_that_a_power_loss_left_are_cut_off) {
  std::ofstream(path()) << "first\n" << std::string(5000, '\0');
  RecordFileOptions recording = options();
  recording.line_begin = "{\"version\":";
  { RecordFile(recording).write("second"); }
  EXPECT_THAT(lines(path()), ElementsAre("first", "second"));
}

TEST_F(Records, a_file_that_was_there_is_no_wider_than_a_new_one) {
  std::ofstream(path()) << "before\n";
  for (const auto& [before, after] : {std::pair<unsigned, unsigned>{0666, 0640}, {0600, 0600}}) {
    std::filesystem::permissions(path(), std::filesystem::perms{before});
    { RecordFile(options()).write("one"); }
    EXPECT_EQ(std::filesystem::status(path()).permissions(), std::filesystem::perms{after});
  }
}

TEST_F(Records, a_file_that_somebody_emptied_is_not_full) {
  RecordFile file(options(10));
  file.write("aaaa");
  file.write("bbbb");
  ASSERT_TRUE(settled(file, 2));
  std::filesystem::resize_file(path(), 0);  // logrotate's copytruncate
  file.write("cccc");
  ASSERT_TRUE(settled(file, 3));
  EXPECT_EQ(file.counters().rotations, 0u);
  EXPECT_THAT(lines(path()), ElementsAre("cccc"));
}

TEST_F(Records, fewer_files_take_those_beyond_with_them) {
  std::ofstream(path(7)) << "not ours\n";
  RecordFile file(options(1, 6));
  for (const char* line : {"a", "b", "c", "d", "e", "f"}) file.write(line);
  file.reopen(options(1, 3));
  file.write("g");
  ASSERT_TRUE(settled(file, 7));
  EXPECT_THAT(lines(path(2)), ElementsAre("e"));
  for (const int n : {3, 4, 5}) EXPECT_FALSE(std::filesystem::exists(path(n))) << n;
  EXPECT_TRUE(std::filesystem::exists(path(7)));
}

TEST_F(Records, a_full_disk_loses_whole_lines_and_says_why) {
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  RecordFile file(options());
  file.write("first");
  ASSERT_TRUE(settled(file, 1));
  rlimit small{10, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  file.write("much too long for what is left");
  ASSERT_TRUE(settled(file, 2));
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(file.counters().lost, 1u);
  EXPECT_THAT(file.trouble(), HasSubstr("cannot write " + path()));
  EXPECT_THAT(lines(path()), ElementsAre("first")) << "no half a line stays";
  file.write("there is room again");
  ASSERT_TRUE(settled(file, 3));
  EXPECT_EQ(file.trouble(), "");
  EXPECT_THAT(lines(path()), ElementsAre("first", "there is room again"));
}

TEST_F(Records, what_is_no_file_or_has_no_folder_is_told_and_tried_anew) {
  RecordFile file({folder_ + "/none/calls", 1 << 20, 3});
  file.write("lost");
  ASSERT_TRUE(settled(file, 1));
  EXPECT_THAT(file.trouble(), HasSubstr("No such file"));
  std::filesystem::create_directory(folder_ + "/none");
  file.write("written");
  ASSERT_TRUE(settled(file, 2));
  EXPECT_EQ(file.trouble(), "");
  file.reopen({"/dev/null", 1 << 20, 3});
  file.write("lost");
  ASSERT_TRUE(settled(file, 3));
  EXPECT_EQ(file.trouble(), "/dev/null is no file");
}

TEST_F(Records, a_file_that_was_moved_away_is_opened_anew) {
  RecordFile file(options());
  file.write("old");
  ASSERT_TRUE(settled(file, 1));
  std::filesystem::rename(path(), path(9));
  file.write("follows it");
  file.reopen(options());
  file.write("new");
  ASSERT_TRUE(settled(file, 3));
  EXPECT_THAT(lines(path(9)), ElementsAre("old", "follows it"));
  EXPECT_THAT(lines(path()), ElementsAre("new"));
}

/// Keeps whoever opens the file to write to it waiting, for 45 seconds at most.
class Lease {
 public:
  explicit Lease(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    ::fcntl(fd_, F_SETSIG, SIGURG);  // which is ignored, unlike SIGIO
    held_ = ::fcntl(fd_, F_SETLEASE, F_RDLCK) == 0;
  }
  ~Lease() { ::close(fd_); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  bool held() const { return held_; }
  /// Whether somebody waits.
  bool is_wanted() const { return ::fcntl(fd_, F_GETLEASE) != F_RDLCK; }

 private:
  int fd_;
  bool held_ = false;
};

/// Lines of so many bytes, of which so many wait while the disk hangs.
void fill_while_the_disk_hangs(RecordFile& file, const std::string& path, std::size_t bytes,
                               std::size_t fit) {
  constexpr std::size_t kMore = 100;
  {
    const Lease lease(path);
    if (!lease.held()) GTEST_SKIP() << "no leases on this file system";
    file.write("held by the writer");
    while (!lease.is_wanted()) std::this_thread::yield();
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < fit + kMore; ++i) file.write(std::string(bytes, 'x'));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5)) << "it waited";
    EXPECT_EQ(file.counters().lost, kMore);
    EXPECT_EQ(file.counters().written, 0u);
    EXPECT_EQ(file.trouble(), "the disk does not keep up");
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (file.counters().written < fit + 1 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(file.counters().written, fit + 1) << "what had waited comes into the file";
  EXPECT_EQ(file.trouble(), "");
}

TEST_F(Records, the_queue_is_bounded_in_lines_and_nobody_waits) {
  std::ofstream(path()) << "before\n";
  RecordFile file(options(std::uint64_t{1} << 30));
  fill_while_the_disk_hangs(file, path(), 3, RecordFile::kQueueLines);
}

TEST_F(Records, the_queue_is_bounded_in_bytes) {
  std::ofstream(path()) << "before\n";
  RecordFile file(options(std::uint64_t{1} << 30));
  constexpr std::size_t kLine = 300000;
  fill_while_the_disk_hangs(file, path(), kLine, RecordFile::kQueueBytes / (kLine + 1));
}

TEST_F(Records, no_line_is_forgotten_when_none_can_be_written) {
  ASSERT_EQ(mkfifo(path().c_str(), 0600), 0);
  RecordFile file(options());  // opening a pipe without a reader would wait; it is no file
  for (std::size_t i = 0; i < RecordFile::kQueueLines + 100; ++i) file.write("line");
  ASSERT_TRUE(settled(file, RecordFile::kQueueLines + 100));
  EXPECT_EQ(file.counters().written, 0u);
}

TEST_F(Records, a_line_that_a_process_before_may_have_written_is_there_once) {
  {
    RecordFile file(options());
    file.write("{one}");
    file.write("{two}");
  }
  std::filesystem::rename(path(), path(1));
  RecordFile file(options());
  file.write("{three}");
  for (const char* line : {"{one}", "{two}", "{three}", "{four}"}) {
    EXPECT_NE(file.write_unless_there(line), 0U);
  }
  file.write("{three}");  // this one is meant
  file.finish();
  EXPECT_THAT(lines(path(1)), ElementsAre("{one}", "{two}"));
  EXPECT_THAT(lines(path()), ElementsAre("{three}", "{four}", "{three}"));
  EXPECT_EQ(file.counters().written, 3U);
}

TEST_F(Records, half_a_line_is_not_there) {
  std::ofstream(path()) << "{one}\n{two";
  RecordFile file(options());
  file.write_unless_there("{two}");
  file.finish();
  EXPECT_THAT(lines(path()), ElementsAre("{one}", "{two}"));
}

TEST_F(Records, tickets_tell_what_is_in_the_file) {
  RecordFile file(options());
  EXPECT_EQ(file.done(), 0U);
  const std::uint64_t first = file.write("{one}");
  const std::uint64_t second = file.write("{two}");
  EXPECT_LT(first, second);
  file.finish();
  EXPECT_EQ(file.done(), second);
  RecordFile nowhere({.path = folder_ + "/none/calls"});
  const std::uint64_t lost = nowhere.write("{one}");
  nowhere.finish();
  EXPECT_EQ(nowhere.done(), lost) << "nobody waits for what is lost";
  EXPECT_EQ(nowhere.write(std::string(RecordFile::kQueueBytes, 'x')), 0U);
}

}  // namespace
}  // namespace turnpike::log
