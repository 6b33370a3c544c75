// Which of many connections and listening sockets have something to do. Hides: epoll.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

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
  /// Whether wait() tells when there is room to write as well.
  void watch_writing(int fd, std::uint32_t item, bool wanted);
  void remove(int fd);
  /// Fills `ready` from the front, without waiting; returns how many.
  std::size_t wait(std::span<Ready> ready);

 private:
  explicit StreamPoll(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace turnpike
