// "auto" as an address of an interface.
#include "control/config/host_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/config/load.h"

namespace turnpike::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Loaded load(const std::string& outside) {
  return load_text(
      "[interface.outside]\n" + outside + "[interface.inside]\naddresses = [\"198.51.100.10\"]\n",
      "t.toml", "/etc/turnpike");
}

// The host that runs the tests may have a default route or not; both answers are checked.
TEST(ConfigHostAddress, auto_is_the_address_towards_the_default_route) {
  const Loaded loaded = load("addresses = [\"auto\"]\n");
  const Result<IpAddress> expected = default_route_address();
  if (expected) {
    EXPECT_FALSE(expected->is_unspecified());
    EXPECT_FALSE(expected->is_loopback());
    EXPECT_THAT(loaded.findings.mistakes(), IsEmpty());
    EXPECT_THAT(loaded.settings.interfaces.at(1).addresses, ElementsAre(*expected));
  } else {
    EXPECT_THAT(loaded.findings.mistakes(),
                ElementsAre(HasSubstr("t.toml:2: interface.outside.addresses is \"auto\", but this "
                                      "host has no default route; give the host's addresses")));
  }
}

TEST(ConfigHostAddress, advertised_cannot_be_auto) {
  const Loaded loaded = load("addresses = [\"192.0.2.10\"]\nadvertised = [\"auto\"]\n");
  EXPECT_THAT(loaded.findings.mistakes(),
              ElementsAre(HasSubstr("holds \"auto\", which is not an IP address")));
}

}  // namespace
}  // namespace turnpike::config
