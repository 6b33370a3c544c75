#include "tests/sim/world.h"

#include <algorithm>
#include <cstring>

#include "relay/media/source.h"

namespace turnpike::sim {
namespace {

constexpr Milliseconds kStep{20};
constexpr std::uint32_t kStreams = 128;
constexpr Milliseconds kOriginalsGap{400};  // less than what it takes to follow a stranger
constexpr Milliseconds kRacerHolds{1600};   // a move's interval, and the copies that undo it
constexpr std::array kSuites = {SrtpSuite::kNone,
                                SrtpSuite::kAesCm128HmacSha1_80,
                                SrtpSuite::kAesCm128HmacSha1_32,
                                SrtpSuite::kAesCm256HmacSha1_80,
                                SrtpSuite::kAeadAes128Gcm,
                                SrtpSuite::kAeadAes256Gcm};

SocketAddress phone_address(std::uint32_t slot, Side side, Component component) {
  const auto host = static_cast<std::uint8_t>(1 + slot * 2 + index_of(side));
  return {IpAddress::v4(198, 51, 100, host),
          static_cast<std::uint16_t>(4000 + index_of(component))};
}

}  // namespace

World::World(std::uint64_t seed) : random_(seed), shape_{8, kStreams, 0, 1, 36000, 59999} {
  memory_.resize(media::Arena::bytes_for(shape_));
  arena_ = std::make_unique<media::Arena>(media::Arena::format(memory_.data(), shape_));
  engine_ = std::make_unique<media::Engine>(*arena_, media::EngineLimits{}, counters_);
  const std::uint32_t calls = 1 + pick(6);
  for (std::uint32_t slot = 0; slot < calls; ++slot) start_call(slot);
}

SrtpKeying World::random_key(SrtpSuite suite) {
  SrtpKeying key;
  key.suite = suite;
  if (suite == SrtpSuite::kNone) return key;
  for (auto& byte : key.master_key) byte = static_cast<std::uint8_t>(random_());
  for (std::size_t i = 0; i < info_of(suite).salt_bytes; ++i) {
    key.master_salt[i] = static_cast<std::uint8_t>(random_());
  }
  if (chance(4)) {
    key.mki_bytes = static_cast<std::uint8_t>(1 + pick(4));
    key.mki[0] = static_cast<std::uint8_t>(random_());
  }
  return key;
}

void World::start_call(std::uint32_t slot) {
  Call call;
  call.id = {slot, 1 + pick(1000), Side::kA, Component::kRtp};
  std::array<std::array<SocketAddress, 2>, 2> local;
  for (const Side side : {Side::kA, Side::kB}) {
    for (const Component component : {Component::kRtp, Component::kRtcp}) {
      const auto port =
          static_cast<std::uint16_t>(36000 + slot * 4 + index_of(side) * 2 + index_of(component));
      local[index_of(side)][index_of(component)] = {IpAddress::v4(192, 0, 2, 1), port};
    }
  }
  engine_->open(call.id, MediaKind::kAudio, local, now_);
  for (const Side side : {Side::kA, Side::kB}) start_leg(call, side);
  calls_.push_back(std::move(call));
}

void World::start_leg(Call& call, Side side) {
  LegConfig& leg = call.leg[index_of(side)];
  const std::array<SocketAddress, 2> at = {phone_address(call.id.slot, side, Component::kRtp),
                                           phone_address(call.id.slot, side, Component::kRtcp)};
  leg.remote = at;
  leg.rtcp_mux = chance(2);
  const SrtpSuite suite = kSuites[pick(kSuites.size())];
  leg.must_encrypt = suite != SrtpSuite::kNone;
  leg.receive = random_key(suite);
  leg.send = random_key(suite);
  if (!leg.must_encrypt && chance(2)) leg.source_policy = SourcePolicy::kLatch;
  if (leg.must_encrypt && chance(3)) {  // behind NAT: it says what it knows of itself
    for (SocketAddress& address : leg.remote) address.ip = IpAddress::v4(192, 168, 1, 10);
    if (chance(2)) leg.received_from = at[0].ip;
  }
  if (leg.must_encrypt && chance(3)) {
    call.racer[index_of(side)].address = {
        IpAddress::v4(203, 0, 113, static_cast<std::uint8_t>(201 + call.id.slot)),
        static_cast<std::uint16_t>(7000 + index_of(side))};
  }
  call.signalled[index_of(side)] = leg.remote;
  call.phone.push_back(std::make_unique<Endpoint>(static_cast<std::uint32_t>(random_()), at[0],
                                                  leg.rtcp_mux ? at[0] : at[1]));
  Endpoint& phone = *call.phone.back();
  for (const SocketAddress& address : leg.remote) phone.is_signalled_at(address);
  phone.set_keys(leg.receive, leg.send);
  engine_->update_leg(call.id, side, leg, now_);
}

void World::run(Milliseconds duration) {
  for (const Instant end = now_ + duration; now_ < end && violation_.empty();) step();
}

void World::step() {
  phones_send();
  attack();
  disturb();
  now_ += kStep;
  deliver_due();
  engine_->on_deadline(now_, outbox_, notices_);
  take_outbox();
  notices_.clear();
  check_counters();
}

void World::phones_send() {
  for (Call& call : calls_) {
    for (const Side side : {Side::kA, Side::kB}) {
      Endpoint& phone = *call.phone[index_of(side)];
      launch(call, side, Component::kRtp, phone.next_rtp(), phone.address(Component::kRtp));
      if (!chance(25)) continue;
      const bool mux = call.leg[index_of(side)].rtcp_mux;
      const Component component = mux ? Component::kRtp : Component::kRtcp;
      launch(call, side, component, phone.next_rtcp(), phone.address(component));
    }
  }
}

void World::launch(Call& call, Side side, Component component, Bytes bytes,
                   const SocketAddress& from) {
  const Flight copy{{call.id.slot, call.id.generation, side, component},
                    call.racer[index_of(side)].address,
                    bytes};
  if (copy.source.is_set() && component == Component::kRtp) {
    in_flight_.emplace(now_ + Milliseconds(1 + pick(4)), copy);
  }
  if (chance(400)) loss_burst_ = pick(30);
  if (loss_burst_ > 0) {
    --loss_burst_;
    return;
  }
  Flight flight{copy.to, from, std::move(bytes), true};
  if (recorded_.size() < 200) {
    recorded_.push_back(flight);
  } else {
    recorded_[pick(200)] = flight;
  }
  if (chance(100) && !flight.bytes.empty()) {
    flight.bytes[pick(static_cast<std::uint32_t>(flight.bytes.size()))] ^= 0x10;
    flight.original = false;
  }
  const auto delay = [&] { return Milliseconds(5 + pick(chance(20) ? 120 : 10)); };
  if (chance(50)) in_flight_.emplace(now_ + delay(), flight);
  in_flight_.emplace(now_ + delay(), std::move(flight));
}

// Somebody on the internet: noise, recorded packets from an address of his own, and forged ones
// from the right address where the network lets him.
void World::attack() {
  if (!chance(3)) return;
  const SocketAddress evil{IpAddress::v4(203, 0, 113, static_cast<std::uint8_t>(1 + pick(200))),
                           static_cast<std::uint16_t>(1 + pick(65535))};
  Call& call = calls_[pick(static_cast<std::uint32_t>(calls_.size()))];
  Flight flight{{call.id.slot, call.id.generation, chance(2) ? Side::kA : Side::kB,
                 chance(3) ? Component::kRtcp : Component::kRtp},
                evil,
                {},
                false};
  if (chance(2) && !recorded_.empty()) {
    const Flight& seen = recorded_[pick(static_cast<std::uint32_t>(recorded_.size()))];
    flight = {seen.to, evil, seen.bytes, false};
  } else {
    flight.bytes.resize(pick(300));
    for (auto& byte : flight.bytes) byte = static_cast<std::uint8_t>(random_());
    if (!flight.bytes.empty() && chance(2)) flight.bytes[0] = 0x80;
    const Side side = flight.to.side;
    if (chance(4) && call.leg[index_of(side)].must_encrypt) {
      flight.source = call.phone[index_of(side)]->address(Component::kRtp);
    }
  }
  in_flight_.emplace(now_ + Milliseconds(pick(20)), std::move(flight));
}

void World::disturb() {
  Call& call = calls_[pick(static_cast<std::uint32_t>(calls_.size()))];
  const Side side = chance(2) ? Side::kA : Side::kB;
  const LegConfig& leg = call.leg[index_of(side)];
  Endpoint& phone = *call.phone[index_of(side)];
  if (chance(200) && leg.must_encrypt) {
    const auto port = static_cast<std::uint16_t>(20000 + pick(20000));
    SocketAddress moved = phone.address(Component::kRtp);
    moved.port = port;
    phone.rebind(Component::kRtp, moved);
  }
  if (chance(300)) phone.change_ssrc(static_cast<std::uint32_t>(random_()));
  if (chance(150)) phone.jump_sequence(static_cast<std::uint16_t>(pick(3000)));
  if (chance(100)) reoffer(call);
  if (chance(250)) crash_and_adopt();
}

void World::reoffer(Call& call) {
  for (const Side side : {Side::kA, Side::kB}) {
    LegConfig& leg = call.leg[index_of(side)];
    const std::array<SocketAddress, 2>& signalled = call.signalled[index_of(side)];
    if (chance(5)) {
      leg.remote = leg.remote[0].is_set() ? std::array<SocketAddress, 2>{} : signalled;
      leg.expects_media = leg.remote[0].is_set();
    }
    if (leg.must_encrypt && chance(4)) {
      leg.receive = random_key(leg.receive.suite);
      leg.send = random_key(leg.send.suite);
      call.phone[index_of(side)]->set_keys(leg.receive, leg.send);
    }
    engine_->update_leg(call.id, side, leg, now_);
  }
}

// The process is killed between two packets; another one carries on from the same memory.
void World::crash_and_adopt() {
  engine_.reset();
  media::ArenaReport report;
  auto adopted = media::Arena::adopt(memory_.data(), memory_.size(), shape_, report);
  if (!adopted) return fail("adoption refused: " + adopted.error().message);
  if (report.sessions != calls_.size()) return fail("a session did not survive the process");
  arena_ = std::make_unique<media::Arena>(std::move(*adopted));
  engine_ = std::make_unique<media::Engine>(*arena_, media::EngineLimits{}, counters_);
  engine_->resume(now_);
}

void World::deliver_due() {
  while (!in_flight_.empty() && in_flight_.begin()->first <= now_) {
    const Flight flight = std::move(in_flight_.begin()->second);
    in_flight_.erase(in_flight_.begin());
    arrives(flight);
    Packet* packet = batch_.next();
    std::copy(flight.bytes.begin(), flight.bytes.end(), packet->data);
    packet->length = static_cast<std::uint32_t>(flight.bytes.size());
    packet->source = flight.source;
    packet->tag = flight.to;
    batch_.commit();
    if (!batch_.full() && !chance(5)) continue;
    engine_->handle(now_, batch_, outbox_, notices_);
    batch_.clear();
    take_outbox();
  }
  engine_->handle(now_, batch_, outbox_, notices_);
  batch_.clear();
  take_outbox();
}

void World::arrives(const Flight& flight) {
  if (!flight.original || flight.to.component != Component::kRtp) return;
  for (Call& call : calls_) {
    if (call.id.slot != flight.to.slot) continue;
    Racer& racer = call.racer[index_of(flight.to.side)];
    if (now_ - racer.original_last > kOriginalsGap) racer.originals_since = now_;
    racer.original_last = now_;
  }
}

// Who is merely faster than the phone may get the leg when nothing else arrives, and must lose it
// soon when the originals arrive again.
bool World::may_go_to_racer(const Racer& racer) const {
  return now_ - racer.original_last > kOriginalsGap || now_ - racer.originals_since < kRacerHolds;
}

void World::take_outbox() {
  for (const Send& send : outbox_) {
    if (violation_.empty()) judge(send);
    engine_->sent(send, now_);
  }
  outbox_.clear();
}

void World::judge(const Send& send) {
  Call* call = nullptr;
  for (Call& candidate : calls_) {
    if (candidate.id.slot == send.tag.slot) call = &candidate;
  }
  if (call == nullptr) return fail("sent for a session that does not exist");
  const unsigned side = index_of(send.tag.side);
  Endpoint& phone = *call->phone[side];
  const Racer& racer = call->racer[side];
  if (send.destination == racer.address) {
    if (!may_go_to_racer(racer)) return fail("a leg is left to somebody who copies its packets");
  } else if (!phone.ever_had(send.destination)) {
    return fail("sent to an address without proof: " + to_string(send.destination));
  }
  if (send.keepalive) return;
  const Bytes emitted(send.data, send.data + send.length);
  const auto plain = phone.open(emitted, send.rtcp);
  if (!plain) return fail("emitted SRTP does not verify, or uses an index twice");
  if (phone.secure() && *plain == emitted) return fail("clear bytes on an SRTP leg");
  // A plain network may damage what it carries; an SRTP leg vouches for every byte.
  const Endpoint& other_phone = *call->phone[1 - side];
  if (other_phone.secure() && !other_phone.sent_body(*plain)) {
    return fail("forwarded a packet that its SRTP sender never sent");
  }
  ++heard_;
  if (racer.address.is_set() && send.destination != racer.address) ++heard_despite_racer_;
}

std::uint64_t World::dropped() const {
  std::uint64_t total = 0;
  for (const Counter& counter : counters_.drops) total += counter.value();
  return total;
}

void World::check_counters() {
  const std::uint64_t in = counters_.packets_received.value();
  const std::uint64_t out = forwarded();
  if (in != out + dropped()) fail("packets in and packets accounted for differ");
  for (const Call& call : calls_) {
    for (const media::LegState& leg : arena_->session(call.id.slot).legs) {
      if (leg.stream_count > media::EngineLimits{}.streams_per_leg_max) fail("too many streams");
    }
  }
}

void World::finish() {
  for (const Call& call : calls_) {
    SessionStats stats;
    if (!engine_->close(call.id, stats)) fail("a session was lost");
  }
  if (arena_->streams_in_use() != 0) fail("streams are left after the last session");
  if (engine_->next_deadline() != Instant::max()) fail("a timer is left after the last session");
}

void World::fail(const std::string& what) {
  if (violation_.empty()) violation_ = what;
}

}  // namespace turnpike::sim
