// A TURN engine under arbitrary sequences. The input is a list of [what][argument][length][bytes]:
// datagrams as they are, requests that are sealed with the right key around attributes that the
// bytes make up, good requests with one byte changed, data of peers, TCP connections with peers,
// new settings, time.
#include <cstdlib>
#include <optional>

#include "relay/turn/peer_policy.h"
#include "tests/support/turn_tcp.h"

using namespace turnpike;  // NOLINT(*-using-namespace)
using test::TurnBytes;

namespace {

constexpr std::size_t kStepsMax = 100;
constexpr std::size_t kClients = 3;
constexpr std::uint32_t kPerUser = 2;

void must(bool holds) {
  if (!holds) std::abort();
}

class Run {
 public:
  Run() {
    world_.setup.allocations_max = 4;
    world_.setup.permissions_max = 3;
    world_.settings = settings_;
    turn::DiscoveryPlaces& places = world_.setup.discovery.emplace_back();
    for (std::uint32_t i = 0; i < places.size(); ++i) {
      places[i] = {{0xffffffff, i}, test::turn_address("93.184.216.9:3478")};
    }
    for (std::size_t i = 0; i < kClients; ++i) {
      clients_.emplace_back(world_, ("192.0.2.10:" + std::to_string(40000 + i)).c_str(),
                            i == 0 ? "alice" : "bob");
    }
    clients_.push_back(test::TurnTcpClientOf(world_, 9));
  }

  void step(std::uint8_t what, std::uint8_t argument, const TurnBytes& bytes) {
    test::TurnClient& client = clients_[argument % kClients];
    switch (what % 13) {
      case 0:
        judge(client.send(bytes), client, bytes.size());
        break;
      case 1:
      case 2:
        judge(client.send(sealed(client, argument, bytes)), client, 0);
        break;
      case 3:
        judge(client.send(changed(client, argument, bytes)), client, 0);
        break;
      case 4:
        if (client.allocate().code() == 200) client.bind(0x4000, peer(argument));
        break;
      case 5:
        judge(client.send_indication(peer(argument), bytes), client, 0);
        judge(client.send_channel(static_cast<std::uint16_t>(0x4000 + argument % 4), bytes), client,
              0);
        break;
      case 6:
        from_peer(argument, bytes);
        break;
      case 7:
        configure(argument);
        break;
      case 10:
        take_ticket(client);
        break;
      case 11:
        judge(client.send(client.request(stun::kRefresh, test::TurnClient::with_ticket(ticket_))),
              client, 0);
        break;
      case 12:
        by_tcp(argument, bytes);
        break;
      default:
        world_.run(Milliseconds(argument * 1500));
    }
    must(world_.engine().allocations() <= 2 * kPerUser);
    must(world_.ports.in_use() <= 2 * 2 * kPerUser + 2);
  }

  // Whatever has happened: in the end everything is given back.
  void finish() {
    world_.run(Seconds(3700));
    must(world_.engine().allocations() == 0 && world_.ports.in_use() == 0);
    must(world_.tcp.listening.empty() && world_.tcp.connecting.empty());
    world_.settings = settings_;
    world_.setup.shared->draining = false;
    world_.configure();
    test::TurnClient last(world_, "192.0.2.200:5000");
    must(last.allocate().code() == 200);
  }

 private:
  static SocketAddress peer(std::uint8_t argument) {
    return {IpAddress::v4(9, 9, static_cast<std::uint8_t>(argument & 1), argument & 3),
            static_cast<std::uint16_t>(1000 + argument * 8)};
  }
  void learn(test::TurnClient& client) {
    if (!client.nonce.empty()) return;
    const test::TurnReply reply = client.ask_once(stun::kAllocate, test::TurnClient::add_udp);
    if (reply.code() == 401) client.learn(reply);
  }
  static void add_attributes(stun::Writer& writer, const TurnBytes& bytes) {
    // The attributes that requests are about, by number; the values as they come.
    static constexpr std::uint16_t kTypes[] = {
        stun::kChannelNumber,      stun::kLifetime,          stun::kXorPeerAddress,
        stun::kDataValue,          stun::kEvenPort,          stun::kRequestedAddressFamily,
        stun::kDontFragment,       stun::kReservationToken,  stun::kAdditionalAddressFamily,
        stun::kRequestedTransport, stun::kPasswordAlgorithm, stun::kPasswordAlgorithms,
        stun::kUserhash,           stun::kUsername,          0x7abc,
        stun::kMobilityTicket,     stun::kChangeRequest,     stun::kPadding,
        stun::kResponsePort,       stun::kAccessToken,       stun::kConnectionId};
    for (std::size_t at = 0; at + 2 <= bytes.size();) {
      const std::size_t length = std::min<std::size_t>(bytes[at + 1] % 24, bytes.size() - at - 2);
      writer.add(kTypes[bytes[at] % std::size(kTypes)], {bytes.data() + at + 2, length});
      at += 2 + length;
    }
  }
  TurnBytes sealed(test::TurnClient& client, std::uint8_t argument, const TurnBytes& bytes) {
    static constexpr std::uint16_t kMethods[] = {stun::kAllocate, stun::kRefresh,
                                                 stun::kCreatePermission, stun::kChannelBind,
                                                 stun::kBinding};
    learn(client);
    const std::uint16_t method = kMethods[(argument >> 3) % 5];
    return client.request(method, [&](stun::Writer& writer) {
      if (method == stun::kAllocate && (argument & 4) != 0) test::TurnClient::add_udp(writer);
      add_attributes(writer, bytes);
    });
  }
  void take_ticket(test::TurnClient& client) {
    const test::TurnReply reply = client.allocate(test::TurnClient::with_ticket({}));
    if (reply.code() == 200) ticket_ = reply.ticket();
  }
  TurnBytes changed(test::TurnClient& client, std::uint8_t argument, const TurnBytes& bytes) {
    learn(client);
    TurnBytes request = client.request(stun::kChannelBind, [argument](stun::Writer& writer) {
      writer.add_u32(stun::kChannelNumber, 0x40010000);
      writer.add_xor_address(stun::kXorPeerAddress, peer(argument));
    });
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
      request[bytes[i] % request.size()] ^= bytes[i + 1];
    }
    return request;
  }
  /// RFC 6062: requests of a client over TCP, and what becomes of its connections.
  void by_tcp(std::uint8_t argument, const TurnBytes& bytes) {
    static constexpr std::uint16_t kMethods[] = {stun::kAllocate, stun::kConnect,
                                                 stun::kConnectionBind, stun::kCreatePermission,
                                                 stun::kRefresh};
    test::TurnClient& client = clients_.back();
    const int what = argument % 8;
    const auto address = peer(argument / 8);
    auto& connecting = world_.tcp.connecting;
    const std::uint32_t id = connecting.empty() ? 77 : connecting.begin()->first;
    if (what < 5) {
      learn(client);
      const TurnBytes request = client.request(kMethods[what], [&](stun::Writer& writer) {
        if (what == 0) test::TurnTcpClientOf::add_tcp(writer);
        if (what == 1 || what == 3) writer.add_xor_address(stun::kXorPeerAddress, address);
        if (what == 2) writer.add_u32(stun::kConnectionId, id);
        add_attributes(writer, bytes);
      });
      judge(client.send(request), client, 0);
    } else if (!world_.tcp.listening.empty()) {
      using Kind = turn::TcpEvent::Kind;
      const Kind kind = what == 5 ? Kind::kConnected : what == 6 ? Kind::kComes : Kind::kEnded;
      const auto sent = world_.tell(kind, kind == Kind::kComes ? argument + 1000U : id, address);
      must(sent.size() <= 1 && (sent.empty() || sent[0].to == client.address));
      if (kind == Kind::kEnded) connecting.erase(id);
    }
    must(connecting.size() <= test::TurnTcpWorld::kConnectionsMax);
    must(world_.tcp.listening.size() <= world_.engine().allocations());
    for (const auto& [number, one] : connecting) must(one.peer.port >= 1024);
  }
  void from_peer(std::uint8_t argument, const TurnBytes& bytes) {
    if (world_.ports.bound.empty()) return;
    auto socket = world_.ports.bound.begin();
    std::advance(socket, argument % static_cast<int>(world_.ports.bound.size()));
    const std::uint8_t type = bytes.empty() ? 3 : bytes[0];
    for (const auto& sent : world_.from_icmp(socket->second, peer(argument), type, argument)) {
      must(is_client(sent.to) && sent.bytes.size() <= 100);
    }
    for (const test::TurnSent& sent : world_.from_peer(bytes, peer(argument), socket->first)) {
      must(is_client(sent.to));
      must(sent.bytes.size() >= bytes.size() + kChannelHeaderBytes);
    }
  }
  void configure(std::uint8_t argument) {
    switch (argument % 5) {
      case 0:
        world_.realm().users.erase("bob");
        break;
      case 1:
        world_.realm().peers.denied = {{IpAddress::v4(9, 9, 0, 0), 24}};
        break;
      case 2:
        world_.setup.shared->draining = !world_.setup.shared->draining;
        break;
      case 3:
        world_.realm().name = "elsewhere";
        break;
      default:
        world_.settings = settings_;
    }
    world_.configure();
  }
  bool is_client(const SocketAddress& address) const {
    return std::any_of(clients_.begin(), clients_.end(),
                       [&](const test::TurnClient& client) { return client.address == address; });
  }
  // Answers go to who asked, at his address; everything else to peers that the policy allows, from
  // a socket that is open.
  void judge(const std::vector<test::TurnSent>& all, const test::TurnClient& client,
             std::size_t unsealed_bytes) {
    must(all.size() <= 1);
    for (const test::TurnSent& sent : all) {
      if (sent.to.ip == client.address.ip) {
        must(sent.tag.slot == client.tag.slot && sent.tag.generation < 4);
        const auto message = stun::Message::parse(sent.bytes);
        must(message.has_value());
        must(message->message_class() == stun::Class::kSuccess ||
             message->message_class() == stun::Class::kError);
        // An answer to nobody in particular is not much longer than what it answers.
        must(unsealed_bytes == 0 || sent.bytes.size() <= unsealed_bytes + 100);
        continue;
      }
      must(world_.ports.bound.contains(sent.tag));
      must(turn::may_be_peer(sent.to, world_.realm().peers,
                             {world_.setup.own_addresses, world_.setup.relay_addresses,
                              world_.setup.relay_port_min, world_.setup.relay_port_max}));
    }
  }

  test::TurnTcpWorld world_;
  const turn::Settings settings_ = with_secret();
  std::vector<test::TurnClient> clients_;
  TurnBytes ticket_;

  static turn::Settings with_secret() {
    test::TurnWorld world;
    world.add_secret();
    world.realm().quotas.allocations_per_user = kPerUser;
    world.settings.mobility = true;
    world.realm().token_keys = {{"north", "1234567890123456", {}, {}}};
    world.realm().token_server = "turn.example";
    return world.settings;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Run run;
  std::size_t steps = 0;
  for (std::size_t at = 0; at + 3 <= size && steps < kStepsMax; ++steps) {
    const std::size_t length = std::min<std::size_t>(data[at + 2], size - at - 3);
    run.step(data[at], data[at + 1], TurnBytes(data + at + 3, data + at + 3 + length));
    at += 3 + length;
  }
  run.finish();
  return 0;
}
