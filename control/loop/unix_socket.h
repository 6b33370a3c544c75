// Unix stream sockets on the control loop: a listener with safe file permissions, and connections.
// Knows no framing.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "control/loop/event_loop.h"
#include "turnpike/result.h"

namespace turnpike::loop {

/// Who opened a connection, as the kernel knows it (SO_PEERCRED).
struct PeerCredentials {
  pid_t pid = -1;
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
};

/// An accepted connection. Destroying it closes it; what was not sent yet is lost.
class StreamConnection {
 public:
  /// Each may be empty.
  struct Handlers {
    std::function<void(std::string_view bytes)> on_data{};  ///< `bytes` valid during the call only
    std::function<void()> on_end{};      ///< the peer sends no more; it may still read
    std::function<void()> on_drained{};  ///< everything that was written has left
    std::function<void()> on_broken{};   ///< reset or failed write: of no use any more
  };

  ~StreamConnection();
  StreamConnection(const StreamConnection&) = delete;
  StreamConnection& operator=(const StreamConnection&) = delete;

  /// Begins to read. Call once.
  void start(Handlers handlers);
  /// Queues without limit: watch bytes_unsent() and stop reading when it grows.
  void write(std::string bytes);
  std::size_t bytes_unsent() const;
  /// Tells the peer, after what is queued, that we send no more.
  void end();
  void pause_reading();
  void resume_reading();
  const PeerCredentials& peer() const;
  /// A descriptor of its own for the same connection, which the caller owns: for a library that
  /// reads and writes itself. Only before start(); -1 when no descriptors are left.
  int duplicate() const;

 private:
  friend class UnixListener;
  struct State;
  explicit StreamConnection(State* state);
  State* state_;
};

struct UnixListenOptions {
  std::string path{};  ///< at most 107 bytes; the folder must exist
  mode_t mode = 0660;
  std::string group{};  ///< name or number of the group that owns the socket; empty = ours
  int backlog = 128;
};

class UnixListener {
 public:
  using AcceptFunction = std::function<void(std::unique_ptr<StreamConnection>)>;

  UnixListener() = default;
  /// Replaces a socket file that nobody serves any more; refuses one that is served, and any other
  /// kind of file. The socket has its group and mode before a connection can be made. The file is
  /// removed with the listener, unless another one has taken its place by then.
  static Result<UnixListener> listen(EventLoop& loop, const UnixListenOptions& options,
                                     AcceptFunction on_accept);

 private:
  struct State;
  struct Close {
    void operator()(State* state) const;
  };
  std::unique_ptr<State, Close> state_;
};

}  // namespace turnpike::loop
