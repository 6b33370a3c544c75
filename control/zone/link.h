// One connection of a zone on its socket, the local TCP connections that its streams stand for, and
// the channel of the two programs: one stream with messages, each behind its length (4 bytes).
// Hides: who drives whom: socket, timer, engine, streams. Is not: which links there should be
// (zone.h).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "control/loop/tcp_connection.h"
#include "control/loop/watchers.h"
#include "control/zone/connection.h"

namespace turnpike::zone {

class Link {
 public:
  struct Handlers {
    std::function<void(Link&)> on_open;
    /// Once; the link is of no use any more and may be destroyed inside the call. It still flushes
    /// its last bytes while it is kept.
    std::function<void(Link&)> on_closed;
    /// Where streams for `target` are to be connected to; unset: nowhere.
    std::function<SocketAddress(Link&, std::string_view target)> find_target;
    std::function<void()> on_unknown_target;
    std::function<void()> on_not_connected;
    /// The channel is there: send() may be used.
    std::function<void(Link&)> on_channel{};
    /// The other end does not have one.
    std::function<void(Link&)> on_no_channel{};
    /// A message on the channel. False: it is none that a peer sends; the link is closed then.
    std::function<bool(Link&, std::string_view message)> on_message{};
    /// Whatever happens to the streams of a bulk connection: they end in this program.
    std::function<void(Link&, const StreamEvent&)> on_bulk_event{};
  };

  Link(loop::EventLoop& loop, std::unique_ptr<loop::TcpConnection> tcp, ConnectionOptions options,
       const Credentials& credentials, Handlers handlers);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Begins; call once, outside of the constructor because it may call back.
  void start();
  /// Carries a local connection to the other end. False: no more streams are possible now.
  bool carry(std::unique_ptr<loop::TcpConnection> local, const char* target);
  /// Of the end that opens streams: asks for the channel of the two programs.
  void open_channel();
  /// A message on the channel, of kChannelMessageBytesMax at most. False: there is no channel.
  bool send(std::string_view message);
  /// Only of a bulk connection that is open.
  void use_streams(const std::function<void(Http2&)>& use);
  void ask_round_trip();
  void close(Reason reason);

  const Connection& connection() const { return connection_; }
  const SocketAddress& remote() const { return remote_; }
  std::size_t stream_count() const { return bridges_.size(); }
  bool is_open() const { return connection_.phase() == Connection::Phase::kOpen; }
  /// Only while it is open.
  bool is_bulk() const { return connection_.peer_hello().purpose == Purpose::kBulk; }
  /// TCP could not be had; then connection().reason() says less than this.
  const std::string& tcp_trouble() const { return tcp_trouble_; }
  bool was_connected() const { return was_connected_; }
  bool was_open() const { return was_open_; }
  /// Whether the last bytes are out and the other end has gone, so that nothing is cut off.
  bool is_done() const { return done_; }

 private:
  struct Bridge;

  void on_bytes(std::string_view bytes);
  void on_timer();
  void pump();
  bool take_events();
  void take(StreamEvent& event);
  void accept(StreamId stream, std::string_view target);
  void take_of_channel(StreamEvent& event);
  void take_messages();
  bool may_take_message();
  void join(StreamId stream, std::unique_ptr<loop::TcpConnection> local, bool dialled);
  void on_local_data(StreamId stream, std::string_view bytes);
  void on_local_end(StreamId stream);
  void on_local_drained(StreamId stream);
  void on_local_broken(StreamId stream);
  void drop(StreamId stream, bool reset_local);
  void drop_when_done(StreamId stream);
  void finish();
  Bridge* find(StreamId stream);

  loop::EventLoop& loop_;
  Handlers handlers_;
  std::unique_ptr<loop::TcpConnection> tcp_;
  SocketAddress remote_;
  Connection connection_;
  loop::Timer timer_;
  std::map<StreamId, std::unique_ptr<Bridge>> bridges_;
  StreamId channel_ = 0;
  bool channel_open_ = false;
  tls::WipedText channel_received_;  // the beginning of a message; messages hold keys
  unsigned channel_messages_ = 0;    // of the burst, used up
  Instant channel_counted_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::string tcp_trouble_;
  bool was_connected_ = false;
  bool was_open_ = false;
  bool told_closed_ = false;
  bool pumping_ = false;
  bool pump_again_ = false;
  bool done_ = false;
};

}  // namespace turnpike::zone
