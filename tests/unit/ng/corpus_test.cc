// Messages as SIP servers send them, replayed: those of Kamailio 5.6.3 (rtpengine module) were
// taken from its socket; those in the manner of OpenSIPS (keys with spaces, brackets as real lists,
// `delete` without tags, no `supports`) are written after its documentation. They are also seeds of
// ng_fuzz.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/ng/dispatcher.h"
#include "control/ng/message.h"
#include "control/ng/request.h"
#include "tests/unit/ng/support.h"

namespace turnpike::ng {
namespace {

using call::RtcpMuxFlag;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class Corpus : public testing::Test {
 protected:
  /// The reply to the message in the file; what it asked is in calls_, what had no effect in
  /// ignored_.
  Value::Dict replay(const std::string& name) {
    std::ifstream file(TURNPIKE_SOURCE_DIR "/tests/fuzz/corpus/ng/" + name, std::ios::binary);
    const std::string datagram{std::istreambuf_iterator<char>(file), {}};
    const Frame frame = parse_frame(datagram);
    EXPECT_EQ(frame.fault, ParseFault::kNone) << name;
    const WholeMessage message = read_whole(frame.body);
    EXPECT_EQ(message.fault, ParseFault::kNone) << name << ": " << message.error;
    Dispatcher dispatcher(calls_, [] { return Instant{}; }, {});
    Value::Dict reply;
    dispatcher.handle(message.dict, [&](Value::Dict answer) { reply = std::move(answer); });
    ignored_.clear();
    for (const auto& entry : dispatcher.ignored().entries()) {
      ignored_.push_back(std::string(to_string(entry.kind)) + " " + entry.name);
    }
    return reply;
  }
  const call::CallRequest& request() const { return calls_.seen.back().request; }

  RecordingCalls calls_;
  std::vector<std::string> ignored_;
};

TEST_F(Corpus, pings) {
  for (const char* name : {"kamailio_ping", "opensips_ping"}) {
    EXPECT_EQ(text_of(find(replay(name), "result")), "pong") << name;
  }
}

TEST_F(Corpus, kamailio_offers) {
  replay("kamailio_offer_srtp");
  EXPECT_EQ(calls_.seen.back().method, "offer");
  EXPECT_EQ(request().call_id, "a84b4c76e66710@192.0.2.1");
  EXPECT_EQ(request().from_tag, "1928301774");
  EXPECT_EQ(request().to_tag, "");
  EXPECT_EQ(request().transport_protocol, "RTP/SAVP");
  EXPECT_THAT(request().direction, ElementsAre("inside", "outside"));
  EXPECT_THAT(request().sdes, ElementsAre("off"));
  EXPECT_EQ(request().tos, 184);
  EXPECT_EQ(request().ice, call::IceWish::kRemove);
  EXPECT_TRUE(request().replace_origin);
  EXPECT_TRUE(request().supports_load_limit);
  EXPECT_EQ(to_string(request().received_from), "127.0.0.1");
  EXPECT_THAT(ignored_, IsEmpty());

  replay("kamailio_offer_many_words");
  EXPECT_TRUE(request().sip_source_address);
  EXPECT_TRUE(request().asymmetric);
  EXPECT_TRUE(request().strict_source);
  EXPECT_TRUE(request().port_latching);
  EXPECT_EQ(request().address_family, AddressFamily::kIpv6);
  EXPECT_EQ(to_string(request().media_address), "192.0.2.7");
  EXPECT_EQ(request().delete_delay, Seconds{30});
  EXPECT_EQ(request().dtls, call::DtlsWish::kPassive);
  EXPECT_THAT(request().rtcp_mux, ElementsAre(RtcpMuxFlag::kDemux));
  EXPECT_THAT(ignored_, UnorderedElementsAre("key x-foo", "key codec", "flag osrtp-*"));

  replay("kamailio_offer_webrtc");
  EXPECT_EQ(request().transport_protocol, "UDP/TLS/RTP/SAVPF");
  EXPECT_EQ(request().ice, call::IceWish::kForce);
  EXPECT_THAT(ignored_, UnorderedElementsAre("flag generate-mid", "flag loop-protect"));

  replay("kamailio_reoffer");
  EXPECT_EQ(request().to_tag, "a6c85cf");
}

TEST_F(Corpus, kamailio_answer_query_and_delete) {
  replay("kamailio_answer");
  EXPECT_EQ(calls_.seen.back().method, "answer");
  EXPECT_EQ(request().from_tag, "1928301774");
  EXPECT_EQ(request().to_tag, "a6c85cf");
  EXPECT_THAT(request().rtcp_mux, ElementsAre(RtcpMuxFlag::kAccept));
  EXPECT_THAT(ignored_, UnorderedElementsAre("key record-call", "key metadata"));
  replay("kamailio_query");
  EXPECT_EQ(calls_.seen.back().method, "query");
  replay("kamailio_delete");
  EXPECT_EQ(calls_.seen.back().method, "delete");
  EXPECT_EQ(request().delete_delay, Seconds{0});
  EXPECT_THAT(ignored_, IsEmpty());
  EXPECT_EQ(text_of(find(replay("kamailio_start_recording"), "error-reason")),
            "Command 'start recording' is not supported: recording is not done here");
}

TEST_F(Corpus, opensips_messages) {
  replay("opensips_offer");
  EXPECT_EQ(calls_.seen.back().method, "offer");
  EXPECT_EQ(request().transport_protocol, "RTP/SAVP");
  EXPECT_EQ(request().address_family, AddressFamily::kIpv4);
  EXPECT_THAT(request().direction, ElementsAre("inside", "outside"));
  EXPECT_THAT(request().rtcp_mux, ElementsAre(RtcpMuxFlag::kDemux));
  EXPECT_THAT(request().sdes, ElementsAre("no-AES_CM_128_HMAC_SHA1_32"));
  EXPECT_EQ(to_string(request().received_from), "192.0.2.1");
  EXPECT_TRUE(request().strict_source);
  EXPECT_TRUE(request().port_latching);
  EXPECT_TRUE(request().replace_origin);
  EXPECT_FALSE(request().sip_source_address);
  EXPECT_FALSE(request().supports_load_limit);
  EXPECT_THAT(ignored_, ElementsAre("key codec"));

  replay("opensips_answer");
  EXPECT_EQ(calls_.seen.back().method, "answer");
  EXPECT_TRUE(request().sip_source_address);
  EXPECT_TRUE(request().asymmetric);
  EXPECT_THAT(ignored_, IsEmpty());

  replay("opensips_delete");
  EXPECT_EQ(calls_.seen.back().method, "delete");
  EXPECT_EQ(request().call_id, "2c1b0a@192.0.2.1");
  EXPECT_EQ(request().from_tag, "");
  EXPECT_EQ(request().delete_delay, Seconds{0});
  EXPECT_THAT(ignored_, IsEmpty());

  replay("opensips_query");
  EXPECT_EQ(calls_.seen.back().method, "query");
}

}  // namespace
}  // namespace turnpike::ng
