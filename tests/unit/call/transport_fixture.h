// Ends that do ICE and DTLS, for the call tests.
#pragma once

#include <string>
#include <string_view>

#include "control/sdp/transport.h"
#include "tests/unit/call/call_fixture.h"

namespace turnpike::call {

constexpr std::string_view kIceLines =
    "a=ice-ufrag:them\na=ice-pwd:theirsecrettheirsecret\n"
    "a=candidate:1 1 UDP 2122260223 192.0.2.10 4000 typ host\n"
    "a=candidate:1 2 UDP 2122260222 192.0.2.10 4001 typ host\n";

/// "a=fingerprint" of SHA-256 that begins with this byte.
inline std::string fingerprint_line(std::uint8_t first) {
  Fingerprint fingerprint{FingerprintHash::kSha256, {}};
  fingerprint.bytes[0] = first;
  fingerprint.bytes[31] = 0xaf;
  return "a=fingerprint:" + sdp::write_fingerprint(fingerprint) + "\n";
}

/// An m-line keyed by DTLS.
inline std::string dtls_media(std::uint8_t first, std::string_view setup,
                              std::string_view more = "", std::string_view port = "4000",
                              std::string_view protocol = "UDP/TLS/RTP/SAVPF") {
  std::string text = "m=audio " + std::string(port) + " " + std::string(protocol) + " 0\n";
  text += fingerprint_line(first) + "a=setup:" + std::string(setup) + "\n";
  return text + std::string(more);
}

/// The first a=crypto of a description of ours: whoever answers with it chooses that line.
inline std::string first_crypto(const std::string& sdp) {
  const std::string all = lines(sdp, "a=crypto:");
  return "a=crypto:" + all.substr(0, all.find('|')) + "\n";
}

class TransportTest : public CallTest {
 protected:
  const TransportConfig& transport(std::size_t session, Side side) {
    return relay_->session(session).transports[index_of(side)];
  }
  const DtlsConfig& dtls(Side side) { return transport(0, side).dtls; }
  const IceConfig& ice(Side side) { return transport(0, side).ice; }
  int told(Side side) { return relay_->session(0).transport_updates[index_of(side)]; }

  CallRequest towards(std::string protocol, std::string sdp, std::string from = "a",
                      std::string to = "") {
    CallRequest invite = request(std::move(sdp), std::move(from), std::move(to));
    invite.transport_protocol = std::move(protocol);
    return invite;
  }
  std::string refusal(const CallRequest& invite) { return text(offer(invite), "error-reason"); }
  std::string answer_refusal(const CallRequest& ok) { return text(answer(ok), "error-reason"); }
  /// The process dies and another one takes the calls over, with another certificate.
  void take_over(std::uint8_t identity) {
    relay_->sessions_found.clear();
    for (const auto& [id, session] : relay_->sessions) {
      relay_->sessions_found.push_back({id, session.ports});
    }
    relay_->records_found.assign(relay_->records.begin(), relay_->records.end());
    relay_->identity = test::FakeRelay::identity_of(identity);
    for (auto& [id, session] : relay_->sessions) session.transports = {};
    restart(test_config());
    EXPECT_EQ(service_->adopt().calls, 1U);
  }
};

}  // namespace turnpike::call
