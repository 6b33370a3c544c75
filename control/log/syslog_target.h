// Where the log's lines go as syslog messages.
#pragma once

#include <string>

#include "control/log/syslog_message.h"
#include "turnpike/address.h"

namespace turnpike::log {

struct SyslogTarget {
  std::string unix_path;  ///< of a datagram socket; empty: `udp` is meant
  SocketAddress udp;
  SyslogFacility facility = SyslogFacility::kDaemon;
};

}  // namespace turnpike::log
