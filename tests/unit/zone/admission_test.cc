#include "control/zone/admission.h"

#include <gtest/gtest.h>

#include "control/zone/backoff.h"

namespace turnpike::zone {
namespace {

const IpAddress kSource = IpAddress::v4(192, 0, 2, 1);
const std::string kName = "core-1.example.com";

IpAddress nth(unsigned i) {
  return IpAddress::v4(10, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i));
}

TEST(ZoneAdmission, waiting_connections_are_limited_by_source) {
  Admission admission({.waiting_per_source_max = 2});
  const Instant now{Seconds{1}};
  EXPECT_EQ(admission.arrive(kSource, now), Reason::kNone);
  EXPECT_EQ(admission.arrive(kSource, now), Reason::kNone);
  EXPECT_EQ(admission.arrive(kSource, now), Reason::kTooManyFromSource);
  EXPECT_EQ(admission.arrive(nth(1), now), Reason::kNone);
  admission.settled(kSource);
  EXPECT_EQ(admission.arrive(kSource, now), Reason::kNone);
  EXPECT_EQ(admission.waiting(), 3U);
}

TEST(ZoneAdmission, waiting_connections_are_limited_in_all) {
  Admission admission({.waiting_max = 3});
  const Instant now{Seconds{1}};
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(admission.arrive(nth(i), now), Reason::kNone);
  EXPECT_EQ(admission.arrive(nth(9), now), Reason::kTooManyWaiting);
}

TEST(ZoneAdmission, whoever_takes_all_places_does_not_keep_out_whom_we_know) {
  Admission admission({.waiting_max = 3, .waiting_known_max = 2});
  const Instant now{Seconds{1}};
  ASSERT_EQ(admission.arrive(kSource, now), Reason::kNone);
  admission.passed_password(kSource, kName);
  admission.settled(kSource);
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(admission.arrive(nth(i), now), Reason::kNone);
  EXPECT_EQ(admission.arrive(nth(9), now), Reason::kTooManyWaiting);
  EXPECT_EQ(admission.arrive(kSource, now), Reason::kNone);
  EXPECT_EQ(admission.arrive(kSource, now), Reason::kNone);
  EXPECT_EQ(admission.arrive(kSource, now), Reason::kTooManyWaiting);
}

TEST(ZoneAdmission, a_source_that_comes_too_often_waits) {
  Admission admission({.arrivals_burst = 3, .arrivals_per_second = 1});
  Instant now{Seconds{1}};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(admission.arrive(kSource, now), Reason::kNone);
    admission.settled(kSource);
  }
  EXPECT_EQ(admission.arrive(kSource, now), Reason::kTooOften);
  now += Seconds{1};
  EXPECT_EQ(admission.arrive(kSource, now), Reason::kNone);
}

TEST(ZoneAdmission, one_host_with_many_ipv6_addresses_is_one_source) {
  Admission admission({.waiting_per_source_max = 1});
  const Instant now{Seconds{1}};
  EXPECT_EQ(admission.arrive(*parse_ip("2001:db8::1"), now), Reason::kNone);
  EXPECT_EQ(admission.arrive(*parse_ip("2001:db8::ffff"), now), Reason::kTooManyFromSource);
  EXPECT_EQ(admission.arrive(*parse_ip("2001:db8:0:1::1"), now), Reason::kNone);
}

TEST(ZoneAdmission, strangers_are_limited_together_and_do_not_keep_out_whom_we_know) {
  Admission admission({.strangers_burst = 5, .strangers_per_second = 2});
  Instant now{Seconds{1}};
  ASSERT_EQ(admission.arrive(kSource, now), Reason::kNone);
  admission.passed_password(kSource, kName);
  admission.settled(kSource);
  unsigned let_in = 0;
  for (unsigned i = 0; i < 500; ++i) {
    if (admission.arrive(nth(i), now) == Reason::kNone) {
      ++let_in;
      admission.settled(nth(i));
    }
    now += Milliseconds{10};
  }
  EXPECT_GE(let_in, 4U + 9U);  // of the burst, and of five seconds
  EXPECT_LE(let_in, 5U + 10U);
  EXPECT_EQ(admission.arrive(kSource, now), Reason::kNone);
}

TEST(Security, T18_wrong_zone_passwords_cost_longer_and_longer) {
  Admission admission({});
  Instant now{Seconds{1}};
  ASSERT_EQ(admission.arrive(kSource, now), Reason::kNone);
  const auto tried = [&] { return admission.try_password(kSource, kName, now); };
  EXPECT_EQ(tried(), Reason::kNone);
  admission.gave_wrong_password(kSource, kName, now);
  EXPECT_EQ(tried(), Reason::kAfterWrongPassword);
  now += Milliseconds{1001};
  ASSERT_EQ(tried(), Reason::kNone);
  admission.gave_wrong_password(kSource, kName, now);
  now += Milliseconds{1001};
  EXPECT_EQ(tried(), Reason::kAfterWrongPassword);
  now += Milliseconds{1000};
  ASSERT_EQ(tried(), Reason::kNone);
  for (int i = 0; i < 40; ++i) admission.gave_wrong_password(kSource, kName, now);
  now += Seconds{59};
  EXPECT_EQ(tried(), Reason::kAfterWrongPassword);
  now += Seconds{2};
  ASSERT_EQ(tried(), Reason::kNone);
  admission.passed_password(kSource, kName);
  admission.gave_wrong_password(kSource, kName, now);
  now += Milliseconds{1001};
  EXPECT_EQ(tried(), Reason::kNone);
}

TEST(Security, T18_a_wrong_password_pauses_one_peer_at_one_address) {
  Admission admission({});
  const Instant now{Seconds{1}};
  ASSERT_EQ(admission.arrive(kSource, now), Reason::kNone);
  ASSERT_EQ(admission.arrive(nth(1), now), Reason::kNone);
  admission.gave_wrong_password(kSource, kName, now);
  EXPECT_EQ(admission.try_password(kSource, kName, now), Reason::kAfterWrongPassword);
  EXPECT_EQ(admission.try_password(kSource, "core-2.example.com", now), Reason::kNone);
  EXPECT_EQ(admission.try_password(nth(1), kName, now), Reason::kNone);
  admission.passed_password(kSource, "core-2.example.com");
  EXPECT_EQ(admission.try_password(kSource, kName, now), Reason::kAfterWrongPassword);
}

TEST(Security, T18_a_source_is_not_forgotten_while_a_peer_there_is_paused) {
  Admission admission({.sources_max = 1, .password_pause_min = Milliseconds{60000}});
  Instant now{Seconds{1}};
  ASSERT_EQ(admission.arrive(kSource, now), Reason::kNone);
  admission.gave_wrong_password(kSource, kName, now);
  admission.settled(kSource);
  now += Seconds{30};
  EXPECT_EQ(admission.arrive(nth(1), now), Reason::kTooManyWaiting);
  EXPECT_EQ(admission.try_password(kSource, kName, now), Reason::kAfterWrongPassword);
  now += Seconds{31};
  EXPECT_EQ(admission.arrive(nth(1), now), Reason::kNone);
}

TEST(Security, T12_sources_that_prove_nothing_take_bounded_memory) {
  Admission admission({.waiting_max = 100000,
                       .strangers_burst = 100000,
                       .strangers_per_second = 100000,
                       .sources_max = 50});
  Instant now{Seconds{1}};
  for (unsigned i = 0; i < 50; ++i) {
    ASSERT_EQ(admission.arrive(nth(i), now), Reason::kNone);
    if (i != 7) admission.settled(nth(i));
  }
  EXPECT_EQ(admission.arrive(nth(100), now), Reason::kTooManyWaiting);
  now += Seconds{60};
  EXPECT_EQ(admission.arrive(nth(100), now), Reason::kNone);
  EXPECT_EQ(admission.sources(), 2U);  // the one that waits, and the new one
  for (unsigned i = 200; i < 2000; ++i) {
    admission.arrive(nth(i), now);
    EXPECT_LE(admission.sources(), 50U);
  }
}

TEST(ZoneBackoff, doubles_with_jitter_up_to_the_longest) {
  Backoff backoff(Milliseconds{1000}, Milliseconds{8000});
  EXPECT_EQ(backoff.next(0), Milliseconds{500});
  EXPECT_EQ(backoff.next(1000), Milliseconds{2000});
  EXPECT_EQ(backoff.next(5), Milliseconds{2005});
  for (std::uint64_t i = 0; i < 100; ++i) {
    const Milliseconds wait = backoff.next(i * 0x9e3779b97f4a7c15U);
    EXPECT_GE(wait, Milliseconds{4000});
    EXPECT_LE(wait, Milliseconds{8000});
  }
  backoff.reset();
  EXPECT_EQ(backoff.next(0), Milliseconds{500});
  backoff.at_least(Milliseconds{100000});
  EXPECT_EQ(backoff.next(0), Milliseconds{4000});
}

}  // namespace
}  // namespace turnpike::zone
