// The daemon's figures as Prometheus text. Hides: the metrics library, names and help texts.
// Labels have few values, all of them ours: nothing that a remote end sends becomes a label.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/api/gate.h"
#include "control/call/call_service.h"
#include "control/call_quality.h"
#include "control/homer/report.h"
#include "control/log/log.h"
#include "control/log/record_file.h"
#include "control/ng/server.h"
#include "control/zone/report.h"
#include "turnpike/handshake_stats.h"
#include "turnpike/relay.h"
#include "turnpike/stats.h"

namespace turnpike::metrics {

/// What the kernel says about this process.
struct ProcessFigures {
  double cpu_seconds = 0;
  double start_time_seconds = 0;  ///< since the epoch
  std::uint64_t resident_bytes = 0;
  std::uint64_t open_files = 0;
  std::uint64_t open_files_max = 0;

  static ProcessFigures read();
};

/// Everything that is shown. Pointers are to what lives longer than the call.
struct Figures {
  std::vector<const ShardCounters*> shards;
  const HandshakeCounters* handshakes = nullptr;  ///< null: a relay without DTLS
  RelayUsage usage;
  TurnServer* turn = nullptr;             ///< null: none
  const FrontDoor* front_door = nullptr;  ///< null: none
  std::uint64_t turn_allocations_max = 0;
  std::vector<std::string> turn_realms;  ///< names by turn::Realm::figures
  AdoptionReport adoption;
  bool holder_configured = false;
  call::CallAdoption call_adoption;
  std::uint64_t calls = 0;
  std::uint64_t calls_max = 0;
  const CallQuality* quality = nullptr;
  std::uint64_t ice_candidates_skipped = 0;
  bool draining = false;
  bool last_reload_refused = false;
  std::uint64_t keys_waiting_for_restart = 0;
  const ng::ServerCounters* ng = nullptr;
  std::uint64_t ng_ignored = 0;  ///< keys, flags and values without effect
  std::uint64_t ng_cached_replies = 0;
  log::Log::Counters log;
  log::RecordFile::Counters records;
  homer::Counters homer;
  std::uint64_t http_requests = 0;
  std::uint64_t http_refused = 0;
  std::uint64_t http_connections_refused = 0;
  api::Gate::Counters api_refused{};
  std::vector<zone::ZoneReport> zones;
  Instant now{};
  ProcessFigures process;
};

/// Text exposition format 0.0.4.
std::string render(const Figures& figures);

constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace turnpike::metrics
