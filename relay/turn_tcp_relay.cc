#include "relay/turn_tcp_relay.h"

#include <algorithm>
#include <utility>

#include <unistd.h>

#include "relay/io/secure_random.h"
#include "relay/io/tcp_stream.h"
#include "relay/splice.h"

namespace turnpike {
namespace {

using turn::PeerClose;
using turn::StreamClose;
using turn::TcpEvent;

constexpr std::uint32_t kHomeItem = 0x80000000;
constexpr Milliseconds kLookEvery{100};
constexpr std::uint64_t kBurstBytesMin = 64 << 10;

Nanoseconds time_of(std::uint64_t bytes, std::uint64_t rate) {
  return Nanoseconds(static_cast<std::int64_t>(bytes * 1'000'000'000 / rate));
}

/// Until when nothing is read: the bucket has less than nothing.
Instant paused_until(const turn::Bucket& bucket, std::uint64_t rate) {
  if (rate == 0) return {};
  return bucket.full_at - time_of(std::max(rate, kBurstBytesMin), rate);
}

void take_from(turn::Bucket& bucket, std::uint64_t bytes, std::uint64_t rate, Instant now) {
  if (rate != 0) bucket.full_at = std::max(bucket.full_at, now) + time_of(bytes, rate);
}

/// The last of `free`, one more if there was none.
template <typename T>
std::uint32_t free_place(std::vector<T>& all, std::vector<std::uint32_t>& free) {
  if (free.empty()) {
    free.push_back(static_cast<std::uint32_t>(all.size()));
    all.emplace_back();
  }
  return free.back();
}

}  // namespace

struct TurnTcpRelay::Connection {
  enum class State : std::uint8_t { kConnecting, kUnjudged, kWaiting, kBound };
  State state = State::kConnecting;
  bool is_opened = false;  // and counted
  bool waits = false;      // in `waiting_`
  std::uint32_t id = 0;
  std::uint32_t place = 0;
  std::uint32_t home = 0;
  Instant due{};     // or not at all
  Instant resume{};  // not carried on before
  std::unique_ptr<ByteStream> peer;
  TurnTcpClient client;
  struct Ways {
    SpliceWay in;   // to the peer
    SpliceWay out;  // to the client
    std::uint64_t charged_in = 0;
    std::uint64_t charged_out = 0;
  };
  std::unique_ptr<Ways> ways;  // once it is bound
};

TurnTcpRelay::TurnTcpRelay(StreamPoll& poll, Setup setup, turn::Counters& counters, Tell tell)
    : poll_(poll), setup_(std::move(setup)), counters_(counters), tell_(std::move(tell)) {}

TurnTcpRelay::~TurnTcpRelay() {
  connections_.clear();
  for (const auto& home : homes_) {
    if (home != nullptr) ::close(home->port.fd);
  }
}

// ---- Relayed transport addresses

void TurnTcpRelay::listen(std::uint16_t shard, const SocketTag& tag, const RelayedPort& port,
                          std::shared_ptr<turn::TcpTraffic> traffic) {
  const std::uint32_t place = free_place(homes_, free_homes_);
  free_homes_.pop_back();
  homes_[place] = std::make_unique<Home>();
  Home& home = *homes_[place];
  home.shard = shard;
  home.tag = tag;
  home.port = port;
  home.traffic = std::move(traffic);
  homes_by_name_[name_of(shard, tag)] = place;
  // Without it nobody is accepted there; connections to peers are made all the same.
  if (!poll_.add_edge(port.fd, kHomeItem | place)) count(PeerClose::kNoDescriptor);
}

void TurnTcpRelay::close(std::uint16_t shard, const SocketTag& tag, Instant now) {
  const auto found = homes_by_name_.find(name_of(shard, tag));
  if (found == homes_by_name_.end()) return;
  const std::uint32_t place = found->second;
  homes_by_name_.erase(found);
  Home& home = *homes_[place];
  while (!home.connections.empty()) {
    end(*connections_[home.connections.back()], PeerClose::kAllocation, false);
  }
  poll_.remove(home.port.fd);
  setup_.ports->give_back(home.port, now);
  homes_[place].reset();
  free_homes_.push_back(place);
}

// ---- Connections with peers

TurnTcpRelay::Connection* TurnTcpRelay::find(std::uint32_t id) {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : connections_[found->second].get();
}

// Owns `fd`; null, and it is closed, when the kernel has no room to watch it.
TurnTcpRelay::Connection* TurnTcpRelay::add(std::uint32_t id, std::uint32_t home, int fd) {
  auto stream = make_tcp_stream(fd);
  const std::uint32_t place = free_place(connections_, free_);
  if (by_id_.contains(id) || !poll_.add_edge(fd, place, true)) return nullptr;
  free_.pop_back();
  connections_[place] = std::make_unique<Connection>();
  Connection& connection = *connections_[place];
  connection.id = id;
  connection.place = place;
  connection.home = home;
  connection.peer = std::move(stream);
  by_id_.emplace(id, place);
  homes_[home]->connections.push_back(place);
  return &connection;
}

void TurnTcpRelay::connect(std::uint16_t shard, const SocketTag& tag, std::uint32_t id,
                           const SocketAddress& peer, Instant now) {
  const auto found = homes_by_name_.find(name_of(shard, tag));
  if (found == homes_by_name_.end()) return;
  const int fd = connect_from(homes_[found->second]->port.local, peer);
  Connection* const connection = fd < 0 ? nullptr : add(id, found->second, fd);
  if (connection == nullptr) {
    count(fd < 0 ? PeerClose::kUnreachable : PeerClose::kNoDescriptor);
    return tell_(shard, {TcpEvent::Kind::kEnded, tag, id, {}});
  }
  connection->due = now + kConnectMax;
}

void TurnTcpRelay::look_at_connecting(Connection& connection, Instant now) {
  const ConnectState state = connect_state(connection.peer->fd());
  if (state == ConnectState::kConnecting) return;
  if (state == ConnectState::kFailed) return end(connection, PeerClose::kUnreachable);
  connection.state = Connection::State::kWaiting;
  connection.due = now + kBindMax;
  connection.is_opened = true;
  counters_.peer_connections_opened.add();
  const Home& home = *homes_[connection.home];
  tell_(home.shard, {TcpEvent::Kind::kConnected, home.tag, connection.id, {}});
}

void TurnTcpRelay::accept_some(std::uint32_t place, Instant now) {
  Home* const home = homes_[place].get();
  if (home == nullptr) return;
  home->has_more = false;
  bool pauses = false;
  for (int i = 0; i < kAcceptsMax; ++i) {
    // Those behind wait in the kernel, until some are judged.
    pauses = unjudged_ >= kUnjudgedMax || home->unjudged >= kUnjudgedOfHomeMax;
    if (pauses) break;
    const Accepted accepted = accept_stream(home->port.fd);
    if (accepted.state == AcceptState::kNobody) return;
    if (accepted.state == AcceptState::kNoLongerThere) continue;
    if (accepted.state == AcceptState::kExhausted) {
      count(PeerClose::kNoDescriptor);
      pauses = true;
      break;
    }
    take(place, accepted.fd, accepted.source, now);
  }
  home->has_more = true;  // for a later turn
  if (!std::exchange(home->is_queued, true)) accepting_.push_back(place);
  if (!pauses) next_turn_ = now;
}

void TurnTcpRelay::take(std::uint32_t place, int fd, const SocketAddress& peer, Instant now) {
  std::uint32_t id = 0;
  while (id == 0 || by_id_.contains(id)) fill_random(&id, sizeof id);
  Connection* const connection = add(id, place, fd);
  if (connection == nullptr) return count(PeerClose::kNoDescriptor);
  connection->state = Connection::State::kUnjudged;
  connection->due = now + kBindMax;
  ++unjudged_;
  ++homes_[place]->unjudged;
  tell_(homes_[place]->shard, {TcpEvent::Kind::kComes, homes_[place]->tag, id, peer});
}

void TurnTcpRelay::judged(std::uint32_t id, std::optional<PeerClose> refused, Instant now) {
  Connection* const connection = find(id);
  if (connection == nullptr) return;
  if (refused) return end(*connection, *refused, false);
  if (connection->state != Connection::State::kUnjudged) return;
  --unjudged_;
  --homes_[connection->home]->unjudged;
  connection->state = Connection::State::kWaiting;
  connection->due = now + kBindMax;
  connection->is_opened = true;
  counters_.peer_connections_opened.add();
}

void TurnTcpRelay::end(std::uint32_t id, PeerClose why) {
  if (Connection* const connection = find(id)) end(*connection, why);
}

void TurnTcpRelay::leave(const TurnTcpClient& client, StreamClose why) {
  setup_.gate.leave(client.source);
  setup_.gate.leave_place();
  counters_.of(client.transport).connections_closed.add();
  counters_.closes[static_cast<std::size_t>(why)].add();
}

void TurnTcpRelay::end(Connection& connection, PeerClose why, bool tells) {
  count(why);
  if (connection.is_opened) counters_.peer_connections_closed.add();
  Home& home = *homes_[connection.home];
  if (connection.state == Connection::State::kUnjudged) {
    --unjudged_;
    --home.unjudged;
  }
  std::erase(home.connections, connection.place);
  std::erase(waiting_, connection.place);
  poll_.remove(connection.peer->fd());
  if (connection.client.stream != nullptr) {
    poll_.remove(connection.client.stream->fd());
    leave(connection.client,
          why == PeerClose::kClientFailed ? StreamClose::kFailed : StreamClose::kClient);
  }
  by_id_.erase(connection.id);
  if (tells) tell_(home.shard, {TcpEvent::Kind::kEnded, home.tag, connection.id, {}});
  const std::uint32_t place = connection.place;
  connections_[place].reset();
  free_.push_back(place);
}

// ---- Data

void TurnTcpRelay::bind(std::uint32_t id, std::unique_ptr<TurnTcpClient> client, Instant now) {
  Connection* const connection = find(id);
  const bool fits =
      client->input.size() <= SpliceWay::kBytes && client->output.size() <= SpliceWay::kBytes;
  const bool waits = connection != nullptr && connection->client.stream == nullptr &&
                     connection->state != Connection::State::kConnecting;
  if (!waits) return leave(*client, StreamClose::kClient);  // it has ended meanwhile
  if (connection->state == Connection::State::kUnjudged) judged(id, std::nullopt, now);
  if (!fits || !poll_.add_edge(client->stream->fd(), connection->place, true)) {
    leave(*client, StreamClose::kNoDescriptor);
    return end(*connection, fits ? PeerClose::kNoDescriptor : PeerClose::kClientFailed);
  }
  connection->state = Connection::State::kBound;
  connection->due = {};
  connection->client = std::move(*client);
  connection->ways = std::make_unique_for_overwrite<Connection::Ways>();
  auto& [in, out, charged_in, charged_out] = *connection->ways;
  const auto fill = [](SpliceWay& way, const std::vector<std::uint8_t>& bytes) {
    std::copy(bytes.begin(), bytes.end(), way.bytes.begin());
    way.end = bytes.size();
  };
  fill(in, connection->client.input);
  in.read = in.end;
  fill(out, connection->client.output);
  connection->client.input = {};
  connection->client.output = {};
  carry(*connection, now);
}

// What has come since the last time; whether any has.
bool TurnTcpRelay::charge(Connection& connection, Instant now) {
  Home& home = *homes_[connection.home];
  auto& [in, out, charged_in, charged_out] = *connection.ways;
  turn::TcpTraffic& traffic = *home.traffic;
  const std::uint64_t rate = traffic.bytes_per_second.load(std::memory_order_relaxed);
  const std::uint64_t came_in = in.read - std::exchange(charged_in, in.read);
  const std::uint64_t came_out = out.read - std::exchange(charged_out, out.read);
  take_from(home.to_peers, came_in, rate, now);
  take_from(home.to_clients, came_out, rate, now);
  traffic.bytes_to_peers.fetch_add(came_in, std::memory_order_relaxed);
  traffic.bytes_to_clients.fetch_add(came_out, std::memory_order_relaxed);
  turn::ClientCounters& figures = counters_.of(connection.client.transport);
  figures.bytes_to_peers.add(came_in);
  figures.bytes_to_clients.add(came_out);
  counters_.realms[traffic.figures].bytes_to_peers.add(came_in);
  counters_.realms[traffic.figures].bytes_to_clients.add(came_out);
  return came_in + came_out != 0;
}

void TurnTcpRelay::carry(Connection& connection, Instant now) {
  Home& home = *homes_[connection.home];
  auto& [in, out, charged_in, charged_out] = *connection.ways;
  const std::uint64_t rate = home.traffic->bytes_per_second.load(std::memory_order_relaxed);
  const Instant in_resumes = paused_until(home.to_peers, rate);
  const Instant out_resumes = paused_until(home.to_clients, rate);
  ByteStream& client = *connection.client.stream;
  ByteStream& peer = *connection.peer;
  const Carried to_peer = now < in_resumes ? Carried::kSome : carry_some(client, peer, in);
  const Carried to_client = now < out_resumes ? Carried::kSome : carry_some(peer, client, out);
  const bool moved = charge(connection, now);
  if (to_peer == Carried::kGiverFailed || to_client == Carried::kTakerFailed) {
    return end(connection, PeerClose::kClientFailed);
  }
  if (to_peer == Carried::kTakerFailed || to_client == Carried::kGiverFailed) {
    return end(connection, PeerClose::kPeerFailed);
  }
  if (in.is_told && out.is_told) return end(connection, PeerClose::kDone);
  const bool is_half = in.is_told || out.is_told;
  if (is_half && (moved || connection.due == Instant{})) connection.due = now + kHalfOpenMax;
  // Whoever has to wait for his rate does; the other direction goes on when its end says so.
  Instant resume = Instant::max();
  if (to_peer == Carried::kSome) resume = std::min(resume, std::max(now, in_resumes));
  if (to_client == Carried::kSome) resume = std::min(resume, std::max(now, out_resumes));
  connection.resume = resume;
  if (resume == Instant::max()) return;
  next_turn_ = std::min(next_turn_, resume);
  if (!std::exchange(connection.waits, true)) waiting_.push_back(connection.place);
}

void TurnTcpRelay::on_ready(std::uint32_t item, Instant now) {
  if ((item & kHomeItem) != 0) return accept_some(item & ~kHomeItem, now);
  Connection* const connection = connections_[item].get();
  if (connection == nullptr) return;  // it ended in this turn
  if (connection->state == Connection::State::kConnecting) {
    look_at_connecting(*connection, now);
  } else if (connection->state == Connection::State::kBound) {
    carry(*connection, now);
  } else if (connect_state(connection->peer->fd()) != ConnectState::kConnected) {
    end(*connection, PeerClose::kPeerFailed);  // it would take up a place until it is late
  }
}

void TurnTcpRelay::go_on(Instant now) {
  const bool is_time = now >= next_turn_;
  if (is_time) next_turn_ = Instant::max();
  for (const std::uint32_t place : std::exchange(accepting_, {})) {
    Home* const home = homes_[place].get();
    if (home == nullptr) continue;
    home->is_queued = false;
    if (home->has_more) accept_some(place, now);
  }
  if (!is_time) return;
  for (const std::uint32_t place : std::exchange(waiting_, {})) {
    Connection* const connection = connections_[place].get();
    if (connection == nullptr || !std::exchange(connection->waits, false)) continue;
    if (connection->resume <= now) {
      carry(*connection, now);
      continue;
    }
    if (connection->resume == Instant::max()) continue;  // it went on by itself
    connection->waits = true;
    waiting_.push_back(place);
    next_turn_ = std::min(next_turn_, connection->resume);
  }
}

void TurnTcpRelay::end_late(Instant now) {
  if (now < next_look_) return;
  next_look_ = now + kLookEvery;
  for (std::uint32_t place = 0; place < connections_.size(); ++place) {
    Connection* const connection = connections_[place].get();
    if (connection == nullptr || connection->due == Instant{} || now < connection->due) continue;
    switch (connection->state) {
      case Connection::State::kConnecting:
        end(*connection, PeerClose::kUnreachable);
        break;
      case Connection::State::kBound:
        end(*connection, PeerClose::kHalfOpen);
        break;
      default:
        // Unless its client has just been let in, and is on the way here.
        if (!setup_.shared->connection_ids->expire(connection->id)) {
          connection->due = now + kBindMax;
          break;
        }
        end(*connection, PeerClose::kNotBound);
    }
  }
}

}  // namespace turnpike
