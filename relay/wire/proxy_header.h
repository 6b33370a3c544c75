// The header by which a load balancer says whose connection it passes on: PROXY protocol, version
// 2, as haproxy's doc/proxy-protocol.txt describes it. Whoever can write one can claim any source:
// read it from load balancers that the configuration lists, and from nobody else.
// Is not: version 1, which is text, nor a judgement of who may send one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "turnpike/address.h"

namespace turnpike {

enum class ProxyState : std::uint8_t {
  kIncomplete,   ///< it may become one: look again when more has come
  kProxied,      ///< a connection over TCP from `source`
  kLocal,        ///< the load balancer's own, as health checks are
  kMissing,      ///< does not begin with the signature
  kMalformed,    ///< another version, command or length, or an address that no client has
  kUnsupported,  ///< of a family or transport other than TCP over IPv4 or IPv6
  kBadChecksum,  ///< has a CRC32c that is wrong
};

struct ProxyHeader {
  /// With everything that follows the addresses.
  static constexpr std::size_t kBytesMax = 2048;

  ProxyState state = ProxyState::kMissing;
  std::size_t bytes = 0;   ///< its length, of kProxied and kLocal; then the client's bytes come
  SocketAddress source{};  ///< of kProxied
};

/// `bytes`: what has come so far, from the connection's first byte on.
ProxyHeader read_proxy_header(std::span<const std::uint8_t> bytes);

}  // namespace turnpike
