// DTLS clients of TURN before they are up, under arbitrary datagrams. The input is a list of
// [what][length][bytes]: a datagram of one of four clients, as it is, as a record or as a
// ClientHello, with the cookie that it was given last or without; or time. Nothing may be kept of
// who has shown no cookie, no answer may be longer than what it answers, limits hold, and what does
// not go on leaves nothing. Handshakes are not made: nobody serves their thread.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "relay/turn_dtls.h"
#include "tests/fuzz/steps.h"

using namespace turnpike;  // NOLINT(*-using-namespace)

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kStepsMax = 120;
constexpr std::uint32_t kAssociationsMax = 6;
constexpr std::uint32_t kHalfOpenMax = 3;
constexpr std::size_t kHelloVerifyHeader = 28;

void must(bool holds) {
  if (!holds) std::abort();
}

struct Client {
  SocketAddress address;
  std::uint8_t random = 0;
  Bytes cookie;  // of that random
};

Bytes record(std::uint8_t type, std::uint8_t epoch, std::span<const std::uint8_t> payload) {
  Bytes bytes = {type, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1, 0};
  bytes.push_back(static_cast<std::uint8_t>(payload.size()));
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

Bytes hello(const Client& client, std::span<const std::uint8_t> rest) {
  Bytes body = {0xfe, 0xfd};
  body.insert(body.end(), 32, client.random);
  body.push_back(0);
  body.push_back(static_cast<std::uint8_t>(client.cookie.size()));
  body.insert(body.end(), client.cookie.begin(), client.cookie.end());
  const auto some = rest.first(std::min<std::size_t>(rest.size(), 100));
  body.insert(body.end(), some.begin(), some.end());
  const auto size = static_cast<std::uint8_t>(body.size());
  const std::array<std::uint8_t, 12> header = {1, 0, 0, size, 0, 0, 0, 0, 0, 0, 0, size};
  body.insert(body.begin(), header.begin(), header.end());
  return record(22, 0, body);
}

class Run {
 public:
  Run() {
    dtls_.emplace(TurnDtls::Setup{.associations_max = kAssociationsMax,
                                  .half_open_max = kHalfOpenMax,
                                  .shard = 0,
                                  .thread = &thread_,
                                  .gate = turn::SourceGate(shared_, SipHashKey{1}, 2),
                                  .half_open_gate = turn::SourceGate(shared_, SipHashKey{2}, 2),
                                  .key = SipHashKey{3}},
                  counters_,
                  TurnDtls::Handlers{.send = [this](std::span<const Send> sends) { keep(sends); },
                                     .has_allocation = [](const SocketTag&) { return false; },
                                     .closed = [](const SocketTag&) { must(false); }});
    const IpAddress first = IpAddress::v4(45, 9, 1, 1);
    clients_[0].address = {first, 1000};
    clients_[1].address = {first, 1001};
    clients_[2].address = {first, 1002};
    clients_[3].address = {IpAddress::v4(45, 9, 1, 2), 1000};
  }

  void step(std::uint8_t what, std::span<const std::uint8_t> bytes) {
    Client& client = clients_[what % clients_.size()];
    switch (what / 4 % 8) {
      case 0:
        receive(client, bytes);
        break;
      case 1:
        receive(client, record(bytes.empty() ? 22 : bytes[0], what / 32 % 2, bytes));
        break;
      case 2:
        client.random = what;
        client.cookie.clear();
        receive(client, hello(client, bytes));
        break;
      case 7:
        now_ += Milliseconds(bytes.size() * 100);
        dtls_->on_deadline(now_);
        dtls_->take_results(now_);
        break;
      default:
        shown_ = shown_ || !client.cookie.empty();
        receive(client, hello(client, bytes));
    }
    must(shown_ || dtls_->size() == 0);
    must(dtls_->half_open() <= kHalfOpenMax);
    must(dtls_->size() == dtls_->half_open());
  }
  void finish() {
    now_ += TurnDtls::kHandshakeMax + Seconds{1};
    dtls_->on_deadline(now_);
    must(dtls_->size() == 0);
    must(dtls_->next_deadline() == Instant::max());
    must(shared_->connections.load() == 0);
    for (const Client& one : clients_) {
      const turn::SourceGate gate(shared_, SipHashKey{1}, 2);
      must(shared_->counts.count(gate.name_of(one.address.ip)) == 0);
    }
    next_begin_ = now_ + Seconds{100};
  }

 private:
  void keep(std::span<const Send> sends) {
    for (const Send& one : sends) {
      sent_bytes_ += one.length;
      for (Client& client : clients_) {
        if (client.address != one.destination || one.length <= kHelloVerifyHeader) continue;
        client.cookie.assign(one.data + kHelloVerifyHeader, one.data + one.length);
      }
    }
  }
  void receive(const Client& from, std::span<const std::uint8_t> bytes) {
    in_.clear();
    Packet& packet = *in_.next();
    std::copy(bytes.begin(), bytes.end(), packet.data);
    packet.length = static_cast<std::uint32_t>(bytes.size());
    packet.source = from.address;
    packet.tag = shared_tag(0);
    sent_bytes_ = 0;
    dtls_->receive(packet, 0, messages_, now_);
    dtls_->reap(now_);
    must(sent_bytes_ <= bytes.size());
    must(messages_.size() == 0);
  }

  // Large, and as empty after a run as before; the clock goes on, so rates are full again.
  static inline const std::shared_ptr<turn::Shared> shared_ = std::make_shared<turn::Shared>();
  static inline Instant next_begin_{Seconds{1000}};
  TurnDtlsThread thread_{1, [](std::size_t) {}};
  turn::Counters counters_;
  std::optional<TurnDtls> dtls_;
  Instant now_ = next_begin_;
  Batch in_;
  Batch messages_;
  std::array<Client, 4> clients_;
  std::size_t sent_bytes_ = 0;
  bool shown_ = false;  // a cookie
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Not on the stack: AddressSanitizer's own one does not keep an alignment of 64.
  const auto run = std::make_unique<Run>();
  turnpike::test::for_each_step(data, size, kStepsMax,
                                [&run](auto what, auto bytes) { run->step(what, bytes); });
  run->finish();
  return 0;
}
