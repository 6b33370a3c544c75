// sendmsg(2) and recvmsg(2) with SCM_RIGHTS.
#include "relay/io/fd_message.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "relay/core/check.h"

namespace turnpike {
namespace {

constexpr std::size_t kControlBytes = CMSG_SPACE(kDescriptorsPerMessageMax * sizeof(int));

void take_descriptors(msghdr& message, std::vector<int>& fds) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      fds.push_back(fd);
    }
  }
}

}  // namespace

bool send_message(int socket, std::span<std::uint8_t> bytes, std::span<const int> fds) {
  CHECK(fds.size() <= kDescriptorsPerMessageMax);
  alignas(cmsghdr) char control[kControlBytes] = {};
  iovec data{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(bytes.size());
}

ReceiveOutcome receive_message(int socket, std::span<std::uint8_t> bytes, std::size_t& size,
                               std::vector<int>& fds) {
  alignas(cmsghdr) char control[kControlBytes] = {};
  iovec data{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = 0;
  bool was_reset = false;
  do {
    got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    // A peer that closed without reading all of ours: what it said before comes after the error.
    if (got < 0 && errno == ECONNRESET && !std::exchange(was_reset, true)) errno = EINTR;
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    const bool later = errno == EAGAIN || errno == EWOULDBLOCK;
    return later ? ReceiveOutcome::kNothing : ReceiveOutcome::kClosed;
  }
  std::vector<int> received;
  take_descriptors(message, received);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    for (const int fd : received) close(fd);
    return ReceiveOutcome::kTruncated;
  }
  fds.insert(fds.end(), received.begin(), received.end());
  size = static_cast<std::size_t>(got);
  // An empty message is no message of ours; the kernel answers the end of the stream alike.
  return got == 0 && received.empty() ? ReceiveOutcome::kClosed : ReceiveOutcome::kMessage;
}

}  // namespace turnpike
