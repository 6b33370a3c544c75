// Requests: who asks, may he, and the response (RFC 8489 sections 6.3, 9.2.4; RFC 8656 section 5).
#include <algorithm>

#include "relay/crypto/digest.h"
#include "relay/turn/engine_state.h"

namespace turnpike::turn {
namespace {

constexpr std::size_t kResponseBytesMax = kPayloadBytesMax;
constexpr std::size_t kUnknownNamedMax = 8;
// Of the shortest realm: header, ERROR-CODE, REALM, NONCE, PASSWORD-ALGORITHMS.
constexpr std::size_t kChallengeBytesMin =
    stun::kHeaderBytes + 8 + 8 + stun::kAttributeHeaderBytes + kNonceChars + 12;
constexpr std::uint16_t kPortsOfAGroup = 4096;

// What requests may hold and we understand; everything else below 0x8000 is refused with 420.
constexpr std::uint16_t kKnownInBinding[] = {
    stun::kUsername, stun::kRealm, stun::kNonce, stun::kMessageIntegrity, stun::kUserhash,
    stun::kMessageIntegritySha256, stun::kPasswordAlgorithm,
    // From here on: of RFC 5780.
    stun::kChangeRequest, stun::kPadding, stun::kResponsePort};
constexpr std::size_t kKnownInPlainBinding = std::size(kKnownInBinding) - 3;
constexpr std::uint16_t kKnown[] = {
    stun::kUsername, stun::kRealm, stun::kNonce, stun::kMessageIntegrity,
    stun::kMessageIntegritySha256, stun::kUserhash, stun::kPasswordAlgorithm, stun::kChannelNumber,
    stun::kLifetime, stun::kXorPeerAddress, stun::kRequestedAddressFamily, stun::kEvenPort,
    stun::kRequestedTransport, stun::kDontFragment, stun::kReservationToken, stun::kConnectionId,
    // The last: of RFC 7635.
    stun::kAccessToken};

std::span<const std::uint16_t> known_in(const Request& request) {
  if (request.message.method() != stun::kBinding) {
    const std::span<const std::uint16_t> all = kKnown;
    return request.takes_tokens ? all : all.first(all.size() - 1);
  }
  const std::span<const std::uint16_t> all = kKnownInBinding;
  return request.places != nullptr ? all : all.first(kKnownInPlainBinding);
}

bool is_ours(std::uint16_t method, bool with_tcp) {
  if (method == stun::kConnect || method == stun::kConnectionBind) return with_tcp;
  return method == stun::kBinding || method == stun::kAllocate || method == stun::kRefresh ||
         method == stun::kCreatePermission || method == stun::kChannelBind;
}

bool has_unknown(const Request& request) {
  std::array<std::uint16_t, 1> unknown;
  return request.message.unknown_required(known_in(request), unknown) != 0;
}

std::uint16_t code_of(Refusal refusal, bool has_alternate) {
  switch (refusal) {
    case Refusal::kBidDown:
    case Refusal::kBadRequest:
    case Refusal::kConnectionUnknown:
      return 400;
    case Refusal::kUnauthenticated:
    case Refusal::kBadCredentials:
    case Refusal::kExpiredCredentials:
      return 401;
    case Refusal::kPeerDenied:
    case Refusal::kTcpAllocation:
      return 403;
    case Refusal::kMobilityForbidden:
      return 405;
    case Refusal::kUnknownAttribute:
      return 420;
    case Refusal::kMismatch:
      return 437;
    case Refusal::kStaleNonce:
      return 438;
    case Refusal::kFamily:
      return 440;
    case Refusal::kWrongCredentials:
      return 441;
    case Refusal::kUnsupportedTransport:
      return 442;
    case Refusal::kFamilyMismatch:
      return 443;
    case Refusal::kConnectionExists:
      return 446;
    case Refusal::kConnectionFailed:
      return 447;
    case Refusal::kDraining:
      return has_alternate ? 300 : 486;
    case Refusal::kQuota:
      return 486;
    case Refusal::kMoveRate:
    case Refusal::kPeerRate:
    case Refusal::kCapacity:
    case Refusal::kConnectionQuota:
    case Refusal::kBusy:
    case Refusal::kSourceRate:
    case Refusal::kCount:
      break;
  }
  return 508;
}

bool is_challenge(Refusal refusal) {
  return refusal == Refusal::kUnauthenticated || refusal == Refusal::kBadCredentials ||
         refusal == Refusal::kExpiredCredentials || refusal == Refusal::kStaleNonce;
}

}  // namespace

// What a forged source address can use up is only what everybody there gets without a nonce. Some
// for each part of its ports, as who forges does not know from which one a client asks; and who
// pads his request is always answered: nobody gets more sent than he sent himself (T11).
std::size_t Engine::State::answer_bytes_max(const Credentials::Outcome& outcome,
                                            const Packet& request, Instant now) {
  const IpAddress& source = request.source.ip;
  const auto all_or_nothing = [](bool answer) { return answer ? kResponseBytesMax : 0; };
  switch (outcome.source) {
    case Credentials::Outcome::Source::kOnceProven:
      return all_or_nothing(limits.take(SourceLimits::Kind::kRenewal, source, now));
    case Credentials::Outcome::Source::kProven:
      return all_or_nothing(limits.take(SourceLimits::Kind::kFailure, source, now));
    case Credentials::Outcome::Source::kUnproven:
      break;
  }
  const auto group = static_cast<std::uint8_t>(request.source.port / kPortsOfAGroup);
  if (limits.take(SourceLimits::Kind::kChallenge, source, now, group)) return kResponseBytesMax;
  return request.length;
}

// A request without a code gets a challenge only where one leads somewhere: a few bytes in would
// be many out, to whoever the source address names (T11).
Refused Engine::State::refuse_plain(const Request& request) {
  if (request.message.has_integrity()) return std::nullopt;
  if (request.message.method() == stun::kAllocate) {
    const bool complete = request.message.find(stun::kRequestedTransport).has_value();
    return complete ? Refused{} : Refused{Refusal::kBadRequest};
  }
  // One over a stream: it comes by a connection of its own, which no allocation is of.
  if (request.message.method() == stun::kConnectionBind &&
      !over_datagrams(request.tuple.transport)) {
    return std::nullopt;
  }
  const auto ticket = request.message.find(stun::kMobilityTicket);
  const bool comes = credentials->settings().mobility && ticket && tickets.open(*ticket);
  const bool leads = comes || find(request.tuple, request.now) != nullptr;
  return leads ? Refused{} : Refused{Refusal::kMismatch};
}

void Engine::State::write_refusal(const Request& request, Refusal refusal, std::uint32_t realm,
                                  stun::Writer& response) {
  const SocketAddress& alternate = credentials->settings().alternate;
  const bool has_alternate =
      alternate.is_set() && alternate.ip.family == request.tuple.client.ip.family;
  const std::uint16_t code = code_of(refusal, has_alternate);
  response.add_error_code(code);
  if (code == 300) response.add_address(stun::kAlternateServer, alternate);
  if (refusal == Refusal::kUnknownAttribute) {
    std::array<std::uint16_t, kUnknownNamedMax> unknown;
    const std::size_t count = request.message.unknown_required(known_in(request), unknown);
    response.add_unknown_attributes(std::span(unknown).first(count));
  }
  // Nothing more than needed: a challenge goes to whoever the source address names (T11).
  if (request.identity == nullptr && is_challenge(refusal)) {
    const std::uint8_t features = credentials->features(realm);
    const NonceText nonce = nonces.make(request.tuple.client, features, request.now);
    response.add_text(stun::kRealm, credentials->realm(realm).name);
    response.add_text(stun::kNonce, {nonce.data(), nonce.size()});
    response.add(stun::kPasswordAlgorithms, kPasswordAlgorithmsValue);
    const Realm& told = credentials->realm(realm);
    if (!told.token_keys.empty()) {
      response.add_text(stun::kThirdPartyAuthorization, told.token_server);
    }
  }
}

// Whether a request claims to be of the user whose allocation this is.
bool Engine::State::names_owner(const stun::Message& message, const Allocation* allocation) const {
  if (allocation == nullptr) return false;
  const std::string& user = allocations.user(*allocation);
  if (const auto name = message.username()) return *name == user;
  const auto userhash = message.find(stun::kUserhash);
  const auto expected = sha256({user, ":", credentials->realm(allocation->realm).name});
  return userhash &&
         std::equal(userhash->begin(), userhash->end(), expected.begin(), expected.end());
}

bool Engine::State::belongs_to(const Allocation& allocation, const Identity& identity) const {
  const bool by_token = allocation.session_key_bytes != 0;
  if (allocation.realm != identity.realm || by_token != identity.by_token) return false;
  // By name: the hash is only for counting. Who holds a token has no name, and his next one may
  // come from another key.
  return by_token || allocations.user(allocation) == identity.user;
}

std::optional<TokenSession> Engine::State::session_of(const Allocation* allocation) const {
  if (allocation == nullptr || allocation->session_key_bytes == 0) return std::nullopt;
  return TokenSession{
      allocation->realm, allocations.user(*allocation), allocation->owner.user,
      allocation->credential,
      SessionKey(std::span(allocation->session_key).first(allocation->session_key_bytes))};
}

void Engine::State::take_token(Allocation& allocation, const Request& request) {
  const Identity& identity = *request.identity;
  if (!identity.session.is_set()) return;
  const auto key = identity.session.bytes();
  std::copy(key.begin(), key.end(), allocation.session_key.begin());
  allocation.session_key_bytes = static_cast<std::uint8_t>(key.size());
  allocations.user(allocation) = identity.user;
  allocation.credential = identity.credential;
  take_connections(allocation, identity.owner);
  allocation.credential_until = request.now + (identity.good_until - request.wall);
  if (allocation.expires <= allocation.credential_until) return;
  allocation.expires = allocation.credential_until;
  set_timer(allocation);
}

// An authentic request that holds nothing unknown, on its 5-tuple.
Refused Engine::State::on_allocation(Request& request, stun::Writer& response) {
  Allocation* allocation = find(request.tuple, request.now);
  const bool is_refresh = request.message.method() == stun::kRefresh;
  const auto ticket = request.message.find(stun::kMobilityTicket);
  const Identity& identity = *request.identity;
  if (is_refresh && ticket) {
    // Tokens name nobody to whom it could be given.
    if (identity.by_token) return Refusal::kMobilityForbidden;
    const Refused refused = resume(request, *ticket, allocation);
    if (refused || request.deferred) return refused;
  }
  if (allocation == nullptr) return Refusal::kMismatch;
  if (!belongs_to(*allocation, identity)) return Refusal::kWrongCredentials;
  if (identity.expired && (identity.by_token || credentials->settings().strict_expiry)) {
    return Refusal::kExpiredCredentials;
  }
  take_token(*allocation, request);
  switch (request.message.method()) {
    case stun::kRefresh:
      return refresh(request, *allocation, response);
    case stun::kCreatePermission:
      return create_permission(request, *allocation);
    case stun::kConnect:
      return connect(request, *allocation);
    default:
      return channel_bind(request, *allocation);
  }
}

Refused Engine::State::dispatch(Request& request, stun::Writer& response) {
  if (has_unknown(request)) return Refusal::kUnknownAttribute;
  switch (request.message.method()) {
    case stun::kBinding:
      return bind(request, response);
    case stun::kAllocate:
      return allocate(request, response);
    case stun::kConnectionBind:
      return connection_bind(request);
    default:
      return on_allocation(request, response);
  }
}

void Engine::State::on_request(Packet& packet, const stun::Message& message,
                               const Allocations::Tuple& tuple, const Listener& listener,
                               Instant now, Seconds wall, Outbox& out,
                               std::optional<Refusal> verdict) {
  const std::uint16_t method = message.method();
  if (!is_ours(method, setup.tcp != nullptr)) return drop(Drop::kUnknownMessage);
  const IpAddress& source = tuple.client.ip;
  Request request{message, tuple,     listener.local, now,           wall,
                  &packet, &listener, packet.tag,     packet.source, verdict};
  std::array<std::uint8_t, kResponseBytesMax> buffer;
  stun::Writer response(buffer, stun::Class::kSuccess, method, message.transaction());
  Credentials::Outcome outcome;
  Refused refused;
  std::size_t bytes_max = kResponseBytesMax;
  // Nobody else can ask in the name of an end of a connection, who asks once and waits.
  const bool forgeable = tuple.transport == ListenerTransport::kUdp;
  if (method == stun::kBinding) {
    if (forgeable && !limits.take(SourceLimits::Kind::kBinding, source, now)) {
      return count(Refusal::kSourceRate);
    }
    request.places = places_of(tuple);
    refused = dispatch(request, response);
    if (refused == Refusal::kSourceRate) return count(*refused);
  } else {
    // A source that has guessed too often is not even checked, but for who has an allocation.
    if (message.has_integrity() && !limits.has(SourceLimits::Kind::kFailure, source, now) &&
        !names_owner(message, find(tuple, now))) {
      return count(Refusal::kSourceRate);
    }
    const auto session = session_of(find(tuple, now));
    outcome = credentials->authenticate(message, listener.realm, tuple.client, nonces, now, wall,
                                        session ? &*session : nullptr);
    request.takes_tokens = !credentials->realm(outcome.realm).token_keys.empty();
    if (outcome.identity == nullptr) {
      const bool proven = outcome.source != Credentials::Outcome::Source::kUnproven;
      if (forgeable || proven) bytes_max = answer_bytes_max(outcome, packet, now);
      if (bytes_max < kChallengeBytesMin) return count(Refusal::kSourceRate);
      refused = refuse_plain(request);
      if (!refused) refused = outcome.refusal;
    } else {
      request.identity = outcome.identity.get();
      refused = dispatch(request, response);
      if (request.deferred) return;
      // Its time is over: it is nobody's any more, and gets a challenge.
      if (refused == Refusal::kExpiredCredentials) request.identity = nullptr;
    }
  }
  if (refused) {
    response = stun::Writer(buffer, stun::Class::kError, method, message.transaction());
    write_refusal(request, *refused, outcome.realm, response);
  }
  if (request.identity != nullptr) request.identity->key.seal(response);
  if (message.has_fingerprint()) response.add_fingerprint();
  const stun::Bytes bytes = response.finish();
  if (bytes.size() > bytes_max) return count(Refusal::kSourceRate);
  if (refused) {
    count(*refused);
    // By realm only what nobody can forge.
    const bool proven = outcome.source == Credentials::Outcome::Source::kProven;
    if (proven) counters.realms[credentials->realm(outcome.realm).figures].refused.add();
  }
  // The request has been read: its memory takes the response.
  std::copy(bytes.begin(), bytes.end(), packet.data);
  packet.length = static_cast<std::uint32_t>(bytes.size());
  const Send send{
      .data = packet.data, .length = packet.length, .tag = request.from, .destination = request.to};
  if (!out.push(send)) drop(Drop::kBlocked);
}

}  // namespace turnpike::turn
