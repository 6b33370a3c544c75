#include "relay/io/stream_poll.h"

#include <algorithm>
#include <array>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace turnpike {
namespace {

constexpr std::size_t kAtOnceMax = 64;
constexpr std::uint32_t kAlways = 0xffffffff;

epoll_event event_of(std::uint32_t item, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u32 = item;
  return event;
}

}  // namespace

std::unique_ptr<StreamPoll> StreamPoll::make() {
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  const int always_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd >= 0 && always_fd >= 0) {
    return std::unique_ptr<StreamPoll>(new StreamPoll(fd, always_fd));
  }
  if (fd >= 0) close(fd);
  if (always_fd >= 0) close(always_fd);
  return nullptr;
}

StreamPoll::~StreamPoll() {
  close(always_fd_);
  close(fd_);
}

void StreamPoll::stay_ready(bool ready) {
  if (ready) {
    add(always_fd_, kAlways);
  } else {
    remove(always_fd_);
  }
}

bool StreamPoll::add(int fd, std::uint32_t item) {
  epoll_event event = event_of(item, EPOLLIN);
  return epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool StreamPoll::add_edge(int fd, std::uint32_t item, bool writing) {
  const std::uint32_t wanted = writing ? EPOLLIN | EPOLLOUT : EPOLLIN;
  epoll_event event = event_of(item, wanted | EPOLLET);
  return epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void StreamPoll::watch_writing(int fd, std::uint32_t item, bool wanted) {
  epoll_event event = event_of(item, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN);
  epoll_ctl(fd_, EPOLL_CTL_MOD, fd, &event);
}

void StreamPoll::remove(int fd) {
  epoll_ctl(fd_, EPOLL_CTL_DEL, fd, nullptr);
}

std::size_t StreamPoll::wait(std::span<Ready> ready, Milliseconds longest) {
  std::array<epoll_event, kAtOnceMax> events;
  const auto room = static_cast<int>(std::min(ready.size(), events.size()));
  const int count = epoll_wait(fd_, events.data(), room, static_cast<int>(longest.count()));
  std::size_t filled = 0;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u32 == kAlways) continue;
    const bool broken = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
    ready[filled++] = {event.data.u32, broken || (event.events & EPOLLIN) != 0,
                       (event.events & EPOLLOUT) != 0};
  }
  return filled;
}

}  // namespace turnpike
