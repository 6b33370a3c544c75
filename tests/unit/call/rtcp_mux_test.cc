// rtcp-mux (RFC 5761, 8858) on either side, both and none, and the flags that steer it.
#include "tests/unit/call/call_fixture.h"

namespace turnpike::call {
namespace {

using Flags = std::vector<RtcpMuxFlag>;

struct MuxCase {
  const char* what;
  bool caller;            ///< offers rtcp-mux
  Flags flags;            ///< of the offer
  const char* towards_b;  ///< "a=rtcp" lines of our offer
  bool callee;            ///< answers rtcp-mux
  bool mux_a;             ///< result
  bool mux_b;
};

class RtcpMux : public CallTest, public testing::WithParamInterface<MuxCase> {};

TEST_P(RtcpMux, follows_ends_and_flags) {
  const MuxCase& c = GetParam();
  const std::string mux = "a=rtcp-mux\n";
  CallRequest invite = request(sdp_of(std::string(kAudio) + (c.caller ? mux : "")));
  invite.rtcp_mux = c.flags;
  EXPECT_EQ(lines(offered_sdp(offer(invite)), "a=rtcp"), c.towards_b);
  const std::string back = offered_sdp(
      answer(request(sdp_of(std::string(kAudio) + (c.callee ? mux : ""), "10.0.0.20"), "a", "b")));
  EXPECT_EQ(lines(back, "a=rtcp"), c.mux_a ? ":36000|-mux" : ":36001");
  EXPECT_EQ(leg(0, Side::kA).rtcp_mux, c.mux_a);
  EXPECT_EQ(leg(0, Side::kB).rtcp_mux, c.mux_b);
}

constexpr const char* kNone = ":46001";
constexpr const char* kOffered = ":46001|-mux";
constexpr const char* kRequired = ":46000|-mux";
using F = RtcpMuxFlag;

INSTANTIATE_TEST_SUITE_P(
    Call, RtcpMux,
    testing::Values(
        MuxCase{"none", false, {}, kNone, false, false, false},
        MuxCase{"both", true, {}, kOffered, true, true, true},
        MuxCase{"callee_declines", true, {}, kOffered, false, false, false},
        MuxCase{"callee_says_it_unasked", false, {}, kNone, true, false, false},
        MuxCase{"offer", false, {F::kOffer}, kOffered, true, false, true},
        MuxCase{"offer_declined", false, {F::kOffer}, kOffered, false, false, false},
        MuxCase{"require", false, {F::kRequire}, kRequired, true, false, true},
        MuxCase{"demux", true, {F::kDemux}, kNone, false, true, false},
        MuxCase{"demux_of_nothing", false, {F::kDemux}, kNone, false, false, false},
        MuxCase{"accept", true, {F::kAccept}, kOffered, false, true, false},
        MuxCase{"reject", true, {F::kReject}, kOffered, true, false, true},
        MuxCase{"offer_and_reject", true, {F::kOffer, F::kReject}, kOffered, true, false, true}),
    [](const auto& test) { return std::string(test.param.what); });

TEST_F(CallTest, mux_and_demux_byte_for_byte) {
  CallRequest invite = request(sdp_of("m=audio 4000 RTP/AVP 0\na=rtcp-mux\na=rtcp:4000\n"));
  invite.rtcp_mux = {RtcpMuxFlag::kDemux};
  EXPECT_EQ(offered_sdp(offer(invite)),
            "v=0\r\n"
            "o=- 5 6 IN IP4 192.0.2.10\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 46000 RTP/AVP 0\r\n"
            "c=IN IP4 10.0.0.1\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:46001\r\n");
  EXPECT_EQ(offered_sdp(answer(request(sdp_of("m=audio 5000 RTP/AVP 0\n"), "a", "b"))),
            "v=0\r\n"
            "o=- 5 6 IN IP4 192.0.2.10\r\n"
            "s=-\r\n"
            "t=0 0\r\n"
            "m=audio 36000 RTP/AVP 0\r\n"
            "c=IN IP4 198.51.100.1\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=sendrecv\r\n"
            "a=rtcp:36000\r\n"
            "a=rtcp-mux\r\n");
}

TEST_F(CallTest, mux_only_caller_is_muxed_whatever_the_callee_says) {
  CallRequest invite = request(sdp_of("m=audio 4000 RTP/AVP 0\na=rtcp-mux-only\n"));
  invite.rtcp_mux = {RtcpMuxFlag::kReject};
  EXPECT_EQ(lines(offered_sdp(offer(invite)), "a=rtcp"), ":46001|-mux");
  EXPECT_EQ(lines(offered_sdp(answer(request(sdp_of(kAudio), "a", "b"))), "a=rtcp"), ":36000|-mux");
  EXPECT_TRUE(leg(0, Side::kA).rtcp_mux);
  EXPECT_FALSE(leg(0, Side::kB).rtcp_mux);
}

TEST_F(CallTest, flags_of_the_answer_count_too) {
  offer(request(sdp_of("m=audio 4000 RTP/AVP 0\na=rtcp-mux\n")));
  CallRequest ok = request(sdp_of(kAudio), "a", "b");
  ok.rtcp_mux = {RtcpMuxFlag::kAccept};
  EXPECT_EQ(lines(offered_sdp(answer(ok)), "a=rtcp"), ":36000|-mux");
  ok.sdp = sdp_of("m=audio 4000 RTP/AVP 0\na=rtcp-mux\n");
  ok.rtcp_mux = {RtcpMuxFlag::kReject};
  EXPECT_EQ(lines(offered_sdp(answer(ok)), "a=rtcp"), ":36001");
}

TEST_F(CallTest, established_mux_stays_in_reoffers) {
  const std::string mux = "m=audio 4000 RTP/AVP 0\na=rtcp-mux\n";
  offer(request(sdp_of(mux)));
  answer(request(sdp_of(mux, "10.0.0.9"), "a", "b"));
  EXPECT_EQ(lines(offered_sdp(offer(request(sdp_of(mux), "a", "b"))), "a=rtcp"), ":46000|-mux");
}

}  // namespace
}  // namespace turnpike::call
