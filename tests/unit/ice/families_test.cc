// A leg with a candidate of each address family (RFC 8421): which pairs there are, which go first,
// and that media moves from one family to the other as from any address to another.
#include <gtest/gtest.h>

#include "tests/unit/ice/session_fixture.h"

namespace turnpike::test {
namespace {

class IceFamilies : public IceSession {
 protected:
  IceFamilies() { facts.both_families = true; }

  std::vector<SocketAddress> checked() const {
    std::vector<SocketAddress> to;
    for (const auto& sent : sink.sent) {
      if (sent.is(stun::Class::kRequest)) to.push_back(sent.to);
    }
    return to;
  }
  std::uint32_t priority_said_to(const SocketAddress& to) const {
    for (const auto& sent : sink.sent) {
      if (sent.to == to && sent.is(stun::Class::kRequest))
        return sent.message()->priority().value();
    }
    return 0;
  }

  const SocketAddress near6 = ice_address("[2001:db8:51::7]:5000");
};

TEST_F(IceFamilies, one_socket_makes_pairs_of_its_family_only) {
  facts.both_families = false;
  candidate(near6, 200);
  candidate(near, 100);
  update();
  run(Milliseconds(400));
  EXPECT_EQ(checked(), std::vector{near});
}

TEST_F(IceFamilies, both_families_make_pairs_ipv6_first) {
  candidate(near, 2130706431);
  candidate(near6, 2130706431);
  update();
  run(Milliseconds(400));
  EXPECT_EQ(checked(), (std::vector{near6, near}));
  EXPECT_EQ(priority_said_to(near6), 110U << 24 | 65535U << 8 | 255U);
  EXPECT_EQ(priority_said_to(near), 110U << 24 | 65534U << 8 | 255U);
}

TEST_F(IceFamilies, or_ipv4_first_where_that_is_wished) {
  config.preferred_family = AddressFamily::kIpv4;
  candidate(near6, 2130706431);
  candidate(near, 2130706431);
  update();
  run(Milliseconds(400));
  EXPECT_EQ(checked(), (std::vector{near, near6}));
  EXPECT_EQ(priority_said_to(near6), 110U << 24 | 65534U << 8 | 255U);
}

TEST_F(IceFamilies, the_default_family_decides_nothing) {
  facts.family = AddressFamily::kIpv6;
  candidate(near, 2130706431);
  candidate(near6, 2130706431);
  update();
  run(Milliseconds(400));
  EXPECT_EQ(checked(), (std::vector{near6, near}));
}

TEST_F(IceFamilies, controlling_takes_the_family_that_works) {
  config.controlling = true;
  candidate(near6, 2130706431);
  candidate(near, 2130706175);
  alive = {near};
  update();
  run(Seconds(2));
  EXPECT_EQ(selected(), near);
  EXPECT_EQ(state(), IceState::kConnected);
}

TEST_F(IceFamilies, a_client_moves_to_the_other_family_within_one_check) {
  candidate(near, 200);
  alive = {near};
  update();
  run(Milliseconds(200));
  check_from(near, true);
  ASSERT_EQ(selected(), near);
  run(Seconds(20));
  alive = {near6};
  EXPECT_TRUE(check_from(near6, true));
  run(Milliseconds(60));
  EXPECT_EQ(selected(), near6);
  EXPECT_EQ(report().pairs[0].remote, near6);
  EXPECT_EQ(report().pairs[0].type, CandidateType::kPeerReflexive);
  alive = {near};
  EXPECT_TRUE(check_from(near));
  EXPECT_TRUE(check_from(near, true));
  run(Milliseconds(60));
  EXPECT_EQ(selected(), near) << "and back";
}

TEST_F(IceFamilies, a_lite_leg_is_reached_by_either_family) {
  connect_lite();
  EXPECT_TRUE(check_from(near6, true));
  EXPECT_EQ(selected(), near6);
}

TEST_F(IceFamilies, consent_and_restart_are_those_of_the_family_in_use) {
  candidate(near, 100);
  candidate(near6, 200);
  alive = {near, near6};
  update();
  run(Milliseconds(300));
  check_from(near6, true);
  ASSERT_EQ(selected(), near6);
  const std::size_t before = checks_to(near);
  run(Seconds(60));
  EXPECT_EQ(selected(), near6);
  EXPECT_EQ(checks_to(near), before) << "only the pair in use is asked";
  config.local = ice_credentials("OURS", "0123456789012345678901");
  config.remote = ice_credentials("THEIRS", "abcdefghijabcdefghijab");
  update();
  EXPECT_EQ(selected(), near6) << "until the new session has a pair";
  alive.clear();
  run(Seconds(31));
  EXPECT_FALSE(selected().is_set());
}

TEST_F(IceFamilies, a_leg_taken_over_goes_on_in_its_family) {
  facts.present[0] = near6;
  alive = {near6};
  update();
  run(Seconds(40));
  EXPECT_EQ(state(), IceState::kConnected);
  EXPECT_GT(checks_to(near6), 5U);
}

}  // namespace
}  // namespace turnpike::test
