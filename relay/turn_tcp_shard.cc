#include "relay/turn_tcp_shard.h"

#include <algorithm>
#include <utility>

#include <unistd.h>

#include "relay/io/loop.h"

namespace turnpike {

TurnTcpShard::TurnTcpShard(std::size_t shard, TurnTcpThread& thread, RelayedPortTable& table,
                           RelayedPortSlice& slice, std::vector<turn::RelayAddress> relays)
    : shard_(shard), thread_(thread), table_(table), slice_(slice), relays_(std::move(relays)) {}

TurnTcpShard::~TurnTcpShard() {
  for (const TurnTcpOrder& one : orders_) delete one.client;
}

// In their order: nothing overtakes what waits.
void TurnTcpShard::order(TurnTcpOrder order) {
  orders_.push_back(std::move(order));
  send_orders();
}

void TurnTcpShard::send_orders() {
  while (!orders_.empty() && thread_.push(shard_, orders_.front())) orders_.pop_front();
}

std::optional<SocketAddress> TurnTcpShard::listen(const SocketTag& tag, AddressFamily family,
                                                  std::shared_ptr<turn::TcpTraffic> traffic) {
  send_orders();
  const Instant now = monotonic_now();
  const auto port = slice_.open(family, false, nullptr, now, RelayedKind::kStreams);
  if (!port) return std::nullopt;
  const TurnTcpOrder order{.kind = TurnTcpOrder::Kind::kListen,
                           .tag = tag,
                           .port = *port,
                           .traffic = std::move(traffic)};
  if (orders_.empty() && thread_.push(shard_, order)) {
    return SocketAddress{port->advertised, port->local.port};
  }
  table_.give_back(*port, now);
  return std::nullopt;
}

void TurnTcpShard::close(const SocketTag& tag) {
  order({.kind = TurnTcpOrder::Kind::kClose, .tag = tag});
}

turn::TcpPorts::Begun TurnTcpShard::connect(const SocketTag& tag, std::uint32_t id,
                                            const SocketAddress& peer) {
  send_orders();
  SocketAddress to = peer;
  for (const turn::RelayAddress& one : relays_) {
    if (one.advertised != peer.ip) continue;
    // Whatever else listens there is nobody's peer (T6).
    to.ip = one.local;
    if (!table_.is_of_streams(to)) return Begun::kForbidden;
    break;
  }
  const TurnTcpOrder order{.kind = TurnTcpOrder::Kind::kConnect, .tag = tag, .id = id, .peer = to};
  return orders_.empty() && thread_.push(shard_, order) ? Begun::kYes : Begun::kNo;
}

void TurnTcpShard::judged(std::uint32_t id, std::optional<turn::PeerClose> refused) {
  const auto kind = refused ? TurnTcpOrder::Kind::kRefuse : TurnTcpOrder::Kind::kAdmit;
  order({.kind = kind, .id = id, .why = refused.value_or(turn::PeerClose::kAllocation)});
}

void TurnTcpShard::end(std::uint32_t id, turn::PeerClose why) {
  order({.kind = TurnTcpOrder::Kind::kEnd, .id = id, .why = why});
}

void TurnTcpShard::bind(const SocketTag& stream, std::uint32_t id) {
  bindings_.push_back({stream, id});
}

void TurnTcpShard::hand_over(TurnStreams& streams) {
  for (const Binding& one : std::exchange(bindings_, {})) {
    std::unique_ptr<TurnTcpClient> client = streams.release(one.stream);
    if (client == nullptr) {  // it broke when the response was sent
      end(one.id, turn::PeerClose::kClientFailed);
      continue;
    }
    order({.kind = TurnTcpOrder::Kind::kBind, .id = one.id, .client = client.release()});
  }
}

void TurnTcpShard::take_events(turn::Engine& engine, Instant now, Outbox& out,
                               const std::function<void()>& flush) {
  send_orders();
  for (; const turn::TcpEvent* const event = thread_.next_event(shard_);
       thread_.pop_event(shard_)) {
    turn::TcpEvent told = *event;
    if (told.kind == turn::TcpEvent::Kind::kComes) {
      // Behind NAT no port of ours sends from the advertised address: nobody does, to us.
      const auto is_at = [&told](IpAddress turn::RelayAddress::*where) {
        return [&told, where](const auto& one) { return one.*where == told.peer.ip; };
      };
      const auto own =
          std::find_if(relays_.begin(), relays_.end(), is_at(&turn::RelayAddress::local));
      if (own != relays_.end()) {
        told.peer.ip = own->advertised;
      } else if (std::any_of(relays_.begin(), relays_.end(),
                             is_at(&turn::RelayAddress::advertised))) {
        judged(told.id, turn::PeerClose::kNoPermission);
        continue;
      }
    }
    engine.from_tcp(told, now, out);
    flush();
  }
}

}  // namespace turnpike
