#include "relay/turn/engine.h"

#include <algorithm>

#include "relay/core/bytes.h"
#include "relay/turn/engine_state.h"
#include "relay/wire/channel_data.h"

namespace turnpike::turn {
namespace {

template <std::size_t kBytes>
std::array<std::uint8_t, kBytes> random_bytes(const EngineSetup& setup) {
  std::array<std::uint8_t, kBytes> bytes;
  setup.random(bytes.data(), bytes.size());
  return bytes;
}

// A key of all shards alike, that tells nothing of the nonces'.
SipHashKey derive_owner_key(const std::array<std::uint8_t, 32>& nonce_key) {
  static constexpr std::array<std::uint8_t, 6> kLabel = {'o', 'w', 'n', 'e', 'r', 's'};
  std::array<std::uint8_t, kSha256Bytes> code;
  hmac_sha256(make_hmac_sha256_key(nonce_key), kLabel, {}, code.data());
  SipHashKey key;
  std::copy_n(code.begin(), key.size(), key.begin());
  return key;
}

Side side_of(const Allocation& allocation, AddressFamily family) {
  return allocation.relayed[0].ip.family == family ? Side::kA : Side::kB;
}

// The longest header in front of data to a client: STUN, XOR-PEER-ADDRESS of IPv6, DATA.
constexpr std::size_t kIndicationBytesMax =
    stun::kHeaderBytes + stun::kAttributeHeaderBytes + 20 + stun::kAttributeHeaderBytes;
static_assert(kIndicationBytesMax <= kHeadroomBytes);
constexpr std::uint32_t kPaddingMax = 3;
static_assert(kPaddingMax <= kTailroomBytes);

// The longest data that an Ethernet frame takes with the headers of IP and UDP.
constexpr std::size_t kWholeBytesMaxV4 = 1500 - 28;
constexpr std::size_t kWholeBytesMaxV6 = 1500 - 48;

// ICMP errors that a client is told of one allocation: some a second.
constexpr Nanoseconds kIcmpPrice = Milliseconds(100);
constexpr Nanoseconds kIcmpBurst = Seconds(2);

// Destination unreachable, packet too big, time exceeded (RFC 8656 section 11.5).
bool is_told(const IcmpError& error) {
  if (error.peer.ip.is_v4()) return error.type == 3 || error.type == 11;
  return error.type >= 1 && error.type <= 3;
}

// What a bucket of bytes holds at once: a second's worth, and never less than a few datagrams.
constexpr std::uint64_t kBurstBytesMin = 4 * kSlotBytes;

}  // namespace

Engine::State::State(const EngineSetup& given, RelayedPorts& relayed_ports,
                     Counters& shard_counters)
    : setup(given),
      ports(relayed_ports),
      counters(shard_counters),
      shared(given.shared != nullptr ? given.shared : std::make_shared<Shared>()),
      transaction_key(random_bytes<16>(given)),
      nonces(given.nonce_key),
      tickets(given.nonce_key),
      limits(random_bytes<16>(given), given.source_limits),
      allocations(given.allocations_max, given.permissions_max, random_bytes<16>(given)),
      timers(given.allocations_max + kReservationsMax) {
  credentials = prepare(std::make_shared<Settings>(), given.nonce_key);
  if (given.tcp != nullptr) tcp.resize(given.allocations_max);
}

std::uint64_t Engine::State::random_u64() const {
  std::uint64_t value = 0;
  setup.random(&value, sizeof value);
  return value;
}

// Unpredictable to who does not hold the key, without asking the system for each packet.
stun::TransactionId Engine::State::next_transaction() {
  stun::TransactionId id;
  std::array<std::uint8_t, 9> message{};
  ++transactions;
  write_be32(message.data(), static_cast<std::uint32_t>(transactions >> 32));
  write_be32(message.data() + 4, static_cast<std::uint32_t>(transactions));
  const std::uint64_t first = siphash_2_4(transaction_key, message);
  message[8] = 1;
  const std::uint64_t second = siphash_2_4(transaction_key, message);
  write_be32(id.data(), static_cast<std::uint32_t>(first >> 32));
  write_be32(id.data() + 4, static_cast<std::uint32_t>(first));
  write_be32(id.data() + 8, static_cast<std::uint32_t>(second));
  return id;
}

bool Engine::State::within_rate(const Allocation& allocation, Traffic& traffic, std::size_t bytes,
                                Instant now) {
  const std::uint64_t rate = credentials->realm(allocation.realm).quotas.bytes_per_second;
  if (rate == 0) return true;
  const auto time_of = [rate](std::uint64_t count) {
    return Nanoseconds(static_cast<std::int64_t>(count * 1'000'000'000 / rate));
  };
  const std::uint64_t burst = std::clamp<std::uint64_t>(rate, kBurstBytesMin, 1ULL << 33);
  return traffic.rate.take(now, time_of(bytes), time_of(burst));
}

bool Engine::State::within_owner_rate(OwnerRates& rates, const Owner& owner,
                                      std::uint32_t per_minute, std::uint32_t count, Instant now) {
  if (per_minute == 0 || count == 0) return true;
  const Nanoseconds price = Nanoseconds(Seconds(60)) / per_minute;
  return rates.take(owner.user, now, price * count, price * per_minute);
}

void Engine::State::to_peer(Allocation& allocation, const Peer& peer, std::uint16_t port,
                            stun::Bytes data, Instant now, Outbox& out) {
  const Side side = side_of(allocation, peer.ip.family);
  if (tick_of(now) >= peer.permitted_until ||
      allocation.relayed[index_of(side)].ip.family != peer.ip.family) {
    return drop(Drop::kNoPermission);
  }
  if (!has_port(peer, port)) return drop(Drop::kPeerForbidden);
  if (!within_rate(allocation, allocation.to_peers, data.size(), now)) return drop(Drop::kRate);
  const Send send{.data = data.data(),
                  .length = static_cast<std::uint32_t>(data.size()),
                  .tag = relayed_tag(allocation.slot, allocation.serial, side),
                  .destination = {peer.ip, port},
                  .line = allocation.slot};
  if (!out.push(send)) return drop(Drop::kBlocked);
  ++allocation.to_peers.packets;
  allocation.to_peers.bytes += data.size();
  ClientCounters& figures = counters.of(allocation.transport);
  figures.packets_to_peers.add();
  figures.bytes_to_peers.add(data.size());
  counters.realms[allocation.figures].bytes_to_peers.add(data.size());
}

void Engine::State::on_channel_data(Packet& packet, const Allocations::Tuple& tuple, Instant now,
                                    Outbox& out) {
  const stun::Bytes message(packet.data, packet.length);
  const auto header = read_channel_data(message);
  if (!header) return drop(Drop::kMalformed);
  Allocation* const allocation = find(tuple, now);
  if (allocation == nullptr) return drop(Drop::kNoAllocation);
  const Channel* const channel = allocations.find_channel(*allocation, header->channel);
  if (channel == nullptr || tick_of(now) >= channel->until) return drop(Drop::kNoChannel);
  to_peer(*allocation, allocations.peers(*allocation)[channel->peer], channel->port,
          message.subspan(kChannelHeaderBytes, header->length), now, out);
}

// RFC 8656 section 11.2.
void Engine::State::on_send(const stun::Message& message, const Allocations::Tuple& tuple,
                            Instant now, Outbox& out) {
  static constexpr std::uint16_t kKnown[] = {stun::kXorPeerAddress, stun::kDataValue,
                                             stun::kDontFragment};
  std::array<std::uint16_t, 1> unknown;
  const auto address = message.xor_address(stun::kXorPeerAddress);
  const auto data = message.find(stun::kDataValue);
  if (!address || !data || message.unknown_required(kKnown, unknown) != 0) {
    return drop(Drop::kMalformed);
  }
  // Longer ones would be fragmented here; on the way the kernel's path MTU discovery sets DF.
  const std::size_t whole_max = address->ip.is_v4() ? kWholeBytesMaxV4 : kWholeBytesMaxV6;
  if (message.find(stun::kDontFragment) && data->size() > whole_max) return drop(Drop::kTooLong);
  Allocation* const allocation = find(tuple, now);
  if (allocation == nullptr) return drop(Drop::kNoAllocation);
  if (allocation->tcp) return drop(Drop::kTcpAllocation);
  const Peer* const peer = allocations.find_peer(*allocation, address->ip);
  if (peer == nullptr) return drop(Drop::kNoPermission);
  to_peer(*allocation, *peer, address->port, *data, now, out);
}

// RFC 8656 sections 11.3 and 12.7: in front of the data, within the packet's own memory.
void Engine::State::to_client(Allocation& allocation, Packet& packet, Channel* channel,
                              Outbox& out) {
  if (allocation.away) return drop(Drop::kNoClient);
  const std::uint32_t data_bytes = packet.length;
  const std::uint32_t padding = (4 - data_bytes % 4) % 4;
  std::uint32_t header_bytes = kChannelHeaderBytes;
  std::uint8_t* at = packet.data - header_bytes;
  bool padded = allocation.transport == ListenerTransport::kTcp ||
                allocation.transport == ListenerTransport::kTls;
  if (channel != nullptr) {
    write_channel_header(at, {channel->number, static_cast<std::uint16_t>(data_bytes)});
  } else {
    const std::uint32_t address_bytes = packet.source.ip.is_v4() ? 8 : 20;
    header_bytes = stun::kHeaderBytes + 2 * stun::kAttributeHeaderBytes + address_bytes;
    at = packet.data - header_bytes;
    stun::Writer writer({at, stun::kHeaderBytes + stun::kAttributeHeaderBytes + address_bytes},
                        stun::Class::kIndication, stun::kData, next_transaction());
    writer.add_xor_address(stun::kXorPeerAddress, packet.source);
    write_be16(packet.data - 4, stun::kDataValue);
    write_be16(packet.data - 2, static_cast<std::uint16_t>(data_bytes));
    write_be16(at + 2, static_cast<std::uint16_t>(header_bytes - stun::kHeaderBytes + data_bytes +
                                                  padding));
    padded = true;
  }
  if (padded) std::fill_n(packet.data + data_bytes, padding, std::uint8_t{0});
  const Send send{.data = at,
                  .length = header_bytes + data_bytes + (padded ? padding : 0),
                  .tag = allocation.client_tag,
                  .destination = allocation.client,
                  .line = allocation.slot};
  if (!out.push(send)) return drop(Drop::kBlocked);
  ++allocation.to_clients.packets;
  allocation.to_clients.bytes += data_bytes;
  ClientCounters& figures = counters.of(allocation.transport);
  figures.packets_to_clients.add();
  figures.bytes_to_clients.add(data_bytes);
  counters.realms[allocation.figures].bytes_to_clients.add(data_bytes);
}

bool Engine::State::send_to_client(const Allocation& allocation, stun::Bytes message, Outbox& out) {
  const Send send{.data = message.data(),
                  .length = static_cast<std::uint32_t>(message.size()),
                  .tag = allocation.client_tag,
                  .destination = allocation.client,
                  .line = allocation.slot};
  if (out.push(send)) return true;
  drop(Drop::kBlocked);
  return false;
}

std::shared_ptr<const Credentials> prepare(std::shared_ptr<const Settings> settings,
                                           const std::array<std::uint8_t, 32>& nonce_key) {
  return std::make_shared<const Credentials>(std::move(settings), derive_owner_key(nonce_key));
}

std::size_t allocation_bytes(std::uint32_t permissions_max) {
  return Allocations::bytes_each(permissions_max);
}

Engine::Engine(const EngineSetup& setup, RelayedPorts& ports, Counters& counters)
    : state_(std::make_unique<State>(setup, ports, counters)) {}

Engine::~Engine() = default;

void Engine::from_client(Packet& packet, const Listener& listener, Instant now, Seconds wall,
                         Outbox& out) {
  State& state = *state_;
  if (packet.length > kPayloadBytesMax) return state.drop(Drop::kTooLong);
  if (packet.length == 0) return state.drop(Drop::kMalformed);
  const Allocations::Tuple tuple{listener.transport, packet.tag, packet.source};
  if (is_channel_data(packet.data[0])) return state.on_channel_data(packet, tuple, now, out);
  const auto message = stun::Message::parse({packet.data, packet.length});
  if (!message) return state.drop(Drop::kMalformed);
  switch (message->message_class()) {
    case stun::Class::kRequest:
      return state.on_request(packet, *message, tuple, listener, now, wall, out);
    case stun::Class::kIndication:
      if (message->method() == stun::kSend) return state.on_send(*message, tuple, now, out);
      if (message->method() == stun::kBinding) return;  // a keep-alive: nothing to do
      return state.drop(Drop::kUnknownMessage);
    default:
      return state.drop(Drop::kUnknownMessage);
  }
}

void Engine::from_peer(Packet& packet, Instant now, Outbox& out) {
  State& state = *state_;
  Allocation* const allocation = state.allocations.at(packet.tag.slot, packet.tag.generation);
  if (allocation == nullptr || now >= allocation->expires) return state.drop(Drop::kNoAllocation);
  if (packet.length > kPayloadBytesMax) return state.drop(Drop::kTooLong);
  Peer* const peer = state.allocations.find_peer(*allocation, packet.source.ip);
  if (peer == nullptr || tick_of(now) >= peer->permitted_until) {
    return state.drop(Drop::kNoPermission);
  }
  if (!state.has_port(*peer, packet.source.port)) return state.drop(Drop::kPeerForbidden);
  if (!state.within_rate(*allocation, allocation->to_clients, packet.length, now)) {
    return state.drop(Drop::kRate);
  }
  Channel* channel = state.allocations.channel_to(*allocation, *peer, packet.source.port);
  if (channel != nullptr && tick_of(now) >= channel->until) channel = nullptr;
  state.to_client(*allocation, packet, channel, out);
}

// RFC 8656 section 11.5. That it is about a datagram of this relayed address the kernel has seen;
// anybody could make one up all the same, so it tells only of who may be asked, and not often.
void Engine::from_icmp(const IcmpError& error, Instant now, Outbox& out) {
  State& state = *state_;
  Allocation* const allocation = state.allocations.at(error.tag.slot, error.tag.generation);
  if (allocation == nullptr || now >= allocation->expires) return state.drop(Drop::kNoAllocation);
  const Peer* const peer = state.allocations.find_peer(*allocation, error.peer.ip);
  if (peer == nullptr || tick_of(now) >= peer->permitted_until ||
      allocation->to_peers.packets == 0) {
    return state.drop(Drop::kNoPermission);
  }
  if (!state.has_port(*peer, error.peer.port)) return state.drop(Drop::kPeerForbidden);
  // Which of our own ports somebody has is nobody's business (M12).
  const auto& ours = state.setup.relay_addresses;
  if (std::find(ours.begin(), ours.end(), error.peer.ip) != ours.end()) {
    return state.drop(Drop::kPeerForbidden);
  }
  if (!is_told(error)) return state.drop(Drop::kUnknownMessage);
  if (allocation->away) return state.drop(Drop::kNoClient);
  if (!allocation->icmp_errors.take(now, kIcmpPrice, kIcmpBurst)) return state.drop(Drop::kRate);
  auto& note = state.notes[state.next_note++ % state.notes.size()];
  stun::Writer writer(note, stun::Class::kIndication, stun::kData, state.next_transaction());
  writer.add_xor_address(stun::kXorPeerAddress, error.peer);
  // Section 18.13: 16 bits reserved, 7 of the type, 9 of the code, 32 of data.
  writer.add_u64(stun::kIcmp, (std::uint64_t{error.type & 0x7fU} << 41) |
                                  (std::uint64_t{error.code} << 32) | error.mtu);
  if (!state.send_to_client(*allocation, writer.finish(), out)) return;
  state.counters.icmp_errors.add();
}

void Engine::send_failed(const Send&, Drop reason) {
  state_->drop(reason);
}

void Engine::set_busy(bool busy) {
  state_->busy = busy;
}

Instant Engine::next_deadline() const {
  return state_->timers.next_deadline();
}

std::uint32_t Engine::allocations() const {
  return state_->allocations.size();
}

}  // namespace turnpike::turn
