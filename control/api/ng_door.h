// NG over HTTP (POST /ng) and WebSocket (protocol ng.rtpengine.com), on TCP of its own, with TLS or
// without. Hides: the HTTP library. Is not: what messages mean and who may ask (control/ng).
//
// A web page in somebody's browser could be the client: a request with an Origin header, or with a
// Host that is not ours (DNS rebinding), gets 403, also with a token. With tokens in the
// path, which is for a library that always sends an Origin, that of our own host does no harm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "control/api/http_tls.h"
#include "control/loop/event_loop.h"
#include "control/ng/gate.h"
#include "turnpike/address.h"
#include "turnpike/result.h"
#include "turnpike/time.h"

namespace turnpike::api {

struct NgDoorOptions {
  SocketAddress tcp{};                    ///< port 0 takes a free one
  std::vector<std::string> host_names{};  ///< accepted as Host besides localhost and the address
  bool token_in_path = false;  ///< "/ng/TOKEN" lets a WebSocket in, also with our own Origin
  HttpTls tls{};
  std::size_t message_bytes_max = 65536 + 256;          ///< a message with its cookie
  std::size_t unsent_bytes_max = std::size_t{1} << 20;  ///< replies that a WebSocket does not read
  /// From the end of a request's headers, or the first byte of a WebSocket's message, to the end of
  /// the message, however it trickles.
  Milliseconds message_time{10000};
  Milliseconds handshake_time{5000};   ///< of TLS, from the connection on
  std::uint16_t ping_seconds = 30;     ///< without a sign of life of a WebSocket: it is asked
  std::uint16_t hang_up_seconds = 40;  ///< ... and closed
};

class NgDoor {
 public:
  /// `loop` and `gate` outlive the door. At most 64 connections, and 16 in the midst of a TLS
  /// handshake; more are closed at once. Who is let in has shown the gate's token and, with
  /// `client_trust_file`, a certificate; where the gate has no token, the certificate alone will
  /// do. Fails without TLS for an address that is not loopback.
  static Result<std::unique_ptr<NgDoor>> open(loop::EventLoop& loop, const NgDoorOptions& options,
                                              ng::Gate& gate);
  /// Closes every connection; runs a few turns of the loop for that.
  ~NgDoor();

  SocketAddress tcp_address() const;
  /// As NgDoorOptions::host_names, for requests from now on.
  void set_host_names(std::vector<std::string> names);
  /// Reads certificate, key and authorities anew, for connections to come. Those that are up stay,
  /// but end_withdrawn() closes WebSockets from before other authorities. When nothing has changed
  /// in the files, or one cannot be used, nothing changes.
  Result<void> renew_certificates();
  /// Closes WebSockets that would not be let in again. After the gate has new rules or another
  /// token or other authorities hold, and not from within a request of this door; what they ask is
  /// judged without it, too.
  void end_withdrawn();

 private:
  struct State;
  explicit NgDoor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::api
