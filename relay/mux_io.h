// Sockets of a shard at a node of a traversal pair: media sockets as ever, and the shared flows to
// the other node. Legs without ports of their own send and receive through these; whoever uses the
// seam does not see the difference.
// Hides: headers, flows, Bindings on the wire. Is not: which session uses which flow; control says.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "relay/io/segment_runs.h"
#include "relay/io/udp_io.h"
#include "relay/mux/binding.h"
#include "relay/mux/edge_flows.h"
#include "relay/mux/header.h"
#include "turnpike/flow.h"
#include "turnpike/stats.h"

namespace turnpike {

class MuxIo final : public UdpIo {
 public:
  /// `edge`: of an edge, shared by its shards; null at a core.
  MuxIo(std::unique_ptr<UdpIo> sockets, std::uint16_t shard, std::uint32_t sessions_max,
        mux::EdgeFlows* edge, ShardCounters& counters);
  ~MuxIo() override;

  /// At an edge: the socket of this shard at the shared port with this index; it is closed with
  /// this. All shards have the same ports.
  bool add_port(int fd, std::uint32_t index);
  /// At a core: the socket, connected to the edge, of a flow; replaces the one before.
  bool set_flow(int fd, const CoreFlow& flow, Instant now);
  /// Of any thread.
  FlowReport flow_report(std::uint16_t edge, Instant now) const;

  /// The leg has its media there from now on; generation 0: it sends nothing, yet is heard.
  void carry(const SocketTag& leg, const Carriage& carriage);
  void forget(const SocketTag& session);
  /// Told what became of each Send for which post() said kWaiting.
  void on_fate(SegmentRuns::Fate fate) { runs_.on_fate(std::move(fate)); }

  /// When on_deadline wants to be called; Instant::max(): never.
  Instant next_deadline() const;
  void on_deadline(Instant now);

  // UdpIo
  bool add(int fd, const SocketTag& tag) override { return sockets_->add(fd, tag); }
  bool add_other_family(int fd, const SocketTag& tag, AddressFamily family) override {
    return sockets_->add_other_family(fd, tag, family);
  }
  void remove(int fd, const SocketTag& tag) override { sockets_->remove(fd, tag); }
  bool add_shared(int fd, std::uint32_t index) override { return sockets_->add_shared(fd, index); }
  void begin_turn() override { sockets_->begin_turn(); }
  void end_turn() override;
  int poll_fd() const override { return sockets_->poll_fd(); }
  Waiting receive(Batch& batch, bool shed) override;
  bool readable() const override { return sockets_->readable(); }
  SendResult send(const Send& send) override;
  SendResult post(const Send& send) override;
  SendErrors errors_of(const SocketTag& tag) const override { return sockets_->errors_of(tag); }

 private:
  struct Leg {
    bool carried = false;
    std::uint32_t generation = 0;  // of our session
    Carriage there;
    std::array<SegmentRuns::Stream, 2> posted;  // by component
  };
  // How a packet of a carried leg leaves.
  struct Path {
    SegmentRuns::Way way;
    const SipHashKey* key = nullptr;
    mux::Header header;
  };
  struct Flow {
    CoreFlow config;
    std::unique_ptr<mux::CoreBinding> binding;
  };

  // What this shard knows of its flow to one edge, for control to read.
  struct FlowState {
    mux::SharedAddress mapped;  // and until when it is bound
    std::atomic<Nanoseconds> round_trip{Nanoseconds{0}};
    std::atomic<std::uint32_t> unanswered{0};
  };

  bool translate(Packet& packet, Instant now);
  /// kSent: there is one.
  SendResult find_path(const Leg& from, const Send& send, Path& path) const;
  void handle_stun(const Packet& packet, Instant now);
  bool judge(const Packet& packet, const mux::Header& header, Instant now);
  bool drop(DropReason reason);
  void answer(std::uint32_t index, stun::Bytes datagram, const SocketAddress& to);
  int fd_of(std::uint32_t index) const { return index < fds_.size() ? fds_[index] : -1; }
  Leg& leg(const SocketTag& tag) { return legs_[tag.slot * 2 + index_of(tag.side)]; }

  std::unique_ptr<UdpIo> sockets_;
  std::uint16_t shard_;
  mux::EdgeFlows* edge_;
  ShardCounters& counters_;
  std::vector<Leg> legs_;  // by slot and side
  std::vector<int> fds_;   // shared, by index
  SegmentRuns runs_;
  std::array<Flow, kEdgesMax> flows_;
  std::array<FlowState, kEdgesMax> states_;
};

}  // namespace turnpike
