// What check_identity() and check_trust() say about files of all kinds.
#include <gmock/gmock.h>

#include "tests/unit/pki/folder.h"

namespace turnpike::pki {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Identity : public Folder {
 protected:
  Judgement judge(const std::string& name, const Purpose& purpose = {}, WallTime now = kNow) const {
    return check_identity(path(name + ".pem"), path(name + ".key"), purpose, now);
  }
};

TEST_F(Identity, a_good_one_has_nothing_wrong) {
  self_signed("a", kEc, "-addext subjectAltName=DNS:Edge.Example.com,IP:192.0.2.1,IP:2001:db8::1");
  const Judgement judgement = judge(
      "a", {{"edge.example.com", "EDGE.example.com", "192.0.2.1", "2001:db8::1"}, true, true});
  EXPECT_THAT(judgement.mistakes, IsEmpty());
  EXPECT_THAT(judgement.warnings, IsEmpty());
}

TEST_F(Identity, facts_are_in_the_certificates_order) {
  self_signed("a", kEc, "-addext subjectAltName=DNS:b.example,DNS:A.example,IP:192.0.2.1");
  const auto facts = read_certificate(path("a.pem"));
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->subject, "CN=a.example.com");
  EXPECT_EQ(facts->issuer, facts->subject);
  EXPECT_TRUE(facts->self_signed);
  EXPECT_THAT(facts->dns_names, ElementsAre("b.example", "a.example"));
  EXPECT_THAT(facts->ip_addresses, ElementsAre("192.0.2.1"));
  EXPECT_EQ(facts->key_type, "EC");
  EXPECT_EQ(facts->key_bits, 256);
  EXPECT_EQ(facts->sha256.size(), 95U);
  EXPECT_GT(facts->not_after, kNow + 99 * kDay);
  EXPECT_LT(facts->not_after, kNow + 101 * kDay);
}

TEST_F(Identity, expiry) {
  self_signed("a", kEc, "");
  EXPECT_THAT(judge("a", {}, kNow + 101 * kDay).mistakes, ElementsAre(HasSubstr("expired on")));
  EXPECT_THAT(judge("a", {}, kNow - 2 * kDay).mistakes, ElementsAre(HasSubstr("not valid before")));
  const Judgement soon = judge("a", {}, kNow + 80 * kDay);
  EXPECT_THAT(soon.mistakes, IsEmpty());
  EXPECT_THAT(soon.warnings, ElementsAre(HasSubstr("expires on")));
}

TEST_F(Identity, key_of_another_certificate) {
  self_signed("a", kEc, "");
  self_signed("b", kEc, "");
  const Judgement judgement = check_identity(path("a.pem"), path("b.key"), {}, kNow);
  EXPECT_THAT(judgement.mistakes, ElementsAre(HasSubstr("is not the key of")));
}

TEST_F(Identity, missing_files_are_named_one_by_one) {
  const Judgement judgement = judge("none");
  EXPECT_THAT(judgement.mistakes, ElementsAre(path("none.pem") + ": No such file or directory",
                                              path("none.key") + ": No such file or directory"));
}

TEST_F(Identity, files_that_are_something_else) {
  write("a.pem", "hello\n");
  write("a.key", "hello\n");
  EXPECT_THAT(judge("a").mistakes,
              ElementsAre(HasSubstr("holds no certificate"), HasSubstr("holds no private key")));
  write("a.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  EXPECT_THAT(judge("a").mistakes[0], HasSubstr("damaged certificate"));
  const Judgement folder = check_identity(home_, "/dev/zero", {}, kNow);
  EXPECT_THAT(folder.mistakes, ElementsAre(HasSubstr("is not a file"), HasSubstr("is not a file")));
}

TEST_F(Identity, a_passphrase_is_refused_without_asking) {
  self_signed("a", kEc, "");
  openssl("ec -in a.key -aes128 -passout pass:secret -out b.key");
  const Judgement judgement = check_identity(path("a.pem"), path("b.key"), {}, kNow);
  EXPECT_THAT(judgement.mistakes, ElementsAre(HasSubstr("has a passphrase")));
}

TEST_F(Identity, weak_keys_are_refused_by_name) {
  self_signed("a", "rsa:1024", "");
  EXPECT_THAT(judge("a").mistakes, ElementsAre(HasSubstr("RSA 1024")));
  self_signed("b", "rsa:2048", "");
  EXPECT_THAT(judge("b").mistakes, IsEmpty());
  self_signed("c", "ec -pkeyopt ec_paramgen_curve:secp224r1", "");
  EXPECT_THAT(judge("c").mistakes, ElementsAre(HasSubstr("EC 224")));
  openssl("dsaparam -out dsa.params 2048");
  openssl("gendsa -out d.key dsa.params");
  openssl("req -x509 -new -key d.key -out d.pem -days 100 -subj /CN=d");
  EXPECT_THAT(judge("d").mistakes, ElementsAre(HasSubstr("DSA")));
}

TEST_F(Identity, purposes) {
  self_signed("a", kEc, "-addext extendedKeyUsage=serverAuth");
  EXPECT_THAT(judge("a", {{}, true, false}).mistakes, IsEmpty());
  EXPECT_THAT(judge("a", {{}, true, true}).mistakes, ElementsAre(HasSubstr("clientAuth")));
  self_signed("b", kEc, "-addext extendedKeyUsage=clientAuth");
  EXPECT_THAT(judge("b", {{}, true, false}).mistakes, ElementsAre(HasSubstr("serverAuth")));
}

TEST_F(Identity, names_are_alternative_names_only) {
  self_signed("a", kEc, "");
  EXPECT_THAT(judge("a", {{"a.example.com"}}).mistakes,
              ElementsAre(HasSubstr("the common name does not count")));
  self_signed("b", kEc, "-addext subjectAltName=DNS:*.example.com,IP:192.0.2.1");
  EXPECT_THAT(judge("b", {{"x.example.com"}}).mistakes, IsEmpty());
  EXPECT_THAT(judge("b", {{"x.y.example.com", "192.0.2.2"}}).mistakes,
              ElementsAre(HasSubstr("it names *.example.com, 192.0.2.1"), HasSubstr("192.0.2.2")));
}

TEST_F(Identity, texts_never_hold_the_key) {
  self_signed("a", kEc, "");
  write("b.pem", read("a.pem"));
  write("b.key", read("a.key").substr(0, 120));
  for (const std::string& text : judge("b").mistakes) {
    EXPECT_EQ(text.find(read("a.key").substr(30, 40)), std::string::npos);
  }
}

using Trust = Folder;

TEST_F(Trust, authorities_and_pinned_certificates) {
  self_signed("a", kEc, "");
  self_signed("b", kEc, "-addext basicConstraints=critical,CA:FALSE");
  write("both.pem", read("a.pem") + read("b.pem"));
  EXPECT_THAT(check_trust(path("both.pem"), kNow).mistakes, IsEmpty());
  const Judgement later = check_trust(path("both.pem"), kNow + 101 * kDay);
  EXPECT_THAT(later.mistakes, IsEmpty()) << "others in the file still work";
  EXPECT_EQ(later.warnings.size(), 2U);
}

TEST_F(Trust, a_leaf_of_another_authority_is_no_anchor) {
  self_signed("ca", kEc, "");
  openssl("req -newkey rsa:2048 -nodes -keyout l.key -subj /CN=l -out l.csr");
  openssl("x509 -req -in l.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 -out l.pem");
  EXPECT_THAT(check_trust(path("l.pem"), kNow).mistakes, ElementsAre(HasSubstr("(CN=l)")));
}

TEST_F(Trust, one_subject_with_two_keys_is_ambiguous) {
  self_signed("a", kEc, "");
  const std::string first = read("a.pem");
  self_signed("a", kEc, "");
  write("both.pem", first + read("a.pem"));
  EXPECT_THAT(check_trust(path("both.pem"), kNow).mistakes,
              ElementsAre(HasSubstr("two different")));
  write("twice.pem", first + first);
  EXPECT_THAT(check_trust(path("twice.pem"), kNow).mistakes, IsEmpty());
}

TEST_F(Trust, empty_or_missing) {
  write("empty.pem", "");
  EXPECT_THAT(check_trust(path("empty.pem"), kNow).mistakes,
              ElementsAre(HasSubstr("no certificate")));
  EXPECT_THAT(check_trust(path("none.pem"), kNow).mistakes, ElementsAre(HasSubstr("No such file")));
}

// RFC 7616 section 3.9.1.
TEST(Digest, rfc7616_examples) {
  const char* realm = "http-auth@example.org";
  EXPECT_EQ(digest_ha1("md5", "Mufasa", realm, "Circle of Life"),
            "3d78807defe7de2157e2b0b6573a855f");
  EXPECT_EQ(digest_ha1("sha256", "Mufasa", realm, "Circle of Life").size(), 64U);
}

}  // namespace
}  // namespace turnpike::pki
