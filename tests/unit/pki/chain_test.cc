// Whether a certificate comes from what is trusted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/pki/certificate.h"
#include "tests/support/certificates.h"

namespace turnpike::pki {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(PkiChain, a_certificate_comes_from_the_trust_file_or_does_not) {
  const CertificateFolder ours;
  const CertificateFolder other;
  ours.issue("node", {});
  ours.issue("old", {.valid_from_seconds = -7200, .valid_to_seconds = -3600});
  EXPECT_THAT(chain_trouble(ours.path("node.pem"), ours.trust()), IsEmpty());
  EXPECT_THAT(chain_trouble(ours.path("old.pem"), ours.trust()), IsEmpty())
      << "dates are judged elsewhere";
  EXPECT_THAT(chain_trouble(ours.path("node.pem"), other.trust()),
              HasSubstr("does not come from an authority of " + other.trust()));
  EXPECT_THAT(chain_trouble("/nonexistent", ours.trust()), IsEmpty());
  EXPECT_THAT(chain_trouble(ours.path("node.pem"), "/nonexistent"), IsEmpty());
}

}  // namespace
}  // namespace turnpike::pki
