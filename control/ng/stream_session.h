// NG over one stream connection. A request is a bare dictionary (its reply is one too) or, when its
// first byte is neither 'd' nor '{', a cookie, a space and a dictionary (the reply carries the
// cookie). Requests may come in pieces and several on one connection; they are carried out one
// after the other. Over TCP a first line shows the token: "Authorization: Bearer TOKEN".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "control/ng/dispatcher.h"
#include "control/ng/gate.h"
#include "control/ng/message.h"
#include "control/ng/stream_link.h"
#include "turnpike/time.h"

namespace turnpike::ng {

struct StreamLimits {
  std::uint32_t connections_max = 256;
  Milliseconds idle_timeout{60000};    ///< between requests
  Milliseconds request_timeout{5000};  ///< from a request's first byte to its last
  Milliseconds reply_timeout{10000};   ///< from its last byte to the reply, and to its reader
  std::uint32_t unsent_bytes_max = 1u << 20;  ///< replies nobody reads, before we stop reading
};

/// What a connection over TCP has to pass; `gate` null: nothing.
struct Guard {
  Gate* gate = nullptr;
  IpAddress client{};
};

class StreamSession : public std::enable_shared_from_this<StreamSession> {
 public:
  /// `on_closed` is called once, when the session wants to be dropped; not by the destructor.
  StreamSession(std::unique_ptr<StreamLink> link, Guard guard, MessageLimits message_limits,
                StreamLimits limits, Dispatcher& dispatcher, std::function<void()> on_closed);
  /// Begins to read. The session is owned by a shared_ptr by now.
  void start();
  /// Closes the connection when one of its times is over, or when it would not be let in again.
  void sweep(Instant now);

 private:
  enum class Step : std::uint8_t { kGoOn, kWait };

  void receive(std::string_view bytes);
  void process();
  Step read_token();
  /// Ends what would not be let in again. False: it would.
  bool end_withdrawn();
  Step read_frame();
  Step read_message();
  Step refuse(ParseFault fault, const std::string& reason);
  Step send_last(const std::string& reason);
  void execute(const Value::Dict& message, Encoding encoding, std::string cookie);
  void send(const std::string& cookie, Encoding encoding, const Value::Dict& reply);
  void peer_ended();
  void drained();
  void close();
  bool backlogged() const;

  std::unique_ptr<StreamLink> link_;
  Guard guard_;
  MessageLimits message_limits_;
  StreamLimits limits_;
  Dispatcher& dispatcher_;
  std::function<void()> on_closed_;

  std::string input_;
  std::string cookie_;       // of the request that is being read
  std::size_t body_at_ = 0;  // where its dictionary begins in input_
  bool in_frame_ = false;    // body_at_ and cookie_ are known
  MessageReader reader_;
  bool working_ = false;     // a request waits for its reply
  bool processing_ = false;  // process() is on the stack
  bool ended_ = false;       // the peer sends no more
  bool closing_ = false;     // close when everything is sent
  bool lingers_ = false;     // ... and the peer has ended its side: what it sends is thrown away
  bool is_let_in_ = false;   // has shown the token, or needs none
  std::uint64_t token_number_ = 0;  // of the token that it has shown
  bool closed_ = false;
  Instant since_;  // when the present state began: idle, reading, working, sending
};

}  // namespace turnpike::ng
