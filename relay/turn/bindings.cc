// Refresh, CreatePermission and ChannelBind (RFC 8656 sections 8, 10, 12).
#include <algorithm>

#include "relay/core/bytes.h"
#include "relay/turn/engine_state.h"
#include "relay/wire/channel_data.h"

namespace turnpike::turn {
namespace {

// What all allocations of a user may add together, compared with one.
constexpr std::uint32_t kOwnerPeersFactor = 10;
constexpr std::size_t kPeersInRequestMax = kPayloadBytesMax / 12;

bool is_of(AddressFamily family, std::uint8_t wire) {
  return (family == AddressFamily::kIpv4 && wire == 1) ||
         (family == AddressFamily::kIpv6 && wire == 2);
}

}  // namespace

// RFC 8656 section 8.2.
Refused Engine::State::refresh(const Request& request, Allocation& allocation,
                               stun::Writer& response) {
  // 1. REQUESTED-ADDRESS-FAMILY, if any, is one that the allocation has.
  std::optional<Side> only;
  if (const auto family = request.message.find(stun::kRequestedAddressFamily)) {
    if (family->size() != 4) return Refusal::kBadRequest;
    for (const Side side : {Side::kA, Side::kB}) {
      if (is_of(allocation.relayed[index_of(side)].ip.family, (*family)[0])) only = side;
    }
    if (!only) return Refusal::kFamilyMismatch;
  }
  // 2. LIFETIME 0 ends it, or that half of it.
  const auto wanted = request.message.u32(stun::kLifetime);
  if (!wanted && request.message.find(stun::kLifetime)) return Refusal::kBadRequest;
  if (wanted == 0U) {
    counters.refreshes.add();
    response.add_u32(stun::kLifetime, 0);
    if (only && allocation.relayed[index_of(other(*only))].is_set()) {
      close_side(allocation, *only);
    } else {
      close(allocation);
    }
    return std::nullopt;
  }
  // 3. Otherwise it lives on, as long as its age and its credential allow.
  const Seconds granted = lifetime(request, allocation);
  if (granted == Seconds(0)) return Refusal::kMismatch;  // a client allocates anew after that
  allocation.expires = request.now + granted;
  set_timer(allocation);
  counters.refreshes.add();
  response.add_u32(stun::kLifetime, static_cast<std::uint32_t>(granted.count()));
  if (allocation.mobile && request.message.find(stun::kMobilityTicket)) {
    write_ticket(allocation, response);
  }
  return std::nullopt;
}

Refused Engine::State::judge_peer(const Allocation& allocation, const IpAddress& ip) const {
  const auto& relayed = allocation.relayed;
  if (relayed[0].ip.family != ip.family && relayed[1].ip.family != ip.family) {
    return Refusal::kFamilyMismatch;
  }
  if (!may_be_peer(ip, rules(allocation), own())) return Refusal::kPeerDenied;
  return std::nullopt;
}

bool Engine::State::may_add_peers(Allocation& allocation, std::uint32_t count, Instant now) {
  const std::uint32_t a_minute = credentials->realm(allocation.realm).quotas.new_peers_per_minute;
  if (a_minute == 0 || count == 0) return true;
  const Nanoseconds price = Nanoseconds(Seconds(60)) / a_minute;
  return allocation.new_peers.take(now, price * count, price * a_minute) &&
         within_owner_rate(shared->new_peers, allocation.owner, a_minute * kOwnerPeersFactor, count,
                           now);
}

Refused Engine::State::permit(Allocation& allocation, std::span<const IpAddress> ips, Instant now) {
  const Tick tick = tick_of(now);
  const std::uint32_t places = allocations.reclaim(allocation, tick);
  std::uint32_t added = 0;
  for (std::size_t i = 0; i < ips.size(); ++i) {
    const bool before = std::find(ips.begin(), ips.begin() + static_cast<std::ptrdiff_t>(i),
                                  ips[i]) != ips.begin() + static_cast<std::ptrdiff_t>(i);
    if (!before && allocations.find_peer(allocation, ips[i]) == nullptr) ++added;
  }
  if (added > places) return Refusal::kCapacity;
  if (!may_add_peers(allocation, added, now)) return Refusal::kPeerRate;
  for (const IpAddress& ip : ips) {
    Peer* peer = allocations.find_peer(allocation, ip);
    if (peer == nullptr) peer = allocations.add_peer(allocation, ip);
    set_ports(*peer, rules(allocation));
    peer->permitted_until = tick_of(now + kPermissionLifetime);
  }
  counters.permissions.add(added);
  return std::nullopt;
}

// RFC 8656 section 10.2.
Refused Engine::State::create_permission(const Request& request, Allocation& allocation) {
  std::array<IpAddress, kPeersInRequestMax> ips;
  std::size_t count = 0;
  // 1. At least one address, all of them well-formed; ports do not matter.
  for (std::size_t at = 0;
       const auto value = request.message.find_next(stun::kXorPeerAddress, at);) {
    const auto address = request.message.xor_address_in(*value);
    if (!address || count == ips.size()) return Refusal::kBadRequest;
    ips[count++] = address->ip;
  }
  if (count == 0) return Refusal::kBadRequest;
  // 2. All of them allowed, before any is permitted.
  for (std::size_t i = 0; i < count; ++i) {
    if (const Refused refused = judge_peer(allocation, ips[i])) return refused;
  }
  return permit(allocation, {ips.data(), count}, request.now);
}

// RFC 8656 section 12.2.
Refused Engine::State::channel_bind(const Request& request, Allocation& allocation) {
  if (allocation.tcp) return Refusal::kTcpAllocation;
  // 1. Both attributes, and a number of a channel.
  const auto number_value = request.message.find(stun::kChannelNumber);
  const auto address = request.message.xor_address(stun::kXorPeerAddress);
  if (!number_value || number_value->size() != 4 || !address) return Refusal::kBadRequest;
  const std::uint16_t number = read_be16(number_value->data());
  if (number < kChannelMin || number > kChannelMax) return Refusal::kBadRequest;
  // 2. The address is allowed, with its port.
  if (const Refused refused = judge_peer(allocation, address->ip)) return refused;
  if (!may_be_peer(*address, rules(allocation), own())) return Refusal::kPeerDenied;
  // 3. Neither the number nor the address is bound otherwise.
  allocations.reclaim(allocation, tick_of(request.now));
  Channel* channel = allocations.find_channel(allocation, number);
  Peer* peer = allocations.find_peer(allocation, address->ip);
  const auto all_peers = allocations.peers(allocation);
  if (channel != nullptr && (channel->port != address->port || &all_peers[channel->peer] != peer)) {
    return Refusal::kBadRequest;
  }
  if (channel == nullptr && peer != nullptr &&
      allocations.channel_to(allocation, *peer, address->port) != nullptr) {
    return Refusal::kBadRequest;
  }
  // 4. There is room for it; it is a permission, too.
  const bool fits = channel != nullptr || allocations.has_channel_room(allocation);
  if (!fits) return Refusal::kCapacity;
  if (const Refused refused = permit(allocation, {&address->ip, 1}, request.now)) return refused;
  if (channel == nullptr) {
    peer = allocations.find_peer(allocation, address->ip);
    channel = allocations.add_channel(allocation, number);
    channel->port = address->port;
    channel->peer = static_cast<std::uint8_t>(peer - all_peers.data());
  }
  channel->until = tick_of(request.now + kChannelLifetime);
  counters.channel_binds.add();
  return std::nullopt;
}

}  // namespace turnpike::turn
