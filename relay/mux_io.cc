#include "relay/mux_io.h"

#include <algorithm>

#include <unistd.h>

#include "relay/core/bytes.h"
#include "relay/io/loop.h"
#include "relay/io/secure_random.h"

namespace turnpike {
namespace {

static_assert(mux::kHeaderBytes == kSharedHeadroomBytes);

stun::TransactionId fresh_transaction() {
  stun::TransactionId id{};
  fill_random(id.data(), id.size());
  return id;
}

}  // namespace

MuxIo::MuxIo(std::unique_ptr<UdpIo> sockets, std::uint16_t shard, std::uint32_t sessions_max,
             mux::EdgeFlows* edge, ShardCounters& counters)
    : sockets_(std::move(sockets)),
      shard_(shard),
      edge_(edge),
      counters_(counters),
      legs_(std::size_t{sessions_max} * 2) {}

MuxIo::~MuxIo() {
  for (Flow& flow : flows_) secure_wipe(&flow.config.keys, sizeof flow.config.keys);
  for (const int fd : fds_) {
    if (fd >= 0) close(fd);
  }
}

bool MuxIo::add_port(int fd, std::uint32_t index) {
  if (fds_.size() <= index) fds_.resize(index + 1, -1);
  if (fds_[index] >= 0) close(fds_[index]);  // which ends its watch
  fds_[index] = fd;
  runs_.add_socket(fd, offers_segments(fd));
  return sockets_->add_shared(fd, index);
}

bool MuxIo::set_flow(int fd, const CoreFlow& config, Instant now) {
  Flow& flow = flows_[config.edge];
  // With the same key the counter goes on: the edge has seen the old one.
  if (flow.binding != nullptr && flow.config.keys.binding == config.keys.binding) {
    flow.binding->renumber(config.number, now);
  } else {
    flow.binding = std::make_unique<mux::CoreBinding>(config.number, config.keys.binding, now);
  }
  flow.config = config;
  states_[config.edge].mapped.store({}, Instant{});
  return add_port(fd, config.edge);
}

void MuxIo::carry(const SocketTag& tag, const Carriage& carriage) {
  // The other node's numbers: it may be wrong.
  if (carriage.slot >= mux::kSlotsMax) return;
  if (edge_ == nullptr && carriage.flow >= kEdgesMax) return;
  Leg& entry = leg(tag);
  entry.carried = true;
  entry.generation = tag.generation;
  entry.there = carriage;
}

void MuxIo::forget(const SocketTag& session) {
  for (const Side side : {Side::kA, Side::kB}) {
    Leg& entry = leg({session.slot, session.generation, side, Component::kRtp});
    if (entry.generation == session.generation) entry = {};
  }
}

// ---- Bindings of a core

Instant MuxIo::next_deadline() const {
  Instant due = Instant::max();
  for (const Flow& flow : flows_) {
    if (flow.binding) due = std::min(due, flow.binding->next_deadline());
  }
  return due;
}

void MuxIo::on_deadline(Instant now) {
  for (Flow& flow : flows_) {
    if (!flow.binding || flow.binding->next_deadline() > now) continue;
    mux::BindingBuffer buffer;
    answer(flow.config.edge, flow.binding->request(now, fresh_transaction(), buffer), {});
    states_[flow.config.edge].unanswered.store(flow.binding->unanswered(),
                                               std::memory_order_relaxed);
  }
}

FlowReport MuxIo::flow_report(std::uint16_t edge, Instant now) const {
  FlowReport report;
  const FlowState& state = states_[edge];
  const mux::SharedAddress::Value value = state.mapped.load();
  if (now < value.until) report.address = value.address;
  report.bound_until = value.until;
  report.round_trip = state.round_trip.load(std::memory_order_relaxed);
  report.unanswered = state.unanswered.load(std::memory_order_relaxed);
  return report;
}

// ---- Receiving

Waiting MuxIo::receive(Batch& batch, bool shed) {
  const std::size_t before = batch.size();
  const Waiting left = sockets_->receive(batch, shed);
  Instant now{};
  batch.keep_from(before, [&](Packet& packet) {
    if (!is_shared(packet.tag)) return true;
    if (now == Instant{}) now = monotonic_now();
    return translate(packet, now);
  });
  return left;
}

bool MuxIo::drop(DropReason reason) {
  counters_.packets_received.add();
  counters_.drops[static_cast<std::size_t>(reason)].add();
  return false;
}

// Makes a datagram of a shared socket into a packet of its session; false when it is none.
bool MuxIo::translate(Packet& packet, Instant now) {
  if (packet.length > kPayloadBytesMax + mux::kHeaderBytes) return drop(DropReason::kTruncated);
  const std::span<const std::uint8_t> datagram(packet.data, packet.length);
  if (!mux::has_header(datagram)) {
    handle_stun(packet, now);
    return false;
  }
  mux::Header header;
  if (mux::read_header(datagram, header) != mux::HeaderFault::kNone) {
    return drop(DropReason::kFlowMalformed);
  }
  if (!judge(packet, header, now)) return false;
  if (header.shard != shard_ || header.slot >= legs_.size() / 2) {
    return drop(DropReason::kFlowForeign);
  }
  const SocketTag tag{header.slot, 0, header.side, header.component};
  const Leg& entry = leg(tag);
  const std::uint16_t flow =
      edge_ != nullptr ? header.flow : static_cast<std::uint16_t>(packet.tag.generation);
  // Only the flow that a session was given to speaks for it: another tenant has tags of its own.
  if (!entry.carried || entry.there.flow != flow ||
      mux::short_generation(entry.generation) != header.generation) {
    return drop(DropReason::kFlowForeign);
  }
  packet.tag = tag;
  packet.tag.generation = entry.generation;
  packet.source = address_of_source(header.source);
  packet.data += mux::kHeaderBytes;
  packet.length -= static_cast<std::uint32_t>(mux::kHeaderBytes);
  return true;
}

bool MuxIo::judge(const Packet& packet, const mux::Header& header, Instant now) {
  const std::span<const std::uint8_t> datagram(packet.data, packet.length);
  if (edge_ == nullptr) {  // the socket is connected to the edge: its flow is known
    const Flow& flow = flows_[packet.tag.generation];
    if (!mux::tag_is_right(flow.config.keys.to_core, datagram)) return drop(DropReason::kFlowTag);
    return true;
  }
  switch (edge_->judge(header.flow, datagram)) {
    case mux::EdgeFlows::Verdict::kNoFlow:
      return drop(DropReason::kFlowUnknown);
    case mux::EdgeFlows::Verdict::kWrongTag:
      return drop(DropReason::kFlowTag);
    case mux::EdgeFlows::Verdict::kRight:
      break;
  }
  if (packet.source != edge_->route(header.flow, now).address) {
    mux::BindingBuffer buffer;
    const stun::Bytes hint = edge_->hint(header.flow, now, fresh_transaction(), buffer);
    if (!hint.empty()) answer(packet.tag.generation, hint, packet.source);
  }
  return true;
}

void MuxIo::handle_stun(const Packet& packet, Instant now) {
  const stun::Bytes datagram(packet.data, packet.length);
  const std::uint32_t index = packet.tag.generation;
  if (edge_ != nullptr) {
    mux::BindingBuffer buffer;
    const auto reply = edge_->handle_binding(datagram, packet.source, index, now, buffer);
    if (reply.datagram.empty()) {
      drop(DropReason::kFlowBinding);
    } else {
      answer(index, reply.datagram, packet.source);
    }
    return;
  }
  const Flow& flow = flows_[index];
  const auto message = stun::Message::parse(datagram);
  if (!message || !flow.binding->handle(*message, now)) {
    drop(DropReason::kFlowBinding);
    return;
  }
  FlowState& state = states_[index];
  if (flow.binding->is_bound(now)) {
    state.mapped.store(flow.binding->mapped(), flow.binding->bound_until());
  }
  state.round_trip.store(flow.binding->round_trip(), std::memory_order_relaxed);
  state.unanswered.store(flow.binding->unanswered(), std::memory_order_relaxed);
  if (flow.binding->next_deadline() <= now) on_deadline(now);
}

// ---- Sending

// A Binding that is lost is asked for again.
void MuxIo::answer(std::uint32_t index, stun::Bytes datagram, const SocketAddress& to) {
  static_cast<void>(transmit_datagram(fd_of(index), datagram, to));
}

SendResult MuxIo::find_path(const Leg& from, const Send& send, Path& path) const {
  if (from.generation != send.tag.generation || send.length > kPayloadBytesMax + kTailroomBytes) {
    return SendResult::kFailed;
  }
  if (from.there.generation == 0) return SendResult::kUnbound;
  path.header.shard = from.there.shard;
  path.header.side = from.there.side;
  path.header.component = send.tag.component;
  path.header.source = source_of_address(send.destination);
  path.header.slot = from.there.slot;
  path.header.generation = from.there.generation;
  path.way.shard = from.there.shard;
  if (edge_ == nullptr) {
    const Flow& flow = flows_[from.there.flow];
    if (flow.binding == nullptr) return SendResult::kUnbound;
    path.header.flow = flow.config.number;
    path.key = &flow.config.keys.to_edge;
    path.way.fd = fd_of(from.there.flow);
    return SendResult::kSent;
  }
  const mux::EdgeFlows::Route route = edge_->route(from.there.flow, monotonic_now());
  if (!route.address.is_set()) return SendResult::kUnbound;
  path.key = route.key;
  path.way.fd = fd_of(route.port);
  path.way.to = route.address;
  return SendResult::kSent;
}

SendResult MuxIo::send(const Send& send) {
  const Leg& entry = leg(send.tag);
  if (!entry.carried) return sockets_->send(send);
  Path path;
  const SendResult found = find_path(entry, send, path);
  if (found != SendResult::kSent) return found;
  // One piece, so that it takes one plain send; the copy is a fraction of that.
  std::array<std::uint8_t, mux::kHeaderBytes + kPayloadBytesMax + kTailroomBytes> datagram;
  std::copy_n(send.data, send.length, datagram.begin() + mux::kHeaderBytes);
  mux::write_header(*path.key, path.header, send.length, datagram.data());
  const std::span<const std::uint8_t> whole(datagram.data(), mux::kHeaderBytes + send.length);
  return result_of_transmit(transmit_datagram(path.way.fd, whole, path.way.to));
}

SendResult MuxIo::post(const Send& send) {
  Leg& entry = leg(send.tag);
  if (!entry.carried) return sockets_->post(send);
  Path path;
  const SendResult found = find_path(entry, send, path);
  if (found != SendResult::kSent) return found;
  std::uint8_t* place = runs_.add(path.way, mux::kHeaderBytes + send.length,
                                  entry.posted[index_of(send.tag.component)], send);
  std::copy_n(send.data, send.length, place + mux::kHeaderBytes);
  mux::write_header(*path.key, path.header, send.length, place);
  return SendResult::kWaiting;
}

void MuxIo::end_turn() {
  runs_.flush();
  sockets_->end_turn();
}

}  // namespace turnpike
