// Allocate (RFC 8656 section 7).
#include <algorithm>

#include "relay/core/bytes.h"
#include "relay/turn/engine_state.h"

namespace turnpike::turn {
namespace {

constexpr std::uint8_t kUdpProtocol = 17;
constexpr std::uint8_t kTcpProtocol = 6;
constexpr std::uint8_t kFamilyIpv4 = 1;
constexpr std::uint8_t kFamilyIpv6 = 2;
constexpr std::uint8_t kReserveNext = 0x80;

// REQUESTED-ADDRESS-FAMILY and ADDITIONAL-ADDRESS-FAMILY (RFC 8656 sections 18.6, 18.11).
struct FamilyAttribute {
  bool present = false;
  bool malformed = false;
  AddressFamily family = AddressFamily::kNone;  ///< none: one that does not exist
};

// Ports rest after they were used: nobody may wear all of them out by allocating over and over.
std::uint32_t allocates_per_minute(const Quotas& quotas) {
  return quotas.allocations_per_user == 0 ? 0 : std::max(60U, 6 * quotas.allocations_per_user);
}

FamilyAttribute family_in(const stun::Message& message, std::uint16_t type) {
  const auto value = message.find(type);
  if (!value) return {};
  if (value->size() != 4) return {true, true, AddressFamily::kNone};
  switch ((*value)[0]) {
    case kFamilyIpv4:
      return {true, false, AddressFamily::kIpv4};
    case kFamilyIpv6:
      return {true, false, AddressFamily::kIpv6};
    default:
      return {true, false, AddressFamily::kNone};
  }
}

}  // namespace

// What an Allocate request asks for.
struct Engine::State::Wish {
  AddressFamily family = AddressFamily::kIpv4;
  bool both_families = false;
  RelayedPorts::Parity parity = RelayedPorts::Parity::kAny;
  std::uint64_t token = 0;  // 0: none
  std::optional<std::uint32_t> reservation;
  bool mobile = false;
  bool tcp = false;
  Owner owner;
};

// RFC 8656 section 7.2, steps 3 to 8: whether the attributes go together.
Refused Engine::State::read_wish(const Request& request, Wish& wish) const {
  const stun::Message& message = request.message;
  // 3. REQUESTED-TRANSPORT.
  const auto transport = message.find(stun::kRequestedTransport);
  if (!transport || transport->size() != 4) return Refusal::kBadRequest;
  wish.tcp = setup.tcp != nullptr && (*transport)[0] == kTcpProtocol;
  if (!wish.tcp && (*transport)[0] != kUdpProtocol) return Refusal::kUnsupportedTransport;
  if (message.find(stun::kLifetime) && !message.u32(stun::kLifetime)) return Refusal::kBadRequest;
  // 4. DONT-FRAGMENT is understood in Send indications.
  // 5. RESERVATION-TOKEN goes with nothing that would choose a port or a family.
  const auto even_port = message.find(stun::kEvenPort);
  const auto token = message.find(stun::kReservationToken);
  const auto requested = family_in(message, stun::kRequestedAddressFamily);
  const auto additional = family_in(message, stun::kAdditionalAddressFamily);
  if (requested.malformed || additional.malformed) return Refusal::kBadRequest;
  // RFC 6062 section 5.1: by a stream alone, and one port is all that there is to choose.
  if (wish.tcp && (over_datagrams(request.tuple.transport) || even_port || token ||
                   additional.present || message.find(stun::kDontFragment))) {
    return Refusal::kBadRequest;
  }
  if (token) {
    if (token->size() != 8 || even_port || requested.present || additional.present) {
      return Refusal::kBadRequest;
    }
    wish.token = *message.u64(stun::kReservationToken);
    if (wish.token == 0) return Refusal::kCapacity;
  }
  // 6. and 7. One family, or IPv4 and IPv6.
  if (requested.present && additional.present) return Refusal::kBadRequest;
  if (additional.present) {
    if (additional.family != AddressFamily::kIpv6) return Refusal::kBadRequest;
    wish.both_families = true;
  }
  if (requested.present) wish.family = requested.family;
  // 8. EVEN-PORT.
  if (even_port) {
    if (even_port->size() != 1) return Refusal::kBadRequest;
    const bool reserve = ((*even_port)[0] & kReserveNext) != 0;
    if (reserve && wish.both_families) return Refusal::kBadRequest;
    wish.parity = reserve ? RelayedPorts::Parity::kEvenAndReserveNext : RelayedPorts::Parity::kEven;
  }
  // RFC 8016 section 3.1.
  if (const auto ticket = message.find(stun::kMobilityTicket)) {
    if (!credentials->settings().mobility || request.identity->by_token || wish.tcp) {
      return Refusal::kMobilityForbidden;
    }
    if (!ticket->empty()) return Refusal::kBadRequest;
    wish.mobile = true;
  }
  const bool supported = (wish.family == AddressFamily::kIpv4 && setup.ipv4) ||
                         (wish.family == AddressFamily::kIpv6 && setup.ipv6);
  if (wish.token == 0 && !supported && !(wish.both_families && setup.ipv6)) {
    return Refusal::kFamily;
  }
  return std::nullopt;
}

bool Engine::State::count_owner(const Owner& owner, const Quotas& quotas) {
  if (!shared->counts.add(owner.user, quotas.allocations_per_user)) return false;
  if (shared->counts.add(owner.realm, quotas.allocations)) return true;
  shared->counts.remove(owner.user);
  return false;
}

void Engine::State::uncount_owner(const Owner& owner) {
  shared->counts.remove(owner.user);
  shared->counts.remove(owner.realm);
}

// Keeps a reserved port for whoever shows its token, of the same user.
void Engine::State::reserve(Allocation& allocation, std::uint32_t reservation) {
  const auto place = std::find_if(reserved.begin(), reserved.end(),
                                  [](const Reserved& other) { return other.token == 0; });
  // It is a port like that of an allocation, and counts as one.
  if (place == reserved.end() ||
      !count_owner(allocation.owner, credentials->realm(allocation.realm).quotas)) {
    return ports.release(reservation);
  }
  std::uint64_t token = 0;
  while (token == 0) token = random_u64();
  if (!shared->reservations.add({token, reservation, allocation.owner.user})) {
    uncount_owner(allocation.owner);
    return ports.release(reservation);
  }
  *place = {token, allocation.owner};
  allocation.reservation_token = token;
  timers.set(allocations.capacity() + static_cast<std::uint32_t>(place - reserved.begin()),
             allocation.created + kReservationLifetime);
}

// The reserved port becomes the allocation's, and goes on being counted.
std::optional<std::uint32_t> Engine::State::take_reservation(std::uint64_t token,
                                                             const Owner& owner) {
  const auto entry = shared->reservations.take(token, owner.user);
  if (!entry) return std::nullopt;
  for (std::uint32_t i = 0; i < reserved.size(); ++i) {
    if (reserved[i].token == token) {  // otherwise another shard's, which finds it gone
      reserved[i] = {};
      timers.cancel(allocations.capacity() + i);
    }
  }
  return entry->reservation;
}

std::optional<SocketAddress> Engine::State::open_port(Allocation& allocation, Side side,
                                                      const Wish& wish) {
  const SocketTag tag = relayed_tag(allocation.slot, allocation.serial, side);
  const auto opened =
      ports.open(tag, side == Side::kA ? wish.family : AddressFamily::kIpv6, wish.parity);
  if (!opened) return std::nullopt;
  if (wish.parity == RelayedPorts::Parity::kEvenAndReserveNext) {
    reserve(allocation, opened->reservation);
    if (allocation.reservation_token == 0) {
      ports.close(tag);
      return std::nullopt;
    }
  }
  return opened->advertised;
}

bool Engine::State::open_ports(const Wish& wish, Allocation& allocation) {
  if (wish.tcp) return listen(wish.family, allocation);
  auto& relayed = allocation.relayed;
  if (wish.reservation) {
    const SocketTag tag = relayed_tag(allocation.slot, allocation.serial, Side::kA);
    const auto taken = ports.take(tag, *wish.reservation);
    if (!taken) {
      ports.release(*wish.reservation);
      return false;
    }
    relayed[0] = taken->advertised;
    return true;
  }
  if (wish.family == AddressFamily::kIpv4 ? setup.ipv4 : setup.ipv6) {
    relayed[0] = open_port(allocation, Side::kA, wish).value_or(SocketAddress{});
  }
  if (wish.both_families) {
    if (setup.ipv6) {
      relayed[1] = open_port(allocation, Side::kB, wish).value_or(SocketAddress{});
    }
    allocation.additional_failed = relayed[0].is_set() != relayed[1].is_set();
  }
  return relayed[0].is_set() || relayed[1].is_set();
}

void Engine::State::write_allocated(const Request& request, const Allocation& allocation,
                                    stun::Writer& response) {
  for (const SocketAddress& relayed : allocation.relayed) {
    if (relayed.is_set()) response.add_xor_address(stun::kXorRelayedAddress, relayed);
  }
  response.add_u32(stun::kLifetime, allocation.granted_s);
  response.add_xor_address(stun::kXorMappedAddress, request.tuple.client);
  if (allocation.reservation_token != 0) {
    response.add_u64(stun::kReservationToken, allocation.reservation_token);
  }
  if (allocation.additional_failed) {
    // RFC 8656 section 18.12: the family that could not be had, and why.
    const bool has_ipv4 = allocation.relayed[0].is_set();
    const bool supported = has_ipv4 ? setup.ipv6 : setup.ipv4;
    const std::array<std::uint8_t, 4> value = {has_ipv4 ? kFamilyIpv6 : kFamilyIpv4, 0,
                                               static_cast<std::uint8_t>(supported ? 5 : 4),
                                               static_cast<std::uint8_t>(supported ? 8 : 40)};
    response.add(stun::kAddressErrorCode, value);
  }
  if (allocation.mobile) write_ticket(allocation, response);
}

// With its ports, counted for its user; null when there is none.
Allocation* Engine::State::open_allocation(const Request& request, const Wish& wish) {
  const Identity& identity = *request.identity;
  Allocation* const allocation = allocations.open(request.tuple);
  if (allocation == nullptr) {
    uncount_owner(wish.owner);
    if (wish.reservation) ports.release(*wish.reservation);
    return nullptr;
  }
  allocation->realm = identity.realm;
  allocation->figures = credentials->realm(identity.realm).figures;
  allocation->owner = wish.owner;
  allocation->vouched_by = wish.owner.user;
  allocation->credential = identity.credential;
  allocation->mobile = wish.mobile;
  allocations.user(*allocation) = identity.user;
  allocation->server = request.server;
  allocation->transaction = request.message.transaction();
  allocation->created = request.now;
  allocation->credential_until = identity.good_until == Seconds(0)
                                     ? Instant::max()
                                     : request.now + (identity.good_until - request.wall);
  take_token(*allocation, request);
  if (open_ports(wish, *allocation)) return allocation;
  close(*allocation);
  return nullptr;
}

Refused Engine::State::allocate(const Request& request, stun::Writer& response) {
  const Identity& identity = *request.identity;
  // 1. is authentication, done. 2. The 5-tuple is free, or this is the same request again.
  if (const Allocation* const existing = find(request.tuple, request.now)) {
    if (existing->transaction != request.message.transaction() ||
        !belongs_to(*existing, identity)) {
      return Refusal::kMismatch;
    }
    write_allocated(request, *existing, response);
    return std::nullopt;
  }
  Wish wish;
  if (const Refused refused = read_wish(request, wish)) return refused;
  if (identity.expired) return Refusal::kExpiredCredentials;
  if (shared->draining.load(std::memory_order_relaxed)) return Refusal::kDraining;
  if (busy) return Refusal::kBusy;
  // 9. A port that was reserved, quotas, and then what there is.
  const Realm& realm = credentials->realm(identity.realm);
  wish.owner = {identity.owner, credentials->owner_of(identity.realm)};
  if (!has_room()) return Refusal::kCapacity;
  if (!within_owner_rate(shared->allocates, wish.owner, allocates_per_minute(realm.quotas), 1,
                         request.now)) {
    return Refusal::kQuota;
  }
  if (wish.token != 0) {
    wish.reservation = take_reservation(wish.token, wish.owner);
    if (!wish.reservation) return Refusal::kCapacity;
  } else if (!count_owner(wish.owner, realm.quotas)) {
    return Refusal::kQuota;
  }
  // A reserved port will count as well.
  const std::uint32_t user_max = realm.quotas.allocations_per_user;
  if (wish.parity == RelayedPorts::Parity::kEvenAndReserveNext && user_max != 0 &&
      shared->counts.count(wish.owner.user) >= user_max) {
    uncount_owner(wish.owner);
    return Refusal::kQuota;
  }
  Allocation* const allocation = open_allocation(request, wish);
  if (allocation == nullptr) return Refusal::kCapacity;
  const Seconds granted = lifetime(request, *allocation);
  allocation->expires = request.now + granted;
  allocation->granted_s = static_cast<std::uint32_t>(granted.count());
  set_timer(*allocation);
  counters.of(allocation->transport).allocations_opened.add();
  counters.realms[allocation->figures].allocations_opened.add();
  write_allocated(request, *allocation, response);
  return std::nullopt;
}

}  // namespace turnpike::turn
