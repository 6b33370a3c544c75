// What of the host and of the programs on it is wrong.
#include <cerrno>
#include <cstring>

#include "control/doctor/judge.h"

namespace turnpike::doctor {
namespace {

constexpr Seconds kFileFromTheFuture{120};
constexpr std::size_t kStrangersShownMax = 3;

std::string name_of(const Process& process) {
  if (process.pid == 0) return "another process (root sees which)";
  return process.name + " (process " + std::to_string(process.pid) + ")";
}

std::string error_text(int error) {
  return std::strerror(error);
}

std::string unit_of(const std::string& program) {
  return program == "turnpiked" ? "turnpiked" : "turnpike-sip";
}

void judge_missing_listener(const ListenerFacts& listener, const std::string& check,
                            const std::string& place, bool should_listen, Report& report) {
  if (listener.bind_error == EADDRNOTAVAIL) {
    report.failed(check, place + " cannot be had: this host has no such address",
                  "give one of the addresses that `ip address` shows, or add this one to the host");
  } else if (listener.bind_error == EACCES) {
    report.warning(check, place + " is free; ports below 1024 need a right that this account lacks",
                   "use a port of 1024 or more, or run doctor as root to try it");
  } else if (listener.bind_error != 0) {
    report.failed(check, place + " cannot be had: " + error_text(listener.bind_error),
                  "free the address, or configure another one");
  } else if (should_listen) {
    report.failed(check, listener.program + " does not wait at " + place,
                  "systemctl restart " + unit_of(listener.program) + "; journalctl -u " +
                      unit_of(listener.program) + " says why, if it does not help");
  } else {
    report.ok(check, place + " is free for " + listener.program);
  }
}

}  // namespace

void judge_daemon(const DaemonState& daemon, const std::string& socket_path, Report& report) {
  const std::string check = "daemon";
  if (!daemon.has_api) {
    report.warning(check, "api.unix is empty, so turnpiked cannot be asked how it does",
                   "set api.unix, and look at its log meanwhile");
  } else if (daemon.forbidden) {
    report.warning(check, "this account may not ask turnpiked on " + socket_path,
                   "run doctor as root");
  } else if (!daemon.running && !daemon.signs.empty()) {
    std::string signs;
    for (const std::string& sign : daemon.signs) signs += (signs.empty() ? "" : ", ") + sign;
    report.unclear(check, "nobody answers on " + socket_path + ", but " + signs,
                   "it may run with another file than this one: give that one (--config; ps shows "
                   "which), or its socket (--socket), or restart it with this one");
  } else if (!daemon.running) {
    report.failed(check, daemon.trouble,
                  "systemctl start turnpiked; if it does not stay up, journalctl -u turnpiked and "
                  "the lines below say why");
  } else {
    const auto uptime = static_cast<std::int64_t>(daemon.uptime_seconds);
    report.ok(check,
              daemon.state + " for " + std::to_string(uptime) + " s, answers on " + socket_path);
  }
}

void judge_clock(const ClockFacts& clock, Report& report) {
  const std::string check = "clock";
  if (!clock.newest_file.empty() && clock.newest_file_time - clock.now > kFileFromTheFuture) {
    report.failed(check, clock.newest_file + " was written later than this clock shows",
                  "the clock is behind: set it (timedatectl), then let NTP keep it");
  } else if (!clock.kernel_asked) {
    report.warning(check, "the kernel does not tell whether the clock is synchronized",
                   "compare it with another host's; certificates are judged by it");
  } else if (!clock.synchronized) {
    report.warning(check, "no time service keeps it right, as far as the kernel knows",
                   "let one run (chrony, systemd-timesyncd); certificates are judged by it");
  } else {
    const auto error = std::chrono::duration_cast<Milliseconds>(clock.error_max);
    report.ok(check, "synchronized, wrong by " + std::to_string(error.count()) + " ms at most");
  }
}

void judge_files(const std::vector<FileFacts>& files, const std::string& account, Report& report) {
  std::size_t readable = 0;
  for (const FileFacts& file : files) {
    if (file.error == 0) {
      ++readable;
      continue;
    }
    const bool missing = file.error == ENOENT || file.error == ENOTDIR;
    report.failed("files",
                  file.path + " (" + file.key + "): " + error_text(file.error) +
                      (missing ? "" : ", for the account " + account),
                  missing ? "put it there, or correct " + file.key
                          : "give " + account +
                                " the right to read it and to enter the folders on the way: chgrp "
                                "and chmod g+r");
  }
  if (readable > 0) {
    report.ok("files", std::to_string(readable) + " can be read by the account " + account);
  }
}

void judge_listener(const ListenerFacts& listener, const DaemonState& daemon, Report& report) {
  const std::string check = listener.key;
  const std::string place = to_string(listener.address) + (listener.is_udp ? " (UDP)" : " (TCP)");
  const bool ours = listener.program == "turnpiked";
  const bool should_listen = ours ? daemon.running : true;
  const bool may_listen = should_listen || daemon.forbidden || !daemon.has_api;
  if (!listener.held) {
    return judge_missing_listener(listener, check, place, should_listen, report);
  }
  const Process& holder = listener.holder;
  const bool right = ours && daemon.running && daemon.pid != 0 ? holder.pid == daemon.pid
                                                               : holder.name == listener.program;
  // UDP sockets of the relay outlive it there.
  const bool kept = ours && listener.is_udp && holder.name == "turnpike-holder";
  if (right || kept) {
    report.ok(check, listener.program + " waits at " + place);
  } else if (holder.pid == 0 && may_listen) {
    report.warning(check, "somebody waits at " + place + "; this account may not see who",
                   "run doctor as root");
  } else {
    report.failed(check, place + " is taken by " + name_of(holder),
                  "stop that program, or configure another port here and at whoever connects");
  }
}

void judge_media_ports(const MediaPortFacts& ports, Report& report) {
  const std::string check = "media ports";
  const std::string range = std::to_string(ports.port_min) + "-" + std::to_string(ports.port_max);
  std::string held;
  for (std::size_t i = 0; i < ports.strangers.size() && i < kStrangersShownMax; ++i) {
    held += (held.empty() ? "" : ", ") + to_string(ports.strangers[i].address) + " by " +
            name_of(ports.strangers[i].process);
  }
  if (!ports.strangers.empty()) {
    report.warning(check,
                   std::to_string(ports.strangers.size()) + " ports of " + range +
                       " are held by others: " + held,
                   "stop those programs or move media.port_min and media.port_max");
  }
  for (const std::string& one : ports.unbindable) {
    report.failed(check, one, "look at interface.NAME.addresses and at what holds the port");
  }
  if (!ports.reservation_advice.empty()) {
    report.sentence(Verdict::kWarning, check, ports.reservation_advice);
  }
  if (ports.strangers.empty() && ports.unbindable.empty() && ports.reservation_advice.empty()) {
    report.ok(check, range + " are kept from other programs, and can be had");
  }
}

void judge_limits(const LimitFacts& limits, Report& report) {
  const std::string whose = limits.of_daemon ? "turnpiked may open " : "a process here may open ";
  const std::string figures = whose + std::to_string(limits.files_max) + " files, " +
                              std::to_string(limits.files_needed) + " may be needed";
  if (limits.files_max >= limits.files_needed) {
    report.ok("descriptors", figures);
  } else {
    report.warning("descriptors", figures,
                   "raise LimitNOFILE= in the unit (the shipped ones do), or lower "
                   "media.sessions_max");
  }
  if (limits.buffer_wanted_bytes == 0) {
    return report.ok("socket buffers", "media.socket_buffer_bytes is 0: the kernel's own size");
  }
  const std::string buffers = "media.socket_buffer_bytes is " +
                              std::to_string(limits.buffer_wanted_bytes) + ", the kernel gives " +
                              std::to_string(limits.buffer_given_bytes);
  if (limits.buffer_given_bytes >= limits.buffer_wanted_bytes) {
    report.ok("socket buffers", buffers);
  } else {
    report.warning("socket buffers", buffers,
                   "sysctl net.core.rmem_max=" + std::to_string(limits.buffer_wanted_bytes) +
                       " and the same for net.core.wmem_max");
  }
}

void judge_holder(const std::string& path, const DaemonState& daemon, const ConnectFacts& tried,
                  Report& report) {
  const std::string check = "holder";
  const std::string mend = "systemctl start turnpike-holder; without it calls end with turnpiked";
  if (daemon.running && daemon.holder_connected) {
    report.ok(check, "turnpiked is connected to it");
  } else if (daemon.running) {
    report.failed(check, "turnpiked is not connected to " + path, mend);
  } else if (tried.error != 0) {
    report.failed(check, path + ": " + error_text(tried.error), mend);
  } else {
    report.ok(check, "waits at " + path);
  }
}

void judge_ng(const std::string& where, const std::string& answer, Report& report) {
  if (answer.empty()) return report.ok("NG", "answers on " + where);
  report.failed("NG", where + ": " + answer,
                "the SIP server would refuse calls with 503; look at ng.unix, its group "
                "(ng.unix_group) and turnpiked's log");
}

void judge_sip_target(const ListenerFacts& target, Report& report) {
  const std::string place = to_string(target.address);
  const bool known = target.holder.pid != 0;
  if (!target.held) {
    report.failed(target.key, "nobody waits at " + place,
                  "start the SIP server (systemctl start turnpike-sip), or give the address at "
                  "which it waits for what the peer sends");
  } else if (known && !target.program.empty() && target.holder.name != target.program) {
    report.failed(target.key, place + " is taken by " + name_of(target.holder),
                  "stop that program, or choose another port and write the sidecar's files again");
  } else {
    report.ok(target.key, (known ? name_of(target.holder) : "a program") + " waits at " + place);
  }
}

}  // namespace turnpike::doctor
