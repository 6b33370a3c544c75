// The [front_door] section as typed values; front_door_sections.cc says what the keys mean.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace turnpike::config {

struct FrontDoorSection {
  std::uint16_t port = 0;  ///< 0: there is none
  std::string interface;
  bool turn = false;
  std::vector<std::string> turn_names;
  bool sip = false;
  std::vector<std::string> sip_names;
  bool api = false;
  std::vector<std::string> api_names;
  std::vector<std::string> proxies;  ///< networks
  std::uint32_t connections_max = 0;
  std::uint32_t connections_per_source_max = 0;

  bool operator==(const FrontDoorSection&) const = default;
};

}  // namespace turnpike::config
