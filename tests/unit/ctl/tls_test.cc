// `turnpikectl tls connections`: what people read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/ctl/print.h"

namespace turnpike::ctl {
namespace {

using testing::HasSubstr;

TEST(CtlTls, connections_are_a_table) {
  const auto text = print_tls_connections(R"({"connections": [
    {"zone": "dmz", "peer": "c1", "node": "core-1", "purpose": "signalling, opened by the core",
     "dialled_by": "the peer", "address": "10.0.0.1:4", "version": "TLSv1.3", "cipher": "X",
     "verified": "subject alternative name", "matched_name": "core.example.com",
     "server_name": "edge\u001b.example.com", "certificate": {"expires_in_days": 20.9},
     "age_seconds": 75},
    {"zone": "dmz", "peer": "c2", "node": null, "purpose": "p", "dialled_by": "this node",
     "address": null, "version": "TLSv1.2", "cipher": "Y", "verified": "common name",
     "matched_name": null, "server_name": null, "certificate": {"expires_in_days": -0.1},
     "age_seconds": 5}], "handshakes_waiting": 3})");
  ASSERT_TRUE(text);
  EXPECT_EQ(*text,
            "ZONE  PEER  ADDRESS     DIALLED BY  VERSION  CIPHER  VERIFIED  NAME              SNI"
            "                ENDS IN  AGE   CARRIES\n"
            "dmz   c1    10.0.0.1:4  the peer    TLSv1.3  X       SAN       core.example.com  "
            "edge?.example.com  20 days  1:15  signalling, opened by the core\n"
            "dmz   c2    -           this node   TLSv1.2  Y       CN        -                 -"
            "                  EXPIRED  0:05  p\n"
            "3 more are in their handshake\n");
  EXPECT_EQ(*print_tls_connections(R"({"connections": [], "handshakes_waiting": 0})"),
            "no TLS connections\n");
  EXPECT_FALSE(print_tls_connections("{}"));
}

}  // namespace
}  // namespace turnpike::ctl
