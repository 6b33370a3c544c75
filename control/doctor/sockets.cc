#include "control/doctor/sockets.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include <unistd.h>

namespace turnpike::doctor {
namespace {

namespace fs = std::filesystem;

constexpr const char* kListens = "0A";    // TCP_LISTEN
constexpr const char* kConnected = "01";  // TCP_ESTABLISHED
constexpr const char* kConnects = "02";   // TCP_SYN_SENT
constexpr std::size_t kWordDigits = 8;

template <typename Number>
bool parse_hex(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  return error == std::errc{} && end == text.data() + text.size();
}

/// The kernel writes each 32-bit word as a number of this host's byte order (little-endian here).
bool parse_address(std::string_view text, IpAddress& ip) {
  const bool is_v6 = text.size() == 4 * kWordDigits;
  if (!is_v6 && text.size() != kWordDigits) return false;
  ip.family = is_v6 ? AddressFamily::kIpv6 : AddressFamily::kIpv4;
  for (std::size_t word = 0; word * kWordDigits < text.size(); ++word) {
    std::uint32_t value = 0;
    if (!parse_hex(text.substr(word * kWordDigits, kWordDigits), value)) return false;
    for (std::size_t i = 0; i < 4; ++i) {
      ip.bytes.at(word * 4 + i) = static_cast<std::uint8_t>(value >> (8 * i));
    }
  }
  return true;
}

/// ::ffff:a.b.c.d is that IPv4 address, as everywhere else.
void unmap(IpAddress& ip) {
  const bool mapped = ip.is_v6() && ip.bytes[10] == 0xff && ip.bytes[11] == 0xff &&
                      std::all_of(ip.bytes.begin(), ip.bytes.begin() + 10,
                                  [](std::uint8_t byte) { return byte == 0; });
  if (!mapped) return;
  ip = IpAddress::v4(ip.bytes[12], ip.bytes[13], ip.bytes[14], ip.bytes[15]);
}

std::string read_text(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// "socket:[4711]" -> 4711, else 0.
std::uint64_t inode_of(const std::string& link) {
  constexpr std::string_view kPrefix = "socket:[";
  std::uint64_t inode = 0;
  if (!link.starts_with(kPrefix)) return 0;
  std::from_chars(link.data() + kPrefix.size(), link.data() + link.size(), inode);
  return inode;
}

struct Line {
  SocketAddress local;
  SocketAddress remote;
  std::string state;
  std::uint64_t inode = 0;
};

bool parse_place(std::string_view text, SocketAddress& place) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || !parse_address(text.substr(0, colon), place.ip) ||
      !parse_hex(text.substr(colon + 1), place.port)) {
    return false;
  }
  unmap(place.ip);
  return true;
}

std::vector<Line> parse_lines(std::string_view text) {
  std::vector<Line> sound;
  std::istringstream lines{std::string(text)};
  for (std::string each; std::getline(lines, each);) {
    // Index, local and remote address, state, queues, timer, retransmits, account, timeout, inode.
    std::istringstream words(each);
    const std::vector<std::string> fields{std::istream_iterator<std::string>(words), {}};
    if (fields.size() < 10) continue;
    Line line;
    line.state = fields[3];
    const std::string& inode = fields[9];
    parse_place(fields[2], line.remote);  // of what waits it means nothing
    if (parse_place(fields[1], line.local) &&
        std::from_chars(inode.data(), inode.data() + inode.size(), line.inode).ec == std::errc{}) {
      sound.push_back(line);
    }
  }
  return sound;
}

}  // namespace

std::vector<BoundSocket> parse_socket_table(std::string_view text, bool is_udp) {
  std::vector<BoundSocket> sockets;
  for (const Line& line : parse_lines(text)) {
    if (!is_udp && line.state != kListens) continue;
    sockets.push_back({line.local, is_udp, line.inode});
  }
  return sockets;
}

std::vector<TcpConnection> parse_connections(std::string_view text) {
  std::vector<TcpConnection> connections;
  for (const Line& line : parse_lines(text)) {
    if (line.state != kConnected && line.state != kConnects) continue;
    connections.push_back({line.local, line.remote, line.inode});
  }
  return connections;
}

std::vector<TcpConnection> read_connections() {
  std::vector<TcpConnection> all;
  for (const char* table : {"tcp", "tcp6"}) {
    const auto some = parse_connections(read_text(fs::path("/proc/net") / table));
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

std::vector<BoundSocket> read_bound_sockets() {
  std::vector<BoundSocket> all;
  for (const char* table : {"tcp", "tcp6", "udp", "udp6"}) {
    const bool is_udp = table[0] == 'u';
    const auto some = parse_socket_table(read_text(fs::path("/proc/net") / table), is_udp);
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

const BoundSocket* find_bound(const std::vector<BoundSocket>& sockets, const SocketAddress& address,
                              bool is_udp) {
  const BoundSocket* any = nullptr;
  for (const BoundSocket& one : sockets) {
    if (one.is_udp != is_udp || one.address.port != address.port) continue;
    if (one.address.ip == address.ip) return &one;
    const bool takes_all = one.address.ip.is_unspecified() &&
                           (one.address.ip.is_v6() || one.address.ip.family == address.ip.family);
    if (takes_all) any = &one;
  }
  return any;
}

std::map<std::uint64_t, Process> holders_of(const std::vector<std::uint64_t>& inodes) {
  std::map<std::uint64_t, Process> holders;
  const std::set<std::uint64_t> wanted(inodes.begin(), inodes.end());
  if (wanted.empty()) return holders;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator("/proc", failed)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code gone;
    for (const auto& open : fs::directory_iterator(entry.path() / "fd", gone)) {
      const std::uint64_t inode = inode_of(fs::read_symlink(open.path(), gone));
      if (inode == 0 || !wanted.contains(inode)) continue;
      std::string command = read_text(entry.path() / "comm");
      if (!command.empty() && command.back() == '\n') command.pop_back();
      holders.emplace(inode, Process{static_cast<pid_t>(std::stol(name)), command});
    }
  }
  return holders;
}

}  // namespace turnpike::doctor
