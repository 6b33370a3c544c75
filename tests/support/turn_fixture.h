// A TURN engine with relayed ports that are only numbers, and clients that speak to it: for unit,
// property and fuzz tests.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "relay/crypto/digest.h"
#include "relay/crypto/hmac_sha1.h"
#include "relay/crypto/hmac_sha256.h"
#include "relay/turn/engine.h"
#include "relay/turn/shared.h"
#include "relay/wire/channel_data.h"
#include "relay/wire/stun.h"

namespace turnpike::test {

using TurnBytes = std::vector<std::uint8_t>;

inline SocketAddress turn_address(const char* text) {
  return *parse_socket_address(text);
}

inline bool operator<(const SocketTag& a, const SocketTag& b) {
  return std::tie(a.slot, a.generation, a.side) < std::tie(b.slot, b.generation, b.side);
}

struct TagOrder {
  bool operator()(const SocketTag& a, const SocketTag& b) const { return test::operator<(a, b); }
};

/// Ports as numbers; remembers what is open and reserved.
class TurnPorts : public turn::RelayedPorts {
 public:
  std::size_t ports_max = 1000;
  SocketAddress relay_v4 = turn_address("93.184.216.1:24000");
  SocketAddress relay_v6 = turn_address("[2606:2800::1]:24000");

  std::optional<Opened> open(const SocketTag& tag, AddressFamily family, Parity parity) override {
    const bool two = parity == Parity::kEvenAndReserveNext;
    if (in_use() + (two ? 2 : 1) > ports_max) return std::nullopt;
    if (parity != Parity::kAny && next_ % 2 != 0) ++next_;
    Opened opened{address(family, next_++), 0};
    bound.emplace(tag, opened.advertised);
    if (two) {
      opened.reservation = ++reservation_;
      reserved.emplace(opened.reservation, address(family, next_++));
    }
    return opened;
  }
  std::optional<Opened> take(const SocketTag& tag, std::uint32_t reservation) override {
    const auto found = reserved.find(reservation);
    if (found == reserved.end()) return other == nullptr ? std::nullopt : fetch(tag, reservation);
    bound.emplace(tag, found->second);
    reserved.erase(found);
    return Opened{bound.at(tag), 0};
  }
  void release(std::uint32_t reservation) override { reserved.erase(reservation); }
  void close(const SocketTag& tag) override { bound.erase(tag); }
  std::uint32_t hand_over(const SocketTag& tag) override {
    if (hands_over == 0) return 0;
    --hands_over;
    reserved.emplace(++reservation_, bound.at(tag));
    bound.erase(tag);
    return reservation_;
  }
  TurnPorts* other = nullptr;      ///< of another shard, whose reservations can be taken
  std::size_t hands_over = 10000;  ///< how often that works

  std::size_t in_use() const { return bound.size() + reserved.size(); }

  std::map<SocketTag, SocketAddress, TagOrder> bound;
  std::map<std::uint32_t, SocketAddress> reserved;

 private:
  std::optional<Opened> fetch(const SocketTag& tag, std::uint32_t reservation) {
    const auto found = other->reserved.find(reservation);
    if (found == other->reserved.end()) return std::nullopt;
    const Opened opened{found->second, 0};
    bound.emplace(tag, found->second);
    other->reserved.erase(found);
    return opened;
  }
  SocketAddress address(AddressFamily family, std::uint16_t port) const {
    return {family == AddressFamily::kIpv4 ? relay_v4.ip : relay_v6.ip, port};
  }
  std::uint16_t next_ = 24001;
  std::uint32_t reservation_ = 0;
};

struct TurnSent {
  TurnBytes bytes;
  SocketTag tag;
  SocketAddress to;
};

class TurnWorld {
 public:
  static constexpr const char* kRealm = "turnpike.example";
  static constexpr const char* kPassword = "correct horse battery staple";
  static constexpr const char* kSecret = "a secret of many shared bytes";

  TurnWorld() {
    setup.allocations_max = 100;
    setup.ipv6 = true;
    setup.nonce_key.fill(7);
    setup.random = [this](void* data, std::size_t size) {
      auto* bytes = static_cast<std::uint8_t*>(data);
      for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(random_());
    };
    setup.own_addresses = {*parse_ip("93.184.216.9"), *parse_ip("10.1.1.1")};
    setup.relay_addresses = {ports.relay_v4.ip, ports.relay_v6.ip};
    setup.relay_port_min = 24000;
    setup.relay_port_max = 29999;
    setup.shared = std::make_shared<turn::Shared>();
    turn::Realm realm;
    realm.name = kRealm;
    for (const char* user : {"alice", "bob"}) realm.users.emplace(user, keys_of(user));
    settings.realms.push_back(realm);
  }

  static turn::UserKeys keys_of(const std::string& user, const std::string& realm = kRealm,
                                const std::string& password = kPassword) {
    return {md5({user, ":", realm, ":", password}), sha256({user, ":", realm, ":", password})};
  }
  turn::Realm& realm() { return settings.realms[0]; }
  /// Time-limited credentials as well.
  void add_secret(const std::string& secret = kSecret, bool sha256 = false) {
    realm().secrets.push_back({"id", secret, sha256});
  }

  turn::Engine& engine() {
    if (engine_ == nullptr) {
      engine_ = std::make_unique<turn::Engine>(setup, ports, counters);
      configure();
    }
    return *engine_;
  }
  void configure() {
    if (engine_ == nullptr) return;
    engine_->configure(turn::prepare(std::make_shared<turn::Settings>(settings), setup.nonce_key));
  }

  std::vector<TurnSent> from_client(const TurnBytes& bytes, const SocketAddress& client,
                                    turn::ListenerTransport transport, const SocketTag& tag) {
    turn::Engine& to = engine();
    Packet& packet = fill(bytes, client, tag);
    Outbox out;
    to.from_client(packet, {transport, turn_address("93.184.216.9:3478"), listener_realm}, now,
                   wall, out);
    return sent(out);
  }
  std::vector<TurnSent> from_peer(const TurnBytes& bytes, const SocketAddress& peer,
                                  const SocketTag& relayed) {
    turn::Engine& to = engine();
    Packet& packet = fill(bytes, peer, relayed);
    Outbox out;
    to.from_peer(packet, now, out);
    return sent(out);
  }
  std::vector<TurnSent> from_icmp(const SocketAddress& relayed, const SocketAddress& peer,
                                  std::uint8_t type, std::uint8_t code, std::uint32_t mtu = 0) {
    Outbox out;
    engine().from_icmp({socket_of(relayed), peer, type, code, mtu}, now, out);
    return sent(out);
  }
  /// What the engine sends after it has looked for moving allocations.
  std::vector<TurnSent> run_moves() {
    Outbox out;
    engine().on_moves(now, wall, out);
    return sent(out);
  }
  /// The socket at which an advertised relayed address is.
  SocketTag socket_of(const SocketAddress& relayed) const {
    for (const auto& [tag, address] : ports.bound) {
      if (address == relayed) return tag;
    }
    return {};
  }
  void run(Nanoseconds time) {
    const Instant until = now + time;
    while (engine().next_deadline() <= until) {
      now = std::max(now, engine().next_deadline());
      Outbox out;
      engine().on_deadline(now, out);
    }
    now = until;
    wall = start_wall + std::chrono::duration_cast<Seconds>(now - start);
  }
  std::uint64_t total(Counter turn::ClientCounters::*counter) const {
    return counters.total(counter);
  }
  std::uint64_t refused(turn::Refusal refusal) const {
    return counters.refusals[static_cast<std::size_t>(refusal)].value();
  }
  std::uint64_t dropped(turn::Drop drop) const {
    return counters.drops[static_cast<std::size_t>(drop)].value();
  }

  static constexpr Instant start{Seconds(100'000)};
  static constexpr Seconds start_wall{1'800'000'000};
  Instant now = start;
  Seconds wall = start_wall;
  std::string listener_realm;
  turn::EngineSetup setup;
  turn::Settings settings;
  turn::Counters counters;
  TurnPorts ports;

 protected:
  static std::vector<TurnSent> sent(const Outbox& out) {
    std::vector<TurnSent> all;
    for (const Send& send : out) {
      all.push_back({TurnBytes(send.data, send.data + send.length), send.tag, send.destination});
    }
    return all;
  }

 private:
  Packet& fill(const TurnBytes& bytes, const SocketAddress& source, const SocketTag& tag) {
    batch_.clear();
    Packet* packet = batch_.next();
    std::copy_n(bytes.begin(), std::min(bytes.size(), kPayloadBytesMax), packet->data);
    packet->length = static_cast<std::uint32_t>(bytes.size());
    packet->source = source;
    packet->tag = tag;
    batch_.commit();
    return *packet;
  }
  std::mt19937_64 random_{1};
  Batch batch_;
  std::unique_ptr<turn::Engine> engine_;
};

/// A response, or the lack of one.
class TurnReply {
 public:
  TurnReply() = default;
  explicit TurnReply(TurnBytes bytes) : bytes_(std::move(bytes)) {}

  const TurnBytes& bytes() const { return bytes_; }
  std::optional<stun::Message> message() const { return stun::Message::parse(bytes_); }
  /// 200 for success, the error code, 0 for no response.
  int code() const {
    const auto parsed = message();
    if (!parsed) return 0;
    if (parsed->message_class() == stun::Class::kSuccess) return 200;
    return parsed->error_code().value_or(-1);
  }
  std::string text(std::uint16_t type) const {
    return std::string(message()->text(type).value_or(""));
  }
  std::uint32_t lifetime() const { return message()->u32(stun::kLifetime).value_or(0xffffffff); }
  /// MOBILITY-TICKET; empty: there is none.
  TurnBytes ticket() const {
    const auto value = message()->find(stun::kMobilityTicket);
    return value ? TurnBytes(value->begin(), value->end()) : TurnBytes();
  }
  SocketAddress relayed() const {
    return message()->xor_address(stun::kXorRelayedAddress).value_or(SocketAddress{});
  }

 private:
  TurnBytes bytes_;
};

class TurnClient {
 public:
  using Fill = std::function<void(stun::Writer&)>;

  explicit TurnClient(TurnWorld& the_world, const char* at = "192.0.2.10:40000",
                      std::string name = "alice")
      : world(the_world), address(turn_address(at)), user(std::move(name)) {}

  // How it speaks.
  TurnWorld& world;
  SocketAddress address;
  std::string user;
  std::string password = TurnWorld::kPassword;
  turn::ListenerTransport transport = turn::ListenerTransport::kUdp;
  SocketTag tag{0xffffffff, 0};
  bool sha256_password = false;  ///< PASSWORD-ALGORITHM
  bool sha256_code = false;      ///< MESSAGE-INTEGRITY-SHA256
  bool userhash = false;
  bool fingerprint = false;
  TurnBytes algorithms = {0, 2, 0, 0, 0, 1, 0, 0};
  TurnBytes token;        ///< ACCESS-TOKEN; empty: none
  TurnBytes session_key;  ///< of a token; empty: it has a password
  std::string own_realm;  ///< that it names whatever it is told; empty: what it is told
  // What it has learned.
  std::string realm;
  std::string nonce;
  stun::TransactionId transaction{};

  /// Becomes a user whose name says until when, with the password that a secret makes.
  void use_secret(const std::string& secret, Seconds until, bool sha256 = false) {
    user = std::to_string(until.count()) + ":" + user;
    const std::vector<std::uint8_t> key(secret.begin(), secret.end());
    const std::vector<std::uint8_t> name(user.begin(), user.end());
    std::array<std::uint8_t, 32> code{};
    if (sha256) {
      hmac_sha256(make_hmac_sha256_key(key), name, {}, code.data());
    } else {
      hmac_sha1(make_hmac_sha1_key(key), name, {}, code.data());
    }
    password = base64({code.data(), sha256 ? std::size_t{32} : std::size_t{20}});
  }

  TurnBytes bytes_of_key() const {
    if (!session_key.empty()) return session_key;
    const turn::UserKeys keys = TurnWorld::keys_of(user, realm, password);
    if (sha256_password) return {keys.sha256.begin(), keys.sha256.end()};
    return {keys.md5.begin(), keys.md5.end()};
  }
  void seal(stun::Writer& writer) const {
    const TurnBytes key = bytes_of_key();
    if (sha256_code) {
      writer.add_integrity_sha256([&key](stun::Bytes message, std::uint8_t* code) {
        hmac_sha256(make_hmac_sha256_key(key), message, {}, code);
      });
    } else {
      writer.add_integrity([&key](stun::Bytes message, std::uint8_t* code) {
        hmac_sha1(make_hmac_sha1_key(key), message, {}, code);
      });
    }
  }
  bool is_sealed(const TurnReply& reply) const {
    const TurnBytes key = bytes_of_key();
    const auto message = reply.message();
    const auto found = sha256_code ? message->integrity_sha256() : message->integrity();
    if (!found) return false;
    std::array<std::uint8_t, 32> code{};
    if (sha256_code) {
      hmac_sha256(make_hmac_sha256_key(key), found->header, found->attributes, code.data());
    } else {
      hmac_sha1(make_hmac_sha1_key(key), found->header, found->attributes, code.data());
    }
    return std::equal(found->code.begin(), found->code.end(), code.begin());
  }
  void add_credentials(stun::Writer& writer) const {
    if (userhash) {
      writer.add(stun::kUserhash, sha256({user, ":", realm}));
    } else {
      writer.add_text(stun::kUsername, user);
    }
    writer.add_text(stun::kRealm, realm);
    writer.add_text(stun::kNonce, nonce);
    if (!token.empty()) writer.add(stun::kAccessToken, token);
    if (!sha256_password) return;
    writer.add(stun::kPasswordAlgorithms, algorithms);
    writer.add(stun::kPasswordAlgorithm, TurnBytes{0, 2, 0, 0});
  }

  /// A request; with credentials once a nonce is known. `behind` goes behind the code.
  TurnBytes request(std::uint16_t method, const Fill& fill, const Fill& behind = nullptr) {
    TurnBytes buffer(1800);
    ++transaction[11];
    if (transaction[11] == 0) ++transaction[10];
    stun::Writer writer(buffer, stun::Class::kRequest, method, transaction);
    if (fill) fill(writer);
    if (!nonce.empty()) {
      add_credentials(writer);
      seal(writer);
    }
    if (behind) behind(writer);
    if (fingerprint) writer.add_fingerprint();
    const stun::Bytes bytes = writer.finish();
    return {bytes.begin(), bytes.end()};
  }
  std::vector<TurnSent> send(const TurnBytes& bytes) {
    return world.from_client(bytes, address, transport, tag);
  }
  TurnReply send_for_reply(const TurnBytes& bytes) {
    const auto sent = send(bytes);
    return sent.size() == 1 ? TurnReply(sent[0].bytes) : TurnReply();
  }
  TurnReply ask_once(std::uint16_t method, const Fill& fill = nullptr) {
    return send_for_reply(request(method, fill));
  }
  void learn(const TurnReply& reply) {
    realm = own_realm.empty() ? reply.text(stun::kRealm) : own_realm;
    nonce = reply.text(stun::kNonce);
  }
  /// As clients do: with the credentials that a challenge asks for.
  TurnReply ask(std::uint16_t method, const Fill& fill = nullptr) {
    TurnReply reply = ask_once(method, fill);
    if ((reply.code() == 401 && nonce.empty()) || reply.code() == 438) {
      learn(reply);
      reply = ask_once(method, fill);
    }
    return reply;
  }

  static void add_udp(stun::Writer& writer) {
    writer.add_u32(stun::kRequestedTransport, 17U << 24);
  }
  TurnReply allocate(const Fill& more = nullptr) {
    TurnReply reply = ask(stun::kAllocate, [&more](stun::Writer& writer) {
      add_udp(writer);
      if (more) more(writer);
    });
    if (reply.code() == 200) relayed = reply.relayed();
    return reply;
  }
  TurnReply refresh(std::optional<std::uint32_t> lifetime = std::nullopt,
                    const Fill& more = nullptr) {
    return ask(stun::kRefresh, [&](stun::Writer& writer) {
      if (lifetime) writer.add_u32(stun::kLifetime, *lifetime);
      if (more) more(writer);
    });
  }
  static Fill with_ticket(const TurnBytes& ticket) {
    return [ticket](stun::Writer& writer) { writer.add(stun::kMobilityTicket, ticket); };
  }
  /// Speaks from another address, of which it has no nonce.
  void go(const char* to) {
    address = turn_address(to);
    nonce.clear();
  }
  TurnReply permit(const std::vector<SocketAddress>& peers) {
    return ask(stun::kCreatePermission, [&](stun::Writer& writer) {
      for (const SocketAddress& peer : peers) writer.add_xor_address(stun::kXorPeerAddress, peer);
    });
  }
  TurnReply bind(std::uint16_t number, const SocketAddress& peer) {
    return ask(stun::kChannelBind, [&](stun::Writer& writer) {
      writer.add_u32(stun::kChannelNumber, std::uint32_t{number} << 16);
      writer.add_xor_address(stun::kXorPeerAddress, peer);
    });
  }
  std::vector<TurnSent> send_indication(const SocketAddress& peer, const TurnBytes& data) {
    TurnBytes buffer(1900);
    stun::Writer writer(buffer, stun::Class::kIndication, stun::kSend, transaction);
    writer.add_xor_address(stun::kXorPeerAddress, peer);
    writer.add(stun::kDataValue, data);
    const stun::Bytes bytes = writer.finish();
    return send({bytes.begin(), bytes.end()});
  }
  std::vector<TurnSent> send_channel(std::uint16_t number, const TurnBytes& data) {
    TurnBytes bytes(kChannelHeaderBytes + data.size());
    write_channel_header(bytes.data(), {number, static_cast<std::uint16_t>(data.size())});
    std::copy(data.begin(), data.end(), bytes.begin() + kChannelHeaderBytes);
    return send(bytes);
  }
  std::vector<TurnSent> from_peer(const SocketAddress& peer, const TurnBytes& data) {
    return world.from_peer(data, peer, world.socket_of(relayed));
  }

  SocketAddress relayed;
};

}  // namespace turnpike::test
