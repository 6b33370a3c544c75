// Asks the daemon's API over its unix socket. Hides libcurl.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "turnpike/result.h"

namespace turnpike::ctl {

struct Answer {
  long status = 0;  ///< of HTTP
  std::string body;
};

/// A value for a query: everything but letters, digits and a few marks as %XX (RFC 3986).
std::string escaped(std::string_view value);

/// GET `path`. Fails, with words for the operator, when the daemon cannot be asked.
Result<Answer> ask(const std::string& socket_path, const std::string& path);
/// POST `path` without a body, for an answer that takes its time: each piece of one with status 200
/// goes to `sink`. Ends early, without a failure, when `sink` or `goes_on` (asked at least once a
/// second) is false.
Result<Answer> follow(const std::string& socket_path, const std::string& path,
                      const std::function<bool(const std::string&)>& sink,
                      const std::function<bool()>& goes_on);
/// POST `path` without a body: what changes the daemon. Fails as ask() does.
Result<Answer> tell(const std::string& socket_path, const std::string& path);

}  // namespace turnpike::ctl
