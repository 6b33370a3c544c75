// Binding (RFC 8489 section 2), and what it tells of the NATs on the way (RFC 5780) at sockets of
// two addresses with two ports each. Anybody may ask, in anybody's name: so a response goes to no
// other address than the source, is no longer than a padded request, and none that costs more than
// a plain one is given often.
#include <algorithm>

#include "relay/core/bytes.h"
#include "relay/turn/engine_state.h"

namespace turnpike::turn {
namespace {

// RFC 5780 section 7.2.
constexpr std::uint32_t kChangeIp = 0x4;
constexpr std::uint32_t kChangePort = 0x2;
// Where servers are, at the client's address, nobody needs to know what a NAT does.
constexpr std::uint16_t kResponsePortMin = 1024;
constexpr std::size_t kFingerprintBytes = stun::kAttributeHeaderBytes + 4;

bool asks(const stun::Message& message) {
  return message.find(stun::kChangeRequest) || message.find(stun::kPadding) ||
         message.find(stun::kResponsePort);
}

// Which place the response is to leave from, from where it is; nothing when it cannot be read.
std::optional<std::size_t> change_in(const stun::Message& message) {
  if (!message.find(stun::kChangeRequest)) return 0;
  const auto flags = message.u32(stun::kChangeRequest);
  if (!flags) return std::nullopt;
  return ((*flags & kChangeIp) != 0 ? 2U : 0U) | ((*flags & kChangePort) != 0 ? 1U : 0U);
}

// The port to which the response is to go. 0: it is none for that.
std::uint16_t response_port_in(const stun::Message& message, const SocketAddress& client) {
  const auto value = message.find(stun::kResponsePort);
  if (!value) return client.port;
  // 16 bits and 2 bytes of padding, which some count and some do not.
  if ((value->size() != 2 && value->size() != 4) || message.find(stun::kPadding)) return 0;
  const std::uint16_t port = read_be16(value->data());
  return port >= kResponsePortMin ? port : 0;
}

}  // namespace

// Of UDP alone: a connection or association has but one address at each end.
const DiscoveryPlaces* Engine::State::places_of(const Allocations::Tuple& tuple) const {
  if (tuple.transport != ListenerTransport::kUdp) return nullptr;
  for (const DiscoveryPlaces& places : setup.discovery) {
    for (const DiscoveryPlace& place : places) {
      if (place.tag.slot == tuple.tag.slot && place.tag.generation == tuple.tag.generation) {
        return &places;
      }
    }
  }
  return nullptr;
}

Refused Engine::State::bind(Request& request, stun::Writer& response) {
  const SocketAddress& client = request.tuple.client;
  if (request.places == nullptr) {
    response.add_xor_address(stun::kXorMappedAddress, client);
    counters.bindings.add();
    return std::nullopt;
  }
  const stun::Message& message = request.message;
  const bool whole = limits.take(SourceLimits::Kind::kDiscovery, client.ip, request.now);
  const auto change = change_in(message);
  const std::uint16_t port = response_port_in(message, client);
  if (asks(message)) {
    if (!whole) return Refusal::kSourceRate;
    if (!change || port == 0) return Refusal::kBadRequest;
  }
  response.add_xor_address(stun::kXorMappedAddress, client);
  counters.bindings.add();
  if (!whole) return std::nullopt;  // as if it were off
  const DiscoveryPlaces& places = *request.places;
  std::size_t at = 0;
  while (places[at].tag.generation != request.tuple.tag.generation) ++at;
  const DiscoveryPlace& from = places[at ^ *change];
  response.add_address(stun::kMappedAddress, client);
  response.add_address(stun::kResponseOrigin, from.advertised);
  response.add_address(stun::kOtherAddress, places[at ^ 3].advertised);
  if (message.find(stun::kPadding)) {
    // Section 6.1 wants it as long as the MTU: who wants that, pads as much himself.
    const std::size_t rest = response.size() + stun::kAttributeHeaderBytes +
                             (message.has_fingerprint() ? kFingerprintBytes : 0);
    const std::size_t asked = request.packet->length;
    response.add_zeros(stun::kPadding, asked > rest ? (asked - rest) / 4 * 4 : 0);
  }
  request.from = from.tag;
  request.to.port = port;
  return std::nullopt;
}

}  // namespace turnpike::turn
