// A Relay without sockets: it hands out ports in order, remembers what it was told, and delivers
// the events that a test puts into it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "turnpike/relay.h"

namespace turnpike::test {

class FakeRelay final : public Relay {
 public:
  struct Session {
    SessionSpec spec;
    SessionPorts ports;
    std::array<LegConfig, 2> legs{};
    std::array<TransportConfig, 2> transports{};  ///< the last ones
    std::array<int, 2> updates{};
    std::array<MediaSwitches, 2> switches{};
    std::array<int, 2> transport_updates{};
    SessionStats stats;
  };

  explicit FakeRelay(std::vector<Interface> interfaces) : interfaces_(std::move(interfaces)) {}

  // What a test sets and reads.
  std::map<SessionId, Session> sessions;
  std::map<std::uint64_t, std::string> records;
  std::vector<std::pair<std::uint64_t, std::string>> records_found;
  std::vector<Opened> sessions_found;
  std::uint32_t sessions_max = 100000;
  std::uint32_t opens_until_out_of_ports = 100000;
  OpenFailure shortage = OpenFailure::kOutOfPorts;  // that these opens end with
  bool lose_events = false;
  bool other_ports = false;  // there are some of a second address family
  DtlsIdentity identity = identity_of(1);
  int opened_ever = 0;
  ShardCounters counters;  ///< of each shard

  /// A certificate whose fingerprint begins with this number.
  static DtlsIdentity identity_of(std::uint8_t id) {
    DtlsIdentity identity{id, {FingerprintHash::kSha256, {}}};
    identity.fingerprint.bytes[0] = id;
    return identity;
  }

  void put(const Event& event) { events_.push_back(event); }
  /// The n-th session that is open, in order of opening.
  Session& session(std::size_t n) {
    return std::next(sessions.begin(), static_cast<long>(n))->second;
  }
  SessionId id_of(std::size_t n) {
    return std::next(sessions.begin(), static_cast<long>(n))->first;
  }

  Result<Opened> open_session(const SessionSpec& spec, OpenFailure& failure) override {
    if (sessions.size() >= sessions_max) {
      failure = OpenFailure::kSessionLimit;
      return Error{"session limit"};
    }
    if (opens_until_out_of_ports == 0) {
      failure = shortage;
      return Error{"no port"};
    }
    --opens_until_out_of_ports;
    Opened opened;
    opened.id.slot = next_;
    opened.id.generation = 1;
    opened.id.shard = static_cast<std::uint16_t>(spec.shard < 0 ? next_ % 2 : spec.shard % 2);
    for (unsigned side = 0; side < 2; ++side) {
      if (spec.carried[side] || (spec.one_sided && side == 1)) continue;
      const InterfaceAddress* address = address_of(spec, side);
      if (address == nullptr) {
        failure = OpenFailure::kBadSpec;
        return Error{"interface has no such address"};
      }
      for (unsigned component = 0; component < 2; ++component) {
        // Side A: 36000, 36002, …; side B: 46000, 46002, …
        const auto port = static_cast<std::uint16_t>(36000 + 10000 * side + 2 * next_ + component);
        opened.ports.local[side][component] = {address->local, port};
        opened.ports.advertised[side][component] = {address->advertised, port};
      }
    }
    for (unsigned side = 0; side < 2; ++side) {
      if (other_ports && spec.both_families[side]) give_other_ports(opened.ports, spec, side);
    }
    ++next_;
    ++opened_ever;
    Session& session = sessions[opened.id];
    session.spec = spec;
    session.ports = opened.ports;
    return opened;
  }

  void update_leg(SessionId id, Side side, const LegConfig& config) override {
    const auto found = sessions.find(id);
    if (found == sessions.end()) return;
    found->second.legs[index_of(side)] = config;
    ++found->second.updates[index_of(side)];
  }

  void update_transport(SessionId id, Side side, const TransportConfig& config) override {
    const auto found = sessions.find(id);
    if (found == sessions.end()) return;
    found->second.transports[index_of(side)] = config;
    ++found->second.transport_updates[index_of(side)];
  }

  void switch_media(SessionId id, Side side, const MediaSwitches& switches) override {
    const auto found = sessions.find(id);
    if (found != sessions.end()) found->second.switches[index_of(side)] = switches;
  }

  DtlsIdentity dtls_identity() const override { return identity; }

  void close_session(SessionId id, std::uint64_t token) override {
    const auto found = sessions.find(id);
    if (found == sessions.end()) return;
    tell(EventKind::kSessionClosed, id, token, found->second.stats);
    sessions.erase(found);
  }

  bool query_session(SessionId id, std::uint64_t token) override {
    const auto found = sessions.find(id);
    if (found == sessions.end()) return false;
    tell(EventKind::kSessionStats, id, token, found->second.stats);
    return true;
  }

  int event_fd() const override { return -1; }
  void poll_events(const std::function<void(const Event&)>& sink) override {
    for (const Event& event : std::exchange(events_, {})) sink(event);
  }

  RelayUsage usage() const override {
    RelayUsage usage;
    usage.sessions = static_cast<std::uint32_t>(sessions.size());
    usage.sessions_max = sessions_max;
    return usage;
  }
  std::size_t shard_count() const override { return 2; }
  const ShardCounters& shard_counters(std::size_t) const override { return counters; }
  const AdoptionReport& adoption() const override { return adoption_; }
  std::vector<Opened> adopted_sessions() const override { return sessions_found; }
  bool store_record(std::uint64_t key, const std::string& bytes) override {
    records[key] = bytes;
    return true;
  }
  void erase_record(std::uint64_t key) override { records.erase(key); }
  std::vector<std::pair<std::uint64_t, std::string>> adopted_records() const override {
    return records_found;
  }

 private:
  const InterfaceAddress* address_of(const SessionSpec& spec, unsigned side) const {
    if (spec.interface_index[side] >= interfaces_.size()) return nullptr;
    for (const auto& address : interfaces_[spec.interface_index[side]].addresses) {
      if (address.local.family == spec.family[side]) return &address;
    }
    return nullptr;
  }
  /// With the same port numbers.
  void give_other_ports(SessionPorts& ports, const SessionSpec& spec, unsigned side) const {
    for (const auto& address : interfaces_[spec.interface_index[side]].addresses) {
      if (address.local.family == spec.family[side]) continue;
      for (unsigned component = 0; component < 2; ++component) {
        const std::uint16_t port = ports.local[side][component].port;
        ports.other_local[side][component] = {address.local, port};
        ports.other_advertised[side][component] = {address.advertised, port};
      }
    }
  }
  void tell(EventKind kind, SessionId id, std::uint64_t token, const SessionStats& stats) {
    if (lose_events) return;
    Event event;
    event.kind = kind;
    event.session = id;
    event.token = token;
    event.stats = stats;
    events_.push_back(event);
  }

  std::vector<Interface> interfaces_;
  std::vector<Event> events_;
  std::uint32_t next_ = 0;
  AdoptionReport adoption_;
};

}  // namespace turnpike::test
