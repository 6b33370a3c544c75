// All flows of an edge: what their tags are checked with, and where the core behind each is.
// Control adds and removes, every shard reads, and one of them judges Bindings; without locks.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "relay/mux/binding.h"
#include "relay/mux/header.h"
#include "turnpike/flow.h"

namespace turnpike::mux {

/// An address that one thread writes and others read.
class SharedAddress {
 public:
  void store(const SocketAddress& address, Instant until);
  struct Value {
    SocketAddress address;
    Instant until{};
  };
  Value load() const;

 private:
  std::atomic<std::uint32_t> edition_{0};  // odd while it is written
  std::array<std::atomic<std::uint64_t>, 4> words_{};
};

class EdgeFlows {
 public:
  static constexpr std::size_t kFlowsMax = 1024;
  /// What shards may still be looking at is kept so long after its removal.
  static constexpr Seconds kRetirement{10};

  /// `secret`: random, of this process.
  explicit EdgeFlows(const BindingKey& secret);
  ~EdgeFlows();
  EdgeFlows(const EdgeFlows&) = delete;
  EdgeFlows& operator=(const EdgeFlows&) = delete;

  // By control.

  /// The number of a new flow; nothing when there are kFlowsMax.
  std::optional<FlowNumber> add(const FlowKeys& keys, Instant now);
  void remove(FlowNumber number, Instant now);
  FlowReport report(FlowNumber number, Instant now) const;

  // By any shard.

  enum class Verdict : std::uint8_t { kRight, kNoFlow, kWrongTag };
  Verdict judge(FlowNumber number, std::span<const std::uint8_t> datagram) const;

  struct Route {
    SocketAddress address;            ///< unset while the flow is not bound
    std::uint32_t port = 0;           ///< index of the port that its last Binding came to
    const SipHashKey* key = nullptr;  ///< of the tags; for this batch
  };
  Route route(FlowNumber number, Instant now) const;
  /// A packet with a right tag came from elsewhere than the flow's address. What to send there, if
  /// anything.
  stun::Bytes hint(FlowNumber number, Instant now, const stun::TransactionId& transaction,
                   BindingBuffer& buffer);

  // By one shard.

  /// A datagram without a header, that came to the port with this index.
  EdgeBinding::Answer handle_binding(stun::Bytes datagram, const SocketAddress& source,
                                     std::uint32_t port, Instant now, BindingBuffer& buffer);

 private:
  struct Flow {
    Flow(FlowNumber number, const FlowKeys& given, const BindingKey& secret);
    ~Flow();
    FlowKeys keys;
    std::atomic<std::uint32_t> port{0};
    std::atomic<Nanoseconds> hinted{Nanoseconds{0}};  // since the clock's epoch
    SharedAddress address;
    EdgeBinding binding;
  };
  struct Retired {
    std::unique_ptr<Flow> flow;
    FlowNumber number = 0;
    Instant at{};
  };
  Flow* find(FlowNumber number) const;
  void bury(Instant now);

  std::array<std::atomic<Flow*>, kFlowsMax> flows_{};  // number 1 first
  std::array<bool, kFlowsMax> taken_{};                // control's
  std::size_t next_ = 0;                               // control's: to be tried next
  std::vector<Retired> retired_;                       // control's
  BindingKey secret_;
};

}  // namespace turnpike::mux
