// Connections of TCP allocations with their peers (RFC 6062 sections 5.2 to 5.5).
#include <algorithm>
#include <utility>

#include "relay/turn/engine_state.h"

namespace turnpike::turn {
namespace {

// Two of the same number are that rare: who fails so often has no room.
constexpr int kIdTries = 4;
constexpr std::size_t kAnswerBytesMax = 128;
/// Another name of the same owner in the same table of counts.
constexpr std::uint64_t kConnectionsOfOwner = 0x9e3779b97f4a7c15;

}  // namespace

bool Engine::State::listen(AddressFamily family, Allocation& allocation) {
  auto traffic = std::make_shared<TcpTraffic>();
  traffic->figures = allocation.figures;
  traffic->bytes_per_second = credentials->realm(allocation.realm).quotas.bytes_per_second;
  const SocketTag tag = relayed_tag(allocation.slot, allocation.serial, Side::kA);
  const auto relayed = setup.tcp->listen(tag, family, traffic);
  if (!relayed) return false;
  allocation.relayed[0] = *relayed;
  allocation.tcp = true;
  tcp[allocation.slot] = {std::move(traffic), {}};
  return true;
}

// Media ports of ours are UDP's.
bool Engine::State::may_connect(const Allocation& allocation, const SocketAddress& peer) const {
  OwnAddresses ours = own();
  ours.media_port_min = 1;
  ours.media_port_max = 0;
  return may_be_peer(peer, rules(allocation), ours) && peer != allocation.relayed[0];
}

std::optional<std::uint32_t> Engine::State::add_connection(Allocation& allocation,
                                                           const SocketAddress& peer,
                                                           std::uint32_t id) {
  auto& all = tcp[allocation.slot].connections;
  const Quotas& quotas = credentials->realm(allocation.realm).quotas;
  const std::uint64_t owner = allocation.owner.user ^ kConnectionsOfOwner;
  if (all.size() >= setup.tcp_connections_per_allocation_max ||
      !shared->counts.add(owner, quotas.tcp_connections_per_user)) {
    return std::nullopt;
  }
  for (int i = 0; i < kIdTries; ++i) {
    const std::uint32_t wanted = id != 0 ? id : static_cast<std::uint32_t>(random_u64());
    if (!shared->connection_ids->add(wanted, allocation.vouched_by)) continue;
    all.push_back({wanted, peer, {}, {}});
    return wanted;
  }
  shared->counts.remove(owner);
  return std::nullopt;
}

void Engine::State::remove_connection(const Allocation& allocation, std::uint32_t id) {
  std::erase_if(tcp[allocation.slot].connections,
                [id](const PeerConnection& one) { return one.id == id; });
  shared->connection_ids->remove(id);
  shared->counts.remove(allocation.owner.user ^ kConnectionsOfOwner);
}

// Once it is known what became of it, the request is long gone: both answers are ready.
std::vector<std::uint8_t> Engine::State::write_answer(const Request& request,
                                                      std::optional<std::uint32_t> id) const {
  std::array<std::uint8_t, kAnswerBytesMax> buffer;
  stun::Writer writer(buffer, id ? stun::Class::kSuccess : stun::Class::kError, stun::kConnect,
                      request.message.transaction());
  if (id) {
    writer.add_u32(stun::kConnectionId, *id);
  } else {
    writer.add_error_code(447);
  }
  request.identity->key.seal(writer);
  if (request.message.has_fingerprint()) writer.add_fingerprint();
  const stun::Bytes bytes = writer.finish();
  return {bytes.begin(), bytes.end()};
}

// RFC 6062 section 5.2.
Refused Engine::State::connect(Request& request, Allocation& allocation) {
  if (!allocation.tcp) return Refusal::kMismatch;
  const auto peer = request.message.xor_address(stun::kXorPeerAddress);
  if (!peer) return Refusal::kBadRequest;
  auto& all = tcp[allocation.slot].connections;
  const auto is_of_peer = [&peer](const PeerConnection& one) { return one.peer == *peer; };
  if (std::any_of(all.begin(), all.end(), is_of_peer)) return Refusal::kConnectionExists;
  if (const Refused refused = judge_peer(allocation, peer->ip)) return refused;
  if (!may_connect(allocation, *peer)) return Refusal::kPeerDenied;
  // Each tells whether somebody listens: all count, also those to one address.
  if (!may_add_peers(allocation, 1, request.now)) return Refusal::kPeerRate;
  const auto id = add_connection(allocation, *peer, 0);
  if (!id) return Refusal::kConnectionQuota;
  const SocketTag tag = relayed_tag(allocation.slot, allocation.serial, Side::kA);
  const TcpPorts::Begun begun = setup.tcp->connect(tag, *id, *peer);
  if (begun != TcpPorts::Begun::kYes) {
    remove_connection(allocation, *id);
    return begun == TcpPorts::Begun::kForbidden ? Refusal::kPeerDenied : Refusal::kCapacity;
  }
  all.back().success = write_answer(request, id);
  all.back().failure = write_answer(request, std::nullopt);
  request.deferred = true;
  return std::nullopt;
}

// RFC 6062 section 5.4.
Refused Engine::State::connection_bind(Request& request) {
  const Identity& identity = *request.identity;
  if (over_datagrams(request.tuple.transport)) return Refusal::kBadRequest;
  const auto id = request.message.u32(stun::kConnectionId);
  if (!id) return Refusal::kBadRequest;
  if (find(request.tuple, request.now) != nullptr) return Refusal::kMismatch;
  if (identity.expired && (identity.by_token || credentials->settings().strict_expiry)) {
    return Refusal::kExpiredCredentials;
  }
  switch (shared->connection_ids->claim(*id, identity.owner)) {
    case ConnectionIds::Claim::kUnknown:
      return Refusal::kConnectionUnknown;
    case ConnectionIds::Claim::kOthers:
      return Refusal::kWrongCredentials;
    case ConnectionIds::Claim::kClaimed:
      break;
  }
  setup.tcp->bind(request.tuple.tag, *id);
  return std::nullopt;
}

// RFC 6062 section 5.3: only with a permission.
std::optional<PeerClose> Engine::State::admit(Allocation& allocation, const TcpEvent& event,
                                              Instant now) {
  const Peer* const peer = allocations.find_peer(allocation, event.peer.ip);
  if (peer == nullptr || tick_of(now) >= peer->permitted_until ||
      !may_connect(allocation, event.peer)) {
    return PeerClose::kNoPermission;
  }
  if (!add_connection(allocation, event.peer, event.id)) return PeerClose::kFull;
  return std::nullopt;
}

void Engine::State::tell_of_attempt(const Allocation& allocation, const TcpEvent& event,
                                    Outbox& out) {
  auto& note = notes[next_note++ % notes.size()];
  stun::Writer writer(note, stun::Class::kIndication, stun::kConnectionAttempt, next_transaction());
  writer.add_xor_address(stun::kXorPeerAddress, event.peer);
  writer.add_u32(stun::kConnectionId, event.id);
  send_to_client(allocation, writer.finish(), out);
}

void Engine::from_tcp(const TcpEvent& event, Instant now, Outbox& out) {
  State& state = *state_;
  Allocation* const allocation = state.allocations.at(event.tag.slot, event.tag.generation);
  if (allocation == nullptr || !allocation->tcp) return;  // all that it had ended with it
  if (event.kind == TcpEvent::Kind::kComes) {
    const auto refused = state.admit(*allocation, event, now);
    if (!refused) {
      state.shared->connection_ids->await_bind(event.id);
      state.tell_of_attempt(*allocation, event, out);
    }
    return state.setup.tcp->judged(event.id, refused);
  }
  auto& all = state.tcp[allocation->slot].connections;
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&event](const auto& one) { return one.id == event.id; });
  if (found == all.end()) return;
  const bool connected = event.kind == TcpEvent::Kind::kConnected;
  state.tcp_answer = std::move(connected ? found->success : found->failure);
  found->success.clear();
  found->failure.clear();
  if (!state.tcp_answer.empty()) {
    if (!connected) state.count(Refusal::kConnectionFailed);
    state.send_to_client(*allocation, state.tcp_answer, out);
  }
  if (connected) return state.shared->connection_ids->await_bind(event.id);
  state.remove_connection(*allocation, event.id);
}

void Engine::State::close_tcp(const Allocation& allocation) {
  setup.tcp->close(relayed_tag(allocation.slot, allocation.serial, Side::kA));
  while (!tcp[allocation.slot].connections.empty()) {
    remove_connection(allocation, tcp[allocation.slot].connections.back().id);
  }
  tcp[allocation.slot] = {};
}

// Whose connections they are follows the token: a data connection shows the present one.
void Engine::State::take_connections(Allocation& allocation, std::uint64_t owner) {
  if (std::exchange(allocation.vouched_by, owner) == owner || !allocation.tcp) return;
  for (const PeerConnection& one : tcp[allocation.slot].connections) {
    shared->connection_ids->give(one.id, owner);
  }
}

// New rules and limits for connections that there are.
void Engine::State::adapt_tcp(const Allocation& allocation) {
  TcpState& state = tcp[allocation.slot];
  state.traffic->bytes_per_second = credentials->realm(allocation.realm).quotas.bytes_per_second;
  for (const PeerConnection& one : state.connections) {
    if (!may_connect(allocation, one.peer)) setup.tcp->end(one.id, PeerClose::kRules);
  }
}

}  // namespace turnpike::turn
