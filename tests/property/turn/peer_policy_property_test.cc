// Prefixes against ranges of addresses compared as whole numbers (security ID T4), over random
// prefixes and the addresses around their borders.
#include <random>

#include <gtest/gtest.h>

#include "relay/turn/peer_policy.h"

namespace turnpike {
namespace {

using turn::Prefix;

struct Random {
  explicit Random(std::uint64_t seed) : engine(seed) {}
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(engine() % bound); }
  IpAddress ip(bool v4) {
    IpAddress made;
    made.family = v4 ? AddressFamily::kIpv4 : AddressFamily::kIpv6;
    for (std::size_t i = 0; i < (v4 ? 4U : 16U); ++i) {
      made.bytes[i] = static_cast<std::uint8_t>(engine());
    }
    return made;
  }
  std::mt19937_64 engine;
};

unsigned bits_of(const IpAddress& ip) {
  return ip.is_v4() ? 32 : 128;
}

void set_bit(IpAddress& ip, unsigned bit, bool value) {
  const auto mask = static_cast<std::uint8_t>(0x80U >> (bit % 8));
  ip.bytes[bit / 8] =
      static_cast<std::uint8_t>(value ? ip.bytes[bit / 8] | mask : ip.bytes[bit / 8] & ~mask);
}

IpAddress edge(const Prefix& prefix, bool last) {
  IpAddress ip = prefix.ip;
  for (unsigned bit = prefix.length; bit < bits_of(ip); ++bit) set_bit(ip, bit, last);
  return ip;
}

// One more or less, as numbers; false when there is none.
bool step(IpAddress& ip, bool up) {
  for (std::size_t i = bits_of(ip) / 8; i-- > 0;) {
    const std::uint8_t before = ip.bytes[i];
    ip.bytes[i] = static_cast<std::uint8_t>(up ? before + 1 : before - 1);
    if (before != (up ? 0xff : 0x00)) return true;
  }
  return false;
}

bool between(const IpAddress& ip, const IpAddress& first, const IpAddress& last) {
  return ip.family == first.family && first.bytes <= ip.bytes && ip.bytes <= last.bytes;
}

class PolicyProperty : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(PolicyProperty, T4_prefix_is_the_range_from_its_first_to_its_last_address) {
  Random random(GetParam());
  for (int round = 0; round < 2000; ++round) {
    const bool v4 = random.below(2) == 0;
    const Prefix prefix{random.ip(v4), static_cast<std::uint8_t>(random.below(v4 ? 33 : 129))};
    const IpAddress first = edge(prefix, false);
    const IpAddress last = edge(prefix, true);
    std::vector<IpAddress> tried = {first, last, prefix.ip, random.ip(v4), random.ip(!v4)};
    IpAddress before = first;
    if (step(before, false)) tried.push_back(before);
    IpAddress after = last;
    if (step(after, true)) tried.push_back(after);
    IpAddress flipped = prefix.ip;
    const unsigned bit = random.below(bits_of(flipped));
    set_bit(flipped, bit, (flipped.bytes[bit / 8] & (0x80U >> (bit % 8))) == 0);
    tried.push_back(flipped);
    for (const IpAddress& ip : tried) {
      ASSERT_EQ(turn::contains(prefix, ip), between(ip, first, last))
          << to_string(ip) << " in " << to_string(prefix.ip) << "/" << int{prefix.length};
    }
  }
}

// Rules only ever close what is open by default, but for what they name.
TEST_P(PolicyProperty, more_denied_never_opens_and_more_allowed_never_closes) {
  Random random(GetParam() + 1000);
  for (int round = 0; round < 2000; ++round) {
    const bool v4 = random.below(2) == 0;
    const IpAddress ip = random.ip(v4);
    turn::PeerRules rules;
    const bool before = turn::may_be_peer(ip, rules, {});
    const Prefix around{ip, static_cast<std::uint8_t>(random.below(bits_of(ip) + 1))};
    rules.allowed = {around};
    const bool opened = turn::may_be_peer(ip, rules, {});
    ASSERT_TRUE(opened || !before);
    if (ip.is_loopback() || ip.is_multicast() || ip.is_unspecified()) {
      ASSERT_FALSE(opened);
    }
    rules.denied = {around};
    ASSERT_FALSE(turn::may_be_peer(ip, rules, {}));
    const std::vector<IpAddress> own = {ip};
    rules = {};
    ASSERT_FALSE(turn::may_be_peer(ip, rules, {own, {}, 24000, 29999}));
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PolicyProperty, ::testing::Range<std::uint64_t>(1, 11));

}  // namespace
}  // namespace turnpike
