// Two HTTP/2 ends against each other, and one against garbage.
#include "control/zone/http2.h"

#include <gtest/gtest.h>

#include "tests/unit/zone/pair.h"

namespace turnpike::zone {
namespace {

class ZoneHttp2 : public ::testing::Test {
 protected:
  explicit ZoneHttp2(const Http2Limits& limits = {})
      : opener_(Http2::Side::kOpens, limits), acceptor_(Http2::Side::kAccepts, limits) {
    shuttle();
  }

  void shuttle() {
    for (bool moved = true; moved;) {
      moved = false;
      for (Http2* from : {&opener_, &acceptor_}) {
        tls::WipedText bytes;
        from->produce(bytes, 1 << 20);
        if (bytes.empty()) continue;
        (from == &opener_ ? acceptor_ : opener_).receive(bytes, now_);
        moved = true;
      }
    }
    append(at_opener_, opener_.take_events());
    append(at_acceptor_, acceptor_.take_events());
  }
  static void append(std::vector<StreamEvent>& to, std::vector<StreamEvent> events) {
    for (StreamEvent& event : events) to.push_back(std::move(event));
  }
  StreamId open_stream() {
    const StreamId stream = opener_.open("sip");
    shuttle();
    acceptor_.accept(stream);
    shuttle();
    return stream;
  }

  Instant now_{Seconds{5}};
  Http2 opener_;
  Http2 acceptor_;
  std::vector<StreamEvent> at_opener_;
  std::vector<StreamEvent> at_acceptor_;
};

TEST_F(ZoneHttp2, a_stream_says_what_it_wants) {
  const StreamId stream = open_stream();
  ASSERT_GT(stream, 0);
  ASSERT_EQ(at_acceptor_.size(), 1U);
  EXPECT_EQ(at_acceptor_[0].kind, StreamEvent::Kind::kOpened);
  EXPECT_EQ(at_acceptor_[0].text, "sip");
  EXPECT_TRUE(has(at_opener_, StreamEvent::Kind::kAccepted, stream));
}

TEST_F(ZoneHttp2, bytes_go_both_ways_and_each_way_ends_for_itself) {
  const StreamId stream = open_stream();
  opener_.write(stream, "hello ");
  opener_.write(stream, "there");
  opener_.end(stream);
  shuttle();
  EXPECT_EQ(data_of(at_acceptor_, stream), "hello there");
  EXPECT_TRUE(has(at_acceptor_, StreamEvent::Kind::kEnded, stream));
  EXPECT_FALSE(has(at_opener_, StreamEvent::Kind::kEnded, stream));
  acceptor_.write(stream, "still talking");
  shuttle();
  EXPECT_EQ(data_of(at_opener_, stream), "still talking");
  acceptor_.end(stream);
  shuttle();
  EXPECT_TRUE(has(at_opener_, StreamEvent::Kind::kEnded, stream));
  EXPECT_FALSE(has(at_opener_, StreamEvent::Kind::kReset, stream));
  EXPECT_FALSE(has(at_acceptor_, StreamEvent::Kind::kReset, stream));
  EXPECT_EQ(opener_.stream_count(), 0U);
  EXPECT_EQ(acceptor_.stream_count(), 0U);
}

TEST_F(ZoneHttp2, bytes_may_go_before_the_stream_is_accepted) {
  const StreamId stream = opener_.open("sip");
  opener_.write(stream, "early");
  shuttle();
  EXPECT_EQ(data_of(at_acceptor_, stream), "early");
}

TEST_F(ZoneHttp2, what_is_written_while_some_waits_arrives_in_order) {
  const StreamId stream = open_stream();
  std::string all;
  std::size_t consumed = 0;
  const auto consume = [&] {
    const std::size_t arrived = data_of(at_acceptor_, stream).size();
    acceptor_.consumed(stream, arrived - std::exchange(consumed, arrived));
    shuttle();
  };
  for (std::size_t i = 0; i < 90; ++i) {
    std::string piece(i * 997 % 9001, '\0');
    for (char& byte : piece) byte = static_cast<char>(all.size() % 251 + i);
    all += piece;
    opener_.write(stream, piece);
    shuttle();
    EXPECT_EQ(opener_.unsent(stream), all.size() - data_of(at_acceptor_, stream).size());
    if (i % 9 == 8) consume();
  }
  while (opener_.unsent(stream) > 0) consume();
  EXPECT_EQ(data_of(at_acceptor_, stream), all);
}

TEST_F(ZoneHttp2, a_refusal_tells_its_status) {
  const StreamId stream = opener_.open("nothing");
  shuttle();
  acceptor_.refuse(stream, 404);
  shuttle();
  ASSERT_TRUE(has(at_opener_, StreamEvent::Kind::kRefused, stream));
  EXPECT_EQ(at_opener_.back().number, 404U);
  EXPECT_EQ(opener_.stream_count(), 0U);
  EXPECT_EQ(acceptor_.stream_count(), 0U);
}

TEST_F(ZoneHttp2, a_reset_reaches_the_other_end) {
  const StreamId one = open_stream();
  const StreamId two = open_stream();
  opener_.reset(one);
  acceptor_.reset(two);
  shuttle();
  EXPECT_TRUE(has(at_acceptor_, StreamEvent::Kind::kReset, one));
  EXPECT_TRUE(has(at_opener_, StreamEvent::Kind::kReset, two));
  EXPECT_EQ(opener_.stream_count() + acceptor_.stream_count(), 0U);
}

TEST_F(ZoneHttp2, a_stream_that_is_not_read_holds_up_itself_only) {
  const StreamId blocked = open_stream();
  const StreamId other = open_stream();
  opener_.write(blocked, std::string(1 << 20, 'b'));
  shuttle();
  EXPECT_EQ(data_of(at_acceptor_, blocked).size(), 65535U);
  EXPECT_EQ(opener_.unsent(blocked), (1U << 20) - 65535U);
  for (int i = 0; i < 40; ++i) {
    opener_.write(other, std::string(60000, 'o'));
    shuttle();
    acceptor_.consumed(other, 60000);
    shuttle();
  }
  EXPECT_EQ(data_of(at_acceptor_, other).size(), 40U * 60000U);
  EXPECT_EQ(data_of(at_acceptor_, blocked).size(), 65535U);
  while (opener_.unsent(blocked) > 0) {
    acceptor_.consumed(blocked, 65535);
    shuttle();
  }
  EXPECT_EQ(data_of(at_acceptor_, blocked).size(), 1U << 20);
  EXPECT_TRUE(has(at_opener_, StreamEvent::Kind::kDrained, blocked));
}

TEST_F(ZoneHttp2, pings_are_answered) {
  opener_.ping(42);
  shuttle();
  ASSERT_FALSE(at_opener_.empty());
  EXPECT_EQ(at_opener_.back().kind, StreamEvent::Kind::kPong);
  EXPECT_EQ(at_opener_.back().number, 42U);
}

TEST_F(ZoneHttp2, a_good_bye_is_told) {
  acceptor_.shut_down(Reason::kStopped);
  shuttle();
  EXPECT_EQ(opener_.reason(), Reason::kClosedThere);
}

class ZoneHttp2Limits : public ZoneHttp2 {
 protected:
  ZoneHttp2Limits() : ZoneHttp2({.streams_max = 4, .opens_burst = 10, .opens_per_second = 1}) {}
};

TEST_F(ZoneHttp2Limits, streams_at_a_time_are_limited) {
  for (int i = 0; i < 4; ++i) EXPECT_GT(opener_.open("sip"), 0);
  EXPECT_EQ(opener_.open("sip"), 0);
}

TEST_F(ZoneHttp2Limits, a_flood_of_streams_ends_the_connection) {
  for (int i = 0; i < 12 && acceptor_.reason() == Reason::kNone; ++i) {
    const StreamId stream = opener_.open("sip");
    shuttle();
    opener_.reset(stream);
    shuttle();
  }
  EXPECT_EQ(acceptor_.reason(), Reason::kTooManyStreams);
}

TEST_F(ZoneHttp2Limits, streams_within_the_rate_are_no_flood) {
  for (int i = 0; i < 50; ++i) {
    const StreamId stream = opener_.open("sip");
    shuttle();
    opener_.reset(stream);
    shuttle();
    now_ += Seconds{1};
  }
  EXPECT_EQ(acceptor_.reason(), Reason::kNone);
}

TEST(ZoneHttp2Input, garbage_is_refused) {
  for (const std::string& garbage :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(200, '\0'), std::string(200, '\xff'),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") + std::string(64, '\x42')}) {
    Http2 http2(Http2::Side::kAccepts, {});
    http2.receive(garbage, Instant{Seconds{1}});
    tls::WipedText bytes;
    http2.produce(bytes, 1 << 20);
    EXPECT_EQ(http2.reason(), Reason::kBadHttp2) << garbage;
    EXPECT_FALSE(http2.receive("x", Instant{Seconds{1}}));
  }
}

TEST(ZoneHttp2Input, a_big_header_is_refused) {
  Http2 http2(Http2::Side::kAccepts, {.header_bytes_max = 300});
  Http2 other(Http2::Side::kOpens, {});
  other.open(std::string(400, 'a'));
  tls::WipedText bytes;
  other.produce(bytes, 1 << 20);
  EXPECT_FALSE(http2.receive(bytes, Instant{Seconds{1}}));
  EXPECT_EQ(http2.reason(), Reason::kBadHttp2);
  EXPECT_NE(http2.detail().find("header"), std::string::npos) << http2.detail();
}

TEST(ZoneHttp2Input, a_flood_of_pings_is_refused) {
  Http2 http2(Http2::Side::kAccepts, {});
  Http2 other(Http2::Side::kOpens, {});
  for (std::uint64_t i = 0; i < 5000; ++i) other.ping(i);
  tls::WipedText bytes;
  other.produce(bytes, 1 << 24);
  EXPECT_FALSE(http2.receive(bytes, Instant{Seconds{1}}));
  EXPECT_EQ(http2.reason(), Reason::kBadHttp2);
}

}  // namespace
}  // namespace turnpike::zone
