// The reasons why a zone connection is not up: an operator finds each of them in the manual.
#include "control/zone/reason.h"

#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

namespace turnpike::zone {
namespace {

TEST(Reason, each_stands_in_the_table_of_the_manual) {
  std::ifstream file(TURNPIKE_SOURCE_DIR "/docs/traversal.md");
  std::stringstream text;
  text << file.rdbuf();
  const std::string manual = text.str();
  const std::size_t table = manual.find("| reason | look at |");
  ASSERT_NE(table, std::string::npos);
  for (std::size_t reason = 1; reason < kReasonCount; ++reason) {
    const std::string label = info_of(reason).label;
    EXPECT_NE(manual.find("`" + label + "`", table), std::string::npos) << label;
  }
}

}  // namespace
}  // namespace turnpike::zone
