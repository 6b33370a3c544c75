// The shared flows of this node with each of its peers: the core draws their keys and offers them
// over the zone's channel, the edge gives them numbers, the core binds. Flows outlive the channel;
// they are agreed anew when it comes back with another process at its end.
// Hides: keys, messages, which flow belongs to whom. Is not: sockets (the relay's), the channel.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/pair/message.h"
#include "turnpike/flow.h"
#include "turnpike/relay.h"
#include "turnpike/time.h"

namespace turnpike::pair {

/// A node at the other end of a zone.
struct PeerConfig {
  std::string name;                  ///< "ZONE/PEER"
  IpAddress edge;                    ///< at a core: where the flows of this edge are
  std::vector<std::uint16_t> ports;  ///< at an edge: of its zone's flows
};

struct FlowStatus {
  std::uint16_t shard = 0;  ///< of the core
  FlowNumber number = 0;    ///< 0: not agreed yet
  FlowReport report;
};

class PairFlows {
 public:
  /// Of one core at an edge: so no tenant takes the room of the others.
  static constexpr std::size_t kFlowsOfPeerMax = 64;
  static constexpr Seconds kAskAgainAfter{10};

  struct Environment {
    std::function<void(void* buffer, std::size_t size)> random_bytes;
    /// To the peer's channel. False: it has none now.
    std::function<bool(const std::string& peer, std::string_view message)> send;
    /// At an edge: flows to this peer are other ones now, its sessions want to be told.
    std::function<void(const std::string& peer)> changed;
    /// Something that an operator should know.
    std::function<void(const std::string& peer, const std::string& what)> warn;
  };

  /// `relay` outlives this. `shards`: of this node. The place of a core's peers in `peers` is the
  /// number of the edge (CoreFlow::edge).
  PairFlows(Flows& relay, PairRole role, std::size_t shards, const std::vector<PeerConfig>& peers,
            Environment environment);
  ~PairFlows();
  PairFlows(const PairFlows&) = delete;
  PairFlows& operator=(const PairFlows&) = delete;

  /// `epoch` is of the peer's process: for another one new flows are made.
  void on_channel(const std::string& peer, std::uint64_t epoch);
  /// At a core: asks again for flows that the edge had no room for. Call it about once a second.
  void on_tick(Instant now);
  /// False: it is no message of a peer with the other role.
  bool on_message(const std::string& peer, std::string_view message);

  /// Carriage::flow of a session with this peer, whose other node has it on `shard` (of the core);
  /// 0 at an edge: there is none yet.
  std::uint16_t flow_to(const std::string& peer, std::uint16_t shard) const;
  /// Whether media can go to and from this peer now, on this shard of the core; -1: on any.
  bool is_bound(const std::string& peer, int shard) const;
  /// By shard of the core.
  std::vector<FlowStatus> report(const std::string& peer) const;

 private:
  struct Flow {
    FlowKeys keys;
    FlowNumber number = 0;
    std::uint16_t port = 0;
  };
  struct Peer {
    PeerConfig config;
    std::uint16_t index = 0;
    std::optional<std::uint64_t> epoch;  // of its process; unset: not seen yet
    bool awaits_numbers = false;         // at a core: has asked
    Instant offered{};
    std::map<std::uint16_t, Flow> flows;  // by shard of the core
  };

  void draw_keys(Peer& peer);
  void offer(Peer& peer);
  bool take_offer(Peer& peer, const std::vector<OfferedFlow>& offered);
  bool take_numbers(Peer& peer, const std::vector<NumberedFlow>& numbered);
  /// True: it is another one now. `gone` gets the number before it.
  bool add(Peer& peer, const OfferedFlow& offered, std::vector<FlowNumber>& gone);
  Peer* find(const std::string& name) const;

  Flows& relay_;
  PairRole role_;
  std::vector<std::unique_ptr<Peer>> peers_;
  Environment environment_;
};

}  // namespace turnpike::pair
