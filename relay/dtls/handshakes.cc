// The table of legs, and what they wait for.
#include "relay/dtls/handshakes.h"

#include <map>
#include <set>
#include <utility>

#include "relay/core/bytes.h"
#include "relay/dtls/leg.h"

namespace turnpike {
namespace {

constexpr std::size_t kIdBytes = 4;  // in front of a kept identity

}  // namespace

class Handshakes::Table {
 public:
  explicit Table(const HandshakeLimits& limits) { shared.limits = limits; }

  struct Entry {
    Entry(const LegKey& key, HandshakesShared& common) : leg(key, common) {}
    HandshakeLeg leg;
    Instant deadline = Instant::max();       // as in deadlines_
    Instant lingers_since = Instant::max();  // as in lingering_
  };
  using Entries = std::map<LegKey, Entry>;
  using Queue = std::set<std::pair<Instant, LegKey>>;

  /// After every call into a leg: brings the queues up to date.
  void file(Entries::iterator at, HandshakeSink& sink) {
    move(lingering, at->first, at->second.lingers_since, at->second.leg.lingers_since());
    while (lingering.size() > shared.limits.lingering_max) {
      const auto oldest = entries.find(lingering.begin()->second);
      oldest->second.leg.stop_lingering(sink);
      move(lingering, oldest->first, oldest->second.lingers_since, Instant::max());
      if (oldest == at) continue;
      oldest->second.leg.tell_goodbyes(sink);
      refile_deadline(oldest);
    }
    at->second.leg.tell_goodbyes(sink);
    refile_deadline(at);
  }
  void remove(Entries::iterator at) {
    move(deadlines, at->first, at->second.deadline, Instant::max());
    move(lingering, at->first, at->second.lingers_since, Instant::max());
    entries.erase(at);
  }

  HandshakesShared shared;
  Entries entries;
  Queue deadlines;
  Queue lingering;

 private:
  static void move(Queue& queue, const LegKey& key, Instant& from, Instant to) {
    if (from == to) return;
    if (from != Instant::max()) queue.erase({from, key});
    if (to != Instant::max()) queue.insert({to, key});
    from = to;
  }
  void refile_deadline(Entries::iterator at) {
    move(deadlines, at->first, at->second.deadline, at->second.leg.next_deadline());
  }
};

Handshakes::Handshakes(const HandshakeLimits& limits) : table_(std::make_unique<Table>(limits)) {}
Handshakes::~Handshakes() = default;

DtlsIdentity Handshakes::add_identity() {
  auto& certificates = table_->shared.certificates;
  DtlsIdentity identity;
  auto certificate = DtlsCertificate::make();
  if (certificate == nullptr) return identity;
  identity.fingerprint = certificate->fingerprint();
  while (identity.id == 0 || certificates.contains(identity.id)) {
    std::array<std::uint8_t, 4> bytes;
    fill_random(bytes);
    identity.id = read_be32(bytes.data());
  }
  certificates.emplace(identity.id, std::move(certificate));
  return identity;
}

DtlsIdentity Handshakes::add_identity(std::span<const std::uint8_t> kept) {
  if (kept.size() < kIdBytes) return {};
  auto certificate = DtlsCertificate::read(kept.subspan(kIdBytes));
  const std::uint32_t id = read_be32(kept.data());
  if (certificate == nullptr || id == 0) return {};
  const DtlsIdentity identity{id, certificate->fingerprint()};
  table_->shared.certificates[id] = std::move(certificate);
  return identity;
}

std::vector<std::uint8_t> Handshakes::kept_identity(std::uint32_t id) const {
  const auto found = table_->shared.certificates.find(id);
  if (found == table_->shared.certificates.end()) return {};
  const auto bytes = found->second->bytes();
  std::vector<std::uint8_t> kept(kIdBytes);
  kept.reserve(kIdBytes + bytes.size());  // growing would leave a copy behind
  write_be32(kept.data(), id);
  kept.insert(kept.end(), bytes.begin(), bytes.end());
  return kept;
}

void Handshakes::remove_identity(std::uint32_t id) {
  table_->shared.certificates.erase(id);
}

void Handshakes::update(const LegKey& leg, const DtlsConfig& config, const SocketAddress& peer,
                        Instant now, HandshakeSink& sink) {
  auto at = table_->entries.find(leg);
  if (!config.enabled) {
    if (at == table_->entries.end()) return;
    const Report before = at->second.leg.report();
    close(leg, sink);
    sink.changed(leg, config.association, DtlsState::kOff, before.last_failure, before.flights);
    return;
  }
  if (at == table_->entries.end()) {
    at = table_->entries.try_emplace(leg, leg, table_->shared).first;
  }
  at->second.leg.update(config, peer, now, sink);
  table_->file(at, sink);
}

void Handshakes::close(const LegKey& leg, HandshakeSink& sink) {
  const auto at = table_->entries.find(leg);
  if (at == table_->entries.end()) return;
  at->second.leg.close(sink);
  table_->remove(at);
}

void Handshakes::renew(const LegKey& leg, std::uint32_t association, Instant now,
                       HandshakeSink& sink) {
  const auto at = table_->entries.find(leg);
  if (at == table_->entries.end()) return;
  at->second.leg.renew(association, now, sink);
  table_->file(at, sink);
}

void Handshakes::handle(const LegKey& leg, const SocketAddress& source, bool ice_validated,
                        std::span<const std::uint8_t> datagram, Instant now, HandshakeSink& sink) {
  const auto at = table_->entries.find(leg);
  if (at == table_->entries.end() || datagram.size() > kDtlsDatagramBytesMax) {
    table_->shared.counters.datagrams_dropped.add();
    return;
  }
  at->second.leg.handle(source, ice_validated, datagram, now, sink);
  table_->file(at, sink);
}

Handshakes::Report Handshakes::report(const LegKey& leg) const {
  const auto at = table_->entries.find(leg);
  return at == table_->entries.end() ? Report{} : at->second.leg.report();
}

Instant Handshakes::next_deadline() const {
  const auto& deadlines = table_->deadlines;
  return deadlines.empty() ? Instant::max() : deadlines.begin()->first;
}

void Handshakes::on_deadline(Instant now, HandshakeSink& sink) {
  // A leg that is due again at once waits for the next call.
  std::size_t due = table_->deadlines.size();
  while (due-- > 0 && next_deadline() <= now) {
    const auto at = table_->entries.find(table_->deadlines.begin()->second);
    at->second.leg.on_deadline(now, sink);
    table_->file(at, sink);
  }
}

const HandshakeCounters& Handshakes::counters() const {
  return table_->shared.counters;
}

Handshakes::Usage Handshakes::usage() const {
  return {table_->entries.size(), table_->shared.half_open, table_->lingering.size()};
}

}  // namespace turnpike
