// NG's door with TLS as the settings ask for it: faults of files at start and at a reload.
#include "control/ng_access.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "control/ng/dispatcher.h"
#include "tests/support/certificates.h"
#include "tests/unit/ng/support.h"

namespace turnpike {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string kToken = "a token of some length";

class NgAccess : public testing::Test {
 protected:
  NgAccess() {
    files_.issue("node", {.valid_to_seconds = 8640000});
    files_.issue("other", {.valid_to_seconds = 8640000});
    settings_.ng.http = {IpAddress::v4(127, 0, 0, 1), 22250};
    settings_.ng.certificate_file = files_.path("node.pem");
    settings_.ng.private_key_file = files_.path("node.key");
  }
  void write_token(mode_t mode) {
    settings_.ng.token_file = files_.path("token");
    std::ofstream(settings_.ng.token_file) << kToken << "\n";
    ::chmod(settings_.ng.token_file.c_str(), mode);
  }
  static log::Options captured(std::string& lines) {
    log::Options options;
    options.capture = [&lines](log::Level, const std::string& line) { lines += line + "\n"; };
    return options;
  }

  CertificateFolder files_;
  config::Settings settings_;
  std::string lines_;
  log::Log log_{captured(lines_)};
  loop::EventLoop loop_;
  ng::RecordingCalls calls_;
  ng::Dispatcher dispatcher_{calls_, &loop::EventLoop::now, {}};
  ng::Gate gate_{{}, {}, dispatcher_};
};

TEST_F(NgAccess, a_fault_at_start_closes_the_door_for_good_and_nothing_else) {
  settings_.ng.private_key_file = files_.path("other.key");
  const auto door = open_ng_door(loop_, settings_, gate_, log_);
  ASSERT_TRUE(door) << "calls that are up matter more";
  EXPECT_EQ(door->get(), nullptr);
  EXPECT_THAT(lines_, HasSubstr("event=ng_http_closed"));
  EXPECT_THAT(reload_ng(settings_, gate_, nullptr, log_),
              ElementsAre(HasSubstr("ng.http is closed")));
}

TEST_F(NgAccess, a_fault_at_a_reload_keeps_what_was_read_before) {
  auto door = open_ng_door(loop_, settings_, gate_, log_);
  ASSERT_TRUE(door) << door.error().message;
  ASSERT_NE(door->get(), nullptr);
  write_token(0600);
  EXPECT_THAT(reload_ng(settings_, gate_, door->get(), log_), IsEmpty());
  EXPECT_TRUE(gate_.is_token(kToken));
  write_token(0644);
  std::ofstream(settings_.ng.certificate_file) << "no certificate\n";
  const auto kept = reload_ng(settings_, gate_, door->get(), log_);
  EXPECT_THAT(kept, ElementsAre(HasSubstr("ng.token_file: "), HasSubstr("node.pem")));
  EXPECT_TRUE(gate_.is_token(kToken));
  EXPECT_THAT(lines_, HasSubstr("event=ng_certificate_kept"));
  EXPECT_THAT(lines_, Not(HasSubstr(kToken)));
  settings_.ng.token_file.clear();
  reload_ng(settings_, gate_, door->get(), log_);
  EXPECT_FALSE(gate_.has_token()) << "a token that is not named any more admits nobody";
}

}  // namespace
}  // namespace turnpike
