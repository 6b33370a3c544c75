// What the process asks of the kernel for itself: no core dumps, no signals that kill.
#pragma once

#include <cstdint>
#include <string>

#include "turnpike/result.h"

namespace turnpike {

/// Keys live in this process: no core dump, no ptrace by others of the same user, files for the
/// owner only by default, no death by SIGPIPE. Fails only where the kernel refuses.
Result<void> harden_process();

/// SIGTERM, SIGINT, SIGHUP and SIGUSR1 wait (true) or arrive (false) at the calling thread. Threads
/// inherit this: block before the first one is made, and only the main thread ever handles signals,
/// so that none comes between the last watcher and the end of the process.
void hold_stop_signals(bool held);

bool runs_as_root();

/// Tells the service manager (sd_notify(3)); does nothing when there is none.
void notify_service_manager(const std::string& state);

/// Fills a buffer from getrandom(2), fetched in blocks; aborts when the kernel has none.
void random_bytes(void* buffer, std::size_t size);

}  // namespace turnpike
