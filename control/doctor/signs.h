// Signs that a turnpiked of this node is alive although nobody answers where the configuration says
// that it can be asked: it may run with another file, and what doctor would try could disturb it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "control/config/settings.h"
#include "control/doctor/sockets.h"

namespace turnpike::doctor {

/// Of lines of /proc/locks: the process that holds a flock(2) lock on that file; 0: none.
pid_t lock_owner(std::string_view locks, dev_t device, ino_t inode);

/// One text for each sign: "process 123 holds the lock /run/turnpike/ng.sock.lock". Empty: as far
/// as this account sees, none runs in this network namespace or for these sockets. Takes no lock
/// and connects to nothing but NG.
std::vector<std::string> signs_of_life(const config::Settings& settings,
                                       const std::vector<BoundSocket>& sockets);

}  // namespace turnpike::doctor
