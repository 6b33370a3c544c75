// What descriptions say of ICE and DTLS, read and written.
#include "control/sdp/transport.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "control/sdp/media.h"

namespace turnpike::sdp {
namespace {

Session parsed(const std::string& below) {
  auto session = parse("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0\n" + below);
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  return std::move(*session);
}

constexpr const char* kMedia = "m=audio 9 UDP/TLS/RTP/SAVPF 0\n";
constexpr const char* kPassword = "secretsecretsecretsecret";

std::string credentials(const std::string& ufrag = "abcd",
                        const std::string& password = kPassword) {
  return "a=ice-ufrag:" + ufrag + "\na=ice-pwd:" + password + "\n";
}

IceDescription ice(const std::string& in_media, const std::string& in_session = "") {
  const Session session = parsed(in_session + kMedia + in_media);
  auto found = ice_of(session, session.media.at(0));
  EXPECT_TRUE(found) << (found ? "" : found.error().message);
  return found ? *found : IceDescription{};
}

std::string ice_error(const std::string& in_media) {
  const Session session = parsed(kMedia + in_media);
  const auto found = ice_of(session, session.media.at(0));
  return found ? "" : found.error().message;
}

std::string sha256_hex(const std::string& first = "0A") {
  std::string text = first;
  for (int i = 1; i < 32; ++i) text += ":FF";
  return text;
}

Result<DtlsDescription> dtls(const std::string& in_media, const std::string& in_session = "") {
  const Session session = parsed(in_session + kMedia + in_media);
  return dtls_of(session, session.media.at(0));
}

std::string dtls_error(const std::string& in_media) {
  const auto found = dtls(in_media);
  return found ? "" : found.error().message;
}

// ---- ICE

TEST(SdpIce, there_is_none_without_credentials) {
  EXPECT_FALSE(ice("a=candidate:1 1 UDP 1 192.0.2.1 4000 typ host\n").is_set());
  EXPECT_FALSE(ice("a=candidate:nonsense\n").is_set());
  EXPECT_FALSE(ice("", "a=ice-lite\n").is_set());
}

TEST(SdpIce, credentials_of_the_media_win_over_those_of_the_session) {
  EXPECT_EQ(ice("", credentials("sess")).credentials.value.ufrag.view(), "sess");
  const IceDescription own = ice(credentials("med1"), credentials("sess"));
  EXPECT_EQ(own.credentials.value.ufrag.view(), "med1");
  EXPECT_EQ(own.credentials.value.password.view(), kPassword);
  EXPECT_FALSE(own.lite);
  EXPECT_TRUE(ice(credentials(), "a=ice-lite\n").lite);
}

TEST(SdpIce, candidates_are_udp_literals_of_rtp_and_rtcp) {
  const IceDescription found =
      ice(credentials() +
          "a=candidate:1467250027 1 udp 2122260223 192.0.2.7 46243 typ host generation 0 "
          "network-id 1\n"
          "a=candidate:2 2 UDP 1686052607 198.51.100.9 50000 typ srflx raddr 192.0.2.7 rport 9\n"
          "a=candidate:3 1 UDP 41885439 2001:db8::9 50001 typ relay raddr 0.0.0.0 rport 0\n"
          "a=candidate:4 1 UDP 100 192.0.2.8 50002 typ prflx\n"
          "a=candidate:5 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active\n"
          "a=candidate:6 1 UDP 7 1c3b2a10-77aa-4e01.local 50003 typ host\n"
          "a=candidate:7 3 UDP 7 192.0.2.7 50004 typ host\n"
          "a=candidate:8 1 UDP 7 192.0.2.7 0 typ host\n"
          "a=candidate:9 1 UDP 7 192.0.2.7 50005 typ other\n"
          "a=end-of-candidates\n");
  ASSERT_EQ(found.candidates.size(), 4U);
  EXPECT_EQ(to_string(found.candidates[0].address), "192.0.2.7:46243");
  EXPECT_EQ(found.candidates[0].priority, 2122260223U);
  EXPECT_EQ(found.candidates[0].component, Component::kRtp);
  EXPECT_EQ(found.candidates[0].type, CandidateType::kHost);
  EXPECT_EQ(found.candidates[1].component, Component::kRtcp);
  EXPECT_EQ(found.candidates[1].type, CandidateType::kServerReflexive);
  EXPECT_EQ(to_string(found.candidates[2].address), "[2001:db8::9]:50001");
  EXPECT_EQ(found.candidates[2].type, CandidateType::kRelayed);
  EXPECT_EQ(found.candidates[3].type, CandidateType::kPeerReflexive);
  EXPECT_EQ(found.skipped, 5U);
}

std::string candidate(const std::string& value) {
  return credentials() + "a=candidate:" + value + "\n";
}

TEST(SdpIce, what_is_no_candidate_is_passed_over) {
  for (const char* bad :
       {"nonsense", "", "1 1 UDP 1 192.0.2.1 4000", "1 1 UDP 1 192.0.2.1 4000 host typ",
        "1 0 UDP 1 192.0.2.1 4000 typ host", "1 257 UDP 1 192.0.2.1 4000 typ host",
        "1 1 UDP 4294967296 192.0.2.1 4000 typ host", "1 1 UDP -1 192.0.2.1 4000 typ host",
        "1 1 UDP 1 192.0.2.1 65536 typ host", "1 1 UDP 1 192.0.2.300 4000 typ host",
        "1 1 SCTP 1 192.0.2.1 4000 typ host", "1 1 UDP 1 phone.example 4000 typ host"}) {
    const IceDescription found =
        ice(candidate(bad) + "a=candidate:1 1 UDP 7 192.0.2.7 4000 typ host\n");
    EXPECT_EQ(found.skipped, 1U) << bad;
    ASSERT_EQ(found.candidates.size(), 1U) << bad;
    EXPECT_EQ(found.candidates[0].address.port, 4000);
  }
}

TEST(SdpIce, candidates_are_bounded) {
  std::string many = credentials();
  for (int i = 0; i < 300; ++i) {
    many += "a=candidate:1 1 UDP 7 192.0.2.7 " + std::to_string(2000 + i) + " typ host\n";
  }
  const IceDescription found = ice(many);
  EXPECT_EQ(found.candidates.size(), kCandidatesReadMax);
  EXPECT_EQ(found.skipped, 300 - kCandidatesReadMax);
}

TEST(SdpIce, longest_credentials_fit) {
  const IceDescription found = ice(credentials(std::string(256, 'u'), std::string(256, 'p')));
  EXPECT_EQ(found.credentials.value.ufrag.view(), std::string(256, 'u'));
  EXPECT_EQ(found.credentials.value.password.view(), std::string(256, 'p'));
}

struct Refused {
  const char* what;
  std::string lines;
  const char* reason;
};
class SdpIceRefuses : public testing::TestWithParam<Refused> {};

TEST_P(SdpIceRefuses, and_quotes_nothing) {
  const std::string error = ice_error(GetParam().lines);
  EXPECT_EQ(error, std::string("SDP line 5 (m=): ") + GetParam().reason);
  EXPECT_EQ(error.find("secret"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Sdp, SdpIceRefuses,
    testing::Values(
        Refused{"no_password", "a=ice-ufrag:abcd\n", "a=ice-ufrag without a=ice-pwd"},
        Refused{"no_ufrag", "a=ice-pwd:secretsecretsecretsecret\n",
                "a=ice-pwd without a=ice-ufrag"},
        Refused{"short_ufrag", credentials("abc"), "a=ice-ufrag is shorter than RFC 8839 allows"},
        Refused{"short_password", credentials("abcd", "secretsecretsecretsec"),
                "a=ice-pwd is shorter than RFC 8839 allows"},
        Refused{"long_ufrag", credentials(std::string(257, 'u')), "a=ice-ufrag is too long"},
        Refused{"long_password", credentials("abcd", std::string(257, 'p')),
                "a=ice-pwd is too long"},
        Refused{"bad_ufrag", credentials("ab:d"),
                "a=ice-ufrag holds a character that RFC 8839 does not allow"},
        Refused{"bad_password", credentials("abcd", "secretsecretsecretse ret"),
                "a=ice-pwd holds a character that RFC 8839 does not allow"}),
    [](const auto& test) { return std::string(test.param.what); });

// ---- DTLS

TEST(SdpDtls, fingerprint_setup_and_id) {
  const auto found =
      dtls("a=fingerprint:SHA-256 " + sha256_hex("0a") + "\na=setup:actpass\na=tls-id:abc-3+/_\n");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->fingerprint.hash, FingerprintHash::kSha256);
  EXPECT_EQ(found->fingerprint.bytes[0], 0x0a);
  EXPECT_EQ(found->fingerprint.bytes[31], 0xff);
  EXPECT_EQ(found->fingerprint.bytes[32], 0);
  EXPECT_EQ(found->setup, Setup::kActpass);
  EXPECT_EQ(found->tls_id, "abc-3+/_");
  EXPECT_EQ(write_fingerprint(found->fingerprint), "sha-256 " + sha256_hex());
}

TEST(SdpDtls, session_level_counts_where_the_media_says_nothing) {
  const std::string session = "a=fingerprint:sha-256 " + sha256_hex("01") + "\na=setup:active\n";
  const auto inherited = dtls("", session);
  ASSERT_TRUE(inherited);
  EXPECT_EQ(inherited->fingerprint.bytes[0], 1);
  EXPECT_EQ(inherited->setup, Setup::kActive);
  // RFC 8122 section 5: lines of the media replace all of the session's.
  const auto own = dtls("a=fingerprint:sha-256 " + sha256_hex("02") + "\na=setup:passive\n",
                        "a=fingerprint:sha-512 damaged\na=setup:active\n");
  ASSERT_TRUE(own);
  EXPECT_EQ(own->fingerprint.bytes[0], 2);
  EXPECT_EQ(own->setup, Setup::kPassive);
}

TEST(SdpDtls, the_strongest_fingerprint_counts) {
  std::string sha384 = "03";
  for (int i = 1; i < 48; ++i) sha384 += ":00";
  std::string sha512 = "04";
  for (int i = 1; i < 64; ++i) sha512 += ":00";
  const std::string weak =
      "a=fingerprint:sha-1 00:11\na=fingerprint:sha-256 " + sha256_hex() + "\n";
  const std::string better = "a=fingerprint:sha-384 " + sha384 + "\n";
  const std::string best = "a=fingerprint:sha-512 " + sha512 + "\n";
  EXPECT_EQ(dtls(weak)->fingerprint.hash, FingerprintHash::kSha256);
  EXPECT_EQ(dtls(better + weak)->fingerprint.hash, FingerprintHash::kSha384);
  const auto found = dtls(weak + best + better);
  EXPECT_EQ(found->fingerprint.hash, FingerprintHash::kSha512);
  EXPECT_EQ(found->fingerprint.bytes[0], 4);
  EXPECT_EQ(write_fingerprint(found->fingerprint), "sha-512 " + sha512);
}

TEST(SdpDtls, setup_may_be_unsaid) {
  EXPECT_EQ(dtls("a=fingerprint:sha-256 " + sha256_hex() + "\n")->setup, Setup::kUnsaid);
  EXPECT_EQ(dtls("a=setup:holdconn\na=fingerprint:sha-256 " + sha256_hex() + "\n")->setup,
            Setup::kHoldconn);
}

TEST(Security, M8_fingerprints_weaker_than_sha256_are_refused) {
  EXPECT_EQ(dtls_error("a=fingerprint:sha-1 " + sha256_hex().substr(0, 59) + "\n"),
            "SDP line 5 (m=): a=fingerprint has only SHA-1 or other broken hash functions; "
            "SHA-256, SHA-384 or SHA-512 is needed");
  EXPECT_EQ(dtls_error("a=fingerprint:MD5 00\na=fingerprint:md2 00\n"),
            "SDP line 5 (m=): a=fingerprint has only SHA-1 or other broken hash functions; "
            "SHA-256, SHA-384 or SHA-512 is needed");
  EXPECT_EQ(dtls_error("a=fingerprint:sha3 00\n"),
            "SDP line 5 (m=): a=fingerprint has no hash function that is supported; SHA-256, "
            "SHA-384 or SHA-512 is needed");
}

TEST(SdpDtls, damage_is_named) {
  const std::string at = "SDP line 5 (m=): ";
  const std::string bytes = at + "a=fingerprint does not have the bytes of its hash function";
  EXPECT_EQ(dtls_error(""), at + "DTLS-SRTP without an a=fingerprint line");
  EXPECT_EQ(dtls_error("a=fingerprint:sha-256\n"),
            at + "a=fingerprint needs a hash function and bytes");
  EXPECT_EQ(dtls_error("a=fingerprint:sha-256 " + sha256_hex() + ":00\n"), bytes);
  EXPECT_EQ(dtls_error("a=fingerprint:sha-256 " + sha256_hex("0G") + "\n"), bytes);
  EXPECT_EQ(dtls_error("a=fingerprint:sha-256 0A;" + sha256_hex().substr(3) + "\n"), bytes);
  const std::string good = "a=fingerprint:sha-256 " + sha256_hex() + "\n";
  EXPECT_EQ(dtls_error(good + "a=setup:maybe\n"),
            at + "a=setup is none of actpass, active, passive and holdconn");
  EXPECT_EQ(dtls_error(good + "a=setup\n"),
            at + "a=setup is none of actpass, active, passive and holdconn");
  for (const std::string& id : {std::string(), std::string("a b"), std::string(256, 'x')}) {
    EXPECT_EQ(dtls_error(good + "a=tls-id:" + id + "\n"),
              at + "a=tls-id is not of the form of RFC 8842 section 4");
  }
}

// ---- Written

std::string written(const Media& media) {
  std::string text;
  for (const Attribute& attribute : media.attributes) {
    text += attribute.name + (attribute.has_value ? ":" + attribute.value : "") + "\n";
  }
  return text;
}

LocalIce local_ice() {
  LocalIce local;
  local.credentials.value.ufrag.assign("UUUUuuuu");
  local.credentials.value.password.assign(kPassword);
  local.rtp = {IpAddress::v4(198, 51, 100, 1), 36000};
  return local;
}

TEST(SdpIce, ours_has_one_candidate_for_each_component) {
  Media media;
  LocalIce local = local_ice();
  append_ice(media, local);
  EXPECT_EQ(written(media),
            "ice-ufrag:UUUUuuuu\nice-pwd:secretsecretsecretsecret\nice-options:ice2\n"
            "candidate:1 1 UDP 2130706431 198.51.100.1 36000 typ host\nend-of-candidates\n");
  media.attributes.clear();
  local.rtp = {*parse_ip("2001:db8::1"), 36000};
  local.rtcp = {*parse_ip("2001:db8::1"), 36001};
  append_ice(media, local);
  EXPECT_EQ(written(media),
            "ice-ufrag:UUUUuuuu\nice-pwd:secretsecretsecretsecret\nice-options:ice2\n"
            "candidate:1 1 UDP 2130706431 2001:db8::1 36000 typ host\n"
            "candidate:1 2 UDP 2130706430 2001:db8::1 36001 typ host\nend-of-candidates\n");
}

TEST(SdpIce, what_we_write_is_what_we_read) {
  Session session = parsed(kMedia);
  append_ice(session.media[0], local_ice());
  const Session again = *parse(write(session));
  const auto found = ice_of(again, again.media[0]);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->credentials, local_ice().credentials);
  ASSERT_EQ(found->candidates.size(), 1U);
  EXPECT_EQ(found->candidates[0].address, local_ice().rtp);
}

TEST(SdpDtls, ours_is_written_and_read_again) {
  DtlsDescription ours;
  ours.fingerprint.hash = FingerprintHash::kSha256;
  ours.fingerprint.bytes[0] = 0xab;
  ours.setup = Setup::kActive;
  Session session = parsed(kMedia);
  append_dtls(session.media[0], ours);
  EXPECT_FALSE(has(session.media[0].attributes, "tls-id"));
  session.media[0].attributes.clear();
  ours.tls_id = "0123456789abcdefghij";
  append_dtls(session.media[0], ours);
  const auto found = dtls_of(session, session.media[0]);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->fingerprint, ours.fingerprint);
  EXPECT_EQ(found->setup, Setup::kActive);
  EXPECT_EQ(found->tls_id, ours.tls_id);
}

TEST(SdpIce, passwords_are_wiped_with_the_keys) {
  Session session = parsed(credentials() + kMedia + credentials());
  wipe_keys(session);
  EXPECT_EQ(write(session).find("secret"), std::string::npos);
  EXPECT_TRUE(has(session.attributes, "ice-ufrag"));
}

}  // namespace
}  // namespace turnpike::sdp
