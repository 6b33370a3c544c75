// A simulated NAT in front of one host (RFC 4787): which outside address a packet gets, and which
// packets come in. Without one the host is on the public network.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "turnpike/address.h"

namespace turnpike::sim {

enum class NatKind : std::uint8_t { kNone, kFullCone, kRestricted, kPortRestricted, kSymmetric };

class Nat {
 public:
  Nat(NatKind kind, const IpAddress& outside) : kind_(kind), outside_(outside) {}

  NatKind kind() const { return kind_; }
  /// The source that `to` sees of a packet from `inside`.
  SocketAddress leave(const SocketAddress& inside, const SocketAddress& to) {
    if (kind_ == NatKind::kNone) return inside;
    const Key key{inside, kind_ == NatKind::kSymmetric ? to : SocketAddress{}};
    auto [it, fresh] = port_.try_emplace(key, next_port_);
    if (fresh) inside_[next_port_++] = inside;
    contacted_[it->second].insert(to);
    return {outside_, it->second};
  }
  /// The host's address that a packet reaches; nothing when the NAT drops it.
  std::optional<SocketAddress> enter(const SocketAddress& from, const SocketAddress& to) const {
    if (kind_ == NatKind::kNone) return to;
    const auto it = inside_.find(to.port);
    if (to.ip != outside_ || it == inside_.end()) return std::nullopt;
    const std::set<SocketAddress>& known = contacted_.at(to.port);
    bool passes = kind_ == NatKind::kFullCone;
    for (const SocketAddress& peer : known) {
      passes = passes || (kind_ == NatKind::kRestricted ? peer.ip == from.ip : peer == from);
    }
    return passes ? std::optional(it->second) : std::nullopt;
  }
  /// Forgets every mapping; new ones have other ports.
  void forget() {
    port_.clear();
    inside_.clear();
    contacted_.clear();
  }

 private:
  using Key = std::pair<SocketAddress, SocketAddress>;

  NatKind kind_;
  IpAddress outside_;
  std::uint16_t next_port_ = 20000;
  std::map<Key, std::uint16_t> port_;
  std::map<std::uint16_t, SocketAddress> inside_;
  std::map<std::uint16_t, std::set<SocketAddress>> contacted_;
};

}  // namespace turnpike::sim
