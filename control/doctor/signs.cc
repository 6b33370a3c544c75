#include "control/doctor/signs.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "control/ng/client.h"

namespace turnpike::doctor {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRelay = "turnpiked";

std::string name_of(const Process& process) {
  if (process.pid == 0) return "a process that this account does not see";
  return process.name + " (process " + std::to_string(process.pid) + ")";
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Signs {
 public:
  Signs(const config::Settings& settings, const std::vector<BoundSocket>& sockets)
      : settings_(settings), sockets_(sockets) {}

  std::vector<std::string> all() {
    lock();
    listeners();
    ng();
    connections();
    if (found_.empty()) processes();
    return std::move(found_);
  }

 private:
  /// The lock that turnpiked takes before anything else (control/run_lock.h).
  void lock() {
    const std::string& holder = settings_.holder.unix_path;
    const std::string path = (holder.empty() ? settings_.ng.unix_path : holder) + ".lock";
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return;
    const pid_t owner = lock_owner(text_of("/proc/locks"), status.st_dev, status.st_ino);
    if (owner != 0) found_.push_back("process " + std::to_string(owner) + " holds " + path);
  }

  void listener(const SocketAddress& address, bool is_udp) {
    if (!address.is_set()) return;
    const BoundSocket* const bound = find_bound(sockets_, address, is_udp);
    if (bound == nullptr) return;
    const auto holders = holders_of({bound->inode});
    const Process holder = holders.empty() ? Process{} : holders.begin()->second;
    // Another program there is a mistake of its own, told elsewhere.
    if (holder.pid != 0 && holder.name != kRelay) return;
    found_.push_back(name_of(holder) + " waits at " + to_string(address));
  }

  void listeners() {
    for (const config::ZoneSection& zone : settings_.zones) {
      for (const config::ZonePeerSection& peer : zone.peers) listener(peer.sip_listen, false);
    }
    listener(settings_.ng.udp, true);
  }

  void ng() {
    const std::string& path = settings_.ng.unix_path;
    if (path.empty() || !ng::Client::connect_unix(path)) return;
    found_.push_back("somebody waits at " + path);
  }

  /// Whoever has one to the edge's zone port may be a daemon of this node.
  void connections() {
    const std::vector<TcpConnection> open = read_connections();
    for (const config::ZoneSection& zone : settings_.zones) {
      for (const config::ZonePeerSection& peer : zone.peers) {
        if (peer.address.is_set()) connections_to(peer.address, open);
      }
    }
  }

  void connections_to(const SocketAddress& edge, const std::vector<TcpConnection>& open) {
    for (const TcpConnection& one : open) {
      if (!(one.remote == edge)) continue;
      const auto holders = holders_of({one.inode});
      found_.push_back(name_of(holders.empty() ? Process{} : holders.begin()->second) +
                       " is connected to " + to_string(edge));
      return;
    }
  }

  /// In this network namespace, or where that cannot be seen.
  void processes() {
    struct stat ours {};
    if (::stat("/proc/self/ns/net", &ours) != 0) return;
    std::error_code failed;
    for (const auto& entry : fs::directory_iterator("/proc", failed)) {
      const std::string pid = entry.path().filename();
      if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
      if (text_of(entry.path() / "comm") != std::string(kRelay) + "\n") continue;
      struct stat theirs {};
      const bool known = ::stat((entry.path() / "ns" / "net").c_str(), &theirs) == 0;
      if (known && theirs.st_ino != ours.st_ino) continue;
      found_.push_back("a turnpiked runs (process " + pid + ")");
    }
  }

  const config::Settings& settings_;
  const std::vector<BoundSocket>& sockets_;
  std::vector<std::string> found_;
};

}  // namespace

pid_t lock_owner(std::string_view locks, dev_t device, ino_t inode) {
  char id[64];
  std::snprintf(id, sizeof id, "%02x:%02x:%llu", major(device), minor(device),
                static_cast<unsigned long long>(inode));
  std::istringstream lines{std::string(locks)};
  for (std::string line; std::getline(lines, line);) {
    // Number, kind, mode, access, process, file; one that waits has "->" after the number.
    std::istringstream words(line);
    const std::vector<std::string> fields{std::istream_iterator<std::string>(words), {}};
    if (fields.size() < 6 || fields[1] != "FLOCK" || fields[5] != id) continue;
    pid_t owner = 0;
    const std::string& text = fields[4];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), owner);
    if (error == std::errc{} && end == text.data() + text.size() && owner != 0) return owner;
  }
  return 0;
}

std::vector<std::string> signs_of_life(const config::Settings& settings,
                                       const std::vector<BoundSocket>& sockets) {
  return Signs(settings, sockets).all();
}

}  // namespace turnpike::doctor
