#include "relay/shard_transport.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "relay/core/bytes.h"
#include "relay/io/loop.h"
#include "relay/io/secure_random.h"
#include "relay/wire/classify.h"
#include "turnpike/flow.h"

namespace turnpike {
namespace {

// A command asks for two things at most; more room is kept than datagrams may take.
constexpr std::size_t kRoomForCommands = 8;
constexpr std::size_t kRoomForDatagrams = 2 * kRoomForCommands;
// Of one leg within a second, from the named address and from others: a handshake with small
// fragments needs a tenth of it.
constexpr std::uint32_t kDatagramsPerSecondMax = 100;
// An early ClientHello goes to the core when the edge has the answer, and so long after the time
// before: the answer passes two SIP servers more on its way.
constexpr std::array<Milliseconds, 4> kRepeatAfter{Milliseconds{0}, Milliseconds{15},
                                                   Milliseconds{50}, Milliseconds{150}};

std::size_t index_of_leg(const SocketTag& tag) {
  return std::size_t{tag.slot} * 2 + index_of(tag.side);
}

SocketTag with_side(const SocketTag& session, Side side) {
  return {session.slot, session.generation, side, Component::kRtp};
}

}  // namespace

ShardTransport::Leg::~Leg() {
  secure_wipe(&config.ice, sizeof config.ice);
}

ShardTransport::ShardTransport(std::uint16_t shard, std::uint32_t sessions, media::Engine& media,
                               UdpIo& io, HandshakeThread& handshakes, ShardCounters& counters,
                               std::function<void(const Event&)> publish, Taps* taps)
    : shard_(shard),
      media_(media),
      io_(io),
      handshakes_(handshakes),
      counters_(counters),
      publish_(std::move(publish)),
      taps_(taps),
      ice_(
          sessions, [](std::span<std::uint8_t> bytes) { fill_random(bytes.data(), bytes.size()); },
          counters),
      legs_(std::size_t{sessions} * 2) {}

bool ShardTransport::has_room() {
  if (handshakes_.room(shard_) >= kRoomForCommands) return true;
  handshakes_.want_room(shard_);
  return handshakes_.room(shard_) >= kRoomForCommands;  // room may have come in between
}

ShardTransport::Leg* ShardTransport::find(const SocketTag& tag) {
  if (index_of_leg(tag) >= legs_.size()) return nullptr;
  Leg* leg = legs_[index_of_leg(tag)].get();
  return leg != nullptr && leg->tag.generation == tag.generation ? leg : nullptr;
}

void ShardTransport::update(const SocketTag& tag, const TransportConfig& config, Instant now) {
  if (media_.find_leg(tag) == nullptr) return;
  Leg* leg = find(tag);
  if (leg == nullptr) {
    legs_[index_of_leg(tag)] = std::make_unique<Leg>();
    leg = legs_[index_of_leg(tag)].get();
    leg->tag = with_side(tag, tag.side);
  }
  leg->config = config;
  refresh_ice(*leg, now);
  refresh_dtls(*leg);
  hear_early(*leg, now);
}

void ShardTransport::leg_updated(const SocketTag& tag, Instant now) {
  Leg* leg = find(tag);
  if (leg == nullptr) return begin_to_repeat(tag, now);
  refresh_ice(*leg, now);
  refresh_dtls(*leg);
  hear_early(*leg, now);
}

void ShardTransport::refresh_ice(Leg& leg, Instant now) {
  const media::LegState* state = media_.find_leg(leg.tag);
  if (state == nullptr) return;
  if (!state->config.ice) return ice_.close(leg.tag);
  const ice::LegFacts facts{state->local[0].ip.family,
                            state->other_local[0].is_set(),
                            state->config.rtcp_mux,
                            {state->component[0].destination, state->component[1].destination}};
  ice_.update(leg.tag, leg.config.ice, facts, now, *this);
}

void ShardTransport::refresh_dtls(Leg& leg) {
  const media::LegState* state = media_.find_leg(leg.tag);
  if (state == nullptr) return;
  const DtlsConfig& config = leg.config.dtls;
  if (!state->config.dtls || !config.enabled) return forget_dtls(leg);
  if (!leg.told && media::is_keyed(state->receive) &&
      (leg.dtls == DtlsState::kOff || leg.dtls == DtlsState::kAdopted ||
       leg.dtls == DtlsState::kClosed)) {
    // Keys of a process before this one; its association cannot be carried on.
    if (leg.dtls == DtlsState::kOff) leg.told_config = config;
    leg.dtls = state->closed ? DtlsState::kClosed : DtlsState::kAdopted;
    if (leg.told_config.association == config.association) return;
  }
  // Nothing is sent on the word of signalling where that does not do for media either.
  const bool proven_only = state->config.ice || state->config.remote_unproven;
  SocketAddress peer = proven_only ? state->component[0].destination
                                   : state->config.remote[index_of(Component::kRtp)];
  if (peer.ip.is_unspecified()) peer = SocketAddress{};
  if (leg.told && leg.told_config == config && leg.told_peer == peer) return;
  request_.ask = HandshakeAsk::kUpdate;
  request_.leg = leg.tag;
  request_.config = config;
  request_.address = peer;
  request_.length = 0;
  if (!ask(leg)) return;
  leg.told = true;
  leg.told_config = config;
  leg.told_peer = peer;
}

void ShardTransport::say_goodbye(const SocketTag& session) {
  for (const Side side : {Side::kA, Side::kB}) {
    if (Leg* leg = find(with_side(session, side)); leg != nullptr) say_goodbye(*leg);
  }
}

// The association lives on another thread, which has no socket: it has written these beforehand.
void ShardTransport::say_goodbye(Leg& leg) {
  const media::LegState* state = media_.find_leg(leg.tag);
  if (state == nullptr) return;
  for (const Goodbye& goodbye : leg.goodbyes) {
    const SocketAddress& media_goes_to = state->component[0].destination;
    const bool follows = goodbye.has_keys && media_goes_to.is_set();
    const SocketAddress& to = follows ? media_goes_to : goodbye.to;
    // Where nothing may be sent any more, not even this is.
    if (!may_send_dtls(leg, *state)) continue;
    if (!goodbye.has_keys && !may_handshake(leg, *state, to)) continue;
    send({goodbye.data.data(), goodbye.length, leg.tag, to, false, false});
  }
  leg.goodbyes.clear();
}

void ShardTransport::forget_dtls(Leg& leg) {
  leg.dtls = DtlsState::kOff;
  say_goodbye(leg);
  if (!leg.told) return;
  request_.ask = HandshakeAsk::kClose;
  request_.leg = leg.tag;
  request_.length = 0;
  leg.told = !ask(leg);
}

// False: the queue is full, and the leg is looked at again as soon as it is not.
bool ShardTransport::ask(Leg& leg) {
  if (handshakes_.push(shard_, request_)) return true;
  handshakes_.want_room(shard_);
  if (!leg.due) due_.push_back(leg.tag);
  leg.due = true;
  return false;
}

void ShardTransport::ask_again() {
  std::vector<SocketTag> waiting;
  waiting.swap(due_);
  for (const SocketTag& tag : waiting) {
    Leg* leg = find(tag);
    if (leg == nullptr) continue;
    leg->due = false;
    refresh_dtls(*leg);
    hear_early(*leg, monotonic_now());
    if (leg->to_renew != 0) renew_dtls(*leg);
  }
}

void ShardTransport::close(const SocketTag& session) {
  for (const Side side : {Side::kA, Side::kB}) {
    early_hellos_.forget(with_side(session, side));
    Leg* leg = find(with_side(session, side));
    if (leg == nullptr) continue;
    ice_.close(leg->tag);
    forget_dtls(*leg);
    legs_[index_of_leg(leg->tag)].reset();
  }
}

void ShardTransport::report(const SocketTag& session, SessionStats& stats) const {
  for (const Side side : {Side::kA, Side::kB}) {
    // A bundled leg stands as the one does that has its transport.
    const SocketTag tag = media_.transport_of(with_side(session, side));
    if (index_of_leg(tag) >= legs_.size()) continue;
    const Leg* leg = legs_[index_of_leg(tag)].get();
    if (leg == nullptr || leg->tag.generation != tag.generation) continue;
    TransportReport& report = stats.legs[index_of(side)].transport;
    ice_.report(tag, report);
    name_local_candidates(tag, report);
    report.dtls = leg->dtls;
    report.dtls_failure = leg->failure;
    report.dtls_flights = leg->flights;
  }
}

// Of each family a leg has one socket for each component: the remote candidate says which.
void ShardTransport::name_local_candidates(const SocketTag& tag, TransportReport& report) const {
  const media::LegState* state = media_.find_leg(tag);
  if (state == nullptr) return;
  for (std::size_t i = 0; i < report.pair_count; ++i) {
    IcePairReport& pair = report.pairs[i];
    const SocketAddress& first = state->local[index_of(pair.component)];
    const bool is_first = first.ip.family == pair.remote.ip.family;
    pair.local = is_first ? first : state->other_local[index_of(pair.component)];
  }
}

void ShardTransport::handle(const Packet& packet, Instant now) {
  if (classify(packet.data, packet.length) == PacketKind::kStun) {
    if (ice_.handle(now, packet, *this)) return counters_.transport_received.add();
    return media_.note_refused(packet, ice_.last_drop());
  }
  Leg* leg = find(packet.tag);
  if (leg == nullptr) {
    const media::LegState* state = media_.find_leg(packet.tag);
    const bool is_kept =
        state != nullptr && state->config.opaque && early_hellos_.keep(packet, now);
    if (is_kept) return counters_.transport_received.add();
    return media_.refuse(packet, DropReason::kUnexpectedDtls);
  }
  handle_dtls(*leg, packet, now);
}

// M4: with ICE, only what a check has validated; without, the signalled address, or any port of
// where the signalling came from. That much is cheap enough to ask of every datagram.
bool ShardTransport::may_handshake(const Leg& leg, const media::LegState& state,
                                   const SocketAddress& source) const {
  if (state.config.ice) return ice_.is_validated(leg.tag, source);
  const SocketAddress& signalled = state.config.remote[index_of(Component::kRtp)];
  if (source == signalled || source == state.component[0].destination) return true;
  // A source that the edge has at an address which signalling knows.
  if (state.config.carriage.generation != 0 && source.ip == signalled.ip) return true;
  return state.config.received_from.is_set() && source.ip == state.config.received_from;
}

bool ShardTransport::awaits_answer(const Leg& leg, const media::LegState& state) {
  return leg.config.dtls.enabled && state.config.dtls && !state.config.ice &&
         !state.config.remote[index_of(Component::kRtp)].is_set();
}

// They were counted as taken in when they came.
void ShardTransport::hear_early(Leg& leg, Instant now) {
  const media::LegState* state = media_.find_leg(leg.tag);
  if (state == nullptr || !leg.told || awaits_answer(leg, *state)) return;
  if (!early_hellos_.has(leg.tag)) return;
  early_hellos_.each(leg.tag, now, [&](const Packet& packet) {
    if (!take_dtls(leg, state, packet, now)) {
      media_.note_refused(packet, DropReason::kDtlsRefused);
    }
  });
  early_hellos_.forget(leg.tag);
}

// An edge does not know when its core has the answer, too; until then nobody hears it there.
void ShardTransport::begin_to_repeat(const SocketTag& tag, Instant now) {
  const media::LegState* state = media_.find_leg(tag);
  const bool is_due =
      state != nullptr && state->config.opaque &&
      (state->config.remote[index_of(Component::kRtp)].is_set() || state->config.remote_unproven) &&
      early_hellos_.has(tag);
  const auto is_repeated = [&](const Repeat& one) {
    return one.leg.slot == tag.slot && one.leg.generation == tag.generation;
  };
  if (!is_due || repeats_.size() == EarlyHellos::kPlaces) return;
  if (std::any_of(repeats_.begin(), repeats_.end(), is_repeated)) return;
  repeats_.push_back({tag, now, 0});
}

void ShardTransport::repeat(Instant now) {
  for (std::size_t i = 0; i < repeats_.size();) {
    Repeat& one = repeats_[i];
    if (one.due > now) {
      ++i;
      continue;
    }
    early_hellos_.each(one.leg, now, [&](const Packet& packet) { pass_on(packet, now); });
    if (++one.done < kRepeatAfter.size()) {
      one.due = now + kRepeatAfter[one.done];
      continue;
    }
    early_hellos_.forget(one.leg);
    one = repeats_.back();
    repeats_.pop_back();
  }
}

void ShardTransport::pass_on(const Packet& packet, Instant now) {
  const auto number = media_.client_number(packet.tag, packet.source, now);
  if (!number) return;
  send({packet.data, packet.length, with_side(packet.tag, other(packet.tag.side)),
        address_of_source(*number)});
}

Instant ShardTransport::next_deadline() const {
  Instant due = ice_.next_deadline();
  for (const Repeat& one : repeats_) due = std::min(due, one.due);
  return due;
}

void ShardTransport::on_deadline(Instant now) {
  ice_.on_deadline(now, *this);
  repeat(now);
}

void ShardTransport::handle_dtls(Leg& leg, const Packet& packet, Instant now) {
  const media::LegState* state = media_.find_leg(leg.tag);
  const bool is_early = state != nullptr && packet.tag.component == Component::kRtp &&
                        awaits_answer(leg, *state) && !may_handshake(leg, *state, packet.source);
  if ((is_early && early_hellos_.keep(packet, now)) || take_dtls(leg, state, packet, now)) {
    return counters_.transport_received.add();
  }
  media_.refuse(packet, DropReason::kDtlsRefused);
}

/// False: it is dropped.
bool ShardTransport::take_dtls(Leg& leg, const media::LegState* state, const Packet& packet,
                               Instant now) {
  if (now - leg.window_begin >= Seconds{1}) {
    leg.window_begin = now;
    leg.window_datagrams = {};
  }
  const bool named =
      state != nullptr && (packet.source == state->component[0].destination ||
                           packet.source == state->config.remote[index_of(Component::kRtp)]);
  std::uint32_t& used = leg.window_datagrams[named ? 1 : 0];
  const bool allowed = state != nullptr && leg.told && packet.length <= kDtlsDatagramBytesMax &&
                       packet.tag.component == Component::kRtp &&
                       may_handshake(leg, *state, packet.source) && used < kDatagramsPerSecondMax &&
                       handshakes_.room(shard_) > kRoomForDatagrams;
  if (!allowed) return false;
  ++used;
  request_.ask = HandshakeAsk::kDatagram;
  request_.leg = leg.tag;
  request_.address = packet.source;
  request_.address_is_valid = state->config.ice;
  request_.length = packet.length;
  std::memcpy(request_.data.data(), packet.data, packet.length);
  return handshakes_.push(shard_, request_);
}

void ShardTransport::take_results() {
  while (const HandshakeResult* result = handshakes_.next_result(shard_)) {
    take_result(*result);
    handshakes_.pop_result(shard_);
  }
  if (!due_.empty()) ask_again();
}

void ShardTransport::take_result(const HandshakeResult& result) {
  Leg* leg = find(result.leg);
  if (leg == nullptr || !leg->told) return;
  const media::LegState* state = media_.find_leg(leg->tag);
  if (state == nullptr) return;
  // What an association says that signalling has replaced meanwhile is of no interest (M8).
  const bool is_present = result.association == leg->told_config.association;
  switch (result.answer) {
    case HandshakeAnswer::kDatagram:
      if (!may_send_dtls(*leg, *state)) break;
      send({result.data.data(), result.length, result.leg, result.address, false, false});
      break;
    case HandshakeAnswer::kEstablished:
      if (is_present) take_keys(*leg, *state, result);
      break;
    case HandshakeAnswer::kChanged:
      if (is_present) set_dtls_state(*leg, result.state, result.failure, result.flights);
      break;
    case HandshakeAnswer::kGoodbyes:
      leg->goodbyes = goodbyes_of(result);
      break;
    case HandshakeAnswer::kNone:
      break;
  }
}

// Without consent nothing but checks is sent (RFC 7675 section 5.1).
bool ShardTransport::may_send_dtls(const Leg& leg, const media::LegState& state) const {
  return !state.config.ice || leg.ice != IceState::kLost;
}

// What signalling has replaced meanwhile need not be renewed.
void ShardTransport::renew_dtls(Leg& leg) {
  const std::uint32_t association = std::exchange(leg.to_renew, 0);
  if (!leg.told || association != leg.told_config.association) return;
  request_.ask = HandshakeAsk::kRenew;
  request_.leg = leg.tag;
  request_.config = leg.told_config;
  request_.length = 0;
  if (!ask(leg)) leg.to_renew = association;
}

void ShardTransport::take_keys(Leg& leg, const media::LegState& state,
                               const HandshakeResult& result) {
  if (!media_.set_keys(leg.tag, result.receive, result.send)) {
    leg.to_renew = result.association;
    return renew_dtls(leg);
  }
  // Who has the key of the certificate in the SDP is the remote end, wherever it sits. A held leg
  // gets nothing all the same (RFC 3264 section 8.4).
  const bool held = !state.config.remote[index_of(Component::kRtp)].is_set();
  if (!state.config.ice && !held) media_.set_destination(leg.tag, result.address);
}

void ShardTransport::set_dtls_state(Leg& leg, DtlsState state, DtlsFailure failure,
                                    const DtlsFlights& flights) {
  leg.dtls = state;
  if (state == DtlsState::kClosed) media_.close_leg(leg.tag);
  if (failure != DtlsFailure::kNone) {
    leg.failure = failure;
    leg.flights = flights;
  }
  event_ = Event{};
  event_.kind = EventKind::kDtlsState;
  event_.session = {leg.tag.slot, leg.tag.generation, shard_};
  event_.side = leg.tag.side;
  event_.dtls = state;
  event_.dtls_failure = failure;
  event_.dtls_flights = flights;
  publish_(event_);
}

void ShardTransport::send(const Send& send) {
  Send marked = send;
  marked.transport = true;
  if (io_.send(marked) != SendResult::kSent) return counters_.transport_send_failures.add();
  if (taps_ != nullptr && !taps_->empty()) taps_->sent(marked, monotonic_now());
}

void ShardTransport::selected(const SocketTag& component, const SocketAddress& address) {
  media_.set_destination(component, address);
  Leg* leg = find(component);
  if (leg != nullptr && component.component == Component::kRtp) refresh_dtls(*leg);
}

void ShardTransport::changed(const SocketTag& tag, IceState state) {
  if (Leg* leg = find(with_side(tag, tag.side)); leg != nullptr) leg->ice = state;
  if (state == IceState::kConnected) counters_.ice_connected.add();
  if (state == IceState::kFailed) counters_.ice_failed.add();
  if (state == IceState::kLost) counters_.ice_consent_lost.add();
  event_ = Event{};
  event_.kind = EventKind::kIceState;
  event_.session = {tag.slot, tag.generation, shard_};
  event_.side = tag.side;
  event_.ice = state;
  publish_(event_);
}

}  // namespace turnpike
