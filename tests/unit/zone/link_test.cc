// The channel of a link, against an end that a test can make say anything; real sockets.
#include "control/zone/link.h"

#include <functional>
#include <vector>

#include "control/loop/tcp_listener.h"
#include "control/zone/config.h"
#include "tests/support/memory_search.h"
#include "tests/unit/zone/pair.h"

namespace turnpike::zone {
namespace {

using Kind = StreamEvent::Kind;

std::string framed(std::string_view message, std::size_t told) {
  std::string bytes;
  for (unsigned shift = 32; shift > 0; shift -= 8) {
    bytes += static_cast<char>(told >> (shift - 8) & 0xff);
  }
  return bytes + std::string(message);
}

std::string framed(std::string_view message) {
  return framed(message, message.size());
}

/// The other end: the engine alone, so that it also does what a link never does.
class Far {
 public:
  Far(std::unique_ptr<loop::TcpConnection> tcp, const ConnectionOptions& options,
      const Credentials& credentials)
      : tcp_(std::move(tcp)), engine_(options, credentials, loop::EventLoop::now()) {
    tcp_->start({.on_connected = [this] { pump(); },
                 .on_data =
                     [this](std::string_view bytes) {
                       engine_.receive(bytes, loop::EventLoop::now());
                       pump();
                     }});
    pump();
  }
  void pump() {
    for (;;) {
      for (StreamEvent& event : engine_.take_events()) events.push_back(std::move(event));
      const std::string output = engine_.take_output(65536);
      if (output.empty()) return;
      tcp_->write(output);
    }
  }
  void write(StreamId stream, std::string_view bytes) {
    engine_.streams().write(stream, bytes);
    pump();
  }
  Connection& engine() { return engine_; }
  bool is_open() const { return engine_.phase() == Connection::Phase::kOpen; }

  std::vector<StreamEvent> events;

 private:
  std::unique_ptr<loop::TcpConnection> tcp_;
  Connection engine_;
};

class ZoneLink : public Pair {
 protected:
  /// The link is of an edge, or of a core; the far end is the other one.
  void connect(Role role = Role::kEdge) {
    const bool edge = role == Role::kEdge;
    auto listener = loop::TcpListener::listen(loop_, {IpAddress::v4(127, 0, 0, 1), 0}, [&](int fd) {
      make_link(loop::TcpConnection::adopt(loop_, fd), edge ? of_edge_ : of_core_,
                credentials(edge ? "edge" : "core"));
    });
    ASSERT_TRUE(listener);
    auto dialled = loop::TcpConnection::dial(loop_, listener->local_address());
    ASSERT_TRUE(dialled);
    far_ = std::make_unique<Far>(std::move(*dialled), edge ? of_core_ : of_edge_,
                                 credentials(edge ? "core" : "edge"));
    ASSERT_TRUE(wait_for([this] { return link_ && link_->is_open() && far_->is_open(); }));
  }
  void make_link(std::unique_ptr<loop::TcpConnection> tcp, const ConnectionOptions& options,
                 const Credentials& credentials) {
    Link::Handlers handlers{.on_open = [](Link&) {},
                            .on_closed = [this](Link&) { closed_ = true; },
                            .find_target = [](Link&, std::string_view) { return SocketAddress{}; },
                            .on_unknown_target = [this] { ++unknown_targets_; },
                            .on_not_connected = [] {},
                            .on_channel = [this](Link&) { ++channels_; },
                            .on_no_channel = [this](Link&) { ++no_channels_; },
                            .on_message =
                                [this](Link&, std::string_view message) {
                                  ++messages_;
                                  if (message.size() < 20) texts_.emplace_back(message);
                                  bytes_ += message.size();
                                  return message != "nonsense";
                                }};
    link_ = std::make_unique<Link>(loop_, std::move(tcp), options, credentials, handlers);
    link_->start();
  }
  /// At an edge, by the far end.
  StreamId open_channel() {
    const StreamId stream = far_->engine().streams().open(kChannelTarget);
    far_->pump();
    EXPECT_TRUE(wait_for([&] { return has(far_->events, Kind::kAccepted, stream); }));
    return stream;
  }
  bool wait_for(const std::function<bool()>& condition) {
    bool late = false;
    loop::Timer wake(loop_, [] {});
    wake.start(Milliseconds{5}, Milliseconds{5});
    loop::Timer end(loop_, [&late] { late = true; });
    end.start(Seconds{20});
    while (!condition() && !late) loop_.run_once();
    return condition();
  }
  void expect_closed(Reason reason) {
    EXPECT_TRUE(wait_for([this] { return closed_; }));
    EXPECT_EQ(link_->connection().reason(), reason) << info_of(link_->connection().reason()).text;
    EXPECT_FALSE(link_->send("late"));
  }

  loop::EventLoop loop_;
  std::unique_ptr<Link> link_;
  std::unique_ptr<Far> far_;
  std::vector<std::string> texts_;
  std::size_t messages_ = 0;
  std::size_t bytes_ = 0;
  int channels_ = 0;
  int no_channels_ = 0;
  int unknown_targets_ = 0;
  bool closed_ = false;
};

TEST_F(ZoneLink, messages_come_whole_and_in_order_whatever_the_pieces) {
  connect();
  const StreamId channel = open_channel();
  EXPECT_EQ(channels_, 1);
  for (const char byte : framed("one") + framed("") + framed("three")) {
    far_->write(channel, std::string(1, byte));
  }
  far_->write(channel, framed("four") + framed("five"));
  ASSERT_TRUE(wait_for([this] { return messages_ == 5; }));
  EXPECT_EQ(texts_, (std::vector<std::string>{"one", "", "three", "four", "five"}));
  EXPECT_FALSE(closed_);
}

TEST_F(ZoneLink, answers_reach_the_other_end) {
  connect();
  const StreamId channel = open_channel();
  EXPECT_TRUE(link_->send("answer"));
  ASSERT_TRUE(wait_for([&] { return !data_of(far_->events, channel).empty(); }));
  EXPECT_EQ(data_of(far_->events, channel), framed("answer"));
}

TEST_F(ZoneLink, without_a_channel_nothing_is_sent) {
  connect();
  EXPECT_FALSE(link_->send("too early"));
  EXPECT_FALSE(closed_);
}

TEST_F(ZoneLink, the_longest_message_is_taken_and_a_longer_one_ends_the_link) {
  connect();
  const StreamId channel = open_channel();
  far_->write(channel, framed(std::string(kChannelMessageBytesMax, 'm')));
  ASSERT_TRUE(wait_for([this] { return messages_ == 1; }));
  EXPECT_EQ(bytes_, kChannelMessageBytesMax);
  EXPECT_FALSE(closed_);
  far_->write(channel, framed("", kChannelMessageBytesMax + 1));  // it is not waited for
  expect_closed(Reason::kBadMessage);
  EXPECT_EQ(messages_, 1U);
}

TEST_F(ZoneLink, a_message_that_is_too_long_is_not_sent) {
  connect();
  const StreamId channel = open_channel();
  EXPECT_FALSE(link_->send(std::string(kChannelMessageBytesMax + 1, 'm')));
  EXPECT_TRUE(link_->send(std::string(kChannelMessageBytesMax, 'm')));
  ASSERT_TRUE(wait_for([&] { return data_of(far_->events, channel).size() > 60000; }));
  EXPECT_FALSE(closed_);
}

TEST_F(ZoneLink, more_messages_than_a_burst_end_the_link) {
  connect();
  const StreamId channel = open_channel();
  std::string much;
  for (unsigned i = 0; i <= kChannelMessagesBurst; ++i) much += framed("again");
  far_->write(channel, much);
  expect_closed(Reason::kBadMessage);
  EXPECT_EQ(messages_, kChannelMessagesBurst);
}

TEST_F(ZoneLink, a_wrong_message_ends_the_link_and_what_follows_is_not_heard) {
  connect();
  far_->write(open_channel(), framed("nonsense") + framed("more"));
  expect_closed(Reason::kBadMessage);
  EXPECT_EQ(messages_, 1U);
}

TEST_F(ZoneLink, who_does_not_read_the_answers_gets_no_more) {
  connect();
  open_channel();
  // The far end never says that it has used what came: one window, then one message that waits.
  const std::string answer(kChannelMessageBytesMax, 'a');
  int taken = 0;
  while (taken < 10 && link_->send(answer)) {
    ++taken;
    wait_for([this] { return true; });
  }
  EXPECT_GE(taken, 2);
  EXPECT_LE(taken, 3);
  expect_closed(Reason::kSilent);
}

TEST_F(ZoneLink, a_channel_that_the_other_end_has_ended_ends_the_link) {
  connect();
  const StreamId channel = open_channel();
  far_->write(channel, framed("last words"));
  far_->engine().streams().end(channel);
  far_->pump();
  expect_closed(Reason::kClosedThere);
  EXPECT_EQ(texts_, std::vector<std::string>{"last words"});
}

TEST_F(ZoneLink, a_channel_that_is_reset_ends_the_link) {
  connect();
  const StreamId channel = open_channel();
  far_->engine().streams().reset(channel);
  far_->pump();
  expect_closed(Reason::kClosedThere);
}

TEST_F(ZoneLink, there_is_one_channel_and_on_the_cores_connection_only) {
  connect();
  open_channel();
  const StreamId second = far_->engine().streams().open(kChannelTarget);
  far_->pump();
  EXPECT_TRUE(wait_for([&] { return has(far_->events, Kind::kRefused, second); }));
  EXPECT_EQ(unknown_targets_, 1);
  EXPECT_EQ(channels_, 1);
  EXPECT_FALSE(closed_);
}

TEST_F(ZoneLink, an_end_without_a_channel_keeps_its_streams) {
  connect(Role::kCore);
  link_->open_channel();
  ASSERT_TRUE(wait_for([this] { return !far_->events.empty(); }));
  EXPECT_EQ(far_->events[0].text, kChannelTarget);
  far_->engine().streams().refuse(far_->events[0].stream, 404);
  far_->pump();
  EXPECT_TRUE(wait_for([this] { return no_channels_ == 1; }));
  EXPECT_FALSE(link_->send("anything"));
  EXPECT_FALSE(closed_);
}

// What crosses the channel are keys. Neither end's buffers keep them: ours, TLS's, HTTP/2's.
TEST_F(ZoneLink, nothing_of_a_message_is_left_in_memory) {
  of_edge_.keepalive = of_core_.keepalive = Seconds{600};  // searching takes a sanitizer a while
  connect();
  const StreamId channel = open_channel();
  const MaskedNeedle needle;
  for (const std::size_t around : {std::size_t{0}, std::size_t{3000}, std::size_t{20000}}) {
    tls::WipedText message(around, '.');
    needle.append_to(message);
    message.append(around, '.');
    EXPECT_GE(needle.count_in_memory(), 1U) << "the search finds what is there";
    tls::WipedText bytes(framed("", message.size()));
    bytes += message;
    const std::size_t before = messages_;
    far_->write(channel, bytes);
    ASSERT_TRUE(wait_for([&] { return messages_ > before; }));
    far_->events.clear();
    ASSERT_TRUE(link_->send(message));
    tls::wipe(message);
    tls::wipe(bytes);
    std::size_t count = 0;
    ASSERT_TRUE(wait_for([&] {
      count = 0;
      for (const StreamEvent& event : far_->events) {
        if (event.kind == Kind::kData) count += event.text.size();
      }
      return count == 4 + 2 * around + MaskedNeedle::kBytes;
    }));
    far_->engine().streams().consumed(channel, count);
    far_->events.clear();
    far_->events.shrink_to_fit();
    far_->pump();
    EXPECT_EQ(needle.count_in_memory(), 0U) << around << " bytes before and behind it";
  }
}

}  // namespace
}  // namespace turnpike::zone
