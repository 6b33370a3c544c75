// NG over UDP: one datagram, one request; repeated requests are answered from the reply cache.
#pragma once

#include <memory>

#include "control/loop/event_loop.h"
#include "control/ng/dispatcher.h"
#include "control/ng/reading.h"
#include "control/ng/reply_cache.h"
#include "turnpike/address.h"
#include "turnpike/result.h"

namespace turnpike::ng {

class UdpEndpoint {
 public:
  /// `dispatcher` outlives this. Replies that come after this is gone are dropped.
  static Result<std::unique_ptr<UdpEndpoint>> create(loop::EventLoop& loop,
                                                     const SocketAddress& address,
                                                     MessageLimits message_limits,
                                                     ReplyCacheLimits cache_limits,
                                                     Dispatcher& dispatcher);
  ~UdpEndpoint();

  /// Forgets old replies. Call about once a second.
  void sweep(Instant now);
  SocketAddress local_address() const;
  const ReplyCache& cache() const;

 private:
  struct State;
  explicit UdpEndpoint(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace turnpike::ng
