// An ICE engine under arbitrary packets, configurations and steps of time. The input is a list of
// [what][argument][length][bytes]: a datagram as it is, one of ours given back, a check or an
// answer that is sealed with the right key around the bytes, a new configuration, time that passes.
#include <cstdint>
#include <cstdlib>

#include "tests/support/ice_fixture.h"

using namespace turnpike;  // NOLINT(*-using-namespace)
using test::IceBytes;

namespace {

constexpr std::size_t kStepsMax = 200;

void must(bool holds) {
  if (!holds) std::abort();
}

SocketAddress address_of(std::uint8_t argument) {
  if ((argument & 64) != 0) {
    IpAddress ip6 = *parse_ip("2001:db8::");
    ip6.bytes[15] = static_cast<std::uint8_t>(1 + argument % 4);
    return {ip6, static_cast<std::uint16_t>(1000 + 8 * argument)};
  }
  return {IpAddress::v4(198, 51, 100, static_cast<std::uint8_t>(argument % 4)),
          static_cast<std::uint16_t>(1000 + 8 * argument)};
}

// A STUN message of attributes that the fuzzer makes up, with the right code for `credentials`.
IceBytes sealed(const IceBytes& body, stun::Class message_class, const stun::TransactionId& id,
                const std::string& username, const IceCredentials& credentials) {
  std::array<std::uint8_t, 700> buffer{};
  stun::Writer writer(buffer, message_class, stun::kBinding, id);
  if (!username.empty()) writer.add_text(stun::kUsername, username);
  for (std::size_t at = 0; at + 3 <= body.size();) {
    const std::size_t length = std::min<std::size_t>(body[at + 2] % 20, body.size() - at - 3);
    writer.add(read_be16(&body[at]), {body.data() + at + 3, length});
    at += 3 + length;
  }
  test::ice_seal(writer, credentials);
  return test::finished(writer);
}

class Run {
 public:
  Run(std::uint8_t flags) {
    leg_.config.mode = (flags & 1) != 0 ? IceMode::kLite : IceMode::kFull;
    leg_.config.controlling = (flags & 2) != 0;
    leg_.facts.rtcp_mux = (flags & 4) != 0;
    if ((flags & 8) != 0) leg_.facts.present[0] = address_of(flags);
    if ((flags & 16) != 0) leg_.config.remote = {};
    leg_.facts.both_families = (flags & 32) != 0;
    leg_.candidate(address_of(9), 100);
    leg_.update();
  }

  void step(std::uint8_t what, std::uint8_t argument, const IceBytes& bytes) {
    const SocketAddress from = address_of(argument);
    const auto component = static_cast<Component>((what >> 3) & 1U);
    std::string username(leg_.config.local.ufrag.view());
    username += ":theirs";
    stun::TransactionId id{};
    std::copy_n(bytes.begin(), std::min<std::size_t>(bytes.size(), 12), id.begin());
    switch (what % 8) {
      case 0:
        leg_.deliver(bytes, from, component);
        break;
      case 1:
        leg_.deliver(sealed(bytes, stun::Class::kRequest, id, username, leg_.config.local), from,
                     component);
        break;
      case 2:
      case 3:
        answer(what % 8 == 2, argument, bytes);
        break;
      case 4:
        configure(argument);
        break;
      default:
        leg_.run(Milliseconds(argument * 50));
    }
    judge();
  }

 private:
  void answer(bool success, std::uint8_t argument, const IceBytes& bytes) {
    if (leg_.sink.sent.empty()) return;
    const auto sent = leg_.sink.sent[leg_.sink.sent.size() - 1 - argument % leg_.sink.sent.size()];
    if (success && bytes.size() < 3) {
      leg_.deliver(test::write_ice_answer(sent.bytes, leg_.theirs, leg_.local), sent.to,
                   sent.component);
      return;
    }
    const auto kind = success ? stun::Class::kSuccess : stun::Class::kError;
    leg_.deliver(sealed(bytes, kind, sent.message()->transaction(), "", leg_.theirs), sent.to,
                 sent.component);
  }
  void configure(std::uint8_t argument) {
    switch (argument % 6) {
      case 0:
        leg_.config.local = test::ice_credentials("l" + std::to_string(argument), "new-password");
        break;
      case 1:
        leg_.config.remote = leg_.theirs;
        break;
      case 2:
        leg_.config.remote = {};
        break;
      case 3:
        leg_.facts.rtcp_mux = !leg_.facts.rtcp_mux;
        break;
      case 4:
        if (leg_.config.candidate_count == kRemoteCandidatesMax) leg_.config.candidate_count = 0;
        leg_.candidate(address_of(argument), argument * 1000U,
                       static_cast<Component>(argument & 1));
        break;
      default:
        leg_.config.mode = leg_.config.mode == IceMode::kLite ? IceMode::kFull : IceMode::kLite;
    }
    leg_.update();
  }
  // Nothing goes out that is no STUN, or in larger numbers than the pace and the answers allow.
  void judge() {
    for (; judged_ < leg_.sink.sent.size(); ++judged_) {
      const auto message = leg_.sink.sent[judged_].message();
      must(message && message->has_fingerprint() && message->integrity());
    }
    const TransportReport report = leg_.report();
    must(report.pair_count <= report.pairs.size());
    must(report.ice != IceState::kConnected || report.consent_until > leg_.now);
    must(leg_.engine().next_deadline() > leg_.now);
  }

  test::IceFixture leg_;
  std::size_t judged_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  Run run(data[0]);
  std::size_t steps = 0;
  for (std::size_t at = 1; at + 3 <= size && steps < kStepsMax; ++steps) {
    const std::size_t length = std::min<std::size_t>(data[at + 2], size - at - 3);
    run.step(data[at], data[at + 1], IceBytes(data + at + 3, data + at + 3 + length));
    at += 3 + length;
  }
  return 0;
}
