// The life of calls: limits, failures half-way, deletion, figures, silence.
#include "tests/unit/call/call_fixture.h"

namespace turnpike::call {
namespace {

class Lifecycle : public CallTest {
 protected:
  void connect(std::string_view media = kAudio, std::string call_id = "call-1") {
    CallRequest invite = request(sdp_of(media));
    invite.call_id = call_id;
    offered_sdp(offer(invite));
    CallRequest ok = request(sdp_of(media, "10.0.0.20"), "a", "b");
    ok.call_id = std::move(call_id);
    offered_sdp(answer(ok));
  }
  void silence(std::size_t session, Side side) {
    Event event;
    event.kind = EventKind::kMediaTimeout;
    event.session = relay_->id_of(session);
    event.side = side;
    service_->on_event(event);
    deliver_events();
  }
};

TEST_F(Lifecycle, call_limit_says_so_in_both_dialects) {
  CallServiceConfig config = test_config();
  config.calls_max = 1;
  start(config);
  offered_sdp(offer(request(sdp_of(kAudio))));
  CallRequest second = request(sdp_of(kAudio));
  second.call_id = "call-2";
  const Dict old_peer = offer(second);
  EXPECT_EQ(text(old_peer, "result"), "error");
  EXPECT_EQ(text(old_peer, "error-reason"), "Parallel session limit reached");
  second.supports_load_limit = true;
  const Dict new_peer = offer(second);
  EXPECT_EQ(text(new_peer, "result"), "load limit");
  EXPECT_EQ(text(new_peer, "message"), "Parallel session limit reached");
  // The call that exists goes on.
  EXPECT_EQ(text(offer(request(sdp_of(kAudio))), "result"), "ok");
  EXPECT_EQ(service_->call_count(), 1U);
}

TEST_F(Lifecycle, delete_tells_want_of_room_from_a_refused_description) {
  relay_->opens_until_out_of_ports = 0;
  EXPECT_EQ(text(offer(request(sdp_of(kAudio))), "error-reason"), "Ran out of ports");
  EXPECT_EQ(text(remove(request("")), "result"), "error");
  EXPECT_EQ(text(remove(request("")), "result"), "ok") << "told once";
  EXPECT_EQ(text(offer(request("v=0 is no description")), "result"), "error");
  EXPECT_EQ(text(remove(request("")), "result"), "ok");
  expect_nothing_left();
}

TEST_F(Lifecycle, refusals_that_nobody_asks_about_are_forgotten) {
  relay_->sessions_max = 0;
  for (int i = 0; i < 257; ++i) {
    CallRequest invite = request(sdp_of(kAudio));
    invite.call_id = "call-" + std::to_string(i);
    offer(invite);
  }
  CallRequest asked = request("");
  asked.call_id = "call-0";
  EXPECT_EQ(text(remove(asked), "result"), "ok");
  asked.call_id = "call-1";
  EXPECT_EQ(text(remove(asked), "result"), "error");
}

TEST_F(Lifecycle, draining_refuses_new_calls_only) {
  connect();
  service_->set_draining(true);
  CallRequest second = request(sdp_of(kAudio));
  second.call_id = "call-2";
  EXPECT_EQ(text(offer(second), "error-reason"), "Parallel session limit reached");
  second.supports_load_limit = true;
  EXPECT_EQ(text(offer(second), "result"), "load limit");
  EXPECT_EQ(text(offer(request(sdp_of(kAudio), "a", "b")), "result"), "ok");
  service_->set_draining(false);
  EXPECT_EQ(text(offer(second), "result"), "ok");
}

TEST_F(Lifecycle, session_limit_of_the_relay) {
  relay_->sessions_max = 0;
  CallRequest invite = request(sdp_of(kAudio));
  EXPECT_EQ(text(offer(invite), "error-reason"), "Parallel session limit reached");
  invite.supports_load_limit = true;
  EXPECT_EQ(text(offer(invite), "result"), "load limit");
  expect_nothing_left();
}

TEST_F(Lifecycle, busy_shards_refuse_new_calls_as_a_limit) {
  relay_->opens_until_out_of_ports = 0;
  relay_->shortage = OpenFailure::kOverloaded;
  CallRequest invite = request(sdp_of(kAudio));
  // What SIP servers know as "try another one".
  EXPECT_EQ(text(offer(invite), "error-reason"), "Parallel session limit reached");
  invite.supports_load_limit = true;
  const Dict reply = offer(invite);
  EXPECT_EQ(text(reply, "result"), "load limit");
  EXPECT_EQ(text(reply, "message"), "CPU usage limit exceeded");
  expect_nothing_left();
}

TEST_F(Lifecycle, want_of_descriptors_is_told_from_want_of_ports) {
  relay_->opens_until_out_of_ports = 0;
  relay_->shortage = OpenFailure::kOutOfDescriptors;
  EXPECT_EQ(text(offer(request(sdp_of(kAudio))), "error-reason"), "Ran out of file descriptors");
  EXPECT_EQ(text(remove(request("")), "result"), "error");
  expect_nothing_left();
}

TEST_F(Lifecycle, running_out_of_ports_leaves_nothing_of_a_new_call) {
  relay_->opens_until_out_of_ports = 1;
  const Dict reply = offer(request(sdp_of("m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 96\n")));
  EXPECT_EQ(text(reply, "result"), "error");
  EXPECT_EQ(text(reply, "error-reason"), "Ran out of ports");
  expect_nothing_left();
}

TEST_F(Lifecycle, running_out_of_ports_leaves_an_old_call_as_it_was) {
  connect();
  const std::string record = relay_->records.begin()->second;
  relay_->opens_until_out_of_ports = 1;
  const Dict reply = offer(
      request(sdp_of("m=audio 4444 RTP/AVP 0\nm=video 4002 RTP/AVP 96\nm=video 4004 RTP/AVP 97\n"),
              "a", "b"));
  EXPECT_EQ(text(reply, "error-reason"), "Ran out of ports");
  EXPECT_EQ(relay_->sessions.size(), 1U);
  EXPECT_EQ(to_string(leg(0, Side::kA).remote[0]), "192.0.2.10:4000");
  EXPECT_EQ(relay_->records.begin()->second, record);
  offered_sdp(offer(request(sdp_of(kAudio), "a", "b")));
}

TEST_F(Lifecycle, delete_knows_calls_by_id_and_tags) {
  EXPECT_EQ(text(remove(request("")), "result"), "ok");
  EXPECT_NE(text(remove(request("")), "warning"), "");

  const struct {
    const char* from;
    const char* to;
    bool ends;
  } cases[] = {{"", "", true},   {"a", "", true},  {"b", "", true},   {"a", "b", true},
               {"b", "a", true}, {"x", "", false}, {"a", "x", false}, {"", "x", false}};
  for (const auto& c : cases) {
    connect();
    const Dict reply = remove(request("", c.from, c.to));
    EXPECT_EQ(text(reply, "result"), "ok");
    EXPECT_EQ(text(reply, "warning").empty(), c.ends) << c.from << "," << c.to;
    EXPECT_EQ(service_->call_count(), c.ends ? 0U : 1U);
    remove(request("", ""));
    expect_nothing_left();
  }
}

TEST_F(Lifecycle, delete_of_an_unanswered_call_takes_any_to_tag) {
  offer(request(sdp_of(kAudio)));
  EXPECT_EQ(text(remove(request("", "a", "tag-of-the-486")), "warning"), "");
  expect_nothing_left();
}

TEST_F(Lifecycle, delete_of_a_lost_branch_leaves_the_call) {
  connect();
  answer(request(sdp_of(kAudio, "10.0.0.30"), "a", "b2"));
  EXPECT_EQ(text(remove(request("", "a", "b")), "result"), "ok");
  EXPECT_EQ(service_->call_count(), 1U);
  EXPECT_NE(text(remove(request("", "b", "a")), "warning"), "") << "branch is still known";
  remove(request("", "a", "b2"));
  expect_nothing_left();
}

TEST_F(Lifecycle, delete_delay_by_request_and_by_configuration) {
  connect();
  CallRequest bye = request("");
  bye.delete_delay = Seconds{30};
  EXPECT_EQ(text(remove(bye), "result"), "ok");
  EXPECT_EQ(relay_->sessions.size(), 1U);
  now_ += Seconds{29};
  service_->on_tick();
  EXPECT_EQ(service_->call_count(), 1U);
  now_ += Seconds{1};
  service_->on_tick();
  expect_nothing_left();

  CallServiceConfig config = test_config();
  config.delete_delay = Seconds{10};
  start(config);
  connect();
  remove(request(""));
  EXPECT_EQ(service_->call_count(), 1U);
  bye.delete_delay = Seconds{0};
  remove(bye);
  expect_nothing_left();
}

TEST_F(Lifecycle, offer_during_the_delay_keeps_the_call) {
  connect();
  CallRequest bye = request("");
  bye.delete_delay = Seconds{30};
  remove(bye);
  offered_sdp(offer(request(sdp_of(kAudio), "a", "b")));
  now_ += Seconds{100};
  service_->on_tick();
  EXPECT_EQ(service_->call_count(), 1U);
}

TEST_F(Lifecycle, figures_are_a_tree) {
  connect("m=audio 4000 RTP/AVP 0\na=rtcp-mux\n");
  SessionStats& stats = relay_->session(0).stats;
  LegStats& a = stats.legs[0];
  a.packets_received = 100;
  a.bytes_received = 17200;
  a.rtcp_received = 3;
  a.packets_sent = 40;
  a.drops[static_cast<std::size_t>(DropReason::kWrongSource)] = 5;
  a.last_packet = a.last_rtp = now_ - Seconds{4};
  a.stream_count = 1;
  a.streams[0].ssrc = 0xdeadbeef;
  a.streams[0].packets = 100;
  a.streams[0].packets_lost = 2;
  stats.legs[1].packets_received = 50;
  stats.legs[1].bytes_received = 8600;

  for (const bool at_end : {false, true}) {
    const Dict reply = at_end ? remove(request("")) : query(request(""));
    EXPECT_EQ(text(reply, "result"), "ok");
    EXPECT_EQ(number(reply, "created"), 1'700'000'000);
    EXPECT_EQ(number(reply, "created_us"), 250'000);
    EXPECT_EQ(number(reply, "last signal"), 1'700'000'000);
    EXPECT_EQ(number(dict(dict(reply, "SSRC"), "3735928559"), "packets lost"), 2);
    const Dict& rtp = dict(dict(reply, "totals"), "RTP");
    EXPECT_EQ(number(rtp, "packets"), 150);
    EXPECT_EQ(number(rtp, "bytes"), 25800);
    EXPECT_EQ(number(rtp, "errors"), 5);
    EXPECT_EQ(number(dict(dict(reply, "totals"), "RTCP"), "packets"), 3);

    const Dict& tag = dict(dict(reply, "tags"), "a");
    EXPECT_EQ(text(tag, "in dialogue with"), "b");
    const Dict& media = *find(tag, "medias")->as_list()->at(0).as_dict();
    EXPECT_EQ(number(media, "index"), 1);
    EXPECT_EQ(text(media, "type"), "audio");
    EXPECT_EQ(text(media, "protocol"), "RTP/AVP");
    const Dict& stream = *find(media, "streams")->as_list()->at(0).as_dict();
    EXPECT_EQ(number(stream, "local port"), 36000);
    EXPECT_EQ(text(dict(stream, "endpoint"), "address"), "192.0.2.10");
    EXPECT_EQ(number(dict(stream, "endpoint"), "port"), 4000);
    EXPECT_EQ(number(stream, "last packet"), 1'699'999'996);
    EXPECT_EQ(number(dict(stream, "stats"), "packets"), 100);
    EXPECT_EQ(number(dict(stream, "stats_out"), "packets"), 40);
    const auto texts = [](const Dict& of) {
      std::string all;
      for (const auto& one : *find(of, "flags")->as_list()) all += *one.as_string() + " ";
      return all;
    };
    EXPECT_EQ(texts(media), "initialized rtcp-mux ");
    EXPECT_EQ(texts(stream), "RTP RTCP mux filled confirmed ");
    const Dict& ingress = *find(stream, "ingress SSRCs")->as_list()->at(0).as_dict();
    EXPECT_EQ(number(ingress, "SSRC"), 0xdeadbeef);
    EXPECT_TRUE(find(stream, "egress SSRCs")->as_list()->empty());
    const Dict& peer = *find(tag, "subscribers")->as_list()->at(0).as_dict();
    EXPECT_EQ(text(peer, "tag") + " " + text(peer, "type"), "b offer/answer");
    EXPECT_EQ(find(tag, "subscriptions")->as_list()->size(), 1U);
  }
}

TEST_F(Lifecycle, what_a_dropped_m_line_carried_still_counts) {
  connect("m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 96\n");
  relay_->session(1).stats.legs[0].packets_received = 70;
  const std::string one = "m=audio 4000 RTP/AVP 0\nm=video 0 RTP/AVP 96\n";
  offer(request(sdp_of(one), "a", "b"));
  answer(request(sdp_of(one, "10.0.0.20"), "a", "b"));
  deliver_events();
  EXPECT_EQ(relay_->sessions.size(), 1U);
  relay_->session(0).stats.legs[1].packets_received = 7;
  EXPECT_EQ(number(dict(dict(remove(request("")), "totals"), "RTP"), "packets"), 77);
}

TEST_F(Lifecycle, replies_come_even_when_events_are_lost) {
  connect();
  relay_->lose_events = true;
  int replies = 0;
  service_->query(request(""), [&](Dict) { ++replies; });
  service_->remove(request(""), [&](Dict reply) {
    ++replies;
    EXPECT_EQ(text(reply, "result"), "ok");
  });
  deliver_events();
  EXPECT_EQ(replies, 0);
  EXPECT_EQ(service_->calls_ending(), 1U) << "who ends now loses its record";
  EXPECT_TRUE(ended_.empty());
  service_->on_tick();
  EXPECT_EQ(replies, 0);
  now_ += Seconds{2};
  service_->on_tick();
  EXPECT_EQ(replies, 2);
  EXPECT_EQ(service_->calls_ending(), 0U);
  EXPECT_EQ(ended_.size(), 1U);
  expect_nothing_left();
}

TEST_F(Lifecycle, call_id_is_free_as_soon_as_it_was_deleted) {
  connect();
  service_->remove(request(""), [](Dict) {});
  connect();
  deliver_events();
  EXPECT_EQ(service_->call_count(), 1U);
  EXPECT_EQ(relay_->sessions.size(), 1U);
}

TEST_F(Lifecycle, silence_of_all_streams_ends_the_call) {
  connect("m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 96\n");
  silence(0, Side::kA);
  silence(0, Side::kB);
  silence(1, Side::kA);
  EXPECT_EQ(service_->call_count(), 1U);
  silence(1, Side::kB);
  expect_nothing_left();
  deliver_events();
  EXPECT_EQ(log_.back(), "call-1: ended: no media on any of its streams");
}

TEST_F(Lifecycle, media_that_came_back_keeps_the_call) {
  connect();
  silence(0, Side::kA);
  now_ += Seconds{10};
  relay_->session(0).stats.legs[0].last_packet = now_;
  relay_->session(0).stats.legs[0].last_carried = now_;
  now_ += Seconds{60};
  silence(0, Side::kB);
  EXPECT_EQ(service_->call_count(), 1U);
  now_ += Seconds{60};
  silence(0, Side::kA);
  expect_nothing_left();
}

TEST_F(Lifecycle, who_speaks_to_nobody_does_not_keep_the_call) {
  connect();
  silence(0, Side::kA);
  now_ += Seconds{60};
  relay_->session(0).stats.legs[1].last_packet = now_;
  silence(0, Side::kB);
  expect_nothing_left();
}

TEST_F(Lifecycle, says_that_an_end_has_left_and_keeps_the_call) {
  connect();
  Event event;
  event.kind = EventKind::kDtlsState;
  event.session = relay_->id_of(0);
  event.side = Side::kB;
  event.dtls = DtlsState::kClosed;
  service_->on_event(event);
  EXPECT_EQ(log_.back(),
            "call-1: DTLS closed on leg b: its remote end has left, and is sent nothing more");
  EXPECT_EQ(service_->call_count(), 1U);
}

TEST_F(Lifecycle, silent_call_without_figures_is_asked_about_again) {
  connect();
  silence(0, Side::kA);
  relay_->lose_events = true;
  silence(0, Side::kB);
  now_ += Seconds{3};
  service_->on_tick();
  EXPECT_EQ(service_->call_count(), 1U);
  relay_->lose_events = false;
  now_ += Seconds{1};
  service_->on_tick();
  deliver_events();
  expect_nothing_left();
}

TEST_F(Lifecycle, call_that_nobody_answers_ends) {
  offered_sdp(offer(request(sdp_of(kAudio))));
  now_ += Seconds{179};
  service_->on_tick();
  EXPECT_EQ(service_->call_count(), 1U);
  // Another attempt of the same call rings anew.
  offered_sdp(offer(request(sdp_of(kAudio))));
  now_ += Seconds{179};
  service_->on_tick();
  EXPECT_EQ(service_->call_count(), 1U);
  now_ += Seconds{1};
  service_->on_tick();
  deliver_events();
  expect_nothing_left();
  EXPECT_EQ(log_.back(), "call-1: ended: nobody answered");

  CallServiceConfig config = test_config();
  config.offer_timeout = Seconds{0};
  start(config);
  offered_sdp(offer(request(sdp_of(kAudio))));
  now_ += Seconds{1'000'000};
  service_->on_tick();
  EXPECT_EQ(service_->call_count(), 1U);
}

TEST_F(Lifecycle, call_that_expects_no_media_ends_after_the_hold_timeout) {
  const auto hold = [this] {
    offered_sdp(offer(request(sdp_of("m=audio 4000 RTP/AVP 0\na=inactive\n"), "a", "b")));
    offered_sdp(answer(request(sdp_of("m=audio 4000 RTP/AVP 0\na=inactive\n"), "a", "b")));
  };
  connect();
  now_ += Seconds{100'000};
  service_->on_tick();
  EXPECT_EQ(service_->call_count(), 1U) << "media is expected: its silence decides";
  hold();
  now_ += Seconds{3599};
  service_->on_tick();
  hold();  // a signal
  now_ += Seconds{3599};
  service_->on_tick();
  EXPECT_EQ(service_->call_count(), 1U);
  now_ += Seconds{1};
  service_->on_tick();
  deliver_events();
  expect_nothing_left();
  EXPECT_EQ(log_.back(), "call-1: ended: no media and no signal for too long");

  CallServiceConfig config = test_config();
  config.hold_timeout = Seconds{0};
  start(config);
  connect();
  hold();
  now_ += Seconds{1'000'000};
  service_->on_tick();
  EXPECT_EQ(service_->call_count(), 1U);
}

TEST_F(Lifecycle, call_whose_m_lines_were_all_refused_ends_too) {
  offered_sdp(offer(request(sdp_of(kAudio))));
  offered_sdp(answer(request(sdp_of("m=audio 0 RTP/AVP 0\n", "10.0.0.20"), "a", "b")));
  now_ += Seconds{3600};
  service_->on_tick();
  deliver_events();
  expect_nothing_left();
}

TEST_F(Lifecycle, timeouts_go_on_over_a_restart) {
  offered_sdp(offer(request(sdp_of(kAudio))));
  now_ += Seconds{100};
  relay_->sessions_found.push_back({relay_->id_of(0), relay_->session(0).ports});
  relay_->records_found.assign(relay_->records.begin(), relay_->records.end());
  restart(test_config());
  service_->adopt();
  now_ += Seconds{79};
  service_->on_tick();
  EXPECT_EQ(service_->call_count(), 1U);
  now_ += Seconds{1};
  service_->on_tick();
  deliver_events();
  expect_nothing_left();
}

TEST_F(Lifecycle, strange_events_change_nothing) {
  connect();
  for (const EventKind kind : {EventKind::kSessionStats, EventKind::kSessionClosed,
                               EventKind::kMediaTimeout, EventKind::kSourceMoved}) {
    Event event;
    event.kind = kind;
    event.session = {9999, 7, 1};
    event.token = 12345;
    service_->on_event(event);
  }
  EXPECT_EQ(service_->call_count(), 1U);
}

TEST_F(Lifecycle, ids_are_bounded) {
  CallRequest invite = request(sdp_of(kAudio), std::string(1025, 'x'));
  EXPECT_EQ(text(offer(invite), "error-reason"), "call-id or tag is longer than 1024 bytes");
  invite.from_tag.pop_back();
  EXPECT_EQ(text(offer(invite), "result"), "ok");
}

TEST_F(Lifecycle, forks_are_bounded) {
  offer(request(sdp_of(kAudio)));
  for (int i = 0; i < 100; ++i) {
    offered_sdp(answer(request(sdp_of(kAudio), "a", "b" + std::to_string(i))));
  }
  EXPECT_LT(relay_->records.begin()->second.size(), 4000U);
  EXPECT_NE(text(remove(request("", "a", "b0")), "warning"), "") << "oldest branch is forgotten";
  EXPECT_EQ(text(remove(request("", "a", "b98")), "warning"), "");
  EXPECT_EQ(service_->call_count(), 1U);
}

}  // namespace
}  // namespace turnpike::call
