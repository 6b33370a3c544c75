// Random re-INVITE sequences between two ends that are plain, SDES or DTLS, with or without ICE,
// against a model of what they agreed on. Whatever happens: credentials, certificates and
// associations change when they must and only then, nothing of one end's transport or of ours
// towards it reaches the other, and a refused or unanswered offer changes nothing.
#include <array>
#include <optional>
#include <random>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "control/call/call_service.h"
#include "control/sdp/crypto.h"
#include "control/sdp/media.h"
#include "control/sdp/transport.h"
#include "tests/support/fake_relay.h"

namespace turnpike::call {
namespace {

constexpr std::array<const char*, 3> kProtocols = {"RTP/AVPF", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF"};
constexpr const char* kCryptoSuite = "AES_CM_128_HMAC_SHA1_80";
constexpr const char* kCryptoKey = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

CallServiceConfig config_of_test() {
  CallServiceConfig config;
  const IpAddress outside = IpAddress::v4(198, 51, 100, 1);
  const IpAddress inside = IpAddress::v4(10, 0, 0, 1);
  config.interfaces = {{"outside", {{outside, outside}}}, {"inside", {{inside, inside}}}};
  return config;
}

/// What an end says of itself.
struct End {
  std::size_t kind = 0;  ///< of kProtocols
  bool can_ice = false;
  bool has_tls_id = false;
  unsigned ice_number = 0;  ///< another one is a restart
  unsigned certificate = 0;
  unsigned tls_number = 0;
  std::size_t candidates = 1;
  sdp::Setup part = sdp::Setup::kActive;  ///< in the association, once there is one

  std::string number(unsigned n) const { return std::to_string(1000 + n); }
  std::string ufrag() const { return "UfragOfTheEnd" + number(ice_number); }
  std::string password() const { return "PasswordOfTheEnd/0" + number(ice_number); }
  std::string tls_id() const {
    return has_tls_id ? "IdOfTheEnd0123456789" + number(tls_number) : "";
  }
  Fingerprint fingerprint() const {
    Fingerprint fingerprint{FingerprintHash::kSha256, {}};
    fingerprint.bytes[0] = 0xee;
    fingerprint.bytes[1] = static_cast<std::uint8_t>(certificate >> 8);
    fingerprint.bytes[2] = static_cast<std::uint8_t>(certificate);
    return fingerprint;
  }
};

/// What was agreed with one end, as its last answered exchange left it.
struct Agreed {
  std::optional<std::string> ice;  ///< ufrag of the end
  std::string our_password;
  std::optional<Fingerprint> certificate;
  std::string tls_id;
  sdp::Setup part = sdp::Setup::kUnsaid;
  std::uint32_t association = 0;
  std::string our_fingerprint;
};

class World {
 public:
  explicit World(std::uint32_t seed) : random_(seed), relay_(config_of_test().interfaces) {
    start();
    for (End& end : ends_) {
      end.kind = below(3);
      end.can_ice = one_in(2);
      end.has_tls_id = one_in(2);
      end.ice_number = next_++;
      end.certificate = next_++;
      end.tls_number = next_++;
    }
  }

  void step() {
    if (answered_ && one_in(12)) return crash();
    const unsigned from = answered_ ? below(2) : 0;
    mutate(ends_[from]);
    const auto before = transports();
    const std::string out = offer(from);
    if (out.empty()) return;
    EXPECT_TRUE(!answered_ || transports() == before) << "an offer takes effect with its answer";
    if (one_in(6)) return;
    answer(from, out);
  }

  int restarts() const { return restarts_; }
  int associations() const { return associations_; }

 private:
  std::uint32_t below(std::size_t n) { return static_cast<std::uint32_t>(random_() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }

  void start() {
    CallService::Environment environment;
    environment.clock = [] { return Instant{Seconds{1000}}; };
    environment.random_bytes = [this](void* data, std::size_t size) {
      for (std::size_t i = 0; i < size; ++i) {
        static_cast<std::uint8_t*>(data)[i] = static_cast<std::uint8_t>(random_());
      }
    };
    environment.log = [this](const CallSummary&, const std::string& what) { log_ += what + "\n"; };
    service_ = CallService::create(config_of_test(), relay_, environment);
  }

  void crash() {
    const auto before = transports();
    relay_.sessions_found.clear();
    for (const auto& [id, session] : relay_.sessions) {
      relay_.sessions_found.push_back({id, session.ports});
    }
    relay_.records_found.assign(relay_.records.begin(), relay_.records.end());
    relay_.identity = test::FakeRelay::identity_of(static_cast<std::uint8_t>(1 + below(200)));
    for (auto& [id, session] : relay_.sessions) session.transports = {};
    start();
    ASSERT_EQ(service_->adopt().calls, 1U);
    EXPECT_EQ(transports(), before);
    crashed_ = {true, true};
  }

  void mutate(End& end) {
    if (one_in(4)) end.ice_number = next_++;
    if (one_in(5)) end.certificate = next_++;
    if (one_in(5)) end.tls_number = next_++;
    end.candidates = 1 + below(3);
  }

  std::array<TransportConfig, 2> transports() { return relay_.session(0).transports; }

  std::string ice_lines(const End& end) {
    std::string text = "a=ice-ufrag:" + end.ufrag() + "\na=ice-pwd:" + end.password() + "\n";
    for (std::size_t i = 0; i < end.candidates; ++i) {
      text += "a=candidate:1 1 UDP 9 203.0.113.77 " + std::to_string(20000 + i) + " typ host\n";
    }
    return text;
  }
  std::string dtls_lines(const End& end, sdp::Setup setup) {
    std::string text = "a=fingerprint:" + sdp::write_fingerprint(end.fingerprint()) + "\n";
    text += "a=setup:" + std::string(name_of(setup)) + "\n";
    if (end.has_tls_id) text += "a=tls-id:" + end.tls_id() + "\n";
    return text;
  }
  static std::string head(const char* protocol) {
    return std::string("v=0\no=- 1 1 IN IP4 192.0.2.7\ns=-\nc=IN IP4 203.0.113.77\nt=0 0\n") +
           "m=audio 20000 " + protocol + " 0\na=rtcp-mux\n";
  }

  CallRequest request(unsigned from) {
    CallRequest request;
    request.call_id = "call";
    request.from_tag = from == 0 ? "a" : "b";
    if (answered_) request.to_tag = from == 0 ? "b" : "a";
    const auto wish = below(6);
    request.ice = wish == 0 ? IceWish::kRemove : wish == 1 ? IceWish::kForce : IceWish::kDefault;
    return request;
  }

  std::string offer(unsigned from) {
    const End& end = ends_[from];
    CallRequest r = request(from);
    r.sdp = head(kProtocols[end.kind]);
    if (end.kind == 1) r.sdp += crypto_line(1);
    if (end.kind == 2) r.sdp += dtls_lines(end, sdp::Setup::kActpass);
    if (end.can_ice) r.sdp += ice_lines(end);
    // Once answered, each side goes on as it is.
    if (!answered_) r.transport_protocol = kProtocols[ends_[1].kind];
    std::string out;
    service_->offer(r, [&](ng::Value::Dict reply) { out = sdp_in(reply); });
    EXPECT_NE(out, "") << log_;
    check_nothing_passes(out, from);
    return out;
  }

  static std::string crypto_line(unsigned tag) {
    return "a=crypto:" + std::to_string(tag) + " " + kCryptoSuite + " inline:" + kCryptoKey + "\n";
  }

  void answer(unsigned from, const std::string& out) {
    const unsigned by = 1 - from;
    End& end = ends_[by];
    const auto offered = sdp::parse(out);
    ASSERT_TRUE(offered);
    const sdp::Media& line = offered->media.at(0);
    EXPECT_EQ(line.protocol, kProtocols[end.kind]);
    // An answer may come from another device than the last one did.
    if (one_in(5)) end.certificate = next_++;
    CallRequest r = request(from);
    r.to_tag = by == 0 ? "a" : "b";
    r.sdp = head(kProtocols[end.kind]);
    if (end.kind == 1) r.sdp += crypto_line(tag_in(line));
    const bool with_ice = end.can_ice && sdp::has(line.attributes, "ice-pwd");
    if (with_ice) r.sdp += ice_lines(end);
    if (end.kind == 2) {
      if (agreed_[by].association == 0 || one_in(6)) {
        end.part = one_in(2) ? sdp::Setup::kActive : sdp::Setup::kPassive;
      }
      r.sdp += dtls_lines(end, end.part);
    }
    std::string back;
    service_->answer(r, [&](ng::Value::Dict reply) { back = sdp_in(reply); });
    ASSERT_NE(back, "") << log_ << r.sdp;
    answered_ = true;
    check_nothing_passes(back, by);
    const auto answered = sdp::parse(back);
    ASSERT_TRUE(answered);
    const bool offerer_ice = ends_[from].can_ice && r.ice != IceWish::kRemove;
    check_ice(from, offerer_ice, answered->media.at(0), true);
    check_ice(by, with_ice, line, false);
    check_dtls(from, answered->media.at(0), true);
    check_dtls(by, line, false);
  }

  static unsigned tag_in(const sdp::Media& line) {
    for (const sdp::Attribute& attribute : line.attributes) {
      if (attribute.name != "crypto") continue;
      const auto parsed = sdp::parse_crypto(attribute.value);
      if (info_of(parsed.suite).name == kCryptoSuite) return parsed.tag;
    }
    return 0;
  }

  static std::string sdp_in(const ng::Value::Dict& reply) {
    for (const auto& [key, value] : reply) {
      if (key == "sdp") return *value.as_string();
    }
    return {};
  }

  /// Neither what `from` said of itself nor what we say to it.
  void check_nothing_passes(const std::string& text, unsigned from) {
    for (const char* theirs :
         {"UfragOf", "PasswordOfTheEnd", "IdOfTheEnd", "EE:", "203.0.113.77"}) {
      EXPECT_EQ(text.find(theirs), std::string::npos) << theirs;
    }
    const TransportConfig& config = relay_.session(0).transports[from];
    if (!config.ice.local.is_set()) return;
    EXPECT_EQ(text.find(config.ice.local.password.view()), std::string::npos);
    EXPECT_EQ(text.find("ufrag:" + std::string(config.ice.local.ufrag.view())), std::string::npos);
    EXPECT_EQ(log_.find(config.ice.local.password.view()), std::string::npos);
  }

  /// `ours`: the m-line that we wrote towards this end.
  void check_ice(unsigned which, bool in_use, const sdp::Media& ours, bool offered_by_end) {
    const End& end = ends_[which];
    Agreed& agreed = agreed_[which];
    const auto& session = relay_.session(0);
    const IceConfig& ice = session.transports[which].ice;
    EXPECT_EQ(session.legs[which].ice, in_use);
    EXPECT_EQ(ice.mode, in_use ? IceMode::kFull : IceMode::kOff);
    EXPECT_TRUE(!offered_by_end || sdp::has(ours.attributes, "ice-pwd") == in_use);
    if (!in_use) {
      EXPECT_FALSE(ice.local.is_set());
      agreed.ice.reset();
      return;
    }
    const std::string password(ice.local.password.view());
    EXPECT_EQ(password, sdp::find(ours.attributes, "ice-pwd")->value);
    EXPECT_EQ(ice.remote.ufrag.view(), end.ufrag());
    EXPECT_EQ(ice.remote.password.view(), end.password());
    EXPECT_EQ(ice.candidate_count, end.candidates);
    const bool goes_on = agreed.ice && (!offered_by_end || *agreed.ice == end.ufrag());
    if (goes_on) {
      EXPECT_EQ(password, agreed.our_password);
    } else {
      EXPECT_TRUE(passwords_.insert(password).second) << "ours was used before";
      ++restarts_;
    }
    agreed.ice = end.ufrag();
    agreed.our_password = password;
  }

  void check_dtls(unsigned which, const sdp::Media& ours, bool offered_by_end) {
    const End& end = ends_[which];
    Agreed& agreed = agreed_[which];
    const auto& session = relay_.session(0);
    const DtlsConfig& dtls = session.transports[which].dtls;
    EXPECT_EQ(session.legs[which].dtls, end.kind == 2);
    EXPECT_EQ(session.legs[which].must_encrypt, end.kind != 0);
    EXPECT_EQ(dtls.enabled, end.kind == 2);
    if (end.kind != 2) return;
    EXPECT_EQ(dtls.remote, end.fingerprint());
    const std::string fingerprint = sdp::find(ours.attributes, "fingerprint")->value;
    const bool theirs_changed = !agreed.certificate || *agreed.certificate != end.fingerprint() ||
                                agreed.tls_id != end.tls_id();
    const bool swapped = !offered_by_end && !end.has_tls_id && agreed.part != sdp::Setup::kUnsaid &&
                         agreed.part != end.part;
    // What an offer of ours says after a crash; an end that offers keeps what it had.
    const bool ours_changed = crashed_[which] && !offered_by_end;
    if (theirs_changed || swapped || ours_changed) {
      EXPECT_EQ(dtls.association, agreed.association + 1);
      ++associations_;
      if (theirs_changed && offered_by_end) crashed_[which] = false;
      if (ours_changed) crashed_[which] = false;
    } else {
      EXPECT_EQ(dtls.association, agreed.association);
      EXPECT_EQ(fingerprint, agreed.our_fingerprint);
    }
    if (agreed.association != 0 && !(theirs_changed && offered_by_end) && !ours_changed) {
      EXPECT_EQ(fingerprint, agreed.our_fingerprint);
    }
    agreed.certificate = end.fingerprint();
    agreed.tls_id = end.tls_id();
    agreed.association = dtls.association;
    agreed.our_fingerprint = fingerprint;
    // The end's part is the other one than ours, when they had to settle it.
    const bool ours_is_active = dtls.role == DtlsRole::kActive;
    EXPECT_NE(dtls.role, DtlsRole::kUndecided);
    agreed.part = ours_is_active ? sdp::Setup::kPassive : sdp::Setup::kActive;
    if (offered_by_end) ends_[which].part = agreed.part;
  }

  std::mt19937 random_;
  test::FakeRelay relay_;
  std::unique_ptr<CallService> service_;
  std::array<End, 2> ends_;
  std::array<Agreed, 2> agreed_;
  std::array<bool, 2> crashed_{};
  std::set<std::string> passwords_;
  std::string log_;
  unsigned next_ = 1;
  bool answered_ = false;
  int restarts_ = 0;
  int associations_ = 0;
};

TEST(TransportProperty, credentials_and_associations_change_only_when_they_must) {
  int restarts = 0;
  int associations = 0;
  for (std::uint32_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    for (int i = 0; i < 60; ++i) {
      world.step();
      if (testing::Test::HasFailure()) FAIL() << "step " << i;
    }
    restarts += world.restarts();
    associations += world.associations();
  }
  // The sequences must reach what they are about.
  EXPECT_GT(restarts, 1000);
  EXPECT_GT(associations, 1000);
}

}  // namespace
}  // namespace turnpike::call
