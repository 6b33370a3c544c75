#include "relay/io/segment_runs.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "relay/core/check.h"
#include "relay/io/sockaddr.h"

namespace turnpike {

int transmit_datagram(int fd, std::span<const std::uint8_t> bytes, const SocketAddress& to) {
  sockaddr_storage storage{};
  const socklen_t size = to.is_set() ? to_sockaddr(to, storage) : 0;
  ssize_t sent = 0;
  do {
    sent = sendto(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                  size != 0 ? as_sockaddr(storage) : nullptr, size);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0 ? 0 : errno;
}

int transmit_datagrams(int fd, std::span<std::uint8_t> bytes, std::size_t segment_bytes,
                       const SocketAddress& to) {
  if (segment_bytes == 0) return transmit_datagram(fd, bytes, to);
  sockaddr_storage storage{};
  iovec piece{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_namelen = to.is_set() ? to_sockaddr(to, storage) : 0;
  if (message.msg_namelen != 0) message.msg_name = &storage;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  const auto value = static_cast<std::uint16_t>(segment_bytes);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof value)> control{};
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_UDP;
  header->cmsg_type = UDP_SEGMENT;
  header->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(header), &value, sizeof value);
  ssize_t sent = 0;
  do {
    sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0 ? 0 : errno;
}

SendResult result_of_transmit(int error) {
  if (error == 0) return SendResult::kSent;
  const bool blocked = error == EAGAIN || error == ENOBUFS || error == ENOMEM;
  return blocked ? SendResult::kBlocked : SendResult::kFailed;
}

bool offers_segments(int fd) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_UDP, UDP_SEGMENT, &value, &size) == 0;
}

SegmentRuns::SegmentRuns(Transmit transmit)
    : transmit_(std::move(transmit)),
      memory_(std::make_unique_for_overwrite<std::uint8_t[]>(kRunsMax * kBytesMax)) {
  for (std::size_t i = 0; i < kRunsMax; ++i) runs_[i].memory = memory_.get() + i * kBytesMax;
}

void SegmentRuns::add_socket(int fd, bool takes_segments) {
  Socket* known = socket_of(fd);
  if (known == nullptr) known = &sockets_.emplace_back();
  *known = {fd, takes_segments ? std::numeric_limits<std::size_t>::max() : 0};
}

SegmentRuns::Socket* SegmentRuns::socket_of(int fd) {
  const auto found = std::find_if(sockets_.begin(), sockets_.end(),
                                  [fd](const Socket& socket) { return socket.fd == fd; });
  return found == sockets_.end() ? nullptr : &*found;
}

bool SegmentRuns::has_room(const Run& run, std::size_t bytes) {
  return !run.ended && run.count < kSegmentsMax && run.used_bytes + bytes <= kBytesMax;
}

SegmentRuns::Run* SegmentRuns::find(const Way& way, std::size_t bytes) {
  for (Run& run : runs_) {
    if (run.serial != 0 && run.segment_bytes == bytes && !run.ended && run.way == way) return &run;
  }
  return nullptr;
}

SegmentRuns::Run* SegmentRuns::run_of(const Stream& stream) {
  Run& run = runs_[stream.run];
  return stream.serial != 0 && run.serial == stream.serial ? &run : nullptr;
}

SegmentRuns::Run& SegmentRuns::open(const Way& way, std::size_t bytes) {
  // A free one has the lowest serial, 0.
  Run& run = *std::min_element(runs_.begin(), runs_.end(),
                               [](const Run& a, const Run& b) { return a.serial < b.serial; });
  if (run.serial != 0) send_off(run);
  const Socket* socket = socket_of(way.fd);
  run.way = way;
  run.serial = ++serial_;
  run.segment_bytes = bytes;
  run.ended = socket == nullptr || bytes >= socket->segments_below;
  return run;
}

std::uint8_t* SegmentRuns::add(const Way& way, std::size_t bytes, Stream& stream,
                               const Send& send) {
  CHECK(bytes != 0 && bytes <= kBytesMax);
  Run* run = find(way, bytes);
  if (run != nullptr && !has_room(*run, bytes)) {
    send_off(*run);
    run = nullptr;
  }
  // A stream is in one run at a time: runs leave in any order.
  if (Run* before = run_of(stream); before != nullptr && before != run) {
    if (before->way == way && bytes < before->segment_bytes && has_room(*before, bytes)) {
      before->ended = true;  // with this one
      run = before;
    } else {
      send_off(*before);
    }
  }
  if (run == nullptr) run = &open(way, bytes);
  stream = {run->serial, static_cast<std::uint32_t>(run - runs_.data())};
  Send& kept = run->sends[run->count++] = send;
  kept.data = nullptr;
  std::uint8_t* place = run->memory + run->used_bytes;
  run->used_bytes += bytes;
  return place;
}

void SegmentRuns::flush() {
  for (Run& run : runs_) {
    if (run.serial != 0) send_off(run);
  }
}

void SegmentRuns::send_off(Run& run) {
  const bool alone = run.count == 1;
  const int error = transmit_(run.way.fd, {run.memory, run.used_bytes},
                              alone ? 0 : run.segment_bytes, run.way.to);
  if (alone || error == 0 || error == EAGAIN) {
    for (std::size_t i = 0; i < run.count; ++i) fate_(run.sends[i], result_of_transmit(error));
  } else {
    // None has left. Whatever it was, such as an error of an earlier datagram (ICMP), shall cost
    // no more of them than when each goes alone.
    learn(run, error);
    send_singly(run);
  }
  run.serial = 0;
  run.count = 0;
  run.used_bytes = 0;
}

void SegmentRuns::send_singly(const Run& run) {
  for (std::size_t i = 0; i < run.count; ++i) {
    const std::size_t begin = i * run.segment_bytes;
    const std::size_t bytes = std::min(run.segment_bytes, run.used_bytes - begin);
    fate_(run.sends[i],
          result_of_transmit(transmit_(run.way.fd, {run.memory + begin, bytes}, 0, run.way.to)));
  }
}

// Once for each socket, and once more for each size that is too long for its path.
void SegmentRuns::learn(const Run& run, int error) {
  Socket* socket = socket_of(run.way.fd);
  if (error == EMSGSIZE || error == EINVAL) {
    socket->segments_below = std::min(socket->segments_below, run.segment_bytes);
  } else if (error == EIO || error == ENOPROTOOPT || error == EOPNOTSUPP) {
    socket->segments_below = 0;
  }
}

}  // namespace turnpike
