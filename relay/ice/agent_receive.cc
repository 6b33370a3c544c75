// What arrives on a leg with ICE: checks (RFC 8445 section 7.3) and answers (section 7.2.5).
#include <algorithm>

#include "relay/ice/agent.h"

namespace turnpike::ice {
namespace {

constexpr std::uint16_t kFirstUnprivilegedPort = 1024;
constexpr std::uint16_t kUnknownAttribute = 420;
constexpr std::uint16_t kRoleConflict = 487;
constexpr std::uint16_t kForbidden = 403;

// An answer has at most 1.6 times the bytes of its request (security ID T11).
constexpr std::size_t kAnswerTenthsMax = 16;

bool names(std::string_view username, const Keys& keys, bool remote_known) {
  const std::string_view local = keys.local_ufrag.view();
  if (!keys.has_local() || username.size() <= local.size() || !username.starts_with(local) ||
      username[local.size()] != ':') {
    return false;
  }
  return !remote_known || username.substr(local.size() + 1) == keys.remote_ufrag.view();
}

}  // namespace

std::optional<DropReason> Agent::handle(const Packet& packet, const Turn& turn) {
  if (index_of(packet.tag.component) >= components()) return DropReason::kUnexpectedStun;
  if (packet.length > kPayloadBytesMax) return DropReason::kTruncated;
  if (packet.source.port < kFirstUnprivilegedPort) return DropReason::kReservedSourcePort;
  const auto message = stun::Message::parse({packet.data, packet.length});
  if (!message) return DropReason::kBadStun;
  if (message->method() != stun::kBinding || message->message_class() == stun::Class::kIndication) {
    return DropReason::kUnknownStun;
  }
  const auto reason = message->message_class() == stun::Class::kRequest
                          ? on_request(*message, packet, turn)
                          : on_response(*message, packet, turn);
  if (!reason) run(turn);
  return reason;
}

const Keys* Agent::authenticate(const stun::Message& message) {
  const std::optional<std::string_view> username = message.username();
  if (!username) return nullptr;
  if (names(*username, keys_, remote_ready_) && is_authentic(message, keys_.local)) {
    // The remote end uses our new credentials with its old ones: it takes no part in the restart
    // beyond that, and nothing else is to be waited for.
    if (!remote_ready_ && keys_.has_remote() && names(*username, keys_, true)) {
      remote_ready_ = true;
    }
    return &keys_;
  }
  const bool previous =
      names(*username, previous_, previous_.has_remote()) && is_authentic(message, previous_.local);
  return previous ? &previous_ : nullptr;
}

std::optional<DropReason> Agent::on_request(const stun::Message& message, const Packet& packet,
                                            const Turn& turn) {
  const Keys* keys = authenticate(message);
  if (keys == nullptr) return DropReason::kBadStun;
  MessageBuffer buffer;
  std::array<std::uint16_t, kUnknownAttributesMax> unknown{};
  const std::size_t unknown_count = unknown_attributes(message, unknown);
  if (unknown_count != 0) {
    const auto types = std::span(unknown).first(unknown_count);
    reply(packet, write_error(buffer, keys->local, message.transaction(), kUnknownAttribute, types),
          turn);
    return std::nullopt;
  }
  if (!yields_role(message)) {
    reply(packet, write_error(buffer, keys->local, message.transaction(), kRoleConflict, {}), turn);
    return std::nullopt;
  }
  reply(packet, write_success(buffer, keys->local, message.transaction(), packet.source), turn);
  if (keys == &keys_) {
    note_check(message, packet, turn);
  } else if (!is_full()) {
    // A lite agent has no checks of its own: those of the session before are its consent.
    Selection& selection = streams_[index_of(packet.tag.component)].selection;
    if (selection.active && selection.remote == packet.source) {
      selection.consent_until = turn.now + kConsentLife;
    }
  }
  return std::nullopt;
}

// RFC 8445 section 7.3.1.1. False: the remote end has to change its role.
bool Agent::yields_role(const stun::Message& message) {
  const auto type = controlling_ ? stun::kIceControlling : stun::kIceControlled;
  if (!message.find(type)) return true;
  if (!is_full()) return false;  // a lite agent stays controlled (section 6.1.1)
  const std::optional<std::uint64_t> theirs = message.u64(type);
  if (!theirs) return true;
  const bool we_control = tie_breaker_ >= *theirs;
  if (we_control == controlling_) return false;
  switch_role();
  return true;
}

void Agent::switch_role() {
  controlling_ = !controlling_;
  for (Stream& stream : streams_) {
    for (Pair& pair : stream.list.pairs()) pair.nominating = false;
  }
}

void Agent::note_check(const stun::Message& message, const Packet& packet, const Turn& turn) {
  const Component component = packet.tag.component;
  Stream& stream = streams_[index_of(component)];
  heard_ = true;
  failed_ = false;
  Pair* pair = stream.list.find(packet.source);
  if (pair == nullptr) {
    const std::uint32_t priority = message.priority().value_or(
        candidate_priority(CandidateType::kPeerReflexive, component, kLocalPreference));
    pair = stream.list.add_reflexive(packet.source, priority, stream.selection.remote);
  }
  if (pair == nullptr) return;
  pair->heard_at = turn.now;
  const bool flagged = message.use_candidate();
  pair->claims = flagged && (pair->claims || !pair->flagged);
  pair->flagged = flagged;
  if (flagged) pair->flagged_at = turn.now;
  if (!is_full()) {
    note_lite_check(*pair, component, turn);
  } else if (!is_valid(*pair, turn.now)) {
    trigger(*pair);
  } else if (!controlling_) {
    follow(*pair, component, turn);
  }
}

void Agent::note_lite_check(Pair& pair, Component component, const Turn& turn) {
  Selection& selection = streams_[index_of(component)].selection;
  pair.state = IcePairState::kSucceeded;
  pair.validated_at = turn.now;
  const bool same = selection.remote == pair.remote;
  if (same && selection.active) selection.consent_until = turn.now + kConsentLife;
  if (selection.remote.is_set() && !selection.active) {
    select(pair, component, turn);  // back from lost consent
  } else {
    follow(pair, component, turn);
  }
}

std::optional<DropReason> Agent::on_response(const stun::Message& message, const Packet& packet,
                                             const Turn& turn) {
  const Component component = packet.tag.component;
  Stream& stream = streams_[index_of(component)];
  Pair* pair = stream.list.find(message.transaction());
  stun::TransactionId* consent = consent_check(component, message.transaction());
  if (pair == nullptr && consent == nullptr) return DropReason::kUnknownStun;
  const bool previous = pair == nullptr && stream.selection.previous;
  if (!is_authentic(message, previous ? previous_.remote : keys_.remote)) {
    return DropReason::kBadStun;
  }
  std::array<std::uint16_t, 1> unknown{};
  const bool success = message.message_class() == stun::Class::kSuccess;
  if (unknown_attributes(message, unknown) != 0 ||
      (success ? !message.xor_address(stun::kXorMappedAddress) : !message.error_code())) {
    return DropReason::kBadStun;
  }
  // An answer must come from where the check went (RFC 8445 section 7.2.5.2.1).
  if (packet.source != (pair != nullptr ? pair->remote : stream.selection.remote)) {
    return DropReason::kUnknownStun;
  }
  if (pair == nullptr) {
    *consent = {};
    on_consent(message, component, turn);
    return std::nullopt;
  }
  pair->sends = 0;
  pair->in_flight = false;
  if (success) {
    answered(*pair, component, turn);
  } else {
    refused(*pair, pair->sent_controlling, *message.error_code());
  }
  return std::nullopt;
}

stun::TransactionId* Agent::consent_check(Component component,
                                          const stun::TransactionId& transaction) {
  auto& checks = streams_[index_of(component)].selection.checks;
  const auto it = std::find(checks.begin(), checks.end(), transaction);
  return it == checks.end() || transaction == stun::TransactionId{} ? nullptr : &*it;
}

void Agent::answered(Pair& pair, Component component, const Turn& turn) {
  Stream& stream = streams_[index_of(component)];
  Selection& selection = stream.selection;
  const bool first_time = pair.validated_at == Instant{};
  pair.state = IcePairState::kSucceeded;
  pair.validated_at = turn.now;
  if (stream.first_valid == Instant{}) stream.first_valid = turn.now;
  if (selection.remote == pair.remote && !selection.previous) {
    if (selection.active) selection.consent_until = turn.now + kConsentLife;
    if (!selection.active) select(pair, component, turn);
  }
  if (!controlling_) {
    follow(pair, component, turn);
    // Better where it is now than nowhere: a remote end need not repeat a nomination.
    if (selection.remote.is_set() && !selection.active && pair.is_heard()) {
      select(pair, component, turn);
    }
  } else if (pair.nominating && pair.sent_controlling && pair.sent_use_candidate) {
    pair.nominating = false;
    select(pair, component, turn);
  } else if (first_time && is_done(stream) && selection.remote != pair.remote) {
    selection.next_check = turn.now;  // has the remote end moved?
  }
}

void Agent::refused(Pair& pair, bool sent_controlling, std::uint16_t code) {
  if (code != kRoleConflict) {
    pair.state = IcePairState::kFailed;
    pair.nominating = false;
    return;
  }
  // RFC 8445 section 7.2.5.1. Several checks may be refused for one conflict: it is mended once.
  if (sent_controlling == controlling_) {
    switch_role();
    tie_breaker_ = random_u64();
  }
  trigger(pair);
}

// The answer to a consent check (RFC 7675 section 5.1).
void Agent::on_consent(const stun::Message& message, Component component, const Turn& turn) {
  Stream& stream = streams_[index_of(component)];
  Selection& selection = stream.selection;
  if (message.message_class() == stun::Class::kError) {
    const std::uint16_t code = *message.error_code();
    if (code == kForbidden) lose(component, turn);  // section 5.2
    if (code == kRoleConflict && !selection.previous) {
      switch_role();
      tie_breaker_ = random_u64();
      selection.next_check = turn.now;
    }
    return;
  }
  selection.unanswered = 0;
  selection.consent_until = turn.now + kConsentLife;
  selection.next_check = turn.now + jittered(kConsentInterval);
  if (Pair* pair = stream.list.find(selection.remote); pair != nullptr && !selection.previous) {
    pair->state = IcePairState::kSucceeded;
    pair->validated_at = turn.now;
  }
  if (!selection.active) {
    selection.active = true;
    turn.sink.selected(socket(component), selection.remote);
  }
}

void Agent::reply(const Packet& packet, stun::Bytes message, const Turn& turn) {
  if (message.size() * 10 > packet.length * kAnswerTenthsMax) return;
  transmit(packet.tag.component, packet.source, message, turn);
}

}  // namespace turnpike::ice
