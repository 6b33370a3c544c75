#include "tests/sim/ice_world.h"

#include <algorithm>

#include "relay/wire/classify.h"

namespace turnpike::sim {
namespace {

constexpr SocketTag kLeg{0, 1, Side::kA, Component::kRtp};
// Seven repetitions for each session that names the address, and for each change of the role.
constexpr int kSendsToSilenceMax = 7 * 4;
const SocketAddress kServer{IpAddress::v4(192, 0, 2, 99), 3478};
const SocketAddress kAttacker{IpAddress::v4(192, 0, 2, 66), 6666};
const SocketAddress kAttacker6{*parse_ip("2001:db8::66"), 6666};

bool is_dtls(const std::vector<std::uint8_t>& bytes) {
  return classify(bytes.data(), bytes.size()) == PacketKind::kDtls;
}

}  // namespace

struct IceWorld::End : ice::Sink {
  End(IceWorld& in, std::size_t number, NatKind kind)
      : world(in),
        nat(kind, IpAddress::v4(198, 51, 100, static_cast<std::uint8_t>(number + 1))),
        engine(1, random_of(in.random_()), counters) {
    const auto ip = kind == NatKind::kNone
                        ? IpAddress::v4(192, 0, 2, static_cast<std::uint8_t>(number + 1))
                        : IpAddress::v4(10, static_cast<std::uint8_t>(number), 0, 1);
    IpAddress ip6 = *parse_ip("2001:db8::");
    ip6.bytes[15] = static_cast<std::uint8_t>(number + 1);
    for (std::uint16_t c = 0; c < 2; ++c) {
      const auto port = static_cast<std::uint16_t>(36000 + c);
      if (in.scenario_.has_ipv4[number]) socket[c] = {ip, port};
      if (in.scenario_.has_ipv6[number]) socket6[c] = {ip6, port};
    }
  }
  const SocketAddress& socket_towards(const SocketAddress& to, unsigned component) const {
    return to.ip.is_v6() ? socket6[component] : socket[component];
  }
  static ice::RandomBytes random_of(std::uint64_t seed) {
    return [state = std::mt19937_64(seed)](std::span<std::uint8_t> bytes) mutable {
      for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(state());
    };
  }
  void send(const Send& packet) override {
    ++sent;
    if (!allowed.contains(packet.destination)) {
      world.fail("sends to " + to_string(packet.destination) + ", which nobody named");
    }
    if (!heard.contains(packet.destination) && ++silent[packet.destination] > kSendsToSilenceMax) {
      world.fail("does not stop to send to " + to_string(packet.destination));
    }
    const SocketAddress& from = socket_towards(packet.destination, index_of(packet.tag.component));
    if (!from.is_set()) world.fail("sends to a family that it has no socket of");
    world.launch(from, packet.destination, {packet.data, packet.data + packet.length});
  }
  void selected(const SocketTag& tag, const SocketAddress& to) override {
    destination[index_of(tag.component)] = to;
    if (world.rider_ != nullptr && tag.component == Component::kRtp) {
      world.rider_->selected(world.ends_[0].get() == this ? 0 : 1, to, world.now_);
    }
    if (to.is_set() && !allowed.contains(to)) world.fail("selects what nobody named");
    if ((to == kAttacker || to == kAttacker6) && config.mode == IceMode::kFull)
      world.fail("selects the attacker");
  }
  void changed(const SocketTag&, IceState to) override { state = to; }

  IceWorld& world;
  Nat nat;
  ShardCounters counters;
  ice::Engine engine;
  std::array<SocketAddress, 2> socket{};   // of IPv4; unset: none
  std::array<SocketAddress, 2> socket6{};  // of IPv6
  std::array<SocketAddress, 2> destination{};
  IceState state = IceState::kOff;
  IceConfig config;  // local part and our own candidates' peers
  std::vector<IceCandidate> own;
  std::set<SocketAddress> allowed;         // named by signalling, or by a check or answer
  std::map<SocketAddress, Instant> heard;  // what came from there and was taken, the latest
  std::map<SocketAddress, int> silent;     // packets to where nothing has come from
  std::uint64_t sent = 0;
  std::uint32_t restarts = 0;
};

IceWorld::IceWorld(std::uint64_t seed, const IceScenario& scenario, Rider* rider)
    : random_(seed), scenario_(scenario), rider_(rider) {
  for (std::size_t i = 0; i < 2; ++i) {
    ends_[i] = std::make_unique<End>(*this, i, scenario.nat[i]);
    ends_[i]->config.mode = scenario.mode[i];
    const bool first = (seed & 1U) == i;
    ends_[i]->config.controlling = scenario.same_role ? (seed & 2U) != 0 : first;
    if (scenario.mode[1 - i] == IceMode::kLite) ends_[i]->config.controlling = true;
    if (scenario.mode[i] == IceMode::kLite) ends_[i]->config.controlling = false;
  }
}

IceWorld::~IceWorld() = default;

std::uint64_t IceWorld::sent(std::size_t side) const {
  return ends_[side]->sent;
}

bool IceWorld::path_exists(const IceScenario& scenario) {
  if (scenario.has_ipv6[0] && scenario.has_ipv6[1]) return true;
  return scenario.has_ipv4[0] && scenario.has_ipv4[1] &&
         path_exists(scenario.nat[0], scenario.nat[1]);
}

bool IceWorld::path_exists(NatKind a, NatKind b) {
  if (a == NatKind::kSymmetric) return b < NatKind::kPortRestricted;
  if (b == NatKind::kSymmetric) return a < NatKind::kPortRestricted;
  return true;
}

void IceWorld::send(std::size_t side, const SocketAddress& to, std::vector<std::uint8_t> bytes) {
  const SocketAddress& from = ends_[side]->socket_towards(to, 0);
  if (recorded_ridden_.size() < 50) recorded_ridden_.push_back({seen(side, to), to, bytes});
  launch(from, to, std::move(bytes));
}

bool IceWorld::has_heard(std::size_t side, const SocketAddress& from) const {
  return ends_[side]->heard.contains(from);
}

SocketAddress IceWorld::socket(std::size_t side) const {
  return ends_[side]->socket[0];
}

SocketAddress IceWorld::seen(std::size_t side, const SocketAddress& to) {
  const SocketAddress& from = ends_[side]->socket_towards(to, 0);
  return from.ip.is_v4() ? ends_[side]->nat.leave(from, to) : from;
}

void IceWorld::fail(const std::string& what) {
  if (violation_.empty()) violation_ = what;
}

void IceWorld::launch(const SocketAddress& from, const SocketAddress& to,
                      std::vector<std::uint8_t> bytes) {
  SocketAddress source = from;
  for (const auto& end : ends_) {
    if (from.ip.is_v4() && end->socket[0].ip == from.ip) source = end->nat.leave(from, to);
  }
  const int copies = pick(20) == 0 ? 2 : 1;
  if (pick(100) < scenario_.loss_percent) return;
  for (int i = 0; i < copies; ++i) {
    const Flight flight{source, to, bytes};
    in_flight_.emplace(now_ + Milliseconds(5 + pick(80)), flight);
    if (recorded_.size() < 50) recorded_.push_back(flight);
  }
}

void IceWorld::deliver(const Flight& flight) {
  for (const auto& end : ends_) {
    if (flight.to.ip.is_v6()) {
      for (unsigned c = 0; c < 2; ++c) {
        if (flight.to == end->socket6[c]) receive(*end, c, flight);
      }
      continue;
    }
    if (!end->socket[0].is_set()) continue;
    // Private networks do not reach each other.
    const bool outside = end->nat.kind() != NatKind::kNone;
    const SocketAddress probe = outside ? flight.to : end->socket[0];
    if (!outside && flight.to.ip != probe.ip) continue;
    if (outside && flight.to.ip != IpAddress::v4(198, 51, 100, end == ends_[0] ? 1 : 2)) continue;
    const auto inside = end->nat.enter(flight.from, flight.to);
    if (!inside) continue;
    for (unsigned c = 0; c < 2; ++c) {
      if (*inside == end->socket[c]) receive(*end, c, flight);
    }
  }
}

void IceWorld::receive(End& end, unsigned component, const Flight& flight) {
  if (rider_ != nullptr && is_dtls(flight.bytes)) {
    SocketTag tag = kLeg;
    tag.component = static_cast<Component>(component);
    const bool validated = end.engine.is_validated(tag, flight.from);
    const std::size_t side = ends_[0].get() == &end ? 0 : 1;
    if (component == 0) rider_->receive(side, flight.from, validated, flight.bytes, now_);
    return;
  }
  std::vector<std::uint8_t> copy = flight.bytes;
  Packet packet;
  packet.data = copy.data();
  packet.length = static_cast<std::uint32_t>(copy.size());
  packet.source = flight.from;
  packet.tag = kLeg;
  packet.tag.component = static_cast<Component>(component);
  // What the engine takes has proven itself; its answer goes out during the call.
  const bool known = end.allowed.contains(flight.from);
  end.allowed.insert(flight.from);
  const std::uint64_t before = end.sent;
  const bool taken = end.engine.handle(now_, packet, end);
  if (!taken && end.sent != before) fail("answers what it refuses");
  if (!taken && !known) end.allowed.erase(flight.from);
  if (taken) end.heard[flight.from] = now_;
}

// What a description of this end would say, with candidates that lead nowhere among them.
void IceWorld::describe(std::size_t side) {
  End& end = *ends_[side];
  const std::string number = std::to_string(side) + std::to_string(end.restarts);
  end.config.local.ufrag.assign("ufrag" + number);
  end.config.local.password.assign("password-password-" + number);
  end.own.clear();
  const unsigned components = scenario_.rtcp_mux ? 1 : 2;
  for (unsigned c = 0; c < components; ++c) {
    const auto component = static_cast<Component>(c);
    if (end.socket6[c].is_set()) {
      end.own.push_back({end.socket6[c], 0x7effffff - c, component, CandidateType::kHost});
    }
    if (!end.socket[c].is_set()) continue;
    end.own.push_back({end.socket[c], 0x7efffeff - c, component, CandidateType::kHost});
    if (end.nat.kind() != NatKind::kNone) {
      end.own.push_back({end.nat.leave(end.socket[c], kServer), 0x64ffffff - c, component,
                         CandidateType::kServerReflexive});
    }
    for (std::uint32_t dead = pick(4); dead > 0; --dead) {
      const SocketAddress nowhere{IpAddress::v4(203, 0, 113, 5),
                                  static_cast<std::uint16_t>(4000 + 10 * c + dead)};
      end.own.push_back({nowhere, pick(0x7fffffff), component, CandidateType::kRelayed});
    }
  }
  std::shuffle(end.own.begin(), end.own.end(), random_);
}

void IceWorld::update(std::size_t side) {
  ice::LegFacts facts;
  facts.rtcp_mux = scenario_.rtcp_mux;
  if (!scenario_.has_ipv4[side]) facts.family = AddressFamily::kIpv6;
  facts.both_families = scenario_.has_ipv4[side] && scenario_.has_ipv6[side];
  ends_[side]->engine.update(kLeg, ends_[side]->config, facts, now_, *ends_[side]);
}

void IceWorld::learn(std::size_t side, const IceConfig& theirs, std::uint8_t candidates) {
  End& end = *ends_[side];
  end.config.remote = theirs.local;
  end.config.candidate_count = candidates;
  end.config.candidates = theirs.candidates;
  for (std::size_t i = 0; i < candidates; ++i) end.allowed.insert(theirs.candidates[i].address);
  update(side);
}

// Tells the other side of this one, with the candidates in two parts.
void IceWorld::signal(std::size_t from) {
  IceConfig said;
  said.local = ends_[from]->config.local;
  for (std::size_t i = 0; i < ends_[from]->own.size(); ++i)
    said.candidates[i] = ends_[from]->own[i];
  const auto all = static_cast<std::uint8_t>(ends_[from]->own.size());
  const auto some = static_cast<std::uint8_t>(pick(all + 1U));
  const Instant first = now_ + Milliseconds(20 + pick(1500));
  plans_.emplace(first, [this, from, said, some] { learn(1 - from, said, some); });
  plans_.emplace(first + Milliseconds(pick(1500)),
                 [this, from, said, all] { learn(1 - from, said, all); });
}

void IceWorld::call() {
  for (std::size_t side = 0; side < 2; ++side) {
    describe(side);
    update(side);
    signal(side);
  }
}

void IceWorld::forget_nat() {
  for (const auto& end : ends_) {
    if (end->nat.kind() == NatKind::kNone) continue;
    end->nat.forget();
    return;
  }
}

// Offer and answer: the answerer changes its side when it has heard of ours.
void IceWorld::restart() {
  const std::size_t offerer = pick(2);
  ++ends_[offerer]->restarts;
  describe(offerer);
  update(offerer);
  IceConfig offer;
  offer.local = ends_[offerer]->config.local;
  for (std::size_t i = 0; i < ends_[offerer]->own.size(); ++i) {
    offer.candidates[i] = ends_[offerer]->own[i];
  }
  const auto count = static_cast<std::uint8_t>(ends_[offerer]->own.size());
  plans_.emplace(now_ + Milliseconds(20 + pick(1000)), [this, offerer, offer, count] {
    const std::size_t answerer = 1 - offerer;
    ++ends_[answerer]->restarts;
    describe(answerer);
    learn(answerer, offer, count);
    signal(answerer);
  });
}

void IceWorld::attack() {
  const bool ridden = !recorded_ridden_.empty() && pick(2) == 0;
  const std::vector<Flight>& seen = ridden ? recorded_ridden_ : recorded_;
  if (seen.empty()) return;
  Flight copy = seen[pick(static_cast<std::uint32_t>(seen.size()))];
  const SocketAddress original = copy.from;
  if (pick(3) != 0) copy.from = copy.to.ip.is_v6() ? kAttacker6 : kAttacker;
  if (ridden && pick(3) == 0) ++copy.from.port;  // somebody behind the same NAT
  // Whoever forges handshake messages in plaintext from the address of their end can break it.
  const bool breaks = ridden && copy.from == original;
  if (pick(2) == 0 && !breaks) {
    copy.bytes[pick(static_cast<std::uint32_t>(copy.bytes.size()))] ^= 1;
  }
  deliver(copy);
}

// Security ID M10: media has no destination that was silent for 30 s.
void IceWorld::judge() {
  for (const auto& end : ends_) {
    for (const SocketAddress& to : end->destination) {
      if (!to.is_set()) continue;
      const auto it = end->heard.find(to);
      if (it == end->heard.end() || now_ > it->second + Seconds(30) + Milliseconds(10)) {
        fail("media goes to " + to_string(to) + " without consent");
      }
    }
  }
}

void IceWorld::run(Milliseconds duration) {
  const Instant end = now_ + duration;
  while (violation_.empty()) {
    Instant due = std::min(ends_[0]->engine.next_deadline(), ends_[1]->engine.next_deadline());
    if (!in_flight_.empty()) due = std::min(due, in_flight_.begin()->first);
    if (!plans_.empty()) due = std::min(due, plans_.begin()->first);
    if (scenario_.attacker) due = std::min(due, next_attack_);
    if (rider_ != nullptr) due = std::min(due, rider_->next_deadline());
    if (due > end) break;
    now_ = std::max(now_, due);
    if (!plans_.empty() && plans_.begin()->first <= now_) {
      plans_.extract(plans_.begin()).mapped()();
    } else if (!in_flight_.empty() && in_flight_.begin()->first <= now_) {
      deliver(in_flight_.extract(in_flight_.begin()).mapped());
    } else if (scenario_.attacker && next_attack_ <= now_) {
      next_attack_ = now_ + Milliseconds(20 + pick(400));
      attack();
    } else {
      for (const auto& side : ends_) side->engine.on_deadline(now_, *side);
      if (rider_ != nullptr) rider_->on_deadline(now_);
    }
    judge();
  }
  now_ = end;
}

bool IceWorld::connected() const {
  return std::all_of(ends_.begin(), ends_.end(),
                     [](const auto& end) { return end->state == IceState::kConnected; });
}

bool IceWorld::has_lost_consent() const {
  return std::all_of(ends_.begin(), ends_.end(),
                     [](const auto& end) { return end->state == IceState::kLost; });
}

bool IceWorld::silent() const {
  return std::none_of(ends_.begin(), ends_.end(), [](const auto& end) {
    return end->destination[0].is_set() || end->destination[1].is_set();
  });
}

bool IceWorld::agrees() {
  for (unsigned c = 0; c < (scenario_.rtcp_mux ? 1U : 2U); ++c) {
    for (std::size_t i = 0; i < 2; ++i) {
      End& from = *ends_[i];
      End& to = *ends_[1 - i];
      if (from.destination[c].ip.is_v6()) {
        if (to.destination[c] != from.socket6[c]) return false;
        continue;
      }
      const SocketAddress source = from.nat.leave(from.socket[c], from.destination[c]);
      if (to.nat.enter(source, from.destination[c]) != to.socket[c]) return false;
      if (to.destination[c] != source) return false;
    }
  }
  return true;
}

}  // namespace turnpike::sim
