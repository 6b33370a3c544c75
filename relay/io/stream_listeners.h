// Listening sockets of one thread: who has connected to them, some at a time, and a pause where the
// kernel has no descriptor left. Is not: what is done with a connection.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "relay/io/stream_poll.h"
#include "relay/io/tcp_stream.h"
#include "turnpike/time.h"

namespace turnpike {

class StreamListeners {
 public:
  /// Of one listening socket, before connections that are there go on.
  static constexpr int kAcceptsMax = 8;
  /// When no descriptor was left for a connection.
  static constexpr Milliseconds kPause{500};
  /// Set in what StreamPoll calls them.
  static constexpr std::uint32_t kItem = 0x80000000;
  static constexpr bool is_item(std::uint32_t item) { return (item & kItem) != 0; }

  explicit StreamListeners(StreamPoll& poll) : poll_(poll) {}
  ~StreamListeners();
  StreamListeners(const StreamListeners&) = delete;
  StreamListeners& operator=(const StreamListeners&) = delete;

  /// Owns `fd` from now on. They are numbered from 0.
  bool add(int fd);

  /// `take` is called for each connection that is accepted, which is its own then, and once with
  /// kExhausted when the kernel has no descriptor; nobody is asked again before the pause is over.
  /// True when more may wait.
  bool accept(std::uint32_t item, Instant now,
              const std::function<void(std::uint32_t number, const Accepted&)>& take);
  void end_pauses(Instant now);

 private:
  struct Listener {
    int fd = -1;
    Instant paused_until{};  // or not at all
  };
  StreamPoll& poll_;
  std::vector<Listener> listeners_;
};

}  // namespace turnpike
