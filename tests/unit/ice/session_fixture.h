// A leg with ICE as a test fixture; IceSession also connects it, full or lite. Here, because the
// suites Ice, IceSession and Security each are spread over several files.
#pragma once

#include <gtest/gtest.h>

#include "relay/ice/agent.h"
#include "tests/support/ice_fixture.h"

namespace turnpike::test {

class Ice : public ::testing::Test, protected IceFixture {
 protected:
  const IceRecorder::Sent& last() const { return sink.sent.back(); }
};

class IceSession : public Ice {
 protected:
  void connect() {
    candidate(near, 100);
    alive = {near};
    update();
    run(Milliseconds(100));
    check_from(near, true);
    ASSERT_EQ(selected(), near);
    ASSERT_EQ(state(), IceState::kConnected);
  }
  void connect_lite() {
    config.mode = IceMode::kLite;
    update();
    EXPECT_EQ(state(), IceState::kWaiting);
    check_from(near);
    EXPECT_EQ(state(), IceState::kChecking);
    EXPECT_FALSE(selected().is_set());
    check_from(near, true);
    ASSERT_EQ(selected(), near);
  }
};
using Security = IceSession;

}  // namespace turnpike::test
