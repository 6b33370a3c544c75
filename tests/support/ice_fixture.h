// An ICE engine with one leg on a virtual clock, and a hand-made remote end: it writes checks and
// answers itself, byte by byte as it likes, with keys of its own.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "relay/crypto/hmac_sha1.h"
#include "relay/ice/engine.h"
#include "relay/wire/stun.h"

namespace turnpike::test {

using IceBytes = std::vector<std::uint8_t>;

/// Remembers what an engine says.
class IceRecorder : public ice::Sink {
 public:
  struct Sent {
    SocketAddress to;
    Component component = Component::kRtp;
    IceBytes bytes;
    Instant at;
    std::optional<stun::Message> message() const { return stun::Message::parse(bytes); }
    bool is(stun::Class message_class) const {
      return message() && message()->message_class() == message_class;
    }
  };

  void send(const Send& send) override {
    sent.push_back(
        {send.destination, send.tag.component, {send.data, send.data + send.length}, now});
  }
  void selected(const SocketTag& socket, const SocketAddress& destination) override {
    destinations[index_of(socket.component)] = destination;
    ++selections;
  }
  void changed(const SocketTag&, IceState state) override { states.push_back(state); }

  Instant now{};
  std::vector<Sent> sent;
  std::array<SocketAddress, 2> destinations{};
  int selections = 0;
  std::vector<IceState> states;
};

inline ice::RandomBytes seeded_random(std::uint64_t seed) {
  return [random = std::make_shared<std::mt19937_64>(seed)](std::span<std::uint8_t> bytes) {
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>((*random)());
  };
}

inline IceCredentials ice_credentials(const std::string& ufrag, const std::string& password) {
  IceCredentials credentials;
  credentials.ufrag.assign(ufrag);
  credentials.password.assign(password);
  return credentials;
}

inline SocketAddress ice_address(const std::string& text) {
  return *parse_socket_address(text);
}

inline HmacSha1Key ice_key(const IceCredentials& credentials) {
  const std::string_view text = credentials.password.view();
  const std::vector<std::uint8_t> bytes(text.begin(), text.end());
  return make_hmac_sha1_key(bytes);
}

/// What a check of the remote end says; by default a right one.
struct IceCheck {
  IceCredentials from;  // of who sends it
  IceCredentials to;
  bool use_candidate = false;
  std::optional<bool> controlling = true;
  std::uint64_t tie_breaker = 77;
  std::optional<std::uint32_t> priority = 0x6e0000ff;
  std::uint16_t extra = 0;  // type of another attribute, before MESSAGE-INTEGRITY
  bool integrity = true;
  std::string username;  // instead of the right one
  std::uint16_t method = stun::kBinding;
  stun::Class message_class = stun::Class::kRequest;
};

inline void ice_seal(stun::Writer& writer, const IceCredentials& credentials) {
  writer.add_integrity([key = ice_key(credentials)](stun::Bytes message, std::uint8_t* code) {
    hmac_sha1(key, message, {}, code);
  });
}

inline IceBytes finished(const stun::Writer& writer) {
  const stun::Bytes bytes = writer.finish();
  return {bytes.begin(), bytes.end()};
}

inline IceBytes write_ice_check(const IceCheck& check) {
  static std::uint32_t count = 0;
  stun::TransactionId transaction{};
  write_be32(transaction.data(), ++count);
  std::array<std::uint8_t, 600> buffer{};
  stun::Writer writer(buffer, check.message_class, check.method, transaction);
  const std::string username =
      std::string(check.to.ufrag.view()) + ":" + std::string(check.from.ufrag.view());
  writer.add_text(stun::kUsername, check.username.empty() ? username : check.username);
  if (check.priority) writer.add_u32(stun::kPriority, *check.priority);
  if (check.controlling) {
    writer.add_u64(*check.controlling ? stun::kIceControlling : stun::kIceControlled,
                   check.tie_breaker);
  }
  if (check.use_candidate) writer.add_flag(stun::kUseCandidate);
  if (check.extra != 0) writer.add_u32(check.extra, 0);
  if (check.integrity) ice_seal(writer, check.to);
  writer.add_fingerprint();
  return finished(writer);
}

/// The answer to a check: success, or `error`.
inline IceBytes write_ice_answer(const IceBytes& request, const IceCredentials& credentials,
                                 const SocketAddress& mapped, std::uint16_t error = 0) {
  std::array<std::uint8_t, 200> buffer{};
  stun::Writer writer(buffer, error == 0 ? stun::Class::kSuccess : stun::Class::kError,
                      stun::kBinding, stun::Message::parse(request)->transaction());
  if (error == 0) writer.add_xor_address(stun::kXorMappedAddress, mapped);
  if (error != 0) writer.add_error_code(error);
  ice_seal(writer, credentials);
  writer.add_fingerprint();
  return finished(writer);
}

class IceFixture {
 public:
  static constexpr SocketTag kLeg{1, 9, Side::kA, Component::kRtp};

  IceFixture() : engine_(4, seeded_random(5), counters_) {
    config.mode = IceMode::kFull;
    config.local = ours;
    config.remote = theirs;
    facts.rtcp_mux = true;
  }

  void candidate(const SocketAddress& address, std::uint32_t priority,
                 Component component = Component::kRtp) {
    IceCandidate& added = config.candidates[config.candidate_count++];
    added.address = address;
    added.priority = priority;
    added.component = component;
  }
  void update() {
    sink.now = now;
    engine_.update(kLeg, config, facts, now, sink);
  }
  bool deliver(const IceBytes& bytes, const SocketAddress& from,
               Component component = Component::kRtp) {
    sink.now = now;
    IceBytes copy = bytes;
    Packet packet;
    packet.data = copy.data();
    packet.length = static_cast<std::uint32_t>(copy.size());
    packet.source = from;
    packet.tag = kLeg;
    packet.tag.component = component;
    return engine_.handle(now, packet, sink);
  }
  IceCheck check() const {
    IceCheck check;
    check.from = theirs;
    check.to = ours;
    check.controlling = !config.controlling;
    return check;
  }
  bool check_from(const SocketAddress& from, bool use_candidate = false,
                  Component component = Component::kRtp) {
    IceCheck right = check();
    right.use_candidate = use_candidate;
    return deliver(write_ice_check(right), from, component);
  }
  bool answer(const IceRecorder::Sent& request, std::uint16_t error = 0) {
    return deliver(write_ice_answer(request.bytes, theirs, local, error), request.to,
                   request.component);
  }
  /// Runs the clock; answers each check that goes to an address in `alive`.
  void run(Nanoseconds duration) {
    const Instant end = now + duration;
    while (true) {
      for (std::size_t i = answered_; i < sink.sent.size(); ++i) {
        const IceRecorder::Sent sent = sink.sent[i];
        answered_ = i + 1;
        const bool lives = std::find(alive.begin(), alive.end(), sent.to) != alive.end();
        if (lives && sent.is(stun::Class::kRequest)) answer(sent);
      }
      const Instant due = engine_.next_deadline();
      if (due > end) break;
      now = std::max(now, due);
      sink.now = now;
      ++wakeups;
      engine_.on_deadline(now, sink);
    }
    now = end;
  }
  /// Checks of ours to an address.
  std::size_t checks_to(const SocketAddress& to) const {
    return static_cast<std::size_t>(std::count_if(
        sink.sent.begin(), sink.sent.end(),
        [&](const auto& sent) { return sent.to == to && sent.is(stun::Class::kRequest); }));
  }
  const ShardCounters& counters() const { return counters_; }
  std::uint64_t drops(DropReason reason) const {
    return counters_.drops[static_cast<std::size_t>(reason)].value();
  }
  TransportReport report() const {
    TransportReport out;
    engine_.report(kLeg, out);
    return out;
  }
  IceState state() const { return report().ice; }
  SocketAddress selected(Component component = Component::kRtp) const {
    return sink.destinations[index_of(component)];
  }
  ice::Engine& engine() { return engine_; }

  const IceCredentials ours = ice_credentials("ours", "0123456789012345678901");
  const IceCredentials theirs = ice_credentials("theirs", "abcdefghijabcdefghijab");
  const SocketAddress local = ice_address("192.0.2.1:36000");
  const SocketAddress near = ice_address("198.51.100.7:5000");
  const SocketAddress far = ice_address("203.0.113.9:6000");
  IceConfig config;
  ice::LegFacts facts;
  IceRecorder sink;
  Instant now{Seconds(1000)};
  std::vector<SocketAddress> alive;
  int wakeups = 0;

 private:
  ShardCounters counters_;
  ice::Engine engine_;
  std::size_t answered_ = 0;
};

}  // namespace turnpike::test
