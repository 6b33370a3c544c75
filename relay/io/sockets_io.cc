#include "relay/io/sockets_io.h"

#include <array>
#include <cerrno>
#include <vector>

#include <sys/epoll.h>
#include <unistd.h>

#include "relay/io/sockaddr.h"

namespace turnpike {
namespace {

// epoll data: slot (32) | generation (30, low bits) | side | component.
std::uint64_t pack(const SocketTag& tag) {
  return (std::uint64_t{tag.slot} << 32) | (std::uint64_t{tag.generation & 0x3fffffffU} << 2) |
         (std::uint64_t{index_of(tag.side)} << 1) | index_of(tag.component);
}

class SocketsIo final : public UdpIo {
 public:
  SocketsIo(int epoll_fd, std::uint32_t sessions_max)
      : epoll_fd_(epoll_fd), entries_(std::size_t{sessions_max} * 4) {}
  ~SocketsIo() override { close(epoll_fd_); }

  bool add(int fd, const SocketTag& tag) override {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = pack(tag);
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) return false;
    entry(tag) = {fd, tag.generation};
    return true;
  }

  void remove(int fd, const SocketTag& tag) override {
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
    entry(tag) = {};
  }

  int poll_fd() const override { return epoll_fd_; }

  bool receive(Batch& batch) override {
    std::array<epoll_event, kBatchPacketsMax> events;
    const auto room = static_cast<int>(kBatchPacketsMax - batch.size());
    const int ready = epoll_wait(epoll_fd_, events.data(), room, 0);
    for (int i = 0; i < ready; ++i) {
      read_one(events[static_cast<std::size_t>(i)].data.u64, batch);
    }
    return ready == room;
  }

  SendResult send(const Send& send) override {
    const Entry& from = entry(send.tag);
    if (from.fd < 0 || from.generation != send.tag.generation) return SendResult::kFailed;
    sockaddr_storage to;
    const socklen_t to_bytes = to_sockaddr(send.destination, to);
    ssize_t sent = 0;
    do {
      sent = sendto(from.fd, send.data, send.length, MSG_DONTWAIT | MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&to), to_bytes);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) return SendResult::kSent;
    const bool blocked = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
    return blocked ? SendResult::kBlocked : SendResult::kFailed;
  }

 private:
  struct Entry {
    int fd = -1;
    std::uint32_t generation = 0;
  };

  Entry& entry(const SocketTag& tag) {
    return entries_[std::size_t{tag.slot} * 4 + index_of(tag.side) * 2 + index_of(tag.component)];
  }

  void read_one(std::uint64_t packed, Batch& batch) {
    Packet* packet = batch.next();
    SocketTag tag;
    tag.slot = static_cast<std::uint32_t>(packed >> 32);
    tag.side = (packed & 2) != 0 ? Side::kB : Side::kA;
    tag.component = (packed & 1) != 0 ? Component::kRtcp : Component::kRtp;
    const Entry& from = entry(tag);
    tag.generation = from.generation;
    if (from.fd < 0) return;
    sockaddr_storage source;
    socklen_t source_bytes = sizeof source;
    const ssize_t length =
        recvfrom(from.fd, packet->data, kPayloadBytesMax, MSG_DONTWAIT | MSG_TRUNC,
                 reinterpret_cast<sockaddr*>(&source), &source_bytes);
    if (length < 0) return;  // EAGAIN, or an ICMP error that is evidence at most
    packet->length = static_cast<std::uint32_t>(length);
    packet->source = from_sockaddr(source);
    packet->tag = tag;
    batch.commit();
  }

  int epoll_fd_;
  std::vector<Entry> entries_;
};

}  // namespace

std::unique_ptr<UdpIo> make_sockets_io(std::uint32_t sessions_max) {
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return nullptr;
  return std::make_unique<SocketsIo>(epoll_fd, sessions_max);
}

}  // namespace turnpike
