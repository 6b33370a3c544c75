// The engine and a naive model in lockstep: random sequences of requests, data and time, with the
// response code, what is sent where, and what is in use compared after every step.
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "tests/support/turn_fixture.h"

namespace turnpike::test {
namespace {

constexpr std::size_t kPlaces = 4;  // permissions, and channels, of one allocation
constexpr std::uint32_t kPerUser = 3;
constexpr int kUsers = 3;  // at each address: alice, bob, and alice of another realm
constexpr const char* kOtherRealm = "other.example";
constexpr Seconds kDefault{600};
constexpr Seconds kMax{3600};

/// What an allocation is, by the words of RFC 8656.
struct Model {
  struct Allocation {
    std::string user;
    Instant expires;
    TurnBytes ticket;         // of its latest place; empty: it does not move
    TurnBytes ticket_before;  // of the place before that
    std::set<AddressFamily> families;
    std::map<IpAddress, Instant> permissions;
    std::map<std::uint16_t, std::pair<SocketAddress, Instant>> channels;
  };
  Instant now{};
  std::map<int, Allocation> by_client;

  void forget() {
    std::erase_if(by_client, [this](const auto& item) { return now >= item.second.expires; });
    for (auto& [client, allocation] : by_client) {
      std::erase_if(allocation.permissions, [this](const auto& p) { return now >= p.second; });
      std::erase_if(allocation.channels, [this](const auto& c) { return now >= c.second.second; });
    }
  }
  Allocation* find(int client) {
    const auto found = by_client.find(client);
    return found == by_client.end() ? nullptr : &found->second;
  }
  std::size_t of_user(const std::string& user) const {
    return static_cast<std::size_t>(
        std::count_if(by_client.begin(), by_client.end(),
                      [&user](const auto& item) { return item.second.user == user; }));
  }
  std::size_t ports() const {
    std::size_t count = 0;
    for (const auto& [client, allocation] : by_client) count += allocation.families.size();
    return count;
  }
  static Seconds granted(std::optional<std::uint32_t> wanted) {
    if (!wanted) return kDefault;
    return std::max(kDefault, std::min(Seconds(*wanted), kMax));
  }
  static bool is_forbidden(const IpAddress& ip) {
    return ip == IpAddress::v4(10, 0, 0, 1) || ip == *parse_ip("2001:db8::1");
  }
  // Whose places in the table are taken: permitted ones, and those that a channel leads to.
  static std::set<IpAddress> places(const Allocation& allocation) {
    std::set<IpAddress> ips;
    for (const auto& [ip, until] : allocation.permissions) ips.insert(ip);
    for (const auto& [number, channel] : allocation.channels) ips.insert(channel.first.ip);
    return ips;
  }

  // Each says the response's code, and does what the request does when it is 200.
  int allocate(int client, const std::string& user, const std::set<AddressFamily>& families,
               std::optional<std::uint32_t> wanted) {
    if (find(client) != nullptr) return 437;
    if (of_user(user) >= kPerUser) return 486;
    by_client[client] = {user, now + granted(wanted), {}, {}, families, {}, {}};
    return 200;
  }
  int refresh(int client, const std::string& user, std::optional<std::uint32_t> wanted) {
    Allocation* const allocation = find(client);
    if (allocation == nullptr) return 437;
    if (allocation->user != user) return 441;
    if (wanted == 0U) {
      by_client.erase(client);
    } else {
      allocation->expires = now + granted(wanted);
    }
    return 200;
  }
  /// `ticket` is the latest or last but one of an allocation, or of none that there is.
  int resume(int client, const std::string& user, const TurnBytes& ticket,
             std::optional<std::uint32_t> wanted) {
    const auto named =
        std::find_if(by_client.begin(), by_client.end(), [&ticket](const auto& item) {
          return item.second.ticket == ticket || item.second.ticket_before == ticket;
        });
    if (find(client) != nullptr) {
      const bool is_it = named != by_client.end() && named->first == client;
      return is_it ? refresh(client, user, wanted) : 437;
    }
    if (named == by_client.end()) return 437;
    if (named->second.user != user) return 441;
    const Allocation moved = named->second;
    by_client.erase(named);
    by_client[client] = moved;
    return refresh(client, user, wanted);
  }
  int judge(const Allocation& allocation, const IpAddress& ip) const {
    if (!allocation.families.contains(ip.family)) return 443;
    return is_forbidden(ip) ? 403 : 200;
  }
  int permit(int client, const std::string& user, const std::vector<SocketAddress>& peers) {
    Allocation* const allocation = find(client);
    if (allocation == nullptr) return 437;
    if (allocation->user != user) return 441;
    if (peers.empty()) return 400;
    std::set<IpAddress> ips = places(*allocation);
    for (const SocketAddress& peer : peers) {
      const int code = judge(*allocation, peer.ip);
      if (code != 200) return code;
      ips.insert(peer.ip);
    }
    if (ips.size() > kPlaces) return 508;
    for (const SocketAddress& peer : peers) allocation->permissions[peer.ip] = now + Seconds(300);
    return 200;
  }
  int bind(int client, const std::string& user, std::uint16_t number, const SocketAddress& peer) {
    Allocation* const allocation = find(client);
    if (allocation == nullptr) return 437;
    if (allocation->user != user) return 441;
    if (number < 0x4000 || number > 0x7fff) return 400;
    const int code = judge(*allocation, peer.ip);
    if (code != 200) return code;
    if (peer.port < 1024) return 403;
    for (const auto& [other, channel] : allocation->channels) {
      if ((other == number) != (channel.first == peer)) return 400;
    }
    const bool known = allocation->channels.contains(number);
    if (!known && allocation->channels.size() == kPlaces) return 508;
    std::set<IpAddress> ips = places(*allocation);
    ips.insert(peer.ip);
    if (ips.size() > kPlaces) return 508;
    allocation->channels[number] = {peer, now + Seconds(600)};
    allocation->permissions[peer.ip] = now + Seconds(300);
    return 200;
  }
  bool reaches(int client, const SocketAddress& peer) {
    const Allocation* const allocation = find(client);
    return allocation != nullptr && allocation->permissions.contains(peer.ip) && peer.port >= 1024;
  }
  std::optional<SocketAddress> channel(int client, std::uint16_t number) {
    const Allocation* const allocation = find(client);
    if (allocation == nullptr || !allocation->channels.contains(number)) return std::nullopt;
    return allocation->channels.at(number).first;
  }
  std::optional<std::uint16_t> channel_of(int client, const SocketAddress& peer) {
    for (const auto& [number, bound] : find(client)->channels) {
      if (bound.first == peer) return number;
    }
    return std::nullopt;
  }
};

class Lockstep {
 public:
  explicit Lockstep(std::uint64_t seed) : random_(seed) {
    world_.setup.permissions_max = kPlaces;
    world_.setup.source_limits = {};
    world_.realm().quotas.allocations_per_user = kPerUser;
    world_.realm().quotas.new_peers_per_minute = 0;
    world_.settings.mobility = true;
    turn::Realm other = world_.realm();
    other.name = kOtherRealm;
    other.users = {{"alice", TurnWorld::keys_of("alice", kOtherRealm)}};
    world_.settings.realms.push_back(other);
    for (int i = 0; i < 5; ++i) {
      for (const char* user : {"alice", "bob", "alice"}) {
        clients_.emplace_back(world_, ("192.0.2.10:" + std::to_string(40000 + i)).c_str(), user);
        clients_.back().transaction[0] = static_cast<std::uint8_t>(clients_.size());
      }
      clients_.back().own_realm = kOtherRealm;
    }
    model_.now = world_.now;
  }

  void step() {
    const int place = below(5);
    const int kind = below(10);
    const int who = kind < 2 ? 1 : kind < 4 ? 2 : 0;
    TurnClient& client = clients_[static_cast<std::size_t>(kUsers * place + who)];
    switch (below(11)) {
      case 0:
      case 1:
        allocate(place, client);
        break;
      case 2: {
        const auto wanted = lifetime();
        const int expected = model_.refresh(place, identity(client), wanted);
        EXPECT_EQ(client.refresh(wanted).code(), expected);
        break;
      }
      case 3:
      case 4: {
        std::vector<SocketAddress> peers;
        for (int i = below(4); i > 0; --i) peers.push_back(peer());
        const int expected = model_.permit(place, identity(client), peers);
        EXPECT_EQ(client.permit(peers).code(), expected);
        break;
      }
      case 5: {
        const std::uint16_t number = channel_number();
        const SocketAddress to = peer();
        const int expected = model_.bind(place, identity(client), number, to);
        EXPECT_EQ(client.bind(number, to).code(), expected);
        break;
      }
      case 6:
      case 7:
        data(place, client);
        break;
      case 8:
        resume(place, client);
        break;
      default:
        pass_time();
    }
    EXPECT_EQ(world_.engine().allocations(), model_.by_client.size());
    EXPECT_EQ(world_.ports.in_use(), model_.ports());
  }

 private:
  static std::string identity(const TurnClient& client) {
    return client.user + "@" + client.own_realm;
  }
  int below(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }
  SocketAddress peer() {
    static const std::vector<SocketAddress> peers = {
        turn_address("9.9.9.1:5000"),      turn_address("9.9.9.1:5001"),
        turn_address("9.9.9.2:5000"),      turn_address("9.9.9.3:5000"),
        turn_address("9.9.9.4:5000"),      turn_address("9.9.9.5:1023"),
        turn_address("10.0.0.1:5000"),     turn_address("[2620:fe::fe]:5000"),
        turn_address("[2620:fe::9]:5000"), turn_address("[2001:db8::1]:5000")};
    return peers[static_cast<std::size_t>(below(static_cast<int>(peers.size())))];
  }
  std::uint16_t channel_number() {
    return static_cast<std::uint16_t>(below(20) == 0 ? 0x8000 : 0x4000 + below(6));
  }
  std::optional<std::uint32_t> lifetime() {
    switch (below(5)) {
      case 0:
        return 0;
      case 1:
        return std::nullopt;
      default:
        return static_cast<std::uint32_t>(below(5000) + 1);
    }
  }
  void allocate(int place, TurnClient& client) {
    std::optional<std::uint32_t> wanted = lifetime();
    const int kind = below(3);
    const std::set<AddressFamily> families =
        kind == 0   ? std::set{AddressFamily::kIpv4}
        : kind == 1 ? std::set{AddressFamily::kIpv6}
                    : std::set{AddressFamily::kIpv4, AddressFamily::kIpv6};
    const int expected = model_.allocate(place, identity(client), families, wanted);
    const bool mobile = below(2) == 0;
    const TurnReply reply = client.allocate([&](stun::Writer& writer) {
      if (mobile) writer.add(stun::kMobilityTicket, {});
      if (wanted) writer.add_u32(stun::kLifetime, *wanted);
      const TurnBytes v6 = {2, 0, 0, 0};
      if (kind == 1) writer.add(stun::kRequestedAddressFamily, v6);
      if (kind == 2) writer.add(stun::kAdditionalAddressFamily, v6);
    });
    EXPECT_EQ(reply.code(), expected);
    if (expected != 200) return;
    EXPECT_EQ(reply.lifetime(), static_cast<std::uint32_t>(Model::granted(wanted).count()));
    model_.find(place)->ticket = reply.ticket();
    if (mobile) tickets_.insert(tickets_.begin(), reply.ticket());
    std::map<AddressFamily, SocketAddress>& relayed = relayed_[place];
    relayed.clear();
    const stun::Message message = *reply.message();
    for (std::size_t at = 0; const auto value = message.find_next(stun::kXorRelayedAddress, at);) {
      const SocketAddress address = *message.xor_address_in(*value);
      relayed[address.ip.family] = address;
    }
    EXPECT_EQ(relayed.size(), families.size());
  }
  // With any ticket that there ever was.
  void resume(int place, TurnClient& client) {
    if (tickets_.empty()) return;
    const TurnBytes ticket = tickets_[static_cast<std::size_t>(below(20)) % tickets_.size()];
    const auto wanted = lifetime();
    const auto before = model_.by_client;
    const int expected = model_.resume(place, identity(client), ticket, wanted);
    const TurnReply reply = client.refresh(wanted, TurnClient::with_ticket(ticket));
    ASSERT_EQ(reply.code(), expected);
    Model::Allocation* const now = model_.find(place);
    if (expected != 200 || now == nullptr) return;
    if (!before.contains(place)) {
      for (const auto& [from, allocation] : before) {
        if (allocation.ticket != now->ticket) continue;
        relayed_[place] = std::move(relayed_[from]);
        relayed_[from].clear();
      }
      now->ticket_before = ticket;
      now->ticket = reply.ticket();
      tickets_.insert(tickets_.begin(), now->ticket);
    }
    EXPECT_EQ(reply.ticket(), now->ticket);
  }
  void data(int place, TurnClient& client) {
    const TurnBytes bytes(static_cast<std::size_t>(below(20)), 3);
    const SocketAddress other = peer();
    switch (below(3)) {
      case 0: {
        const bool expected = model_.reaches(place, other);
        const auto sent = client.send_indication(other, bytes);
        ASSERT_EQ(sent.size(), expected ? 1U : 0U);
        if (expected) expect_at_peer(place, sent[0], other, bytes);
        break;
      }
      case 1: {
        const std::uint16_t number = channel_number();
        const auto to = model_.channel(place, number);
        const bool expected = to && model_.reaches(place, *to);
        const auto sent = client.send_channel(number, bytes);
        ASSERT_EQ(sent.size(), expected ? 1U : 0U);
        if (expected) expect_at_peer(place, sent[0], *to, bytes);
        break;
      }
      default:
        from_peer(place, client, other, bytes);
    }
  }
  void expect_at_peer(int place, const TurnSent& sent, const SocketAddress& to,
                      const TurnBytes& bytes) {
    EXPECT_EQ(sent.to, to);
    EXPECT_EQ(sent.bytes, bytes);
    EXPECT_EQ(world_.ports.bound.at(sent.tag), relayed_[place].at(to.ip.family));
  }
  // Also to sockets of allocations that are over.
  void from_peer(int place, TurnClient& client, const SocketAddress& from, const TurnBytes& bytes) {
    const auto relayed = relayed_[place].find(from.ip.family);
    if (relayed == relayed_[place].end()) return;
    SocketTag tag = world_.socket_of(relayed->second);
    if (tag.generation == 0) tag = tags_[place];
    tags_[place] = tag;
    const auto* const allocation = model_.find(place);
    const bool expected =
        allocation != nullptr && allocation->permissions.contains(from.ip) && from.port >= 1024;
    const auto sent = world_.from_peer(bytes, from, tag);
    ASSERT_EQ(sent.size(), expected ? 1U : 0U);
    if (!expected) return;
    EXPECT_EQ(sent[0].to, client.address);
    const auto number = model_.channel_of(place, from);
    if (number) {
      const auto header = read_channel_data(sent[0].bytes);
      ASSERT_TRUE(header);
      EXPECT_EQ(header->channel, *number);
      EXPECT_EQ(TurnBytes(sent[0].bytes.begin() + 4, sent[0].bytes.end()), bytes);
    } else {
      const auto message = stun::Message::parse(sent[0].bytes);
      ASSERT_TRUE(message);
      EXPECT_EQ(message->xor_address(stun::kXorPeerAddress), from);
      const stun::Bytes value = *message->find(stun::kDataValue);
      EXPECT_EQ(TurnBytes(value.begin(), value.end()), bytes);
    }
  }
  void pass_time() {
    static constexpr int kTenths[] = {1, 10, 600, 1500, 2999, 3000, 3001, 6000};
    world_.run(Milliseconds(100) * kTenths[below(8)]);
    model_.now = world_.now;
    model_.forget();
  }

  std::mt19937_64 random_;
  TurnWorld world_;
  std::vector<TurnClient> clients_;
  Model model_;
  std::map<int, std::map<AddressFamily, SocketAddress>> relayed_;
  std::map<int, SocketTag> tags_;
  std::vector<TurnBytes> tickets_;  // the newest first
};

// Fifty at a time, so that a failure names its seed without a thousand lines for success.
class EngineModel : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(EngineModel, agrees_with_the_engine) {
  for (std::uint64_t seed = GetParam(); seed < GetParam() + 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Lockstep lockstep(seed);
    for (int i = 0; i < 200 && !HasFailure(); ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      lockstep.step();
    }
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, EngineModel,
                         ::testing::Range<std::uint64_t>(0, 1000, std::uint64_t{50}));

}  // namespace
}  // namespace turnpike::test
