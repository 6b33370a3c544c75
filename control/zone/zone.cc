#include "control/zone/zone.h"

#include <algorithm>
#include <utility>

#include <pwd.h>
#include <unistd.h>

#include "control/zone/socket_owner.h"
#include "control/zone/zone_peer.h"

namespace turnpike::zone {
namespace {

constexpr Milliseconds kTick{500};
constexpr Milliseconds kRedialWhenRefused{10000};  // what does not mend itself in a moment
constexpr Milliseconds kStableAfter{10000};        // up for so long: the next failure is a new one
constexpr Seconds kFlushTime{2};
constexpr Seconds kLoadAgainAfter{10};
constexpr Seconds kNotePause{10};  // between two lines of the log for one reason
// Between two bulk connections of a peer. The core waits longer, as the other end sees the end
// later.
constexpr Milliseconds kBulkPause{5000};
constexpr Milliseconds kBulkRedial{6000};

Instant now() {
  return loop::EventLoop::now();
}

std::string words(const Trouble& trouble) {
  return std::string(info_of(trouble.reason).text) +
         (trouble.detail.empty() ? "" : " (" + trouble.detail + ")");
}

std::string words_of_bulk(const Trouble& trouble) {
  return "the bulk connection" + (trouble.address.empty() ? "" : " to " + trouble.address) + ": " +
         words(trouble);
}

std::optional<uid_t> uid_of(const std::string& account) {
  const passwd* const entry = ::getpwnam(account.c_str());
  return entry == nullptr ? std::nullopt : std::optional<uid_t>(entry->pw_uid);
}

}  // namespace

Zone::Zone(const Environment& environment, ZoneConfig config)
    : environment_(environment),
      config_(std::move(config)),
      admission_(config_.admission),
      tick_(*environment.loop, [this] { on_tick(); }) {
  for (const PeerConfig& peer : config_.peers) peers_.push_back(make_peer(peer));
}

std::unique_ptr<Zone::Peer> Zone::make_peer(const PeerConfig& config) {
  auto peer = std::make_unique<Peer>();
  peer->config = config;
  for (std::size_t i = 0; i < kPurposeCount; ++i) {
    Slot& slot = peer->slots[i];
    slot.purpose = static_cast<Purpose>(i + 1);
    slot.since = now();
    slot.redial =
        loop::Timer(*environment_.loop, [this, raw = peer.get(), i] { dial(*raw, raw->slots[i]); });
  }
  const auto link_of = [raw = peer.get()](Purpose purpose) {
    return [raw, purpose]() -> Link* {
      const Slot& slot = raw->slot(purpose);
      return slot.up ? slot.link.get() : nullptr;
    };
  };
  const auto hang_up = [raw = peer.get()] {
    Slot& slot = raw->slot(Purpose::kBulk);
    slot.redial.stop();
    if (slot.link) slot.link->close(Reason::kStopped);
  };
  peer->measurer = std::make_unique<Measurer>(
      *environment_.loop,
      Measurer::Links{link_of(Purpose::kBulk), link_of(Purpose::kSignallingByCore), hang_up},
      environment_.bulk_pace);
  return peer;
}

Zone::~Zone() = default;

bool Zone::load_files() {
  load_again_at_ = now() + kLoadAgainAfter;
  sip_uid_ = uid_of(environment_.sip_user);
  auto context = tls::Context::load(config_.tls);
  auto password = environment_.read_secret(config_.password_file);
  files_trouble_.clear();
  if (!context) files_trouble_ = context.error().message;
  if (!password) {
    files_trouble_ += (files_trouble_.empty() ? "" : "; ") + password.error().message;
  }
  if (!files_trouble_.empty()) {
    environment_.note({"zone_files", true, config_.name, "", "", files_trouble_});
    return false;
  }
  credentials_ = Credentials{*context, std::make_shared<const Secret>(*password)};
  return true;
}

Result<void> Zone::start() {
  if (peers_.empty()) return Error{"zone " + config_.name + " has no peers; name at least one"};
  load_files();
  if (environment_.role == Role::kEdge) {
    auto listener = loop::TcpListener::listen(*environment_.loop, config_.listen,
                                              [this](int fd) { on_arrival(fd); });
    if (!listener) return Error{"zone " + config_.name + ": " + listener.error().message};
    listener_ = std::move(*listener);
  }
  for (const auto& peer : peers_) {
    if (auto listening = listen_for(*peer); !listening) return listening;
    if (environment_.role == Role::kEdge) continue;
    for (Slot& slot : peer->slots) {
      if (slot.purpose != Purpose::kBulk) slot.redial.start(Milliseconds{random_number() % 50});
    }
  }
  tick_.start(kTick, kTick);
  return {};
}

Result<void> Zone::listen_for(Peer& peer) {
  if (!peer.config.sip_listen.is_set()) return {};
  auto listener =
      loop::TcpListener::listen(*environment_.loop, peer.config.sip_listen,
                                [this, raw = &peer](int fd) { on_local_arrival(*raw, fd); });
  if (!listener) return Error{"zone " + config_.name + ": " + listener.error().message};
  peer.sip_listener = std::move(*listener);
  return {};
}

void Zone::reload() {
  if (!load_files()) return;
  environment_.note({"zone_files_loaded", false, config_.name, "", "",
                     "new connections show " + credentials_->tls->own().subject});
}

void Zone::stop() {
  stopping_ = true;
  listener_ = {};
  for (const auto& peer : peers_) {
    peer->sip_listener = {};
    for (Slot& slot : peer->slots) {
      slot.redial.stop();
      if (slot.link) slot.link->close(Reason::kStopped);
    }
  }
  // Each takes itself off the list.
  while (!arriving_.empty()) arriving_.front()->close(Reason::kStopped);
}

void Zone::on_tick() {
  const Instant at = now();
  if (!credentials_ && at >= load_again_at_) load_files();
  for (auto entry = leaving_.begin(); entry != leaving_.end();) {
    const bool gone = entry->link->is_done() || at >= entry->until;
    if (gone && entry->counted_as_waiting) admission_.settled(entry->link->remote().ip);
    entry = gone ? leaving_.erase(entry) : std::next(entry);
  }
  for (const auto& peer : peers_) {
    for (Slot& slot : peer->slots) {
      if (slot.up && at - slot.since >= kStableAfter) slot.backoff.reset();
    }
  }
}

// The edge's side.

void Zone::on_arrival(int fd) {
  auto tcp = loop::TcpConnection::adopt(*environment_.loop, fd);
  const SocketAddress from = tcp->remote_address();
  Reason reason = Reason::kBroken;  // one without an address has gone already, and takes no place
  if (!credentials_) {
    reason = Reason::kNoFiles;
  } else if (from.is_set()) {
    reason = admission_.arrive(from.ip, now());
  }
  if (reason != Reason::kNone) {
    tcp->reset_on_close();
    ++refused_.at(static_cast<std::size_t>(reason));
    return note_refusal({reason, "", to_string(from), now()}, "");
  }
  ConnectionOptions options = options_for(nullptr, Purpose::kSignallingByCore);
  options.may_try_password = [this, ip = from.ip](const std::string& name) {
    return admission_.try_password(ip, name, now());
  };
  arriving_.push_back(std::make_unique<Link>(*environment_.loop, std::move(tcp), std::move(options),
                                             *credentials_, handlers_for(nullptr, nullptr)));
  arriving_.back()->start();
}

ConnectionOptions Zone::options_for(const Peer* peer, Purpose purpose) const {
  ConnectionOptions options;
  options.dials = environment_.role == Role::kCore;
  options.hello.purpose = purpose;
  options.hello.role = environment_.role;
  options.hello.epoch = environment_.epoch;
  environment_.random_bytes(options.hello.nonce.data(), options.hello.nonce.size());
  options.hello.zone = config_.name;
  options.hello.node = environment_.node;
  options.hello.user = config_.user;
  options.peer_rule.subject = config_.tls_verify_subject;
  options.peer_rule.accept_common_name = config_.accept_common_name;
  for (const auto& one : peers_) {
    if (peer == nullptr || peer == one.get()) {
      options.peer_rule.names.push_back(one->config.tls_name);
    }
  }
  if (peer != nullptr) options.server_name = peer->config.tls_name;
  options.handshake_timeout = config_.handshake_timeout;
  options.keepalive = config_.keepalive;
  options.http2 = config_.http2;
  return options;
}

Link::Handlers Zone::handlers_for(Peer* peer, Slot* slot) {
  Link::Handlers handlers = stream_handlers(peer, slot);
  handlers.on_bulk_event = [this](Link& link, const StreamEvent& event) {
    Peer* of = nullptr;
    if (slot_of(link, &of) == nullptr) return;
    if (!of->measurer->take(link, event)) ++stream_refusals_.unknown_target;
  };
  if (!environment_.on_channel) return handlers;
  handlers.on_channel = [this](Link& link) {
    Peer* of = nullptr;
    if (slot_of(link, &of) != nullptr) environment_.on_channel(full_name(*of), of->epoch);
  };
  handlers.on_no_channel = [this](Link& link) {
    Peer* of = nullptr;
    if (slot_of(link, &of) == nullptr) return;
    environment_.note(
        {"zone_channel", true, config_.name, of->config.name, to_string(link.remote()),
         "the peer has no channel for media flows: no calls; its version is older, or "
         "its streams_max is used up"});
  };
  handlers.on_message = [this](Link& link, std::string_view message) {
    Peer* of = nullptr;
    if (slot_of(link, &of) == nullptr) return true;  // put away: what it says is old
    return environment_.on_message(full_name(*of), message);
  };
  return handlers;
}

std::string Zone::full_name(const Peer& peer) const {
  return config_.name + "/" + peer.config.name;
}

bool Zone::send(const std::string& peer, std::string_view message) {
  for (const auto& one : peers_) {
    if (full_name(*one) != peer) continue;
    const Slot& slot = one->slot(Purpose::kSignallingByCore);
    return slot.up && slot.link->send(message);
  }
  return false;
}

Link::Handlers Zone::stream_handlers(Peer* peer, Slot* slot) {
  return {.on_open = [this, peer, slot](Link& link) { on_open(link, peer, slot); },
          .on_closed = [this, peer, slot](Link& link) { on_closed(link, peer, slot); },
          .find_target =
              [this](Link& link, std::string_view target) {
                Peer* of = nullptr;
                const bool known = slot_of(link, &of) != nullptr && target == kSipTarget;
                if (known && of->config.sip_target.is_set()) ++streams_opened_;
                return known ? of->config.sip_target : SocketAddress{};
              },
          .on_unknown_target = [this] { ++stream_refusals_.unknown_target; },
          .on_not_connected = [this] { ++stream_refusals_.not_connected; }};
}

Zone::Slot* Zone::slot_of(const Link& link, Peer** peer) {
  for (const auto& one : peers_) {
    for (Slot& slot : one->slots) {
      if (slot.link.get() != &link) continue;
      *peer = one.get();
      return &slot;
    }
  }
  return nullptr;
}

Zone::Peer* Zone::peer_named(const std::string& tls_name) {
  const auto found = std::find_if(peers_.begin(), peers_.end(), [&tls_name](const auto& peer) {
    return peer->config.tls_name == tls_name;
  });
  return found == peers_.end() ? nullptr : found->get();
}

std::unique_ptr<Link> Zone::take_arriving(const Link& link) {
  const auto found = std::find_if(arriving_.begin(), arriving_.end(),
                                  [&link](const auto& one) { return one.get() == &link; });
  if (found == arriving_.end()) return nullptr;
  auto taken = std::move(*found);
  arriving_.erase(found);
  return taken;
}

void Zone::on_open(Link& link, Peer* peer, Slot* slot) {
  if (slot == nullptr) {
    auto taken = take_arriving(link);
    admission_.settled(link.remote().ip);
    admission_.passed_password(link.remote().ip, link.connection().peer_name());
    peer = peer_named(link.connection().peer_name());
    slot = &peer->slot(link.connection().peer_hello().purpose);
    const bool waited = slot->connected == 0 || (!slot->up && now() - slot->since >= kBulkPause);
    if (slot->purpose == Purpose::kBulk && !waited) {
      return turn_away(std::move(taken), *peer, *slot);
    }
    // The core makes one only when it holds the older one for dead.
    auto older = std::exchange(slot->link, std::move(taken));
    if (older) {
      Link& closing = *older;
      slot->bytes_received += closing.connection().bytes_received();
      slot->bytes_sent += closing.connection().bytes_sent();
      // One that comes back after another process has taken its place was never gone.
      const std::uint64_t epoch = link.connection().peer_hello().epoch;
      const bool is_back = epoch != 0 && epoch == slot->replaced_epoch;
      slot->replaced_epoch = closing.connection().peer_hello().epoch;
      const bool in_turns = is_back && slot->replaced_epoch != epoch;
      const Reason reason = in_turns ? Reason::kTakenInTurns : Reason::kReplaced;
      const std::string detail = in_turns ? "the other one is at " + to_string(link.remote()) : "";
      went_down(*peer, *slot, {reason, detail, to_string(older->remote()), now()});
      put_away(std::move(older), false);
      closing.close(reason);
    }
  }
  came_up(*peer, *slot);
}

/// A bulk connection that comes too soon after the last one.
void Zone::turn_away(std::unique_ptr<Link> link, Peer& peer, Slot& slot) {
  // One that is there still has been given up by the core.
  if (slot.link) slot.link->close(Reason::kReplaced);
  count_refusal({Reason::kTooOften, "bulk", to_string(link->remote()), now()}, &peer, nullptr);
  Link& closing = *link;
  put_away(std::move(link), false);
  closing.close(Reason::kTooOften);
}

void Zone::came_up(Peer& peer, Slot& slot) {
  const Connection& connection = slot.link->connection();
  slot.up = true;
  slot.since = now();
  ++slot.connected;
  peer.certificate = connection.peer_certificate();
  peer.node = connection.peer_hello().node;
  peer.epoch = connection.peer_hello().epoch;
  const bool is_bulk = slot.purpose == Purpose::kBulk;
  environment_.note({is_bulk ? "zone_bulk_up" : "zone_up", false, config_.name, peer.config.name,
                     to_string(slot.link->remote()), connection.tls_description()});
  if (is_bulk) peer.measurer->on_up();
  const bool asks = environment_.role == Role::kCore && slot.purpose == Purpose::kSignallingByCore;
  if (asks && environment_.on_channel) slot.link->open_channel();
}

void Zone::went_down(Peer& peer, Slot& slot, const Trouble& trouble) {
  slot.up = false;
  slot.since = now();
  slot.last_trouble = trouble;
  const bool is_bulk = slot.purpose == Purpose::kBulk;
  const bool in_order =
      trouble.reason == Reason::kStopped || (is_bulk && trouble.reason == Reason::kClosedThere);
  if (!is_bulk || !in_order) ++ended_.at(static_cast<std::size_t>(trouble.reason));
  environment_.note({is_bulk ? "zone_bulk_down" : "zone_down", !in_order, config_.name,
                     peer.config.name, trouble.address, words(trouble)});
  if (is_bulk) peer.measurer->on_down(words_of_bulk(trouble));
}

void Zone::on_closed(Link& link, Peer* peer, Slot* slot) {
  const Connection& connection = link.connection();
  Trouble trouble{connection.reason(), connection.detail(), to_string(link.remote()), now()};
  Peer* of = nullptr;
  if (Slot* held = slot_of(link, &of)) {
    peer = of;
    slot = held;
  } else if (slot != nullptr || link.was_open()) {
    return;  // put away already
  }
  if (link.was_open()) {
    went_down(*peer, *slot, trouble);
  } else {
    on_refused(link, peer, slot, trouble);
  }
  if (slot == nullptr) return put_away(take_arriving(link), true);
  slot->bytes_received += connection.bytes_received();
  slot->bytes_sent += connection.bytes_sent();
  put_away(std::move(slot->link), false);
  if (environment_.role == Role::kCore) dial_later(*peer, *slot, trouble.reason);
}

void Zone::on_refused(Link& link, Peer* peer, Slot* slot, Trouble trouble) {
  if (environment_.role == Role::kCore && !link.was_connected()) {
    trouble.reason = Reason::kUnreachable;
    trouble.detail = link.tcp_trouble().empty() ? "no answer" : link.tcp_trouble();
  }
  const bool is_bulk = slot != nullptr && slot->purpose == Purpose::kBulk;
  if (is_bulk && trouble.reason == Reason::kClosedThere && trouble.detail.empty()) {
    trouble.detail = "so does an edge of an older version, which knows none";
  }
  if (environment_.role == Role::kEdge && trouble.reason == Reason::kWrongPassword) {
    admission_.gave_wrong_password(link.remote().ip, link.connection().peer_name(), now());
  }
  count_refusal(trouble, peer, slot);
}

void Zone::count_refusal(const Trouble& trouble, const Peer* peer, Slot* slot) {
  if (slot != nullptr) slot->last_trouble = trouble;
  // A bulk connection that this node dials: who asked for the measurement is told, and the zone is
  // as well as before.
  if (slot != nullptr && slot->purpose == Purpose::kBulk) return;
  ++refused_.at(static_cast<std::size_t>(trouble.reason));
  note_refusal(trouble, peer == nullptr ? "" : peer->config.name);
}

void Zone::note_refusal(const Trouble& trouble, const std::string& peer) {
  last_refusal_ = trouble;
  Instant& noted = noted_at_[trouble.reason];
  if (noted != Instant{} && trouble.at - noted < kNotePause) return;
  noted = trouble.at;
  environment_.note({"zone_refused", true, config_.name, peer, trouble.address, words(trouble)});
}

void Zone::put_away(std::unique_ptr<Link> link, bool counted_as_waiting) {
  if (link) leaving_.push_back({std::move(link), now() + kFlushTime, counted_as_waiting});
}

// The core's side.

void Zone::dial(Peer& peer, Slot& slot) {
  if (slot.link || stopping_) return;
  if (!credentials_) {
    slot.last_trouble = {Reason::kNoFiles, files_trouble_, "", now()};
    return dial_later(peer, slot, Reason::kNoFiles);
  }
  auto tcp = loop::TcpConnection::dial(*environment_.loop, peer.config.address);
  if (!tcp) {
    const Trouble trouble{Reason::kUnreachable, tcp.error().message, to_string(peer.config.address),
                          now()};
    count_refusal(trouble, &peer, &slot);
    return dial_later(peer, slot, trouble.reason);
  }
  slot.link =
      std::make_unique<Link>(*environment_.loop, std::move(*tcp), options_for(&peer, slot.purpose),
                             *credentials_, handlers_for(&peer, &slot));
  slot.link->start();
}

void Zone::dial_later(Peer& peer, Slot& slot, Reason reason) {
  if (stopping_) return;
  if (slot.purpose == Purpose::kBulk) {
    return peer.measurer->on_down(words_of_bulk(slot.last_trouble));
  }
  if (reason == Reason::kWrongPassword || reason == Reason::kAfterWrongPassword) {
    slot.backoff.at_least(kRedialWhenRefused);
  }
  slot.redial.start(slot.backoff.next(random_number()));
}

std::uint64_t Zone::random_number() const {
  std::uint64_t value = 0;
  environment_.random_bytes(&value, sizeof value);
  return value;
}

Result<void> Zone::measure(const std::string& peer, const MeasureOptions& options,
                           std::uint64_t id) {
  if (environment_.role == Role::kEdge) {
    return Error{"the core measures, because it dials; ask there"};
  }
  const auto found = std::find_if(peers_.begin(), peers_.end(),
                                  [&](const auto& one) { return full_name(*one) == peer; });
  if (found == peers_.end()) return Error{"there is no peer " + peer};
  Slot& slot = (*found)->slot(Purpose::kBulk);
  if (slot.link) return Error{"the connection of the last measurement is still being closed"};
  if (!(*found)->slot(Purpose::kSignallingByCore).up) {
    return Error{peer + " is not up; `turnpikectl zone` says why"};
  }
  (*found)->measurer->start(options, id);
  const Nanoseconds since = now() - slot.last_trouble.at;  // of the last one's end
  slot.redial.start(std::chrono::duration_cast<Milliseconds>(
      std::max<Nanoseconds>(kBulkRedial - since, Nanoseconds{0})));
  return {};
}

bool Zone::is_measuring() const {
  return std::any_of(peers_.begin(), peers_.end(),
                     [](const auto& peer) { return peer->measurer->is_running(); });
}

// Local programs that want to reach a peer.

void Zone::on_local_arrival(Peer& peer, int fd) {
  auto local = loop::TcpConnection::adopt(*environment_.loop, fd);
  const SocketAddress from = local->remote_address();
  if (!sip_uid_) sip_uid_ = uid_of(environment_.sip_user);
  const auto owner = owner_of(from, local->local_address());
  if (!from.ip.is_loopback() || !owner || !sip_uid_ || *owner != *sip_uid_) {
    ++stream_refusals_.wrong_account;
    return local->reset_on_close();
  }
  const bool is_core = environment_.role == Role::kCore;
  Slot& slot = peer.slot(is_core ? Purpose::kSignallingByCore : Purpose::kSignallingByEdge);
  if (!slot.up) {
    ++stream_refusals_.peer_down;
    local->reset_on_close();
  } else if (!slot.link->carry(std::move(local), kSipTarget)) {
    ++stream_refusals_.too_many;
  } else {
    ++streams_opened_;
  }
}

ZoneReport Zone::report() const {
  ZoneReport report;
  report.name = config_.name;
  report.kind = config_.kind;
  report.role = environment_.role;
  if (config_.listen.is_set()) report.listen = to_string(config_.listen);
  report.domains = config_.domains;
  if (credentials_) report.certificate = credentials_->tls->own();
  report.files_trouble = files_trouble_;
  report.waiting = admission_.waiting();
  report.streams_opened = streams_opened_;
  report.stream_refusals = stream_refusals_;
  report.refused = refused_;
  report.ended = ended_;
  report.last_refusal = last_refusal_;
  for (const auto& peer : peers_) report.peers.push_back(report_of(*peer));
  return report;
}

PeerReport Zone::report_of(const Peer& peer) const {
  PeerReport report;
  report.name = peer.config.name;
  report.tls_name = peer.config.tls_name;
  if (peer.config.address.is_set()) report.address = to_string(peer.config.address);
  report.node = peer.node;
  report.epoch = peer.epoch;
  report.certificate = peer.certificate;
  report.up = true;
  for (std::size_t i = 0; i < kSignallingCount; ++i) {
    const Slot& slot = peer.slots[i];
    report.connections[i] = report_of(slot);
    report.up = report.up && slot.up;
    report.since = std::max(report.since, slot.since);
  }
  const Slot& bulk = peer.slots[kSignallingCount];
  if (bulk.link) report.bulk = report_of(bulk);
  report.measured = peer.measurer->report();
  return report;
}

ConnectionReport Zone::report_of(const Slot& slot) const {
  ConnectionReport one;
  one.purpose = slot.purpose;
  one.up = slot.up;
  one.connecting = !slot.up && slot.link != nullptr;
  one.since = slot.since;
  one.connected = slot.connected;
  one.bytes_received = slot.bytes_received;
  one.bytes_sent = slot.bytes_sent;
  one.last_trouble = slot.last_trouble;
  if (!slot.link) return one;
  const Connection& connection = slot.link->connection();
  one.bytes_received += connection.bytes_received();
  one.bytes_sent += connection.bytes_sent();
  if (!slot.up) return one;
  one.address = to_string(slot.link->remote());
  one.tls = connection.tls_description();
  one.security = {.dialled = environment_.role == Role::kCore,
                  .version = connection.tls().version(),
                  .cipher = connection.tls().cipher(),
                  .matched_name = connection.peer_name(),
                  .server_name = connection.tls().server_name(),
                  .certificate = connection.peer_certificate()};
  one.round_trip = connection.round_trip();
  one.streams = slot.link->stream_count();
  return one;
}

}  // namespace turnpike::zone
