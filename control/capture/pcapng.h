// Blocks of a pcapng file (draft-ietf-opsawg-pcapng): UDP datagrams as IP packets whose headers are
// made here. Hides: the format. Is not: what is captured.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

#include "turnpike/address.h"

namespace turnpike::capture {

using Date = std::chrono::sys_time<std::chrono::nanoseconds>;

/// The first block. `comment` is shown by who opens the file.
std::string section_header(const std::string& application, const std::string& comment);

/// Each interface has the number of those before it.
std::string interface_description(const std::string& name, const std::string& description);

struct Datagram {
  std::uint32_t interface = 0;
  Date at{};
  bool sent = false;
  /// Without an address: 100:: (RFC 6666) and port 5004, RTP's.
  SocketAddress source;
  SocketAddress destination;
  std::uint32_t length = 0;               ///< of the payload on the wire
  std::span<const std::uint8_t> bytes{};  ///< its beginning
};
/// The UDP checksum is 0 (none) when not all of the payload is there.
std::string packet(const Datagram& datagram);

struct Statistics {
  std::uint32_t interface = 0;
  Date begin{};
  Date end{};
  std::uint64_t received = 0;  ///< with those that are missing
  std::uint64_t missing = 0;
  std::string comment;
};
/// At the end of the file, for each interface: a file without it was cut short.
std::string statistics(const Statistics& figures);

}  // namespace turnpike::capture
