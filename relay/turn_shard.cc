#include "relay/turn_shard.h"

#include <algorithm>
#include <iterator>

#include <unistd.h>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/io/loop.h"
#include "relay/io/secure_random.h"

namespace turnpike {
namespace {

constexpr std::uint32_t kSourceBurstMin = 8;

// The kernel spreads clients by chance: a shard may get more than its equal share.
std::uint32_t share_of_a_shard(std::uint32_t max, std::size_t shards) {
  const std::uint32_t share = max / static_cast<std::uint32_t>(shards);
  return std::min(max, share + share / 4 + 16);
}

std::uint32_t allocations_of_a_shard(const turn::Config& config, std::size_t shards) {
  return share_of_a_shard(config.allocations_max, shards);
}

IpAddress advertised_for(const turn::Config& config, const IpAddress& local) {
  const auto& all = config.relay_addresses;
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&local](const auto& one) { return one.local == local; });
  return found == all.end() ? local : found->advertised;
}

// With tags as add_listeners() makes them.
turn::DiscoveryPlaces discovery_places(const turn::Config& config,
                                       const std::array<std::uint32_t, 4>& numbers) {
  turn::DiscoveryPlaces places;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto listener = config.listeners.begin() + numbers[i];
    const auto before = std::count_if(config.listeners.begin(), listener, [](const auto& one) {
      return turn::over_datagrams(one.transport);
    });
    places[i] = {shared_tag(static_cast<std::uint32_t>(before)),
                 {advertised_for(config, listener->local.ip), listener->local.port}};
  }
  return places;
}

turn::EngineSetup engine_setup(const TurnShardSetup& setup, const turn::Config& config) {
  turn::EngineSetup engine;
  engine.shard = setup.index;
  engine.allocations_max = allocations_of_a_shard(config, setup.shards);
  engine.permissions_max = config.permissions_max;
  const auto has = [&](AddressFamily family) {
    return std::any_of(config.relay_addresses.begin(), config.relay_addresses.end(),
                       [&](const turn::RelayAddress& one) { return one.local.family == family; });
  };
  engine.ipv4 = has(AddressFamily::kIpv4);
  engine.ipv6 = has(AddressFamily::kIpv6);
  engine.nonce_key = setup.nonce_key;
  engine.random = [](void* to, std::size_t bytes) { fill_random(to, bytes); };
  engine.own_addresses = config.own_addresses;
  for (const turn::RelayAddress& one : config.relay_addresses) {
    engine.relay_addresses.push_back(one.advertised);
  }
  engine.relay_port_min = config.port_min;
  engine.relay_port_max = config.port_max;
  engine.media_port_min = config.media_port_min;
  engine.media_port_max = config.media_port_max;
  for (const auto& numbers : config.discovery) {
    engine.discovery.push_back(discovery_places(config, numbers));
  }
  engine.shared = setup.shared;
  engine.wake = setup.wake;
  // A source that changes its port comes to every shard.
  const auto shards = static_cast<std::uint32_t>(setup.shards);
  for (turn::SourceLimit& limit : engine.source_limits) {
    limit.per_second = std::max(limit.per_second / shards, 1U);
    limit.burst = std::max(limit.burst / shards, kSourceBurstMin);
  }
  return engine;
}

}  // namespace

std::unique_ptr<TurnShard> TurnShard::make(const TurnShardSetup& setup,
                                           const turn::Config& config) {
  auto sockets = TurnSockets::make(allocations_of_a_shard(config, setup.shards));
  std::unique_ptr<TurnShard> shard;
  if (sockets != nullptr) shard.reset(new TurnShard(setup, config, std::move(sockets)));
  if (shard != nullptr && shard->streams_ != nullptr) {
    return shard->add_listeners(setup) ? std::move(shard) : nullptr;
  }
  for (const int fd : setup.listener_fds) {
    if (fd >= 0) ::close(fd);
  }
  return nullptr;
}

bool TurnShard::add_listeners(const TurnShardSetup& setup) {
  bool added = sockets_->add_companion(streams_->poll_fd());
  for (std::uint32_t i = 0; i < setup.listener_fds.size(); ++i) {
    const int fd = setup.listener_fds[i];
    if (fd < 0) continue;
    const turn::ListenerTransport transport = config_.listeners[i].transport;
    if (turn::over_datagrams(transport)) {
      udp_listeners_.push_back(i);
      added = sockets_->add_listener(fd) && added;
    } else {
      added = streams_->add_listener(fd, i, transport) && added;
    }
  }
  return added;
}

TurnShard::TurnShard(const TurnShardSetup& setup, const turn::Config& config,
                     std::unique_ptr<TurnSockets> sockets)
    : config_(config),
      sockets_(std::move(sockets)),
      table_(*setup.ports),
      slice_(*setup.ports, setup.index, setup.shards) {
  std::copy_if(config.relay_addresses.begin(), config.relay_addresses.end(),
               std::back_inserter(behind_nat_),
               [](const turn::RelayAddress& one) { return one.local != one.advertised; });
  turn::EngineSetup engine = engine_setup(setup, config);
  if (setup.tcp != nullptr) {
    tcp_ = std::make_unique<TurnTcpShard>(setup.index, *setup.tcp, table_, slice_,
                                          config.relay_addresses);
  }
  engine.tcp = tcp_.get();
  engine.tcp_connections_per_allocation_max = config.tcp_connections_per_allocation_max;
  ports_.resize(std::size_t{engine.allocations_max} * 2);
  turn::RelayedPorts& ports = *this;
  engine_ = std::make_unique<turn::Engine>(engine, ports, counters_);
  secure_wipe(engine.nonce_key.data(), engine.nonce_key.size());
  streams_ = TurnStreams::make(
      share_of_a_shard(config.connections_max, setup.shards),
      turn::SourceGate(setup.shared, setup.source_key, config.connections_per_source_max,
                       config.connections_max),
      counters_,
      {.has_allocation = [this](const auto& tag) { return engine_->stream_has_allocation(tag); },
       .closed = [this](const auto& tag) { engine_->stream_closed(tag); }});
  if (setup.dtls != nullptr) dtls_ = make_dtls(setup);
}

std::unique_ptr<TurnDtls> TurnShard::make_dtls(const TurnShardSetup& setup) {
  SipHashKey half_open_key = setup.source_key;
  half_open_key[0] ^= 1;  // another name in the same table
  SipHashKey own_key;
  fill_random(own_key.data(), own_key.size());
  const turn::SourceGate gate(setup.shared, setup.source_key, config_.connections_per_source_max,
                              config_.connections_max);
  const turn::SourceGate half_open_gate(setup.shared, half_open_key,
                                        TurnDtls::kHalfOpenPerSourceMax);
  TurnDtls::Setup dtls{.associations_max = share_of_a_shard(config_.connections_max, setup.shards),
                       .half_open_max = share_of_a_shard(TurnDtls::kHalfOpenMax, setup.shards),
                       .shard = setup.index,
                       .thread = setup.dtls,
                       .gate = gate,
                       .half_open_gate = half_open_gate,
                       .key = own_key};
  dtls.associations_max += dtls.half_open_max;
  const auto fate = [this](const Send& send, SendResult result) { send_failed(send, result); };
  return std::make_unique<TurnDtls>(
      std::move(dtls), counters_,
      TurnDtls::Handlers{
          .send = [this, fate](std::span<const Send> sends) { sockets_->send(sends, fate); },
          .has_allocation = [this](const auto& tag) { return engine_->stream_has_allocation(tag); },
          .closed = [this](const auto& tag) { engine_->stream_closed(tag); }});
}

TurnShard::~TurnShard() {
  engine_.reset();
  for (; newcomers_.front() != nullptr; newcomers_.pop()) delete newcomers_.front()->stream;
  for (const RelayedPort& port : ports_) {
    if (port.fd >= 0) ::close(port.fd);
  }
}

// ---- Relayed ports

RelayedPort& TurnShard::port_of(const SocketTag& tag) {
  const std::size_t index = std::size_t{tag.slot} * 2 + index_of(tag.side);
  CHECK(index < ports_.size());
  return ports_[index];
}

bool TurnShard::give(const SocketTag& tag, const RelayedPort& port) {
  if (!sockets_->add(port.fd, tag)) {
    table_.give_back(port, now_);
    return false;
  }
  port_of(tag) = port;
  return true;
}

std::optional<turn::RelayedPorts::Opened> TurnShard::open(const SocketTag& tag,
                                                          AddressFamily family, Parity parity) {
  const bool with_next = parity == Parity::kEvenAndReserveNext;
  RelayedPort next;
  const auto port = slice_.open(family, parity != Parity::kAny, with_next ? &next : nullptr, now_);
  if (!port) return std::nullopt;
  const std::uint32_t reservation = with_next ? table_.reserve(next) : 0;
  if (with_next && reservation == 0) {
    table_.give_back(next, now_);
    table_.give_back(*port, now_);
    return std::nullopt;
  }
  if (!give(tag, *port)) {
    if (with_next) release(reservation);
    return std::nullopt;
  }
  return Opened{{port->advertised, port->local.port}, reservation};
}

std::optional<turn::RelayedPorts::Opened> TurnShard::take(const SocketTag& tag,
                                                          std::uint32_t reservation) {
  const auto port = table_.take(reservation);
  if (!port || !give(tag, *port)) return std::nullopt;
  return Opened{{port->advertised, port->local.port}, 0};
}

void TurnShard::release(std::uint32_t reservation) {
  if (const auto port = table_.take(reservation)) table_.give_back(*port, now_);
}

void TurnShard::close(const SocketTag& tag) {
  flush();  // what was sent from it before
  if (sockets_->remove(tag) < 0) return;
  table_.give_back(port_of(tag), now_);
  port_of(tag) = {};
}

std::uint32_t TurnShard::hand_over(const SocketTag& tag) {
  flush();  // what was sent from it before
  const std::uint32_t reservation = table_.reserve(port_of(tag));
  if (reservation == 0) return 0;
  sockets_->remove(tag);
  port_of(tag) = {};
  return reservation;
}

// ---- Packets

TurnShard::Turn TurnShard::drain(int batches_max) {
  Turn turn;
  engine_->set_busy(busy_.load(std::memory_order_relaxed));
  std::size_t shed = 0;
  const bool sheds = overload_.shedding(monotonic_now());
  for (int i = 0; i < batches_max; ++i) {
    batch_.clear();
    turn.more = sockets_->receive(batch_, sheds);
    for (std::size_t k = 0; k < batch_.size(); ++k) shed += batch_[k].shed_behind;
    now_ = monotonic_now();
    wall_ = wall_now();
    std::size_t packets = batch_.size();
    handle_datagrams();
    tell_errors();
    if (sockets_->companion_is_ready() || streams_->has_unread()) {
      // A batch of their own: a flood of datagrams keeps no connection waiting, nor the reverse.
      batch_.clear();
      turn.more = streams_->receive(batch_, now_) || turn.more;
      packets += batch_.size();
      handle_all();
      if (tcp_ != nullptr) tcp_->hand_over(*streams_);
      streams_->go_on_after_binds();
      streams_->reap();
    }
    turn.packets += packets;
    if (packets == 0) break;
  }
  counters_.drops[static_cast<std::size_t>(turn::Drop::kOverload)].add(shed);
  overload_.after_turn(!turn.more, shed, now_);
  return turn;
}

void TurnShard::handle_all() {
  for (std::size_t k = 0; k < batch_.size(); ++k) handle(batch_[k]);
  end_batch();
}

void TurnShard::handle_datagrams() {
  const auto& arrival = sockets_->arrival();
  const std::size_t timed = arrival ? arrival->index : batch_.size();
  const Counter& relayed = counters_.of(turn::ListenerTransport::kUdp).packets_to_peers;
  bool is_data = false;
  for (std::size_t k = 0; k < batch_.size(); ++k) {
    const std::uint64_t before = k == timed ? relayed.value() : 0;
    handle(batch_[k]);
    if (k == timed) is_data = relayed.value() != before;
  }
  end_batch();
  if (is_data) counters_.latency.add(std::chrono::system_clock::now() - arrival->at);
}

void TurnShard::end_batch() {
  handle_messages();
  flush();
  if (dtls_ != nullptr) dtls_->reap(now_);
}

void TurnShard::handle_messages() {
  if (messages_.size() == 0) return;
  for (std::size_t k = 0; k < messages_.size(); ++k) {
    const std::uint32_t listener = dtls_->listener_of(messages_[k].tag);
    engine_->from_client(messages_[k], config_.listeners[listener], now_, wall_, outbox_);
    if (outbox_.full()) flush();
  }
  flush();  // it refers to their memory
  messages_.clear();
}

void TurnShard::tell_errors() {
  for (IcmpError error : sockets_->errors()) {
    rename_own(error.peer.ip, &turn::RelayAddress::local, &turn::RelayAddress::advertised);
    engine_->from_icmp(error, now_, outbox_);
    if (outbox_.full()) flush();
  }
  flush();
}

void TurnShard::handle(Packet& packet) {
  if (packet.length > kPayloadBytesMax) {
    counters_.drops[static_cast<std::size_t>(turn::Drop::kTooLong)].add();
    return;
  }
  if (is_shared(packet.tag) || is_stream(packet.tag)) {
    const std::uint32_t listener = is_shared(packet.tag) ? udp_listeners_[packet.tag.generation]
                                                         : streams_->listener_of(packet.tag);
    if (config_.listeners[listener].transport == turn::ListenerTransport::kDtls) {
      if (messages_.size() + TurnDtls::kMessagesMax > kBatchPacketsMax) handle_messages();
      return dtls_->receive(packet, listener, messages_, now_);
    }
    engine_->from_client(packet, config_.listeners[listener], now_, wall_, outbox_);
  } else {
    if (is_forged(packet.source.ip)) {
      return counters_.drops[static_cast<std::size_t>(turn::Drop::kPeerForbidden)].add();
    }
    rename_own(packet.source.ip, &turn::RelayAddress::local, &turn::RelayAddress::advertised);
    engine_->from_peer(packet, now_, outbox_);
  }
  if (outbox_.full()) flush();
}

void TurnShard::flush() {
  if (outbox_.size() == 0) return;
  for (const Send& send : outbox_) {
    if (!is_stream(send.tag) && !is_dtls(send.tag)) [[likely]] {
      if (is_shared(send.tag) || behind_nat_.empty()) {
        datagrams_.push(send);
        continue;
      }
      Send to_peer = send;
      rename_own(to_peer.destination.ip, &turn::RelayAddress::advertised,
                 &turn::RelayAddress::local);
      datagrams_.push(to_peer);
      continue;
    }
    const SendResult result =
        is_stream(send.tag) ? streams_->post(send, now_) : dtls_->post(send, now_);
    if (result != SendResult::kWaiting) send_failed(send, result);
  }
  outbox_.clear();
  sockets_->send({datagrams_.begin(), datagrams_.end()},
                 [this](const Send& send, SendResult result) { send_failed(send, result); });
  datagrams_.clear();
  streams_->write_out(now_);
  if (dtls_ != nullptr) dtls_->flush();
}

void TurnShard::rename_own(IpAddress& ip, IpAddress turn::RelayAddress::*from,
                           IpAddress turn::RelayAddress::*to) const {
  for (const turn::RelayAddress& one : behind_nat_) {
    if (one.*from != ip) continue;
    ip = one.*to;
    return;
  }
}

bool TurnShard::is_forged(const IpAddress& ip) const {
  return std::any_of(behind_nat_.begin(), behind_nat_.end(),
                     [&ip](const turn::RelayAddress& one) { return one.advertised == ip; });
}

void TurnShard::send_failed(const Send& send, SendResult result) {
  engine_->send_failed(send,
                       result == SendResult::kBlocked ? turn::Drop::kBlocked : turn::Drop::kFailed);
}

void TurnShard::on_deadline(Instant now) {
  now_ = now;
  engine_->on_deadline(now, outbox_);
  flush();
  streams_->on_deadline(now);
  if (dtls_ != nullptr) dtls_->on_deadline(now);
}

// ---- What others ask

void TurnShard::take_newcomers() {
  for (; newcomers_.front() != nullptr; newcomers_.pop()) {
    const TurnNewcomer& one = *newcomers_.front();
    streams_->adopt(std::unique_ptr<ByteStream>(one.stream), one.client, one.source, one.listener,
                    one.transport, now_);
  }
  streams_->reap();  // who made room
}

bool TurnShard::take_requests(Instant now) {
  now_ = now;
  take_newcomers();
  if (dtls_ != nullptr) dtls_->take_results(now);
  engine_->on_moves(now, wall_now(), outbox_);
  flush();
  if (tcp_ != nullptr) tcp_->take_events(*engine_, now, outbox_, [this] { flush(); });
  bool answered = false;
  while (!answers_.full()) {
    const TurnRequest* const request = requests_.front();
    if (request == nullptr) break;
    if (request->kind == TurnRequestKind::kConfigure) {
      engine_->configure(request->credentials);
    } else {
      answered = answers_.push(answer(*request)) || answered;
    }
    requests_.pop();
  }
  return answered;
}

TurnAnswer TurnShard::answer(const TurnRequest& request) {
  TurnAnswer answer;
  answer.token = request.token;
  if (request.kind == TurnRequestKind::kEnd) {
    answer.found = engine_->end(request.id, now_);
    return answer;
  }
  auto list = std::make_shared<std::vector<turn::AllocationReport>>();
  const auto keep = [&list](const turn::AllocationReport& report) {
    if (list->size() < kListedMax) list->push_back(report);
  };
  engine_->list(keep, now_);
  answer.list = std::move(list);
  return answer;
}

}  // namespace turnpike
