// The front door's thread: accepts, looks at the first bytes of each connection without taking
// them, and passes it on. Hides: the thread, its listening sockets, limits, times.
// Is not: who goes where (door_rules.h), nor what is done there.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "relay/core/mailbox.h"
#include "relay/door_rules.h"
#include "relay/door_splices.h"
#include "relay/io/doorbell.h"
#include "relay/io/stream_listeners.h"
#include "relay/io/stream_poll.h"
#include "turnpike/front_door.h"
#include "turnpike/result.h"
#include "turnpike/time.h"

namespace turnpike {

/// A connection that the door passes on, unread. Crosses mailboxes, which copy; who takes it owns
/// `fd`.
struct DoorNewcomer {
  int fd = -1;
  SocketAddress client;
  SocketAddress local;  ///< where it came in
  bool is_tls = false;
};

class FrontDoorThread final : public FrontDoor {
 public:
  struct Targets {
    /// On the thread; false when there is no room, and the descriptor stays the giver's.
    std::function<bool(const DoorNewcomer&)> turn;
    bool turn_takes_stun = false;
    SipHashKey source_key{};  ///< secret: by which sources have names for the SIP server
  };
  static Result<std::unique_ptr<FrontDoorThread>> start(const door::Config& config,
                                                        Targets targets);
  ~FrontDoorThread() override;
  void stop();

  const door::Counters& counters() const override { return counters_; }
  int callers_fd() const override { return callers_bell_.fd(); }
  bool next_caller(door::Caller& caller) override;

 private:
  using Source = std::pair<AddressFamily, std::uint64_t>;
  enum class Stay : std::uint8_t { kWaiting, kCarried };
  static constexpr std::size_t index_of(Stay stay) { return static_cast<std::size_t>(stay); }
  struct Waiting {
    int fd = -1;
    SocketAddress client;
    std::uint32_t listener = 0;
    bool has_begun = false;
    bool wants_header = false;  // of a load balancer: whose it is comes first
    Instant since{};
  };

  FrontDoorThread(std::unique_ptr<StreamPoll> poll, const door::Config& config, Targets targets);
  void run();
  void take(std::uint32_t listener, const Accepted& accepted, Instant now);
  void make_room();
  void look(std::size_t place);
  bool take_header(std::size_t place, std::span<const std::uint8_t>& bytes);
  void pass_on(std::size_t place, door::Outcome outcome);
  /// Nothing when it is another's now; else why not.
  std::optional<door::Outcome> hand_over(const Waiting& one, door::Outcome outcome, Instant now);
  void end(std::size_t place, door::Outcome why);
  void forget(std::size_t place);
  bool is_proxy(const IpAddress& ip) const;
  void end_late(Instant now);
  // Of a load balancer all clients have one address: it has no number of its own.
  bool enter_source(Stay stay, const IpAddress& ip);
  void leave_source(Stay stay, const IpAddress& ip);
  void count(door::Outcome outcome) { counters_.outcomes[static_cast<std::size_t>(outcome)].add(); }

  // Of its thread and control's.
  static constexpr std::size_t kCallersMax = 64;
  Mailbox<door::Caller> callers_{kCallersMax};
  Doorbell callers_bell_;

  std::unique_ptr<StreamPoll> poll_;
  const door::Config config_;
  const Targets targets_;
  const door::Rules rules_;
  StreamListeners listeners_;
  std::vector<Waiting> waiting_;   // by place
  std::vector<std::size_t> free_;  // places
  DoorSplices splices_;
  // Who waits and who is carried have numbers of their own: the latter stay for long, and must keep
  // nobody from asking for something else.
  std::array<std::map<Source, std::uint32_t>, 2> sources_;  // by Stay
  std::array<std::uint32_t, 2> held_{};
  std::vector<std::uint8_t> bytes_;  // of whom is looked at
  std::unique_ptr<ClientHelloReader> reader_ = std::make_unique<ClientHelloReader>();
  door::Counters counters_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace turnpike
