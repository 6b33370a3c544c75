// TCP allocations (RFC 6062) without sockets: what the engine asks for is remembered, what becomes
// of it the test says. For unit and fuzz tests.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "tests/support/turn_fixture.h"

namespace turnpike::test {

class TurnTcpPorts final : public turn::TcpPorts {
 public:
  struct Connecting {
    SocketTag tag;
    SocketAddress peer;
  };

  std::optional<SocketAddress> listen(const SocketTag& tag, AddressFamily family,
                                      std::shared_ptr<turn::TcpTraffic> traffic) override {
    if (!has_room) return std::nullopt;
    const IpAddress ip =
        *parse_ip(family == AddressFamily::kIpv4 ? "93.184.216.1" : "2606:2800::1");
    listening[tag] = {ip, next_++};
    traffics[tag] = std::move(traffic);
    return listening[tag];
  }
  void close(const SocketTag& tag) override {
    listening.erase(tag);
    traffics.erase(tag);
    std::erase_if(connecting, [&tag](const auto& one) { return same(one.second.tag, tag); });
  }
  Begun connect(const SocketTag& tag, std::uint32_t id, const SocketAddress& peer) override {
    if (begun == Begun::kYes) connecting[id] = {tag, peer};
    return begun;
  }
  void judged(std::uint32_t id, std::optional<turn::PeerClose> refused) override {
    verdicts[id] = refused;
  }
  void end(std::uint32_t id, turn::PeerClose why) override { ended[id] = why; }
  void bind(const SocketTag& stream, std::uint32_t id) override { bound.emplace_back(stream, id); }

  bool has_room = true;
  Begun begun = Begun::kYes;
  std::map<SocketTag, SocketAddress, TagOrder> listening;
  std::map<SocketTag, std::shared_ptr<turn::TcpTraffic>, TagOrder> traffics;
  std::map<std::uint32_t, Connecting> connecting;  ///< by CONNECTION-ID
  std::map<std::uint32_t, std::optional<turn::PeerClose>> verdicts;
  std::map<std::uint32_t, turn::PeerClose> ended;
  std::vector<std::pair<SocketTag, std::uint32_t>> bound;

 private:
  static bool same(const SocketTag& a, const SocketTag& b) {
    return a.slot == b.slot && a.generation == b.generation;
  }
  std::uint16_t next_ = 24500;
};

/// A world whose engine has TCP allocations.
class TurnTcpWorld : public TurnWorld {
 public:
  static constexpr std::uint32_t kConnectionsMax = 8;

  TurnTcpWorld() {
    setup.tcp = &tcp;
    setup.shared->connection_ids = std::make_unique<turn::ConnectionIds>(kConnectionsMax);
  }
  std::vector<TurnSent> tell(const turn::TcpEvent& event) {
    Outbox out;
    engine().from_tcp(event, now, out);
    return sent(out);
  }
  /// Of the relayed transport address of the first allocation that there is.
  SocketTag socket() const { return tcp.listening.begin()->first; }
  std::vector<TurnSent> tell(turn::TcpEvent::Kind kind, std::uint32_t id,
                             const SocketAddress& peer = {}) {
    return tell({kind, socket(), id, peer});
  }

  TurnTcpPorts tcp;
};

/// A client over a stream of its own.
class TurnTcpClientOf : public TurnClient {
 public:
  explicit TurnTcpClientOf(TurnWorld& the_world, std::uint32_t number = 1,
                           std::string name = "alice")
      : TurnClient(the_world, ("192.0.2.10:" + std::to_string(40000 + number)).c_str(),
                   std::move(name)) {
    transport = turn::ListenerTransport::kTcp;
    tag = {0x80000000 | number, 1};
  }
  static void add_tcp(stun::Writer& writer) { writer.add_u32(stun::kRequestedTransport, 6U << 24); }
  TurnReply allocate_tcp(const Fill& more = nullptr) {
    const TurnReply reply = ask(stun::kAllocate, [&more](stun::Writer& writer) {
      add_tcp(writer);
      if (more) more(writer);
    });
    if (reply.code() == 200) relayed = reply.relayed();
    return reply;
  }
  static Fill to(const SocketAddress& peer) {
    return [peer](stun::Writer& writer) { writer.add_xor_address(stun::kXorPeerAddress, peer); };
  }
  TurnReply connect(const SocketAddress& peer) { return ask(stun::kConnect, to(peer)); }
  TurnReply bind_connection(std::uint32_t id) {
    return ask(stun::kConnectionBind,
               [id](stun::Writer& writer) { writer.add_u32(stun::kConnectionId, id); });
  }
};

}  // namespace turnpike::test
