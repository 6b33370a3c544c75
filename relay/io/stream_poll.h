// Which of many connections and listening sockets have something to do. Hides: epoll.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "turnpike/time.h"

namespace turnpike {

class StreamPoll {
 public:
  struct Ready {
    std::uint32_t item = 0;
    bool readable = false;  ///< read() or accept_stream() tells something, be it the end
    bool writable = false;
  };

  /// Null when the kernel has no descriptor for it.
  static std::unique_ptr<StreamPoll> make();
  ~StreamPoll();
  StreamPoll(const StreamPoll&) = delete;
  StreamPoll& operator=(const StreamPoll&) = delete;

  /// Readable while wait() would find something.
  int fd() const { return fd_; }
  /// `item` names it in Ready. False when the kernel refuses. The descriptor is the caller's.
  bool add(int fd, std::uint32_t item);
  /// The same, but wait() tells once of what has come, though it stays unread; if `writing`, and
  /// once when there is room again.
  bool add_edge(int fd, std::uint32_t item, bool writing = false);
  /// Whether wait() tells when there is room to write as well.
  void watch_writing(int fd, std::uint32_t item, bool wanted);
  void remove(int fd);
  /// Whether fd() is readable in any case: for work that no descriptor tells of.
  void stay_ready(bool ready);
  /// Fills `ready` from the front; returns how many. Waits for the first one, but no longer than
  /// `longest`.
  std::size_t wait(std::span<Ready> ready, Milliseconds longest = Milliseconds{0});

 private:
  StreamPoll(int fd, int always_fd) : fd_(fd), always_fd_(always_fd) {}
  int fd_;
  int always_fd_;  // readable, and in the set when stay_ready() says so
};

}  // namespace turnpike
