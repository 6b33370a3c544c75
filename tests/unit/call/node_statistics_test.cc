// NG "list" and "statistics": what the node has done, in the names that clients know.
#include <set>

#include <gtest/gtest.h>

#include "control/ng/message.h"
#include "tests/unit/call/transport_fixture.h"

namespace turnpike::call {
namespace {

class NodeStatistics : public CallTest {
 protected:
  void connect(const std::string& id, std::string_view media = kAudio) {
    CallRequest first = request(sdp_of(media));
    first.call_id = id;
    offered_sdp(offer(first));
    CallRequest second = request(sdp_of(media, "10.0.0.20"), "a", "b");
    second.call_id = id;
    offered_sdp(answer(second));
  }
  void end(const std::string& id) {
    CallRequest bye = request("");
    bye.call_id = id;
    remove(bye);
  }
  Dict part(std::string_view name) const { return dict(service_->node_statistics(), name); }
  void pass(Seconds span) {
    for (const Instant then = now_ + span; now_ < then;) {
      now_ += Seconds{1};
      service_->on_tick();
      deliver_events();
    }
  }
};

TEST_F(NodeStatistics, are_a_tree) {
  connect("one");
  connect("two");
  const Dict now = part("currentstatistics");
  EXPECT_EQ(number(now, "sessionsown"), 2);
  EXPECT_EQ(number(now, "sessionstotal"), 2);
  EXPECT_EQ(number(now, "sessionsforeign"), 0);
  EXPECT_EQ(number(now, "media_userspace"), 4);
  EXPECT_EQ(number(part("totalstatistics"), "managedsessions"), 0);
  const Dict tree = service_->node_statistics();
  for (const char* name :
       {"currentstatistics", "totalstatistics", "intervalstatistics", "mos", "voip_metrics"}) {
    EXPECT_FALSE(dict(tree, name).empty()) << name;
  }
  // Two interfaces with an address of each family; two ports for each leg.
  const auto* interfaces = find(tree, "interfaces")->as_list();
  ASSERT_EQ(interfaces->size(), 4U);
  const Dict& outside = *interfaces->at(0).as_dict();
  EXPECT_EQ(text(outside, "name"), "outside");
  EXPECT_EQ(text(outside, "address"), "198.51.100.1");
  EXPECT_EQ(number(dict(outside, "ports"), "used"), 4);
  EXPECT_EQ(number(dict(outside, "ports"), "min"), 36000);
  EXPECT_EQ(number(dict(outside, "ports"), "totals"), 24000);
  EXPECT_EQ(number(dict(outside, "ports"), "free"), 23996);
  EXPECT_EQ(text(dict(outside, "ports"), "used_pct"), "0.02");
  EXPECT_EQ(number(dict(*interfaces->at(1).as_dict(), "ports"), "used"), 0) << "no IPv6";
}

TEST_F(NodeStatistics, tell_how_calls_ended) {
  connect("deleted");
  relay_->session(0).stats.legs[0].packets_received = 10;
  relay_->session(0).stats.legs[0].stream_count = 1;
  StreamStats& stream = relay_->session(0).stats.legs[0].streams[0];
  stream.packets_lost = 3;
  stream.quality.samples = 4;
  stream.quality.average.mos_hundredths = 420;
  now_ += Seconds{10};
  end("deleted");
  connect("silent");
  now_ += Seconds{20};
  end("silent");
  offered_sdp(offer(request(sdp_of(kAudio))));
  pass(Seconds{181});
  connect("held", "m=audio 4000 RTP/AVP 0\na=inactive\n");
  pass(Seconds{3601});
  EXPECT_EQ(service_->call_count(), 0U);
  const Dict total = part("totalstatistics");
  EXPECT_EQ(number(total, "managedsessions"), 4);
  EXPECT_EQ(number(total, "regularterminatedsessions"), 2);
  EXPECT_EQ(number(total, "offertimeoutsessions"), 1);
  EXPECT_EQ(number(total, "silenttimeoutsessions"), 1);
  EXPECT_EQ(number(total, "timeoutsessions"), 0);
  EXPECT_EQ(number(total, "onewaystreams"), 1);
  EXPECT_EQ(number(total, "zerowaystreams"), 3);
  EXPECT_EQ(text(total, "totalcallsduration"), "3810.000000") << "10 + 20 + 180 + 3600";
  EXPECT_EQ(text(total, "avgcallduration"), "952.500000");
  EXPECT_EQ(number(part("mos"), "mos_samples_total"), 4);
  EXPECT_EQ(text(part("mos"), "mos_average"), "4.200000");
  EXPECT_EQ(number(part("voip_metrics"), "packets_lost"), 3);
}

TEST_F(NodeStatistics, count_m_lines_that_were_given_up_and_no_transport_of_others) {
  const char* two = "m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 96\n";
  connect("one", two);
  relay_->session(1).stats.legs[0].packets_received = 10;
  relay_->session(1).stats.legs[0].stream_count = 1;
  relay_->session(1).stats.legs[0].streams[0].packets_lost = 7;
  const char* first = "m=audio 4000 RTP/AVP 0\nm=video 0 RTP/AVP 96\n";
  connect("one", first);
  deliver_events();
  EXPECT_EQ(number(part("totalstatistics"), "onewaystreams"), 1);
  EXPECT_EQ(number(part("totalstatistics"), "zerowaystreams"), 0);
  EXPECT_EQ(number(part("voip_metrics"), "packets_lost"), 7);
  end("one");
  EXPECT_EQ(number(part("totalstatistics"), "zerowaystreams"), 1);
  // A video that the answer refuses was never to have packets.
  CallRequest asks = request(sdp_of(two));
  offered_sdp(offer(asks));
  offered_sdp(answer(
      request(sdp_of("m=audio 5000 RTP/AVP 0\nm=video 0 RTP/AVP 96\n", "10.0.0.20"), "a", "b")));
  deliver_events();
  EXPECT_EQ(number(part("totalstatistics"), "zerowaystreams"), 1);
}

TEST_F(NodeStatistics, count_what_a_line_had_whose_transport_goes_on_for_others) {
  const std::string keys = fingerprint_line(0xc1) + "a=setup:active\na=rtcp-mux\n" +
                           "a=ice-ufrag:them\na=ice-pwd:theirsecrettheirsecret\n";
  const auto page = [&](const char* group, const char* port) {
    return sdp_of("a=group:BUNDLE" + std::string(group) + "\nm=audio " + port +
                  " UDP/TLS/RTP/SAVPF 0\na=mid:0\n" + keys +
                  "m=video 4000 UDP/TLS/RTP/SAVPF 96\na=mid:1\n" + keys);
  };
  const auto phone = [](const char* port) {
    return sdp_of("m=audio " + std::string(port) + " RTP/AVP 0\nm=video 5002 RTP/AVP 96\n",
                  "10.0.0.20");
  };
  // The audio had media both ways and losses, the video media both ways; in between nothing ends.
  const auto talk = [&](std::size_t session, std::uint32_t lost) {
    for (LegStats& leg : relay_->session(session).stats.legs) leg.packets_received = 10;
    LegStats& leg = relay_->session(session).stats.legs[0];
    leg.stream_count = 1;
    leg.streams[0].packets_lost = lost;
  };
  for (const bool comes_to_an_end : {false, true}) {
    CallRequest invite = request(page(" 0 1", "4000"));
    invite.transport_protocol = "RTP/AVP";
    invite.ice = IceWish::kRemove;
    offered_sdp(offer(invite));
    offered_sdp(answer(request(phone("5000"), "a", "b")));
    talk(0, 7);
    talk(1, 1);
    invite = request(page(" 1", "0"), "a", "b");
    offered_sdp(offer(invite));
    offered_sdp(answer(request(phone("0"), "a", "b")));
    deliver_events();
    ASSERT_EQ(relay_->sessions.size(), 2U) << "audio's session has the transport";
    if (comes_to_an_end) {
      invite = request(page("", "0"), "a", "b");
      invite.sdp.replace(invite.sdp.find("m=video 4000"), 12, "m=video 0");
      offered_sdp(offer(invite));
      offered_sdp(answer(request(sdp_of("m=audio 0 RTP/AVP 0\nm=video 0 RTP/AVP 96\n"), "a", "b")));
      deliver_events();
    }
    remove(request("", "a", "b"));
    EXPECT_EQ(number(part("voip_metrics"), "packets_lost"), comes_to_an_end ? 16 : 8);
    EXPECT_EQ(number(part("totalstatistics"), "onewaystreams"), 0);
    EXPECT_EQ(number(part("totalstatistics"), "zerowaystreams"), 0);
  }
}

TEST_F(NodeStatistics, tell_of_calls_that_the_operator_ended) {
  connect("one");
  EXPECT_TRUE(service_->end_call("one"));
  deliver_events();
  EXPECT_EQ(log_.back(), "one: ended: ended by the operator");
  EXPECT_EQ(number(part("totalstatistics"), "forcedterminatedsessions"), 1);
  EXPECT_EQ(number(part("totalstatistics"), "managedsessions"), 1);
}

TEST_F(NodeStatistics, tell_of_calls_that_found_no_room) {
  relay_->opens_until_out_of_ports = 0;
  EXPECT_EQ(text(offer(request(sdp_of(kAudio))), "result"), "error");
  service_->set_draining(true);
  EXPECT_EQ(text(offer(request(sdp_of(kAudio))), "result"), "error");
  EXPECT_EQ(number(part("totalstatistics"), "rejectedsessions"), 2);
}

TEST_F(NodeStatistics, have_rates_and_the_last_whole_minute) {
  relay_->counters.packets_forwarded.add(5000);
  relay_->counters.bytes_forwarded.add(860000);
  relay_->counters.drops[0].add(100);
  now_ += Seconds{2};
  service_->on_tick();
  // Two shards, which share their counters here.
  EXPECT_EQ(number(part("currentstatistics"), "packetrate"), 5000);
  EXPECT_EQ(number(part("currentstatistics"), "byterate"), 860000);
  EXPECT_EQ(number(part("currentstatistics"), "errorrate"), 100);
  EXPECT_EQ(number(part("totalstatistics"), "relayedpackets"), 10000);
  pass(Seconds{1});
  EXPECT_EQ(number(part("currentstatistics"), "packetrate"), 0);
  EXPECT_EQ(number(part("totalstatistics"), "relayedpackets"), 10000);
  EXPECT_EQ(number(part("totalstatistics"), "uptime"), 3);
  connect("one");
  pass(Seconds{120});
  EXPECT_EQ(number(part("intervalstatistics"), "maxmanagedsessions"), 1);
  EXPECT_EQ(number(part("intervalstatistics"), "minmanagedsessions"), 1);
}

TEST_F(NodeStatistics, calls_are_listed) {
  for (int i = 0; i < 40; ++i) connect("call " + std::to_string(i));
  const auto listed = [&](std::uint32_t limit) {
    CallRequest asked;
    if (limit != 0) asked.limit = limit;
    std::vector<std::string> ids;
    service_->list(asked, [&](const Dict& reply) {
      EXPECT_EQ(text(reply, "result"), "ok");
      for (const auto& id : *find(reply, "calls")->as_list()) ids.push_back(*id.as_string());
    });
    return ids;
  };
  EXPECT_EQ(listed(0).size(), 32U);
  EXPECT_EQ(listed(1).size(), 1U);
  EXPECT_EQ(listed(1000).size(), 40U);
}

TEST_F(NodeStatistics, a_list_of_calls_fits_into_a_datagram_whatever_their_names) {
  for (const char byte : {'x', '\\', '"', '\x01', '\xff'}) {
    const std::string long_id(1000, byte);
    for (int i = 0; i < 80; ++i) connect(long_id + std::to_string(i));
    CallRequest asked;
    asked.limit = 1000;
    service_->list(asked, [&](const Dict& reply) {
      std::string text_of_reply;
      ng::append_message(ng::Encoding::kJson, reply, text_of_reply);
      EXPECT_LT(text_of_reply.size(), 65000U) << "of " << int{byte};
      EXPECT_GE(find(reply, "calls")->as_list()->size(), 8U);
      EXPECT_NE(text(reply, "warning"), "");
    });
    for (int i = 0; i < 80; ++i) end(long_id + std::to_string(i));
  }
}

TEST_F(NodeStatistics, a_walk_over_sessions_meets_each_once) {
  for (int i = 0; i < 10; ++i) connect("call " + std::to_string(i));
  std::set<SessionId> met;
  SessionId last{};
  for (int pages = 0; pages < 4; ++pages) {
    for (const CallSummary& call : service_->sessions_after(last, 3)) {
      ASSERT_EQ(call.sessions.size(), 1U);
      EXPECT_GT(call.sessions[0].id, last);
      last = call.sessions[0].id;
      met.insert(last);
    }
  }
  EXPECT_EQ(met.size(), service_->session_count());
  EXPECT_EQ(met.size(), 10U);
  EXPECT_TRUE(service_->sessions_after(last, 3).empty());
}

}  // namespace
}  // namespace turnpike::call
