// Start-up order: the lock against a second daemon, relay, calls (which adopt what a holder kept),
// control protocol, API. A part is destroyed before the parts that it uses.
#include "control/daemon.h"

#include <algorithm>
#include <csignal>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "control/adoption_log.h"
#include "control/api/endpoints.h"
#include "control/api/http_server.h"
#include "control/api/ng_door.h"
#include "control/api_access.h"
#include "control/call/call_service.h"
#include "control/call_log.h"
#include "control/call_quality.h"
#include "control/call_records.h"
#include "control/capture_service.h"
#include "control/config/host.h"
#include "control/config/products.h"
#include "control/config/turn_products.h"
#include "control/front_door.h"
#include "control/homer_service.h"
#include "control/last_figures.h"
#include "control/limits.h"
#include "control/loop/event_loop.h"
#include "control/loop/watchers.h"
#include "control/metrics.h"
#include "control/ng/server.h"
#include "control/ng_access.h"
#include "control/pairing.h"
#include "control/process.h"
#include "control/reload.h"
#include "control/run_lock.h"
#include "control/shortages.h"
#include "control/turn_service.h"
#include "turnpike/host.h"
#include "turnpike/port_usage.h"
#include "turnpike/relay.h"

namespace turnpike {
namespace {

constexpr Milliseconds kTick{1000};
constexpr Milliseconds kPortTick{100};  // idle ports want looking after oftener
constexpr Milliseconds kDrainTick{100};
constexpr std::uint64_t kDescriptorsOfTheDaemon = 40;  // log, loops, doors, lock, holder
constexpr std::uint64_t kDescriptorsOfAShard = 12;

class Daemon {
 public:
  Daemon(config::Loaded& loaded, std::string config_path, log::Log& log)
      : loaded_(loaded),
        config_path_(std::move(config_path)),
        settings_(loaded.settings),
        host_(config::Host::read(settings_)),
        log_(log),
        call_log_(log),
        records_(settings_.node.name, log) {}

  Result<void> start();
  void run() {
    hold_stop_signals(false);
    loop_.run();
    hold_stop_signals(true);
    end_captures(*captures_, loop_);
    ng_door_.reset();  // turns the loop, which may still ask for any part
    await_last_figures(*relay_, *calls_, [this] { on_events(); });
    records_.finish();
  }

 private:
  void prepare_host();
  Result<void> lock();
  Result<void> start_relay();
  void start_calls();
  Result<void> start_ng();
  Result<void> start_api();
  api::EndpointsContext endpoints_context();
  api::Response figures_page() const;
  void log_operation(const char* what, const std::string& object, const api::Request& request);
  bool on_drain_request(bool drain, const api::Request& request);
  api::ReloadReport on_reload(bool check, const api::Request& request);
  std::string on_log_level(const std::string& level, const api::Request& request);
  Result<void> on_set_limit(const std::string& key, std::int64_t value,
                            const api::Request& request);
  bool on_end_call(const std::string& call_id, const api::Request& request);
  Result<zone::MeasureBegun> on_measure(const std::string& peer, const zone::MeasureOptions& what,
                                        const api::Request& request);
  Result<void> watch();
  metrics::Figures figures() const;
  void on_events();
  void on_tick();
  void on_stop_signal(const char* name);
  void on_hand_over_signal();
  void on_drain_tick();
  std::string status() const;

  config::Loaded& loaded_;
  const std::string config_path_;
  const config::Settings& settings_;  // of loaded_: another one after a reload
  const config::Host host_;           // as it was at start
  log::Log& log_;
  CallLog call_log_;
  CallRecords records_;
  CallQuality quality_;
  std::optional<RunLock> lock_;
  loop::EventLoop loop_;
  std::unique_ptr<Relay> relay_;
  std::optional<Shortages> shortages_;
  std::unique_ptr<TurnService> turn_;
  FrontDoor* front_door_ = nullptr;  // of relay_; null: none
  std::unique_ptr<call::CallService> calls_;
  call::CallAdoption call_adoption_;
  std::unique_ptr<HomerService> homer_;  // null: no server for reports
  std::unique_ptr<Pairing> pairing_;     // requests ask it for flows: it outlives every door
  std::unique_ptr<ng::Server> ng_;
  std::unique_ptr<api::NgDoor> ng_door_;
  std::unique_ptr<capture::Service> captures_;
  std::unique_ptr<api::Endpoints> endpoints_;
  std::unique_ptr<api::Gate> gate_;
  std::unique_ptr<api::HttpServer> http_;
  std::optional<Reloader> reloader_;
  std::optional<Limits> limits_;
  loop::FdWatcher events_;
  loop::FdWatcher callers_;  // of front_door_
  loop::BeforeWait flush_;
  loop::Timer tick_;
  loop::Timer port_tick_;
  loop::Timer drain_tick_;
  std::vector<loop::SignalWatcher> signals_;
  bool draining_ = false;  // about to end
  bool paused_ = false;    // new calls are refused because somebody asked through the API
  Instant drain_until_{};
};

void Daemon::prepare_host() {
  const std::uint64_t needed = config::open_files_needed(settings_);
  // A holder may give back more than this configuration would ever open.
  const std::uint64_t wanted =
      settings_.holder.unix_path.empty() ? needed : std::max(needed, host_.open_files_max);
  if (const std::uint64_t limit = raise_descriptor_limit(wanted); limit < needed) {
    log_.warning("open_files_low", {{"limit", limit},
                                    {"needed", needed},
                                    {"hint", "raise LimitNOFILE or lower media.sessions_max"}});
  }
  const config::MediaSection& media = settings_.media;
  const config::TurnSection& turn = settings_.turn;
  Result<void> reserved = reserve_port_range(media.port_min, media.port_max);
  if (reserved && !turn.realms.empty()) reserved = reserve_port_range(turn.port_min, turn.port_max);
  if (!reserved) log_.warning("ports_not_reserved", {{"reason", reserved.error().message}});
}

// Before anything is touched: a second daemon would take sockets and calls from the first.
Result<void> Daemon::lock() {
  const std::string& path =
      settings_.holder.unix_path.empty() ? settings_.ng.unix_path : settings_.holder.unix_path;
  if (path.empty()) return {};
  auto lock = RunLock::take(path);
  if (!lock) return lock.error();
  lock_.emplace(std::move(*lock));
  return {};
}

Result<void> Daemon::start_relay() {
  prepare_host();
  const auto without = config::interfaces_without_address(settings_, host_);
  if (!without.empty()) return Error{without.front()};
  for (const std::string& missing : config::missing_addresses(settings_, host_)) {
    log_.warning("address_missing",
                 {{"reason", missing}, {"hint", "going on with the interface's other addresses"}});
  }

  RelayConfig config = config::relay_config(settings_);
  config.turn = config::turn_config(settings_, host_);
  Result<std::unique_ptr<Relay>> relay = Relay::start(config);
  if (!relay) return relay.error();
  relay_ = std::move(*relay);
  turn_ = TurnService::start(settings_, relay_->turn(), log_);
  const AdoptionReport& adoption = relay_->adoption();
  const SrtpLibrary wanted = settings_.media.srtp_backend;
  const SrtpLibrary srtp = wanted == SrtpLibrary::kAuto ? best_srtp_library() : wanted;
  log_.info("relay_started", {{"shards", relay_->shard_count()},
                              {"srtp_backend", name_of(srtp)},
                              {"ports", relay_->usage().ports_total},
                              {"holder", adoption.holder_connected},
                              {"sessions_adopted", adoption.sessions_adopted}});
  log_kept_settings(adoption, log_);
  if (!adoption.refused.empty()) {
    log_.warning("adoption_refused", {{"reason", adoption.refused}});
  }
  if (!settings_.holder.unix_path.empty() && !adoption.holder_connected) {
    log_.warning("holder_missing",
                 {{"socket", settings_.holder.unix_path}, {"hint", "calls end with this process"}});
  }
  shortages_.emplace(settings_, *relay_, log_);
  return {};
}

void Daemon::start_calls() {
  if (!settings_.zones.empty()) {
    pairing_ = std::make_unique<Pairing>(settings_, *relay_, log_, [this](const std::string& peer) {
      calls_->on_flows_changed(peer);
    });
  }
  call::CallService::Environment environment;
  environment.clock = [] { return loop::EventLoop::now(); };
  environment.random_bytes = random_bytes;
  environment.log = [this](const auto& call, const auto& what) {
    call_log_.what(log::Level::kInfo, call, what);
  };
  environment.log_detail = [this](const auto& call, const auto& what) {
    call_log_.what(log::Level::kDebug, call, what);
  };
  environment.ended = [this](const auto& call, const auto& why, const auto& stats,
                             const auto& verdicts) {
    call_log_.end(call, why, stats, verdicts);
    records_.end(call, why, stats, verdicts);
    quality_.end(stats);
    if (homer_) homer_->end(call, why, stats, verdicts);
  };
  environment.keeps_ends = [this] { return records_.enabled(); };
  environment.adopt_end = [this](auto key, const auto& line) { return records_.adopt(key, line); };
  environment.silent = [this](const auto& call, const auto& session, Side side,
                              const auto& verdict) {
    call_log_.silence(call, session, side, verdict);
  };
  environment.flow_to = [this](const std::string& peer, std::uint16_t shard) {
    return pairing_ ? pairing_->flow_to(peer, shard) : std::uint16_t{0};
  };
  environment.has_flow = [this](const std::string& peer, int shard) {
    return pairing_ && pairing_->has_flow(peer, shard);
  };
  records_.keep_in(*relay_, std::max(64U, relay_->usage().sessions_max / 8));
  records_.set(config::live_settings(settings_, host_).records);
  call::CallServiceConfig calls = config::call_config(settings_, host_);
  for (const KeptSetting& setting : relay_->adoption().kept_settings) {
    const auto port = static_cast<std::uint16_t>(setting.kept);
    if (setting.name == std::string_view("port_min")) calls.media_port_min = port;
    if (setting.name == std::string_view("port_max")) calls.media_port_max = port;
  }
  calls_ = call::CallService::create(std::move(calls), *relay_, environment);
  call_adoption_ = calls_->adopt();
  log_adoption(relay_->adoption(), call_adoption_, log_);
  captures_ = make_captures(*relay_, *calls_, log_, settings_.api.captures);
  limits_.emplace(loaded_, *relay_, *calls_);
  homer_ = HomerService::start(loop_, settings_, *relay_, *calls_, log_);
}

Result<void> Daemon::start_ng() {
  const auto config = config::ng_config(settings_);
  if (!config) return config.error();
  auto server = ng::Server::create(loop_, *config, *calls_, [this](const std::string& line) {
    log_.info("ng", {{"what", line}});
  });
  if (!server) return server.error();
  ng_ = std::move(*server);
  auto door = open_ng_door(loop_, settings_, ng_->gate(), log_);
  if (!door) return door.error();
  ng_door_ = std::move(*door);
  return {};
}

api::EndpointsContext Daemon::endpoints_context() {
  return {
      .relay = *relay_,
      .calls = *calls_,
      .node_name = settings_.node.name,
      .role = settings_.node.role,
      .calls_max = settings_.media.calls_max,
      .clock = [] { return loop::EventLoop::now(); },
      .draining = [this] { return draining_ || paused_; },
      .turn_credentials = turn_ ? [this](const auto& asked) { return turn_->credentials(asked); }
                                : std::function<api::Response(const api::Request&)>(),
      .log_operation = [this](const char* what, const std::string& object,
                              const auto& request) { log_operation(what, object, request); },
      .turn_allocations_max = turn_ ? settings_.turn.allocations_max : 0,
      .turn_realms = [this] { return turn_ ? turn_->realm_figures() : std::vector<std::string>{}; },
      .ports = [this] { return port_usage(*relay_); },
      .zones = [this] { return pairing_ ? pairing_->report() : std::vector<zone::ZoneReport>{}; },
      .metrics = [this] { return figures_page(); },
      .drain = [this](bool drain, const auto& request) { return on_drain_request(drain, request); },
      .reload = [this](bool check, const auto& request) { return on_reload(check, request); },
      .configuration =
          [this] {
            return api::ConfigurationState{reloader_->last_refused(), reloader_->waiting()};
          },
      .log_level = [this](const auto& level,
                          const auto& request) { return on_log_level(level, request); },
      .end_call = [this](const auto& call_id,
                         const auto& request) { return on_end_call(call_id, request); },
      .measure = [this](const auto& peer, const auto& options,
                        const auto& request) { return on_measure(peer, options, request); },
      .captures = captures_.get(),
      .limits = [this] { return limits_->report(*reloader_); },
      .set_limit = [this](const auto& key, auto value,
                          const auto& request) { return on_set_limit(key, value, request); }};
}

api::Response Daemon::figures_page() const {
  return {200, metrics::kContentType, metrics::render(figures())};
}

Result<void> Daemon::start_api() {
  endpoints_ = std::make_unique<api::Endpoints>(endpoints_context());
  api::HttpServerOptions options = config::api_config(settings_);
  auto gate = make_gate(settings_.api, log_);
  if (!gate) {
    // Calls matter more than who watches them.
    log_.error("api_closed", {{"listen", to_string(settings_.api.listen)},
                              {"reason", gate.error().message},
                              {"hint", "going on without this door; mend it and restart"}});
    options.api = {};
    options.tls = {};
    gate = make_gate({}, log_);
  }
  gate_ = std::move(*gate);
  auto server = api::HttpServer::start(loop_, options,
                                       [this](const api::Request& asked, api::Respond respond) {
                                         api::Request request = asked;
                                         const auto scope = api::Endpoints::needs(request);
                                         auto refusal = gate_->judge(request, scope);
                                         if (refusal) return respond(std::move(*refusal));
                                         endpoints_->handle(request, std::move(respond));
                                       });
  if (!server) return server.error();
  http_ = std::move(*server);
  reloader_.emplace(loaded_, config_path_,
                    Reloader::Parts{.host = host_,
                                    .log = log_,
                                    .records = records_,
                                    .relay = *relay_,
                                    .calls = *calls_,
                                    .ng = *ng_,
                                    .ng_door = ng_door_.get(),
                                    .endpoints = *endpoints_,
                                    .gate = *gate_,
                                    .http = *http_,
                                    .captures = *captures_,
                                    .pairing = pairing_.get(),
                                    .turn = turn_.get()});
  return {};
}

Result<zone::MeasureBegun> Daemon::on_measure(const std::string& peer,
                                              const zone::MeasureOptions& what,
                                              const api::Request& request) {
  if (!pairing_) return Error{"this node is no part of a traversal pair"};
  log_operation("zone_measure", peer, request);
  return pairing_->measure(peer, what);
}

void Daemon::log_operation(const char* what, const std::string& object,
                           const api::Request& request) {
  log_.audit("api_operate", {{"what", what},
                             {"by", request.asker},
                             {"address", request.source.is_set() ? to_string(request.source) : ""},
                             {"calls", calls_->call_count()},
                             {"object", object}});
}

bool Daemon::on_drain_request(bool drain, const api::Request& request) {
  if (draining_) return false;
  paused_ = drain;
  calls_->set_draining(drain);
  if (turn_) turn_->set_draining(drain);
  log_operation(drain ? "drain" : "resume", "", request);
  return true;
}

api::ReloadReport Daemon::on_reload(bool check, const api::Request& request) {
  return check ? reloader_->check() : reloader_->reload(request.asker);
}

std::string Daemon::on_log_level(const std::string& level, const api::Request& request) {
  if (!level.empty()) {
    const auto wanted = log::parse_level(level);
    if (!wanted) return {};
    log_operation("log_level", level, request);
    log_.set_level(*wanted);
  }
  return std::string(log::name_of(log_.level()));
}

Result<void> Daemon::on_set_limit(const std::string& key, std::int64_t value,
                                  const api::Request& request) {
  const Result<std::int64_t> before = reloader_->set_limit(key, value);
  if (!before) return before.error();
  log_operation("set_limit",
                key + ": " + std::to_string(*before) + " -> " + std::to_string(value) +
                    " until the next reload",
                request);
  return {};
}

bool Daemon::on_end_call(const std::string& call_id, const api::Request& request) {
  if (!calls_->end_call(call_id)) return false;
  log_operation("end_call", call_id, request);
  return true;
}

metrics::Figures Daemon::figures() const {
  metrics::Figures figures;
  for (std::size_t i = 0; i < relay_->shard_count(); ++i) {
    figures.shards.push_back(&relay_->shard_counters(i));
  }
  figures.handshakes = relay_->handshake_counters();
  figures.usage = relay_->usage();
  figures.turn = relay_->turn();
  figures.front_door = front_door_;
  figures.turn_allocations_max = turn_ ? settings_.turn.allocations_max : 0;
  if (turn_) figures.turn_realms = turn_->realm_figures();
  figures.adoption = relay_->adoption();
  figures.holder_configured = !settings_.holder.unix_path.empty();
  figures.call_adoption = call_adoption_;
  figures.calls = calls_->call_count();
  figures.calls_max = settings_.media.calls_max;
  figures.quality = &quality_;
  figures.ice_candidates_skipped = calls_->ice_candidates_skipped();
  figures.draining = draining_ || paused_;
  figures.ng = &ng_->counters();
  for (const auto& entry : ng_->ignored().entries()) figures.ng_ignored += entry.count;
  figures.ng_cached_replies = ng_->cached_replies();
  figures.log = log_.counters();
  figures.records = records_.counters();
  if (homer_) figures.homer = homer_->counters();
  figures.last_reload_refused = reloader_->last_refused();
  figures.keys_waiting_for_restart = reloader_->waiting().size();
  figures.http_requests = http_->counters().requests;
  figures.http_refused = http_->counters().refused;
  figures.http_connections_refused =
      http_->counters().connections_refused + http_->counters().handshakes_late;
  figures.api_refused = gate_->counters();
  if (pairing_) figures.zones = pairing_->report();
  figures.now = loop::EventLoop::now();
  figures.process = metrics::ProcessFigures::read();
  return figures;
}

Result<void> Daemon::start() {
  if (runs_as_root()) {
    log_.warning("runs_as_root", {{"hint", "no privilege is needed; use the systemd unit"}});
  }
  if (Result<void> locked = lock(); !locked) return locked;
  if (Result<void> started = start_relay(); !started) return started;
  start_calls();
  if (Result<void> started = start_ng(); !started) return started;
  if (auto started = pairing_ ? pairing_->start(loop_) : Result<void>{}; !started) return started;
  if (Result<void> started = start_api(); !started) return started;
  front_door_ = open_front_door(settings_, host_, *relay_, log_);
  if (front_door_ != nullptr) {
    auto callers = serve_callers(*front_door_, loop_, *http_);
    if (!callers) return callers.error();
    callers_ = std::move(*callers);
  }
  if (Result<void> watched = watch(); !watched) return watched;
  log_.info("ready", {{"version", TURNPIKE_VERSION},
                      {"node", settings_.node.name},
                      {"calls", calls_->call_count()}});
  notify_service_manager("READY=1\nSTATUS=" + status());
  return {};
}

Result<void> Daemon::watch() {
  auto events = loop::FdWatcher::watch(loop_, relay_->event_fd(), {.readable = true},
                                       [this](auto) { on_events(); });
  if (!events) return events.error();
  events_ = std::move(*events);
  flush_ = loop::BeforeWait(loop_, [this] { relay_->flush(); });
  const std::pair<int, std::function<void()>> handlers[] = {
      {SIGTERM, [this] { on_stop_signal("SIGTERM"); }},
      {SIGINT, [this] { on_stop_signal("SIGINT"); }},
      {SIGUSR1, [this] { on_hand_over_signal(); }},
      {SIGHUP, [this] { reloader_->reload("SIGHUP"); }},
  };
  for (const auto& [number, handler] : handlers) {
    auto watcher = loop::SignalWatcher::watch(loop_, number, handler);
    if (!watcher) return watcher.error();
    signals_.push_back(std::move(*watcher));
  }
  tick_ = loop::Timer(loop_, [this] { on_tick(); });
  tick_.start(kTick, kTick);
  port_tick_ = loop::Timer(loop_, [this] {
    relay_->on_tick();
    records_.settle();
    captures_->poll();
  });
  port_tick_.start(kPortTick, kPortTick);
  drain_tick_ = loop::Timer(loop_, [this] { on_drain_tick(); });
  return {};
}

void Daemon::on_events() {
  relay_->poll_events([this](const Event& event) {
    if (endpoints_->on_event(event) || (homer_ && homer_->on_event(event))) return;
    calls_->on_event(event);
  });
}

void Daemon::on_tick() {
  on_events();  // an event whose wake-up was lost waits a second at most
  calls_->on_tick();
  if (pairing_) pairing_->on_tick(loop::EventLoop::now());
  endpoints_->on_tick();
  captures_->on_tick();
  limits_->on_tick(loop::EventLoop::now());
  records_.on_tick();
  if (homer_) homer_->on_tick(loop::EventLoop::now());
  shortages_->on_tick(loop::EventLoop::now());
  notify_service_manager("WATCHDOG=1\nSTATUS=" + status());
}

std::string Daemon::status() const {
  return std::string(draining_ ? "draining, " : "") + std::to_string(calls_->call_count()) +
         " calls, " + std::to_string(relay_->usage().sessions) + " sessions";
}

void Daemon::on_stop_signal(const char* name) {
  if (draining_) {
    log_.warning("stop_at_once", {{"signal", name}, {"calls", calls_->call_count()}});
    loop_.stop();
    return;
  }
  draining_ = true;
  drain_until_ = loop::EventLoop::now() + settings_.node.drain_timeout;
  calls_->set_draining(true);
  if (turn_) turn_->set_draining(true);
  log_.info("drain", {{"signal", name},
                      {"calls", calls_->call_count()},
                      {"timeout_seconds", settings_.node.drain_timeout.count()},
                      {"hint", "new calls are refused; a second signal stops at once"}});
  notify_service_manager("STOPPING=1\nSTATUS=" + status());
  drain_tick_.start(Milliseconds{0}, kDrainTick);
}

// A restart: the holder keeps the calls for the next process, so nothing has to wait for their end.
void Daemon::on_hand_over_signal() {
  if (!relay_->adoption().holder_connected) {
    log_.warning("hand_over_impossible",
                 {{"hint", "no holder keeps the calls; waiting for them to end instead"}});
    return on_stop_signal("SIGUSR1");
  }
  log_.info("hand_over", {{"calls", calls_->call_count()}});
  notify_service_manager("STOPPING=1\nSTATUS=handing over");
  loop_.stop();
}

void Daemon::on_drain_tick() {
  const std::size_t left = calls_->call_count();
  if (left > 0 && loop::EventLoop::now() < drain_until_) return;
  // Allocations end with the daemon in any case: their clients make new ones, and would only hold
  // up the stop by refreshing them.
  const std::size_t allocations = turn_ ? turn_->allocations() : 0;
  if (left > 0) {
    log_.warning("drain_timeout", {{"calls", left},
                                   {"allocations", allocations},
                                   {"kept_by_holder", relay_->adoption().holder_connected}});
  } else {
    log_.info("drained", {{"allocations", allocations}});
  }
  loop_.stop();
}

}  // namespace

int run_daemon(config::Loaded& loaded, const std::string& config_path, log::Log& log) {
  const config::Settings& settings = loaded.settings;
  const auto failed = [&log](const std::string& reason) {
    log.error("start_failed", {{"reason", reason}});
    return kExitFailed;
  };
  // What follows opens a few descriptors for each thread, and cannot go on without them.
  const config::MediaSection& media = settings.media;
  const unsigned shards = media.shards == 0 ? config::Host::read(settings).cores : media.shards;
  const std::uint64_t few = kDescriptorsOfTheDaemon + kDescriptorsOfAShard * shards;
  if (const std::uint64_t limit = raise_descriptor_limit(few); limit < few) {
    return failed("at most " + std::to_string(limit) + " open files are allowed, and " +
                  std::to_string(few) + " are needed without any call; raise LimitNOFILE");
  }
  std::optional<Daemon> daemon;
  try {
    daemon.emplace(loaded, config_path, log);
    if (const Result<void> started = daemon->start(); !started) {
      return failed(started.error().message);
    }
  } catch (const std::bad_alloc&) {
    return failed(
        "out of memory; raise the limit (MemoryMax, ulimit -v) or lower "
        "media.sessions_max");
  }
  daemon->run();
  log.info("stopped");
  return kExitDone;
}

}  // namespace turnpike
