// turnpiked as a program: exit codes, what it prints, start failures, the end by signal.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/config/load.h"

namespace turnpike {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

/// A TCP port of 127.0.0.1 that nothing uses: bound, but not listening, until destroyed.
class TakenPort {
 public:
  TakenPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(fd_, generic, sizeof address), 0);
    socklen_t size = sizeof address;
    getsockname(fd_, generic, &size);
    EXPECT_EQ(listen(fd_, 1), 0);
    port_ = ntohs(address.sin_port);
  }
  ~TakenPort() { close(fd_); }
  int port() const { return port_; }

 private:
  int fd_;
  int port_ = 0;
};

class Turnpiked : public testing::Test {
 protected:
  Turnpiked() {
    char folder[] = "/tmp/tp-daemon-XXXXXX";
    folder_ = mkdtemp(folder);
  }
  ~Turnpiked() override {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }

  std::string write_config(const std::string& text) {
    const std::string path = folder_ + "/t.toml";
    std::ofstream(path) << text;
    return path;
  }

  /// Serves on loopback, on unix sockets in the folder, with a few ports.
  std::string good_config(const std::string& more = "") {
    return "[interface.outside]\naddresses = [\"127.0.0.1\"]\n"
           "[interface.inside]\naddresses = [\"127.0.0.1\"]\n"
           "[media]\nport_min = 24000\nport_max = 24099\nsessions_max = 10\nshards = 1\n"
           "[ng]\nunix = \"ng.sock\"\n[api]\nunix = \"api.sock\"\n" +
           more;
  }

  /// Starts the program with its output in files.
  void start(const std::vector<std::string>& arguments) {
    pid_ = fork();
    if (pid_ == 0) {
      const int out = open((folder_ + "/out").c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
      const int err = open((folder_ + "/err").c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
      dup2(out, 1);
      dup2(err, 2);
      std::vector<char*> words{strdup(TURNPIKED)};
      for (const std::string& word : arguments) words.push_back(strdup(word.c_str()));
      words.push_back(nullptr);
      execv(TURNPIKED, words.data());
      _exit(127);
    }
  }

  std::string read(const std::string& name) const {
    std::ifstream file(folder_ + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  Outcome finish() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), read("out"),
            read("err")};
  }

  Outcome run(const std::vector<std::string>& arguments) {
    start(arguments);
    return finish();
  }

  /// Waits until the log holds `text`; false when the program ended before.
  bool wait_for(const std::string& text) {
    while (read("out").find(text) == std::string::npos) {
      siginfo_t ended{};
      waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT);
      if (ended.si_pid != 0) return false;
      poll(nullptr, 0, 2);
    }
    return true;
  }

  std::string folder_;
  pid_t pid_ = 0;
};

TEST_F(Turnpiked, prints_version_help_and_reference) {
  EXPECT_THAT(run({"--version"}).out, StartsWith("turnpiked " TURNPIKE_VERSION));
  EXPECT_EQ(run({"--help"}).code, 0);
  const Outcome reference = run({"--print-config-reference"});
  EXPECT_EQ(reference.code, 0);
  EXPECT_EQ(reference.out, config::reference());
}

TEST_F(Turnpiked, closed_standard_descriptors_are_no_harm) {
  const std::string path = write_config(good_config("metrics = \"\"\n"));
  const std::string api = folder_ + "/api.sock";
  // It logs to the void; the socket file tells when it serves.
  pid_ = fork();
  ASSERT_GE(pid_, 0);
  if (pid_ == 0) {
    for (int fd = 0; fd < 3; ++fd) close(fd);
    execl(TURNPIKED, TURNPIKED, "--config", path.c_str(), nullptr);
    _exit(127);
  }
  while (!std::filesystem::exists(api) && waitpid(pid_, nullptr, WNOHANG) == 0) {
    poll(nullptr, 0, 2);
  }
  ASSERT_TRUE(std::filesystem::exists(api));
  for (int fd = 0; fd < 3; ++fd) {
    const std::string link = "/proc/" + std::to_string(pid_) + "/fd/" + std::to_string(fd);
    std::error_code failed;
    const auto target = std::filesystem::read_symlink(link, failed);
    if (failed) continue;  // only root may look
    EXPECT_EQ(target, "/dev/null");
  }
  EXPECT_EQ(kill(pid_, SIGTERM), 0);
  EXPECT_EQ(finish().code, 0);
}

TEST_F(Turnpiked, wrong_command_line_is_exit_code_2) {
  EXPECT_EQ(run({"--chekc"}).code, 2);
  EXPECT_EQ(run({"surplus"}).code, 2);
  EXPECT_EQ(run({"--config"}).code, 2);
}

TEST_F(Turnpiked, T10_a_file_with_mistakes_is_refused_with_a_line_for_each) {
  const std::string path = write_config("[media]\nport_min = 36001\nquarantine = 5\n");
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--check", "--config", path}, {"--config", path}}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.out, IsEmpty());
    EXPECT_EQ(outcome.err,
              path +
                  ":1: there is no [interface.inside]; add the section [interface.inside] with "
                  "addresses = [\"192.0.2.10\"]\n" +
                  path +
                  ":1: there is no [interface.outside]; add the section "
                  "[interface.outside] with addresses = [\"192.0.2.10\"]\n" +
                  path +
                  ":2: media.port_min is odd (36001); RTP ports are even, give an even "
                  "number\n" +
                  path +
                  ":3: unknown key \"quarantine\" in [media]; did you mean "
                  "\"quarantine_seconds\"?\n");
  }
}

TEST_F(Turnpiked, missing_file_is_exit_code_2) {
  const Outcome outcome = run({"--config", folder_ + "/none.toml"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("/none.toml:1: the file cannot be read (No such file"));
}

TEST_F(Turnpiked, check_of_a_good_file_succeeds_and_warns) {
  const Outcome outcome = run({"--check", "--config", write_config(good_config())});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("t.toml: no mistakes, "));
  EXPECT_THAT(outcome.err, HasSubstr("warning: " + folder_ + "/t.toml:2: "));
}

TEST_F(Turnpiked, check_refuses_groups_that_the_host_lacks) {
  const Outcome outcome =
      run({"--check", "--config", write_config(good_config("unix_group = \"no-such-group\"\n"))});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.err, folder_ +
                             "/t.toml:14: api.unix_group: there is no group \"no-such-group\" on "
                             "this host; create it or name another\n");
}

TEST_F(Turnpiked, check_judges_the_users_file) {
  const std::string users = folder_ + "/users";
  const std::string path = write_config(
      good_config("[sip]\ndomains = [\"edge.test\"]\ninside_networks = [\"10.0.0.0/8\"]\n"
                  "certificate_file = \"/nonexistent/edge.pem\"\n"
                  "private_key_file = \"/nonexistent/edge.key\"\n"
                  "trust_file = \"/nonexistent/ca.pem\"\nusers_file = \"" +
                  users + "\"\n"));
  const Outcome missing = run({"--check", "--config", path});
  EXPECT_EQ(missing.code, 0) << "it may be made later; " << missing.err;
  EXPECT_THAT(missing.err, HasSubstr("warning: sip.users_file: " + users + " cannot be read"));
  std::ofstream(users) << "alice edge.test\nbob edge.test 5w0rdf15h\n";
  const Outcome wrong = run({"--check", "--config", path});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_EQ(wrong.err, users + ":1: a line is name, domain and hash, separated by blanks\n" +
                           users +
                           ":2: ha1 must be 32 lower-case hexadecimal digits: the hash of "
                           "name:domain:password\n");
  std::filesystem::remove(users);
  std::filesystem::create_directory(users);
  const Outcome folder = run({"--check", "--config", path});
  EXPECT_EQ(folder.code, 2);
  EXPECT_THAT(folder.err, HasSubstr(users + " cannot be read (it is a directory)"));
}

TEST_F(Turnpiked, a_fault_in_the_files_of_the_api_closes_that_door_alone) {
  const std::string tokens = folder_ + "/tokens";
  std::ofstream(tokens) << "a read 0123456789abcdef01234567\n";
  std::filesystem::permissions(tokens, std::filesystem::perms{0644});
  const std::string path = write_config(good_config(
      "metrics = \"\"\nlisten = \"127.0.0.1:9465\"\ntokens_file = \"" + tokens + "\"\n"));
  const Outcome checked = run({"--check", "--config", path});
  EXPECT_EQ(checked.code, 0);
  EXPECT_THAT(checked.err, HasSubstr("every account of this host may read these tokens; chmod "
                                     "0640; api.listen would stay closed"));
  start({"--config", path});
  ASSERT_TRUE(wait_for("event=ready")) << read("out");
  EXPECT_THAT(read("out"), AllOf(HasSubstr("event=api_closed listen=127.0.0.1:9465"),
                                 HasSubstr("may read these tokens")));
  std::filesystem::permissions(tokens, std::filesystem::perms{0600});
  kill(pid_, SIGHUP);
  EXPECT_TRUE(wait_for("event=reload"));
  EXPECT_THAT(read("out"), HasSubstr("a file had a fault at start; restart"));
  kill(pid_, SIGTERM);
  EXPECT_EQ(finish().code, 0);
}

TEST_F(Turnpiked, ends_though_nobody_reads_its_log) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const std::string filling(4096, '.');
  while (write(ends[1], filling.data(), filling.size()) > 0) {
  }
  fcntl(ends[1], F_SETFL, 0);
  const std::string path = write_config(good_config("metrics = \"\"\n"));
  pid_ = fork();
  ASSERT_GE(pid_, 0);
  if (pid_ == 0) {
    dup2(ends[1], 1);
    execl(TURNPIKED, TURNPIKED, "--config", path.c_str(), nullptr);
    _exit(127);
  }
  const std::string api = folder_ + "/api.sock";
  while (!std::filesystem::exists(api) && waitpid(pid_, nullptr, WNOHANG) == 0) {
    poll(nullptr, 0, 2);
  }
  EXPECT_EQ(kill(pid_, SIGTERM), 0);
  EXPECT_EQ(finish().code, 0);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(Turnpiked, check_shows_no_secrets) {
  const std::string secret = "8846f7eaee8fb117ad06bdd830b7586c";
  for (const std::string& section :
       {"[sip.user.alice]\nha1 = \"" + secret + "\"\n",
        "[sip.user.alice]\npassword = \"" + secret + "\"\n",
        "[sip.user.alice]\nha1 = [\"" + secret + "\"]\n",
        "[sip.user.alice]\nha1 = \"" + secret + "\n", "[sip.user.alice]\nha1 = " + secret + "\n",
        "[sip.user.alice]\nha1 = \"x" + secret + "\"\n"}) {
    const Outcome outcome = run({"--check", "--config", write_config(good_config(section))});
    EXPECT_THAT(outcome.out + outcome.err, Not(HasSubstr("fb117ad06"))) << section;
  }
}

TEST_F(Turnpiked, a_taken_port_is_named_and_exit_code_1) {
  const TakenPort taken;
  const std::string address = "127.0.0.1:" + std::to_string(taken.port());
  const std::string metrics = "metrics = \"" + address + "\"\n";
  const Outcome outcome = run({"--config", write_config(good_config(metrics))});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("level=error event=start_failed"), HasSubstr(address),
                                 HasSubstr("Address already in use; stop what uses it")));
}

TEST_F(Turnpiked, an_address_that_the_host_lacks_is_named_and_exit_code_1) {
  const std::string more = "metrics = \"\"\n[interface.dmz]\naddresses = [\"192.0.2.222\"]\n";
  const Outcome outcome = run({"--config", write_config(good_config(more))});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out,
              HasSubstr("interface.dmz.addresses: none of 192.0.2.222 is an address of this host"));
}

TEST_F(Turnpiked, starts_answers_hangup_signal_and_ends_by_sigterm) {
  start({"--config", write_config(good_config("metrics = \"\"\n"))});
  ASSERT_TRUE(wait_for("event=ready")) << read("out") << read("err");
  EXPECT_EQ(kill(pid_, SIGHUP), 0);
  ASSERT_TRUE(wait_for("event=reload "));
  EXPECT_EQ(kill(pid_, SIGTERM), 0);
  const Outcome outcome = finish();
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("event=drain signal=SIGTERM calls=0"),
                                 HasSubstr("event=drained"), HasSubstr("event=stopped")));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/ng.sock"));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/api.sock"));
}

TEST_F(Turnpiked, a_second_one_is_refused_before_it_touches_anything) {
  const std::string path = write_config(good_config("metrics = \"\"\n"));
  start({"--config", path});
  ASSERT_TRUE(wait_for("event=ready")) << read("out") << read("err");
  const pid_t first = pid_;
  const std::string log_of_first = read("out");
  const Outcome second = run({"--config", path});
  EXPECT_EQ(second.code, 1);
  EXPECT_THAT(second.out, AllOf(HasSubstr("event=start_failed"), HasSubstr("runs already for"),
                                HasSubstr("ng.sock (process " + std::to_string(first) + ")"),
                                HasSubstr("stop it first"), Not(HasSubstr("relay_started"))));
  EXPECT_EQ(run({"--check", "--config", path}).code, 0) << "a check is always allowed";
  // A lock that somebody left behind by dying is none.
  EXPECT_EQ(kill(first, SIGKILL), 0);
  EXPECT_EQ(waitpid(first, nullptr, 0), first);
  start({"--config", path});
  EXPECT_TRUE(wait_for("event=ready")) << read("out") << read("err");
}

TEST_F(Turnpiked, is_not_dumpable) {
  start({"--config", write_config(good_config("metrics = \"\"\n"))});
  ASSERT_TRUE(wait_for("event=ready")) << read("out") << read("err");
  const std::string limits_path = "/proc/" + std::to_string(pid_) + "/limits";
  std::ifstream limits(limits_path);
  const std::string text{std::istreambuf_iterator<char>(limits), {}};
  EXPECT_THAT(text, testing::ContainsRegex("Max core file size +0 +0 "));
  kill(pid_, SIGINT);
  EXPECT_EQ(finish().code, 0);
}

}  // namespace
}  // namespace turnpike
