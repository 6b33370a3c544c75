#include "control/zone/challenge.h"

#include <gtest/gtest.h>

namespace turnpike::zone {
namespace {

class ZoneChallenge : public ::testing::Test {
 protected:
  ZoneChallenge() {
    dialler_hello_.role = Role::kCore;
    dialler_hello_.purpose = Purpose::kSignallingByEdge;
    dialler_hello_.nonce.fill(1);
    listener_hello_.role = Role::kEdge;
    listener_hello_.nonce.fill(2);
    for (Hello* hello : {&dialler_hello_, &listener_hello_}) {
      hello->zone = "dmz";
      hello->user = "pair";
    }
    binding_.fill(7);
  }

  void run(const std::string& of_dialler = "password", const std::string& of_listener = "password",
           bool same_channel = true) {
    tls::Session::ChannelBinding other = binding_;
    if (!same_channel) other[0] ^= 1;
    dialler_.emplace(true, dialler_hello_, std::make_shared<const Secret>(of_dialler), binding_);
    listener_.emplace(false, listener_hello_, std::make_shared<const Secret>(of_listener), other);
    for (int i = 0; i < 4; ++i) {
      for (const char byte : dialler_->take_output()) feed(*listener_, to_listener_, byte);
      for (const char byte : listener_->take_output()) feed(*dialler_, to_dialler_, byte);
    }
  }
  static void feed(Challenge& to, std::string& kept, char byte) {
    kept += byte;
    kept.erase(0, to.receive(kept));
  }

  Hello dialler_hello_;
  Hello listener_hello_;
  tls::Session::ChannelBinding binding_{};
  std::optional<Challenge> dialler_;
  std::optional<Challenge> listener_;
  std::string to_listener_;
  std::string to_dialler_;
};

TEST_F(ZoneChallenge, who_knows_the_password_passes) {
  run();
  EXPECT_EQ(dialler_->state(), Challenge::State::kPassed);
  EXPECT_EQ(listener_->state(), Challenge::State::kPassed);
  EXPECT_EQ(listener_->peer(), dialler_hello_);
  EXPECT_EQ(dialler_->peer()->purpose, Purpose::kSignallingByEdge);
  EXPECT_TRUE(to_dialler_.empty());
}

TEST_F(ZoneChallenge, a_wrong_password_is_refused_and_told) {
  run("Password");
  EXPECT_EQ(listener_->reason(), Reason::kWrongPassword);
  EXPECT_EQ(dialler_->reason(), Reason::kWrongPassword);
}

TEST_F(ZoneChallenge, a_wrong_user_is_refused_like_a_wrong_password) {
  dialler_hello_.user = "other";
  run();
  EXPECT_EQ(listener_->reason(), Reason::kWrongPassword);
}

TEST_F(ZoneChallenge, a_proof_is_bound_to_its_channel) {
  run("password", "password", false);
  EXPECT_EQ(listener_->reason(), Reason::kWrongPassword);
}

TEST_F(ZoneChallenge, a_listener_proves_nothing_to_who_does_not_know_the_password) {
  Challenge listener(false, listener_hello_, std::make_shared<const Secret>("password"), binding_);
  std::string bytes = write(dialler_hello_);
  listener.receive(bytes);
  std::string output = listener.take_output();
  EXPECT_EQ(output, write([this] {
              Hello hello = listener_hello_;
              hello.purpose = dialler_hello_.purpose;
              return hello;
            }()));
  bytes = write(Proof{});
  listener.receive(bytes);
  EXPECT_EQ(listener.take_output(), write(Refused{Reason::kWrongPassword}));
}

TEST_F(ZoneChallenge, an_echo_of_our_own_proof_is_wrong) {
  Challenge dialler(true, dialler_hello_, std::make_shared<const Secret>("password"), binding_);
  dialler.take_output();
  Hello answer = listener_hello_;
  answer.purpose = dialler_hello_.purpose;
  std::string bytes = write(answer);
  dialler.receive(bytes);
  std::string echo = dialler.take_output();
  dialler.receive(echo);
  EXPECT_EQ(dialler.reason(), Reason::kWrongProof);
}

TEST_F(ZoneChallenge, other_zones_roles_and_versions_are_refused) {
  dialler_hello_.zone = "lab";
  run();
  EXPECT_EQ(listener_->reason(), Reason::kWrongZone);
  EXPECT_EQ(dialler_->reason(), Reason::kWrongZone);
  dialler_hello_.zone = "dmz";
  dialler_hello_.role = Role::kEdge;
  run();
  EXPECT_EQ(listener_->reason(), Reason::kWrongRole);
  dialler_hello_.role = Role::kCore;
  dialler_hello_.version = 9;
  run();
  EXPECT_EQ(listener_->reason(), Reason::kOtherVersion);
  EXPECT_EQ(dialler_->reason(), Reason::kOtherVersion);
}

TEST_F(ZoneChallenge, messages_out_of_order_are_bad) {
  for (const std::string& first :
       {write(Proof{}), write(Refused{}), write(dialler_hello_) + write(dialler_hello_),
        std::string("\x09")}) {
    Challenge listener(false, listener_hello_, std::make_shared<const Secret>("p"), binding_);
    std::string bytes = first;
    listener.receive(bytes);
    EXPECT_EQ(listener.reason(), Reason::kBadMessage);
  }
}

}  // namespace
}  // namespace turnpike::zone
