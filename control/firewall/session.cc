#include "control/firewall/session.h"

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

#include <unistd.h>

#include "turnpike/result.h"

namespace turnpike::firewall {
namespace {

constexpr int kAncestorsMax = 64;
constexpr const char* kVariable = "SSH_CONNECTION";

/// Of a link-local address without the interface.
Result<IpAddress> parse_end(const std::string& text) {
  return parse_ip(text.substr(0, text.find('%')));
}

std::string of_environment(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string start = std::string(kVariable) + "=";
  std::string entry;
  while (std::getline(file, entry, '\0')) {
    if (entry.compare(0, start.size(), start) == 0) return entry.substr(start.size());
  }
  return {};
}

int parent_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name;
    int parent = 0;
    if (words >> name && name == "PPid:") return words >> parent ? parent : 0;
  }
  return 0;
}

}  // namespace

std::optional<SshSession> parse_session(const std::string& ssh_connection) {
  std::istringstream words(ssh_connection);
  const std::vector<std::string> fields{std::istream_iterator<std::string>(words), {}};
  if (fields.size() != 4) return std::nullopt;
  const auto client = parse_end(fields[0]);
  const auto local = parse_end(fields[2]);
  const std::string& text = fields[3];
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (!client || !local || error != std::errc{} || end != text.data() + text.size() || port == 0) {
    return std::nullopt;
  }
  return SshSession{*client, *local, port};
}

std::string connection_of_ancestors(const std::string& proc, int process) {
  for (int count = 0; process > 0 && count < kAncestorsMax; ++count) {
    const std::string folder = proc + "/" + std::to_string(process);
    if (std::string found = of_environment(folder + "/environ"); !found.empty()) return found;
    process = parent_of(folder + "/status");
  }
  return {};
}

std::optional<SshSession> find_session() {
  if (const char* own = std::getenv(kVariable); own != nullptr) return parse_session(own);
  if (std::getenv("SUDO_USER") == nullptr && ::isatty(STDIN_FILENO) == 0) return std::nullopt;
  return parse_session(connection_of_ancestors("/proc", ::getppid()));
}

}  // namespace turnpike::firewall
