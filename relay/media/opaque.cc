// The packet path of an edge that has no keys: bytes pass as they are between a client's leg and
// the flow to the core.
#include "relay/media/engine.h"
#include "relay/wire/classify.h"
#include "turnpike/flow.h"

namespace turnpike::media {
namespace {

constexpr std::uint16_t kFirstUnprivilegedPort = 1024;

constexpr std::size_t kHandshakeTypeAt = 13;

/// A ClientHello (RFC 6347 section 4.2) of a client that signalling has not named yet: nobody could
/// be believed it here or at the core. With an address that needs proof there is none to wait for.
bool is_early_hello(const Packet& packet, const LegState& client) {
  const LegConfig& config = client.config;
  return !config.ice && !config.remote_unproven &&
         !config.remote[index_of(Component::kRtp)].is_set() &&
         packet.tag.component == Component::kRtp && packet.source.port >= kFirstUnprivilegedPort &&
         packet.length > kHandshakeTypeAt && packet.data[0] == 22 &&
         packet.data[kHandshakeTypeAt] == 1;
}

}  // namespace

void Engine::pass(Work& work, Instant now, Outbox& out) {
  const Packet& packet = *work.packet;
  work.to_component = packet.tag.component;
  const bool from_core = !work.from->local[0].is_set();
  if (clients_[packet.tag.slot] == nullptr) return drop(work, DropReason::kNoDestination);
  if (from_core && packet.length == 0) return pass_keepalive(work, now, out);
  bool rtp = false;
  switch (classify(packet.data, packet.length)) {
    case PacketKind::kRtp:
      rtp = true;
      break;
    case PacketKind::kDtls:
      if (!from_core && is_early_hello(packet, *work.from)) {
        return set_aside(work, true, DropReason::kUnexpectedDtls);
      }
      break;
    case PacketKind::kRtcp:
      work.rtcp = true;
      break;
    case PacketKind::kStun:
      return set_aside(work, work.from->config.ice, DropReason::kUnexpectedStun);
    case PacketKind::kUnknown:
      return drop(work, packet.length < 2 ? DropReason::kTooShort : DropReason::kUnknownProtocol);
  }
  if (from_core) {
    work.destination = client_of(work, now);
    if (!work.destination.is_set()) return drop(work, DropReason::kNoDestination);
  } else {
    if (packet.source.port < kFirstUnprivilegedPort) {
      note_refused_source(*work.from, packet.source, now);
      return drop(work, DropReason::kReservedSourcePort);
    }
    const std::optional<std::uint8_t> number = source_number(work, now);
    if (!number) {
      note_refused_source(*work.from, packet.source, now);
      return drop(work, DropReason::kWrongSource);
    }
    work.destination = address_of_source(*number);
  }
  work.from->last_packet = now;
  if (rtp) work.from->last_rtp = now;
  // What nobody has verified keeps no call alive.
  if (from_core || is_named_source(work)) note_carried(*work.from, packet.tag.slot, !rtp, now);
  if (work.rtcp) {
    ++work.from->rtcp_received;
  } else {
    ++work.from->packets_received;
    work.from->bytes_received += packet.length;
  }
  if (rtp && work.from->switches.blocked) return drop(work, DropReason::kBlocked);
  emit(work, packet.length, out);
}

// An empty datagram (RFC 6263 section 4.1): the core keeps the client's address open, and names it.
void Engine::pass_keepalive(Work& work, Instant now, Outbox& out) {
  work.destination = client_of(work, now);
  if (!work.destination.is_set()) return drop(work, DropReason::kNoDestination);
  SocketTag tag = work.packet->tag;
  tag.side = other(tag.side);
  static_cast<void>(out.push({work.packet->data, 0, tag, work.destination, true, false}));
}

std::optional<std::uint8_t> Engine::client_number(const SocketTag& leg, const SocketAddress& source,
                                                  Instant now) {
  if (find_leg(leg) == nullptr || clients_[leg.slot] == nullptr) return std::nullopt;
  return clients_[leg.slot][index_of(leg.component)].heard(source, now);
}

// With ICE the client is where the selected pair says, and nobody else is heard.
std::optional<std::uint8_t> Engine::source_number(const Work& work, Instant now) {
  const Component component = work.packet->tag.component;
  if (!work.from->config.ice) {
    return clients_[work.packet->tag.slot][index_of(component)].heard(work.packet->source, now);
  }
  const bool selected =
      work.packet->source == work.from->component[index_of(component)].destination;
  return selected ? std::optional(ClientSources::kSignalled) : std::nullopt;
}

bool Engine::is_named_source(const Work& work) const {
  if (work.from->config.ice) return true;
  const auto& client = clients_[work.packet->tag.slot][index_of(work.packet->tag.component)];
  return client.is_named(source_of_address(work.destination));
}

// What the core sends goes where ICE says or, without ICE, to the source that the core names.
SocketAddress Engine::client_of(const Work& work, Instant now) {
  const Component component = work.packet->tag.component;
  ComponentState& state = work.to->component[index_of(component)];
  if (work.to->config.ice) return state.destination;
  ClientSources& client = clients_[work.packet->tag.slot][index_of(component)];
  const std::uint8_t number = source_of_address(work.packet->source);
  const SocketAddress named = client.named(number, now);
  // A number that nobody has (any more): the client that was named last is still the one.
  if (!named.is_set()) return state.destination;
  state.destination = named;
  state.client_number = number;
  return named;
}

}  // namespace turnpike::media
