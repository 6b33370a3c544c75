// Reports on streams to a capture server: regularly while calls are up, and at their end. Works
// from figures that the relay gives when asked, never from packets. Hides: the socket, whose turn
// it is, how far each stream was reported. Nothing waits for the server: what is too much is lost
// and counted.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/call/call_service.h"
#include "control/config/secret.h"
#include "control/config/settings.h"
#include "control/diagnosis/diagnosis.h"
#include "control/homer/hep.h"
#include "control/homer/report.h"
#include "control/log/log.h"
#include "control/loop/event_loop.h"
#include "control/loop/udp_socket.h"
#include "turnpike/event.h"
#include "turnpike/relay.h"
#include "turnpike/result.h"

namespace turnpike {

class HomerService {
 public:
  /// The tokens under which sessions are asked for figures here: apart from those of calls, from 1,
  /// and of the API, the upper half.
  static constexpr std::uint64_t kFirstToken = std::uint64_t{1} << 62;

  /// Null when the settings name no server. A key that cannot be read, or a socket that cannot be
  /// opened, is logged, and null too: calls do without reports. All else outlives this.
  static std::unique_ptr<HomerService> start(loop::EventLoop& loop,
                                             const config::Settings& settings, Relay& relay,
                                             const call::CallService& calls, log::Log& log);

  /// Asks for the figures of those whose turn it is. Call it once a second.
  void on_tick(Instant now);
  /// False: it is nothing that was asked for here.
  bool on_event(const Event& event);
  /// As CallService::Environment::ended.
  void end(const call::CallSummary& call, const std::string& why,
           const std::map<SessionId, SessionStats>& stats,
           const std::array<diagnosis::Verdict, 2>& verdicts);
  const homer::Counters& counters() const { return counters_; }

 private:
  struct Asked {
    Instant give_up_at{};
    std::string call_id;
    std::array<call::LegSummary, 2> legs;
  };
  /// What was said of the streams of a session.
  struct Told {
    std::uint32_t round = 0;  ///< in which it was there
    std::map<std::pair<unsigned, std::uint32_t>, homer::Reported> streams;  ///< by side and SSRC
  };

  HomerService(const config::Settings& settings, Secret key, loop::UdpSocket socket, Relay& relay,
               const call::CallService& calls)
      : section_(settings.homer),
        node_(settings.node.name),
        key_(std::move(key)),
        socket_(std::move(socket)),
        relay_(relay),
        calls_(calls) {}

  void ask(Instant now);
  void begin_round();
  void report(const Asked& asked, SessionId id, const SessionStats& stats);
  void send(homer::HepPayload type, const SocketAddress& source, const SocketAddress& destination,
            std::string_view call_id, std::string_view payload);

  const config::HomerSection section_;
  const std::string node_;
  const Secret key_;
  loop::UdpSocket socket_;
  Relay& relay_;
  const call::CallService& calls_;
  std::uint32_t budget_ = 0;          ///< reports that may still go in this second
  std::uint32_t regular_budget_ = 0;  ///< of these, while calls are up
  SessionId last_{};                  ///< whose turn it was
  std::uint32_t round_ = 0;
  std::uint64_t next_token_ = kFirstToken;
  std::map<std::uint64_t, Asked> asked_by_token_;
  std::map<SessionId, Told> told_;
  homer::Counters counters_;
};

}  // namespace turnpike
