// Allocations that follow their client to a new 5-tuple (RFC 8016), and between shards: the kernel
// may bring the new 5-tuple to another one, which then asks the one that has the allocation.
#include <algorithm>

#include "relay/turn/engine_state.h"

namespace turnpike::turn {
namespace {

// An allocation moves about once a second in the long run: more is no client that roams.
constexpr Nanoseconds kMovePrice = Seconds(1);
constexpr Nanoseconds kMoveBurst = Seconds(30);
// Requests that wait for an allocation of another shard, in one engine.
constexpr std::size_t kDeferredMax = 16;
constexpr std::size_t kRequestBytesMax = 1024;  // as long as the response may become

bool is_same(const Allocations::Tuple& a, const Allocations::Tuple& b) {
  const bool same_tag = a.tag.slot == b.tag.slot && a.tag.generation == b.tag.generation;
  return a.transport == b.transport && a.client == b.client && same_tag;
}

}  // namespace

void Engine::State::write_ticket(const Allocation& allocation, stun::Writer& response) const {
  response.add(stun::kMobilityTicket,
               tickets.make({setup.shard, allocation.slot, allocation.serial, allocation.move}));
}

void Engine::State::count_moved(const Allocation& allocation, bool arrives) {
  ClientCounters& clients = counters.of(allocation.transport);
  RealmCounters& realm = counters.realms[allocation.figures];
  (arrives ? clients.allocations_opened : clients.allocations_closed).add();
  (arrives ? realm.allocations_opened : realm.allocations_closed).add();
}

// The ticket with which it came here is good as well: the response to that may have been lost.
Refused Engine::State::judge_move(const Allocation* allocation, const TicketName& name,
                                  std::string_view realm, std::string_view user,
                                  Instant now) const {
  if (allocation == nullptr || !allocation->mobile || now >= allocation->expires) {
    return Refusal::kMismatch;
  }
  if (name.move != allocation->move && allocation->came_from != name) return Refusal::kMismatch;
  if (credentials->realm(allocation->realm).name != realm ||
      allocations.user(*allocation) != user) {
    return Refusal::kWrongCredentials;
  }
  return std::nullopt;
}

// RFC 8016 section 3.2.
Refused Engine::State::resume(Request& request, stun::Bytes ticket, Allocation*& allocation) {
  if (!credentials->settings().mobility) return Refusal::kMobilityForbidden;
  if (request.verdict) return request.verdict;
  const auto name = tickets.open(ticket);
  if (!name) return Refusal::kBadRequest;
  if (allocation != nullptr) {
    // A plain Refresh; or that which has moved it, sent again: it names what it was before.
    const TicketName is{setup.shard, allocation->slot, allocation->serial, allocation->move};
    const bool good = *name == is || *name == allocation->came_from;
    return good ? Refused{} : Refused{Refusal::kMismatch};
  }
  return name->shard == setup.shard ? move_here(request, *name, allocation)
                                    : ask_for(request, *name);
}

// To another 5-tuple of this shard.
Refused Engine::State::move_here(const Request& request, const TicketName& name,
                                 Allocation*& allocation) {
  const Identity& identity = *request.identity;
  Allocation* const found = allocations.at(name.slot, name.serial);
  if (const Refused refused = judge_move(found, name, credentials->realm(identity.realm).name,
                                         identity.user, request.now)) {
    return refused;
  }
  if (!found->moves.take(request.now, kMovePrice, kMoveBurst)) return Refusal::kMoveRate;
  count_moved(*found, false);
  allocations.rebind(*found, request.tuple);
  count_moved(*found, true);
  found->server = request.server;
  found->came_from = name;
  ++found->move;
  counters.moves.add();
  allocation = found;
  return std::nullopt;
}

Refused Engine::State::ask_for(Request& request, const TicketName& name) {
  const auto same = [&request](const auto& one) { return is_same(one->tuple, request.tuple); };
  request.deferred = std::any_of(deferred.begin(), deferred.end(), same);
  if (request.deferred) return std::nullopt;  // sent again: one answer is under way
  if (busy) return Refusal::kBusy;
  // Priced before it is known to succeed: it costs another shard a turn.
  if (!shared->resumes.take(request.identity->owner, request.now, kMovePrice, kMoveBurst)) {
    return Refusal::kMoveRate;
  }
  const std::size_t length = request.packet->length;
  if (!setup.wake || deferred.size() == kDeferredMax || !has_room() || length > kRequestBytesMax) {
    return Refusal::kCapacity;
  }
  Move* const move = shared->moves.begin();
  if (move == nullptr) return Refusal::kCapacity;
  move->to = setup.shard;
  move->ticket = name;
  move->realm = credentials->realm(request.identity->realm).name;
  move->user = request.identity->user;
  auto waits = std::make_unique<Deferred>();
  waits->move = move;
  waits->tuple = request.tuple;
  waits->listener = *request.listener;
  waits->request.resize(kRequestBytesMax);
  waits->length = length;
  std::copy_n(request.packet->data, length, waits->request.begin());
  deferred.push_back(std::move(waits));
  shared->moves.ask(*move);
  setup.wake(name.shard);
  request.deferred = true;
  return std::nullopt;
}

// Its sockets are reserved for the other shard, and it goes on being counted for its user. Null:
// there is no room for the sockets; it stays.
std::unique_ptr<MovedAllocation> Engine::State::pack(Allocation& allocation) {
  auto moved = std::make_unique<MovedAllocation>();
  auto& reservations = moved->reservations;
  for (const Side side : {Side::kA, Side::kB}) {
    if (!allocation.relayed[index_of(side)].is_set()) continue;
    reservations[index_of(side)] =
        ports.hand_over(relayed_tag(allocation.slot, allocation.serial, side));
    if (reservations[index_of(side)] != 0) continue;
    // The other one comes back; that nothing can watch it any more is next to impossible.
    const SocketTag first = relayed_tag(allocation.slot, allocation.serial, Side::kA);
    if (reservations[0] != 0 && !ports.take(first, reservations[0])) {
      ports.release(reservations[0]);
      close(allocation);
    }
    return nullptr;
  }
  moved->allocation = allocation;
  moved->realm = credentials->realm(allocation.realm).name;
  moved->user = allocations.user(allocation);
  const auto peers = allocations.peers(allocation);
  const auto channels = allocations.channels(allocation);
  moved->peers.assign(peers.begin(), peers.end());
  moved->channels.assign(channels.begin(), channels.end());
  count_moved(allocation, false);
  timers.cancel(allocation.slot);
  allocations.close(allocation);
  return moved;
}

void Engine::State::give_away(Move& move, Instant now) {
  Allocation* const allocation = allocations.at(move.ticket.slot, move.ticket.serial);
  move.refused = judge_move(allocation, move.ticket, move.realm, move.user, now);
  if (!move.refused && !allocation->moves.take(now, kMovePrice, kMoveBurst)) {
    move.refused = Refusal::kMoveRate;
  }
  if (!move.refused) {
    move.moved = pack(*allocation);
    if (move.moved == nullptr) move.refused = Refusal::kCapacity;
  }
  const std::uint16_t to = move.to;
  shared->moves.answer(move);
  setup.wake(to);
}

// From here on it is this shard's. That there is room was made sure of before it was asked for.
Refused Engine::State::unpack(const MovedAllocation& moved, const Allocations::Tuple& tuple,
                              const Listener& listener) {
  const bool taken = allocations.find(tuple) != nullptr;  // by an Allocate meanwhile
  Allocation* const made = allocations.open(tuple);
  Allocation next = moved.allocation;
  next.slot = made->slot;
  next.serial = made->serial;
  next.last_serial = made->last_serial;
  next.tuple_hash = made->tuple_hash;
  next.client_tag = made->client_tag;
  next.client = made->client;
  next.transport = made->transport;
  next.server = listener.local;
  next.away = false;
  next.move = 0;
  *made = next;
  allocations.user(*made) = moved.user;
  std::copy(moved.peers.begin(), moved.peers.end(), allocations.peers(*made).begin());
  std::copy(moved.channels.begin(), moved.channels.end(), allocations.channels(*made).begin());
  if (taken) allocations.unbind(*made);
  count_moved(*made, true);
  bool whole = true;
  for (const Side side : {Side::kA, Side::kB}) {
    const std::uint32_t reservation = moved.reservations[index_of(side)];
    if (reservation == 0 || ports.take(relayed_tag(made->slot, made->serial, side), reservation)) {
      continue;
    }
    ports.release(reservation);
    whole = false;
  }
  // New settings may have come to this shard before the allocation did.
  const auto realm = credentials->realm_of(moved.realm);
  if (!whole || !realm || !credentials->vouches(*realm, moved.user, made->credential)) {
    close(*made);
    return Refusal::kCapacity;
  }
  made->realm = *realm;
  apply_rules(*made);
  if (credentials->settings().strict_expiry) {
    made->expires = std::min(made->expires, made->credential_until);
  }
  set_timer(*made);
  counters.moves.add();
  return taken ? Refused{Refusal::kMismatch} : Refused{};
}

// Its request is worked on anew: it finds the allocation at its 5-tuple, or what speaks against it.
void Engine::State::finish(Deferred& waits, Instant now, Seconds wall, Outbox& out) {
  Refused refused = waits.move->refused;
  if (waits.move->moved != nullptr) {
    refused = unpack(*waits.move->moved, waits.tuple, waits.listener);
    Allocation* const made = refused ? nullptr : allocations.find(waits.tuple);
    if (made != nullptr) made->came_from = waits.move->ticket;
    if (made != nullptr && waits.gone) allocations.unbind(*made);
  }
  shared->moves.end(*waits.move);
  if (waits.gone) return;
  Packet packet;
  packet.data = waits.request.data();
  packet.length = static_cast<std::uint32_t>(waits.length);
  packet.source = waits.tuple.client;
  packet.tag = waits.tuple.tag;
  const auto message = stun::Message::parse({packet.data, packet.length});
  on_request(packet, *message, waits.tuple, waits.listener, now, wall, out, refused);
}

void Engine::on_moves(Instant now, Seconds wall, Outbox& out) {
  State& state = *state_;
  state.answered.clear();
  Moves& moves = state.shared->moves;
  while (Move* const move = moves.asked_of(state.setup.shard)) state.give_away(*move, now);
  while (!out.full()) {
    Move* const move = moves.answered_to(state.setup.shard);
    if (move == nullptr) break;
    const auto found = std::find_if(state.deferred.begin(), state.deferred.end(),
                                    [move](const auto& one) { return one->move == move; });
    state.answered.push_back(std::move(*found));
    state.deferred.erase(found);
    state.finish(*state.answered.back(), now, wall, out);
  }
}

}  // namespace turnpike::turn
