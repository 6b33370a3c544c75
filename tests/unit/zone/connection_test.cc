#include "control/zone/connection.h"

#include "tests/unit/zone/pair.h"

namespace turnpike::zone {
namespace {

using Phase = Connection::Phase;

class ZoneConnection : public Pair {};

TEST_F(ZoneConnection, opens_after_tls_and_challenge) {
  make_open();
  EXPECT_EQ(edge_->peer_hello().node, "core-1");
  EXPECT_EQ(core_->peer_hello().node, "edge-1");
  EXPECT_EQ(edge_->peer_hello().epoch, 7U);
  EXPECT_EQ(edge_->peer_name(), "core.example.com");
  EXPECT_TRUE(core_->opens_streams());
  EXPECT_FALSE(edge_->opens_streams());
  EXPECT_TRUE(core_->tls_description().starts_with("TLSv1.3 TLS_")) << core_->tls_description();
  EXPECT_GT(edge_->bytes_received(), 1000U);
  EXPECT_EQ(edge_->bytes_received(), core_->bytes_sent());
}

TEST_F(ZoneConnection, the_edge_opens_streams_where_the_hello_says_so) {
  of_core_.hello.purpose = Purpose::kSignallingByEdge;
  make_open();
  EXPECT_TRUE(edge_->opens_streams());
  EXPECT_FALSE(core_->opens_streams());
  const StreamId stream = edge_->streams().open("sip");
  edge_->streams().write(stream, "INVITE");
  shuttle();
  const auto events = core_->take_events();
  EXPECT_TRUE(has(events, StreamEvent::Kind::kOpened, stream));
  EXPECT_EQ(data_of(events, stream), "INVITE");
}

TEST_F(ZoneConnection, cuts_make_no_difference) {
  for (const std::size_t piece : {1U, 2U, 3U, 7U, 100U, 1000U}) {
    of_core_.hello.purpose =
        piece % 2 == 0 ? Purpose::kSignallingByEdge : Purpose::kSignallingByCore;
    make();
    shuttle(piece);
    ASSERT_EQ(edge_->phase(), Phase::kOpen) << piece;
    Connection& opener = piece % 2 == 0 ? *edge_ : *core_;
    Connection& acceptor = piece % 2 == 0 ? *core_ : *edge_;
    const StreamId stream = opener.streams().open("sip");
    opener.streams().write(stream, "some text");
    opener.streams().end(stream);
    shuttle(piece);
    const auto events = acceptor.take_events();
    EXPECT_EQ(data_of(events, stream), "some text") << piece;
    EXPECT_TRUE(has(events, StreamEvent::Kind::kEnded, stream)) << piece;
  }
}

TEST_F(ZoneConnection, a_wrong_password_opens_nothing) {
  make(credentials("edge"), credentials("core", "open says me"));
  shuttle();
  EXPECT_EQ(edge_->reason(), Reason::kWrongPassword);
  EXPECT_EQ(core_->reason(), Reason::kWrongPassword);
  EXPECT_EQ(edge_->detail(), "");
}

TEST_F(ZoneConnection, refusals_of_tls_are_passed_on) {
  of_edge_.peer_rule.names = {"somebody.example.com"};
  make();
  shuttle();
  EXPECT_EQ(edge_->reason(), of(tls::Refusal::kWrongName));
  EXPECT_EQ(core_->reason(), of(tls::Refusal::kRefusedByPeer));
}

TEST_F(ZoneConnection, a_slow_handshake_is_ended) {
  make();
  EXPECT_EQ(edge_->next_deadline(), now_ + Seconds{10});
  edge_->receive(std::string("\x16\x03", 2), now_);
  edge_->on_deadline(now_ + Milliseconds{9999});
  EXPECT_EQ(edge_->phase(), Phase::kTls);
  edge_->on_deadline(now_ + Seconds{10});
  EXPECT_EQ(edge_->reason(), Reason::kTooSlow);
}

TEST_F(ZoneConnection, a_slow_challenge_is_ended_too) {
  // A core that knows TLS only.
  tls::Session core(credentials("core").tls, tls::Role::kClient, {}, "");
  edge_ = std::make_unique<Connection>(of_edge_, credentials("edge"), now_);
  tls::WipedText text;
  for (int i = 0; i < 4; ++i) {
    edge_->receive(core.take_output(), now_);
    core.receive(edge_->take_output(65536), text);
  }
  EXPECT_EQ(edge_->phase(), Phase::kChallenge);
  edge_->on_deadline(now_ + Seconds{10});
  EXPECT_EQ(edge_->reason(), Reason::kTooSlow);
}

TEST_F(ZoneConnection, garbage_after_tls_is_refused_and_not_kept) {
  for (const std::string& garbage :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")}) {
    tls::Session core(credentials("core").tls, tls::Role::kClient, {}, "");
    edge_ = std::make_unique<Connection>(of_edge_, credentials("edge"), now_);
    tls::WipedText text;
    for (int i = 0; i < 4; ++i) {
      edge_->receive(core.take_output(), now_);
      core.receive(edge_->take_output(65536), text);
    }
    core.send(garbage);
    edge_->receive(core.take_output(), now_);
    EXPECT_EQ(edge_->reason(), Reason::kBadMessage);
  }
}

TEST_F(ZoneConnection, keepalives_measure_the_round_trip) {
  make_open();
  now_ = core_->next_deadline();
  core_->on_deadline(now_);
  const std::string ping = core_->take_output(65536);
  ASSERT_FALSE(ping.empty());
  now_ += Milliseconds{30};
  edge_->receive(ping, now_);
  core_->receive(edge_->take_output(65536), now_);
  EXPECT_EQ(core_->round_trip(), Milliseconds{30});
}

TEST_F(ZoneConnection, silence_ends_it_within_three_keepalives) {
  make_open();
  const Instant start = now_;
  while (core_->phase() == Phase::kOpen) {
    now_ = core_->next_deadline();
    core_->on_deadline(now_);
    core_->take_output(65536);
  }
  EXPECT_EQ(core_->reason(), Reason::kSilent);
  EXPECT_LE(now_ - start, Seconds{30});
  EXPECT_GE(now_ - start, Seconds{20});
}

TEST_F(ZoneConnection, keepalives_keep_it_up) {
  make_open();
  for (int i = 0; i < 100; ++i) {
    now_ += Seconds{5};
    core_->on_deadline(now_);
    edge_->on_deadline(now_);
    shuttle();
  }
  EXPECT_EQ(core_->phase(), Phase::kOpen);
  EXPECT_EQ(edge_->phase(), Phase::kOpen);
}

TEST_F(ZoneConnection, a_close_is_told_to_the_other_end) {
  make_open();
  edge_->close(Reason::kStopped);
  shuttle();
  EXPECT_EQ(core_->reason(), Reason::kClosedThere);
}

TEST_F(ZoneConnection, the_end_of_tcp_is_a_break) {
  make_open();
  core_->on_transport_end(now_);
  EXPECT_EQ(core_->reason(), Reason::kBroken);
  make();
  edge_->on_transport_end(now_);
  EXPECT_EQ(edge_->reason(), of(tls::Refusal::kClosedEarly));
}

// A random pipe: pieces of any size, any interleaving, many streams, both ends writing.
TEST_F(ZoneConnection, property_bytes_arrive_whole_and_in_order_whatever_the_pipe_does) {
  std::uint64_t state = 88172645463325252U;
  const auto random = [&state](std::uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
  };
  make_open();
  std::map<StreamId, std::array<std::string, 2>> sent;      // by opener, by acceptor
  std::map<StreamId, std::array<std::string, 2>> received;  // at acceptor, at opener
  std::array<std::string, 2> in_flight;                     // to edge, to core
  const auto drain = [&](Connection& connection, std::size_t who) {
    for (StreamEvent& event : connection.take_events()) {
      if (event.kind == StreamEvent::Kind::kOpened) connection.streams().accept(event.stream);
      if (event.kind != StreamEvent::Kind::kData) continue;
      received[event.stream][who] += event.text;
      connection.streams().consumed(event.stream, event.text.size());
    }
  };
  for (int step = 0; step < 4000; ++step) {
    now_ += Milliseconds{20};
    const bool writing = step < 2000;
    if (writing && random(20) == 0) {
      if (const StreamId stream = core_->streams().open("sip"); stream > 0) sent[stream];
    }
    if (writing && !sent.empty()) {
      auto chosen = std::next(sent.begin(), static_cast<long>(random(sent.size())));
      const std::size_t who = random(2);
      const bool known = received.count(chosen->first) > 0 && !received[chosen->first][0].empty();
      if (who == 0 || known) {
        const std::string text(random(3000), static_cast<char>('a' + random(26)));
        (who == 0 ? *core_ : *edge_).streams().write(chosen->first, text);
        chosen->second[who] += text;
      }
    }
    in_flight[0] += core_->take_output(1 + random(20000));
    in_flight[1] += edge_->take_output(1 + random(20000));
    for (std::size_t to = 0; to < 2; ++to) {
      const std::size_t size = writing ? random(in_flight[to].size() + 1) : in_flight[to].size();
      const std::string piece = in_flight[to].substr(0, size);
      in_flight[to].erase(0, size);
      (to == 0 ? *edge_ : *core_).receive(piece, now_);
    }
    drain(*edge_, 0);
    drain(*core_, 1);
    ASSERT_EQ(core_->phase(), Phase::kOpen) << step << info_of(core_->reason()).text;
    ASSERT_EQ(edge_->phase(), Phase::kOpen) << step << info_of(edge_->reason()).text;
  }
  ASSERT_GT(sent.size(), 50U);
  std::size_t total = 0;
  for (const auto& [stream, texts] : sent) {
    EXPECT_EQ(received[stream], texts) << stream;
    total += texts[0].size() + texts[1].size();
  }
  EXPECT_GT(total, 500000U);
}

// TCP may end after any byte: both ends come to an end with a reason, whatever was on its way.
TEST_F(ZoneConnection, property_a_pipe_that_is_cut_anywhere_closes_both_ends) {
  const Credentials of_edge = credentials("edge");
  const Credentials of_core = credentials("core");
  bool opened = false;
  for (std::size_t allowed = 0; !opened; allowed += 97) {
    make(of_edge, of_core);
    std::size_t left = allowed;
    for (bool moved = true; moved && left > 0;) {
      moved = false;
      for (Connection* from : {core_.get(), edge_.get()}) {
        const std::string bytes = from->take_output(65536);
        const std::string_view passed = std::string_view(bytes).substr(0, left);
        left -= passed.size();
        moved = moved || !passed.empty();
        (from == core_.get() ? *edge_ : *core_).receive(passed, now_);
      }
    }
    opened = core_->phase() == Phase::kOpen && edge_->phase() == Phase::kOpen && left > 0;
    for (Connection* end : {core_.get(), edge_.get()}) {
      end->on_transport_end(now_);
      end->take_output(65536);
      EXPECT_EQ(end->phase(), Phase::kClosed) << allowed;
      EXPECT_NE(end->reason(), Reason::kNone) << allowed;
      EXPECT_TRUE(end->take_events().empty()) << allowed;
    }
    ASSERT_LT(allowed, 100000U);
  }
}

// Every byte of the handshake changed once: nobody opens on a damaged one, nobody crashes.
TEST_F(ZoneConnection, property_a_damaged_handshake_never_opens) {
  make();
  const std::string first = core_->take_output(65536);
  for (std::size_t at = 0; at < first.size(); at += 5) {
    std::string damaged = first;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
    edge_ = std::make_unique<Connection>(of_edge_, credentials("edge"), now_);
    edge_->receive(damaged, now_);
    edge_->take_output(65536);
    EXPECT_NE(edge_->phase(), Phase::kOpen) << at;
  }
}

}  // namespace
}  // namespace turnpike::zone
