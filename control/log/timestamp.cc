#include "control/log/timestamp.h"

#include <ctime>

#include <fmt/format.h>

namespace turnpike::log {

std::string timestamp(std::chrono::system_clock::time_point when) {
  using std::chrono::milliseconds;
  const auto since = std::chrono::duration_cast<milliseconds>(when.time_since_epoch()).count();
  const std::time_t seconds = since / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     since % 1000);
}

}  // namespace turnpike::log
