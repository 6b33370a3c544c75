// A line between the engine and another end, with a clock of its own: datagrams can be lost,
// doubled and overtaken on it.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "relay/dtls/handshakes.h"
#include "tests/unit/dtls/plain_peer.h"

namespace turnpike::dtls_testing {

inline SocketAddress at(std::uint8_t host, std::uint16_t port = 4000) {
  return {IpAddress::v4(192, 0, 2, host), port};
}

/// What the engine has done.
class Recorder final : public HandshakeSink {
 public:
  struct Sent {
    LegKey leg;
    SocketAddress to;
    Bytes bytes;
  };
  struct Keys {
    LegKey leg;
    SocketAddress peer;
    SrtpKeying receive;
    SrtpKeying send;
    std::uint32_t association = 0;
  };
  struct Change {
    LegKey leg;
    DtlsState state;
    DtlsFailure failure;
    std::uint32_t association = 0;
    DtlsFlights flights{};
  };

  void send(const LegKey& leg, const SocketAddress& to,
            std::span<const std::uint8_t> datagram) override {
    sent.push_back({leg, to, Bytes(datagram.begin(), datagram.end())});
  }
  void established(const LegKey& leg, std::uint32_t association, const SocketAddress& peer,
                   const SrtpKeying& receive, const SrtpKeying& send_keys) override {
    keys.push_back({leg, peer, receive, send_keys, association});
  }
  void changed(const LegKey& leg, std::uint32_t association, DtlsState state, DtlsFailure failure,
               const DtlsFlights& flights) override {
    changes.push_back({leg, state, failure, association, flights});
  }
  void goodbyes(const LegKey& leg, std::span<const Goodbye> all) override {
    unsaid[leg].assign(all.begin(), all.end());
  }
  std::vector<Sent> take_sent() { return std::exchange(sent, {}); }

  std::vector<Sent> sent;
  std::vector<Keys> keys;
  std::vector<Change> changes;
  std::map<LegKey, std::vector<Goodbye>> unsaid;
};

/// Tells what becomes of the n-th datagram on a line: how many copies arrive, and whether behind
/// the next one.
struct Fate {
  unsigned copies = 1;
  bool late = false;
};
using Fates = std::function<Fate(std::size_t)>;

inline constexpr LegKey kLeg = {3, 7, 11, Side::kB};
inline const SocketAddress kClient = at(1);

/// The engine with one leg that matters, and its clock.
struct Engine {
  explicit Engine(const HandshakeLimits& limits = {}) : handshakes(limits) {
    identity = handshakes.add_identity();
    config.enabled = true;
    config.role = DtlsRole::kPassive;
    config.association = 1;
    config.identity = identity.id;
  }
  void configure(const SocketAddress& peer = {}) {
    handshakes.update(kLeg, config, peer, now, recorder);
  }
  void deliver(const Bytes& datagram, const SocketAddress& source) {
    handshakes.handle(kLeg, source, ice, datagram, now, recorder);
  }
  /// Lets time pass, with everything that is due in it.
  void pass(Nanoseconds time) {
    const Instant end = now + time;
    while (handshakes.next_deadline() <= end) {
      now = std::max(now, handshakes.next_deadline());
      handshakes.on_deadline(now, recorder);
    }
    now = end;
  }
  DtlsState state() const { return handshakes.report(kLeg).state; }
  DtlsFailure failure() const { return handshakes.report(kLeg).last_failure; }
  DtlsFlights flights() const { return handshakes.report(kLeg).flights; }
  std::uint64_t failed(DtlsFailure failure) const {
    return handshakes.counters().failed[static_cast<std::size_t>(failure)].value();
  }

  Handshakes handshakes;
  DtlsIdentity identity;
  DtlsConfig config;
  Recorder recorder;
  bool ice = true;
  Instant now = Instant{} + Seconds{1000};
};

/// Runs until nothing is left to do or to wait for within `patience`, or `done` says so. The peer
/// is at `address`. Returns how many datagrams were sent, lost ones included.
struct Line {
  Line(Engine& one, PlainPeer& other) : engine(one), peer(other) {}

  Engine& engine;
  PlainPeer& peer;
  SocketAddress address = kClient;
  Fates fates = [](std::size_t) { return Fate{}; };
  std::function<bool()> done = [] { return false; };
  Nanoseconds patience = Seconds{20};

  std::size_t run() {
    const Instant end = engine.now + patience;
    collect();
    while (!done()) {
      if (!wire_.empty()) {
        step();
        continue;
      }
      const Instant next =
          std::min(engine.handshakes.next_deadline(), peer.next_deadline(engine.now));
      if (next > end) break;
      engine.now = std::max(engine.now, next);
      engine.handshakes.on_deadline(engine.now, engine.recorder);
      peer.on_deadline(engine.now);
      collect();
    }
    return count_;
  }

 private:
  struct Datagram {
    bool to_engine = false;
    Bytes bytes;
  };
  void put(Datagram datagram) {
    const Fate fate = fates(count_++);
    for (unsigned i = 0; i < fate.copies; ++i) {
      if (fate.late) {
        late_.push_back(datagram);
      } else {
        wire_.push_back(datagram);
      }
    }
    if (fate.late) return;
    wire_.insert(wire_.end(), late_.begin(), late_.end());
    late_.clear();
  }
  void collect() {
    for (Bytes& bytes : peer.take_sent()) put({true, std::move(bytes)});
    for (Recorder::Sent& sent : engine.recorder.take_sent()) {
      if (sent.to == address) put({false, std::move(sent.bytes)});
    }
    if (wire_.empty()) wire_.swap(late_);
  }
  void step() {
    const Datagram datagram = std::move(wire_.front());
    wire_.pop_front();
    if (datagram.to_engine) {
      engine.deliver(datagram.bytes, address);
    } else {
      peer.deliver(datagram.bytes, engine.now);
    }
    collect();
  }

  std::deque<Datagram> wire_;
  std::deque<Datagram> late_;
  std::size_t count_ = 0;
};

struct Place {
  SocketAddress address;
  PlainPeer* peer;
};

/// Everybody talks to the engine until nobody has anything to say; no time passes.
inline void exchange(Engine& engine, const std::vector<Place>& places) {
  for (bool busy = true; busy;) {
    busy = false;
    for (const Place& place : places) {
      for (const Bytes& bytes : place.peer->take_sent()) {
        engine.deliver(bytes, place.address);
        busy = true;
      }
    }
    for (const Recorder::Sent& sent : engine.recorder.take_sent()) {
      busy = true;
      for (const Place& place : places) {
        if (place.address == sent.to) place.peer->deliver(sent.bytes, engine.now);
      }
    }
  }
}

/// The peer's first datagram.
inline Bytes hello_of(PlainPeer& peer, Instant now) {
  peer.start(now);
  return peer.take_sent().at(0);
}

/// A record in plaintext.
inline Bytes plain_record(std::uint8_t type, const Bytes& payload, std::uint8_t sequence = 9) {
  Bytes record = {type, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, sequence};
  record.push_back(static_cast<std::uint8_t>(payload.size() >> 8));
  record.push_back(static_cast<std::uint8_t>(payload.size()));
  record.insert(record.end(), payload.begin(), payload.end());
  return record;
}

}  // namespace turnpike::dtls_testing
