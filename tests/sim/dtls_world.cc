#include "tests/sim/dtls_world.h"

#include <algorithm>

namespace turnpike::sim {
namespace {

constexpr LegKey kLeg{0, 1, 1, Side::kA};

/// Making one takes longer than a handshake, so all worlds have the same.
const std::vector<std::uint8_t>& certificate(std::size_t number) {
  static const auto all = [] {
    std::array<std::vector<std::uint8_t>, 3> made;
    Handshakes engine;
    for (auto& bytes : made) bytes = engine.kept_identity(engine.add_identity().id);
    return made;
  }();
  return all[number];
}

}  // namespace

struct DtlsWorld::End final : HandshakeSink {
  End(DtlsWorld& in, std::size_t number, std::size_t identity) : world(in), side(number) {
    config.enabled = true;
    config.association = 1;
    const DtlsIdentity ours = handshakes.add_identity(certificate(identity));
    config.identity = ours.id;
    fingerprint = ours.fingerprint;
  }
  void send(const LegKey&, const SocketAddress& to, std::span<const std::uint8_t> bytes) override {
    world.judge_send(side, to, bytes.size());
    world.network_.send(side, to, {bytes.begin(), bytes.end()});
  }
  void established(const LegKey&, std::uint32_t association, const SocketAddress&,
                   const SrtpKeying& receive, const SrtpKeying& send_keys) override {
    if (association != config.association) return world.fail("keys that nobody asks for");
    if (world.secured()) world.fail("an association that both ends have is another one now");
    receives = receive;
    sends = send_keys;
    keyed_for = association;
    world.judge_keys(side);
  }
  void changed(const LegKey&, std::uint32_t association, DtlsState state, DtlsFailure,
               const DtlsFlights&) override {
    // Until both have keys, whoever gives up takes the other end's with it, and begins again.
    const bool harmed =
        world.secured() && association == config.association && state != DtlsState::kEstablished;
    if (harmed && !(world.hung_up_ && state == DtlsState::kClosed)) {
      world.fail("an association that both ends have is " + std::string(name_of(state)));
    }
  }
  void goodbyes(const LegKey&, std::span<const Goodbye> all) override {
    unsaid.assign(all.begin(), all.end());
  }

  DtlsWorld& world;
  std::size_t side;
  Handshakes handshakes;
  DtlsConfig config;
  Fingerprint fingerprint;  // of our certificate
  SocketAddress peer;       // where flights of an active end go; unset: nowhere
  SrtpKeying receives;
  SrtpKeying sends;
  std::uint32_t keyed_for = 0;  // an association
  std::vector<Goodbye> unsaid;
};

DtlsWorld::DtlsWorld(std::uint64_t seed, const DtlsScenario& scenario)
    : scenario_(scenario), network_(seed, scenario.network, this) {
  ends_[0] = std::make_unique<End>(*this, 0, scenario.impostor ? 2 : 0);
  ends_[1] = std::make_unique<End>(*this, 1, 1);
  for (std::size_t side = 0; side < 2; ++side) {
    End& end = *ends_[side];
    end.config.role = side == scenario_.active ? DtlsRole::kActive : DtlsRole::kPassive;
  }
}

DtlsWorld::~DtlsWorld() = default;

void DtlsWorld::call() {
  Handshakes signalled;
  ends_[1]->config.remote = signalled.add_identity(certificate(0)).fingerprint;
  ends_[0]->config.remote = ends_[1]->fingerprint;
  if (scenario_.answer_after != Milliseconds{0}) {
    answer_at_ = network_.now() + scenario_.answer_after;
  }
  if (scenario_.ice) {
    network_.call();
  } else {
    ends_[0]->peer = network_.socket(1);
  }
  for (std::size_t side = 0; side < 2; ++side) tell(side);
}

void DtlsWorld::tell(std::size_t side) {
  End& end = *ends_[side];
  DtlsConfig config = end.config;
  const bool waits = side != scenario_.active && answer_at_ != Instant::max();
  if (waits) config.remote = Fingerprint{};
  end.handshakes.update(kLeg, config, end.peer, network_.now(), end);
}

void DtlsWorld::renew() {
  for (std::size_t side = 0; side < 2; ++side) {
    ++ends_[side]->config.association;
    tell(side);
  }
}

void DtlsWorld::hang_up() {
  hung_up_ = true;
  End& end = *ends_[0];
  // As a shard says them: where media goes by now.
  for (const Goodbye& goodbye : end.unsaid) {
    const auto* data = goodbye.data.data();
    network_.send(0, goodbye.has_keys ? end.peer : goodbye.to, {data, data + goodbye.length});
  }
}

void DtlsWorld::selected(std::size_t side, const SocketAddress& to, Instant) {
  if (!to.is_set() || hung_up_) return;
  ends_[side]->peer = to;
  tell(side);
}

// The gate that a shard is (security ID M4).
void DtlsWorld::receive(std::size_t side, const SocketAddress& from, bool validated,
                        const std::vector<std::uint8_t>& bytes, Instant now) {
  if (hung_up_ && side == 0) return;
  const SocketAddress client = network_.seen(1 - side, network_.socket(side));
  const bool may_speak = scenario_.ice ? validated : from.ip == client.ip;
  if (!may_speak) {
    ++refused_;
    return;
  }
  if (!scenario_.ice && from != client) strangers_[from].received += bytes.size();
  End& end = *ends_[side];
  end.handshakes.handle(kLeg, from, scenario_.ice, bytes, now, end);
  const Handshakes::Usage usage = end.handshakes.usage();
  if (usage.half_open > HandshakeLimits{}.half_open_per_leg_max) fail("too many candidates");
}

Instant DtlsWorld::next_deadline() const {
  return std::min(
      {answer_at_, ends_[0]->handshakes.next_deadline(), ends_[1]->handshakes.next_deadline()});
}

void DtlsWorld::on_deadline(Instant now) {
  if (now >= answer_at_) {
    answer_at_ = Instant::max();
    tell(1 - scenario_.active);
  }
  for (const auto& end : ends_) end->handshakes.on_deadline(now, *end);
}

void DtlsWorld::judge_send(std::size_t side, const SocketAddress& to, std::size_t bytes) {
  if (scenario_.ice) {
    if (!network_.has_heard(side, to)) fail("a flight goes to " + to_string(to) + " without proof");
    return;
  }
  const auto stranger = strangers_.find(to);
  if (stranger == strangers_.end()) return;
  stranger->second.sent += bytes;
  if (stranger->second.sent > stranger->second.received) {
    fail("more goes to " + to_string(to) + " than has come from there");
  }
}

void DtlsWorld::judge_keys(std::size_t side) {
  if (scenario_.impostor && side == 1) return fail("keys with another certificate than the SDP's");
  const End& here = *ends_[side];
  const End& there = *ends_[1 - side];
  if (there.keyed_for != here.keyed_for) return;
  if (here.sends != there.receives || here.receives != there.sends) fail("the ends' keys differ");
}

bool DtlsWorld::secured() const {
  return std::all_of(ends_.begin(), ends_.end(),
                     [](const auto& end) { return end->keyed_for == end->config.association; });
}

DtlsState DtlsWorld::state(std::size_t side) const {
  return ends_[side]->handshakes.report(kLeg).state;
}

std::string DtlsWorld::why(std::size_t side) const {
  const Handshakes::Report report = ends_[side]->handshakes.report(kLeg);
  return std::string(name_of(report.state)) + ", " + describe(report.last_failure, report.flights);
}

std::uint64_t DtlsWorld::cookies() const {
  return ends_[0]->handshakes.counters().cookies_sent.value() +
         ends_[1]->handshakes.counters().cookies_sent.value();
}

}  // namespace turnpike::sim
