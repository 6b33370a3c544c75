#include "relay/turn_shard.h"

#include <algorithm>

#include <unistd.h>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/io/loop.h"
#include "relay/io/secure_random.h"

namespace turnpike {
namespace {

constexpr std::uint32_t kSourceBurstMin = 8;

// The kernel spreads clients by chance: a shard may get more than its equal share.
std::uint32_t allocations_of_a_shard(const turn::Config& config, std::size_t shards) {
  const auto count = static_cast<std::uint32_t>(shards);
  const std::uint32_t share = config.allocations_max / count;
  return std::min(config.allocations_max, share + share / 4 + 16);
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
  engine.random = fill_random;
  engine.own_addresses = config.own_addresses;
  for (const turn::RelayAddress& one : config.relay_addresses) {
    engine.relay_addresses.push_back(one.advertised);
  }
  engine.relay_port_min = config.port_min;
  engine.relay_port_max = config.port_max;
  engine.shared = setup.shared;
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
  bool made = sockets != nullptr;
  for (const int fd : setup.listener_fds) {
    if (sockets == nullptr) {
      ::close(fd);
    } else {
      made = sockets->add_listener(fd) && made;
    }
  }
  if (!made) return nullptr;
  return std::unique_ptr<TurnShard>(new TurnShard(setup, config, std::move(sockets)));
}

TurnShard::TurnShard(const TurnShardSetup& setup, const turn::Config& config,
                     std::unique_ptr<TurnSockets> sockets)
    : config_(config),
      sockets_(std::move(sockets)),
      table_(*setup.ports),
      slice_(*setup.ports, setup.index, setup.shards) {
  turn::EngineSetup engine = engine_setup(setup, config);
  ports_.resize(std::size_t{engine.allocations_max} * 2);
  turn::RelayedPorts& ports = *this;
  engine_ = std::make_unique<turn::Engine>(engine, ports, counters_);
  secure_wipe(engine.nonce_key.data(), engine.nonce_key.size());
}

TurnShard::~TurnShard() {
  engine_.reset();
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

// ---- Packets

TurnShard::Turn TurnShard::drain(int batches_max) {
  Turn turn;
  for (int i = 0; i < batches_max; ++i) {
    batch_.clear();
    turn.more = sockets_->receive(batch_);
    if (batch_.size() == 0) break;
    turn.packets += batch_.size();
    now_ = monotonic_now();
    wall_ = wall_now();
    for (std::size_t k = 0; k < batch_.size(); ++k) handle(batch_[k]);
    flush();
  }
  return turn;
}

void TurnShard::handle(Packet& packet) {
  if (packet.length > kPayloadBytesMax) {
    counters_.drops[static_cast<std::size_t>(turn::Drop::kTooLong)].add();
    return;
  }
  if (is_shared(packet.tag)) {
    engine_->from_client(packet, config_.listeners[packet.tag.generation], now_, wall_, outbox_);
  } else {
    engine_->from_peer(packet, now_, outbox_);
  }
  if (outbox_.full()) flush();
}

void TurnShard::flush() {
  if (outbox_.size() == 0) return;
  sockets_->send({outbox_.begin(), outbox_.end()}, [this](const Send& send, SendResult result) {
    engine_->send_failed(
        send, result == SendResult::kBlocked ? turn::Drop::kBlocked : turn::Drop::kFailed);
  });
  outbox_.clear();
}

void TurnShard::on_deadline(Instant now) {
  now_ = now;
  engine_->on_deadline(now, outbox_);
  flush();
}

// ---- What control asks

bool TurnShard::take_requests(Instant now) {
  now_ = now;
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
