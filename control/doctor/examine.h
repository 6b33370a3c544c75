// The examination of this node: looks at everything that can keep calls from it, and at the zone's
// other nodes as far as they can be reached without ICMP.
#pragma once

#include <string>

#include "control/doctor/report.h"

namespace turnpike::doctor {

struct ExamineOptions {
  std::string config_path;
  std::string socket_path;  ///< of the API; empty: as configured
  /// That turnpiked runs under; empty: that of the process that runs, else sip.relay_user, if
  /// there is such an account, else this process's.
  std::string account;
};

Report examine(const ExamineOptions& options);

}  // namespace turnpike::doctor
