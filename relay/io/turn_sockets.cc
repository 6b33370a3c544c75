#include "relay/io/turn_sockets.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/media_socket.h"
#include "relay/io/segment_runs.h"
#include "relay/io/sockaddr.h"

namespace turnpike {
namespace {

constexpr std::size_t kListenersShare = kBatchPacketsMax / 2;

// epoll data: slot (32) | generation (31, low bits) | side. Listeners: kSharedSlot | index.
std::uint64_t pack(const SocketTag& tag) {
  return (std::uint64_t{tag.slot} << 32) | (std::uint64_t{tag.generation & 0x7fffffffU} << 1) |
         index_of(tag.side);
}

// Errors read of one socket at a time.
constexpr int kErrorsOfASocket = 4;

// ICMP errors go to a queue of the socket's own, with what they are about.
void want_errors(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
  setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);  // fails with IPv4, as it may
}

// The next error in the queue; false when there is none. `error` is unset when it is no ICMP.
bool next_error(int fd, IcmpError& error) {
  sockaddr_storage peer{};
  alignas(cmsghdr) std::array<char, 512> control;
  msghdr message{};
  message.msg_name = &peer;
  message.msg_namelen = sizeof peer;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return false;
  error = {};
  for (cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr; at = CMSG_NXTHDR(&message, at)) {
    const bool v4 = at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_RECVERR;
    const bool v6 = at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_RECVERR;
    if ((!v4 && !v6) || at->cmsg_len < CMSG_LEN(sizeof(sock_extended_err))) continue;
    sock_extended_err told;
    std::memcpy(&told, CMSG_DATA(at), sizeof told);
    if (told.ee_origin != (v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6)) continue;
    error.peer = from_sockaddr(peer);
    error.type = told.ee_type;
    error.code = told.ee_code;
    error.mtu = told.ee_errno == EMSGSIZE ? told.ee_info : 0;
  }
  return true;
}

// The kernel notes when each datagram came, and says so to who asks.
void want_arrivals(int fd) {
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
}

std::optional<std::chrono::system_clock::time_point> arrival_of(const msghdr& message) {
  const cmsghdr* const told = CMSG_FIRSTHDR(&message);
  timespec at{};
  if (told == nullptr || told->cmsg_level != SOL_SOCKET || told->cmsg_type != SCM_TIMESTAMPNS ||
      told->cmsg_len < CMSG_LEN(sizeof at)) {
    return std::nullopt;
  }
  std::memcpy(&at, CMSG_DATA(told), sizeof at);
  const auto since = std::chrono::seconds{at.tv_sec} + std::chrono::nanoseconds{at.tv_nsec};
  return std::chrono::system_clock::time_point{since};
}

// The kernel tells a socket of an ICMP error by failing its next call, whatever that is for.
bool may_be_of_earlier(int error) {
  return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH ||
         error == ENOPROTOOPT || error == EPROTO || error == EACCES || error == EHOSTDOWN ||
         error == EMSGSIZE || error == EOPNOTSUPP || error == ENONET;
}

constexpr std::uint64_t kCompanion = std::uint64_t{kSharedSlot - 1} << 32;

}  // namespace

std::unique_ptr<TurnSockets> TurnSockets::make(std::uint32_t slots) {
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return nullptr;
  return std::unique_ptr<TurnSockets>(new TurnSockets(epoll_fd, slots));
}

TurnSockets::TurnSockets(int epoll_fd, std::uint32_t slots)
    : epoll_fd_(epoll_fd), entries_(std::size_t{slots} * 2) {}

TurnSockets::~TurnSockets() {
  for (const Listener& listener : listeners_) close(listener.fd);
  close(epoll_fd_);
}

bool TurnSockets::watch(int fd, std::uint64_t data) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = data;
  return epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool TurnSockets::add_listener(int fd) {
  const auto index = static_cast<std::uint32_t>(listeners_.size());
  listeners_.push_back({fd});
  want_arrivals(fd);
  return watch(fd, pack({kSharedSlot, 0, Side::kA, Component::kRtp}) | index);
}

bool TurnSockets::add_companion(int fd) {
  return watch(fd, kCompanion);
}

TurnSockets::Entry* TurnSockets::entry(const SocketTag& tag) {
  const std::size_t index = std::size_t{tag.slot} * 2 + index_of(tag.side);
  return index < entries_.size() ? &entries_[index] : nullptr;
}

bool TurnSockets::add(int fd, const SocketTag& tag) {
  Entry* const place = entry(tag);
  if (place == nullptr || !watch(fd, pack(tag))) return false;
  want_errors(fd);
  *place = {fd, tag.generation};
  return true;
}

int TurnSockets::remove(const SocketTag& tag) {
  Entry* const place = entry(tag);
  if (place == nullptr || place->fd < 0 || place->generation != tag.generation) return -1;
  const int fd = place->fd;
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
  *place = {};
  return fd;
}

// ---- Receiving

bool TurnSockets::receive(Batch& batch, bool shed) {
  bool more = false;
  companion_is_ready_ = false;
  error_count_ = 0;
  arrival_.reset();
  // Each its own share, so that a flood at one keeps nobody from the others.
  const std::size_t share = kListenersShare / std::max<std::size_t>(1, listeners_.size());
  const auto read = [&](std::uint32_t index) {
    more |= read_listener(index, std::max<std::size_t>(1, share), batch);
  };
  // Before the others: where a thousand relayed sockets wait, epoll would name them too seldom.
  for (std::uint32_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i].has_more) read(i);
  }
  std::array<epoll_event, kBatchPacketsMax> events;
  const auto room = static_cast<int>(kBatchPacketsMax - batch.size());
  const int ready = epoll_wait(epoll_fd_, events.data(), room, 0);
  more |= ready == room;
  for (int i = 0; i < ready; ++i) {
    const std::uint64_t packed = events[static_cast<std::size_t>(i)].data.u64;
    if (packed == kCompanion) {
      companion_is_ready_ = true;
      continue;
    }
    if (batch.full()) return true;
    if (packed >> 32 == kSharedSlot) {
      const auto index = static_cast<std::uint32_t>(packed);
      if (!listeners_[index].has_more) read(index);
    } else {
      if ((events[static_cast<std::size_t>(i)].events & EPOLLERR) != 0) read_errors(packed);
      read_relayed(packed, shed, batch);
    }
  }
  return more;
}

// True when more may wait.
bool TurnSockets::read_listener(std::uint32_t index, std::size_t share, Batch& batch) {
  std::array<mmsghdr, kListenersShare> messages{};
  std::array<iovec, kListenersShare> pieces;
  std::array<sockaddr_storage, kListenersShare> sources;
  const std::size_t room = std::min(share, kBatchPacketsMax - batch.size());
  Listener& from = listeners_[index];
  if (room == 0) return from.has_more = true;
  for (std::size_t i = 0; i < room; ++i) {
    pieces[i] = {batch.payload(batch.size() + i), kPayloadBytesMax};
    messages[i].msg_hdr.msg_name = &sources[i];
    messages[i].msg_hdr.msg_namelen = sizeof sources[i];
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(timespec))> control;
  messages[0].msg_hdr.msg_control = control.data();  // of the one that has waited longest
  messages[0].msg_hdr.msg_controllen = control.size();
  const int count = recvmmsg(from.fd, messages.data(), static_cast<unsigned>(room),
                             MSG_DONTWAIT | MSG_TRUNC, nullptr);
  const auto at = count > 0 ? arrival_of(messages[0].msg_hdr) : std::nullopt;
  if (at && (!arrival_ || *at < arrival_->at)) arrival_ = {batch.size(), *at};
  for (int i = 0; i < count; ++i) {
    const auto k = static_cast<std::size_t>(i);
    Packet* packet = batch.next();
    packet->length = messages[k].msg_len;
    packet->source = from_sockaddr(sources[k]);
    packet->tag = shared_tag(index);
    packet->shed_behind = 0;
    packet->overflowed = 0;
    batch.commit();
  }
  return from.has_more = count == static_cast<int>(room);
}

// Null when the socket is not there any more.
TurnSockets::Entry* TurnSockets::entry_of(std::uint64_t packed, SocketTag& tag) {
  tag.slot = static_cast<std::uint32_t>(packed >> 32);
  tag.side = (packed & 1) != 0 ? Side::kB : Side::kA;
  Entry* const from = entry(tag);
  if (from == nullptr || from->fd < 0) return nullptr;
  tag.generation = from->generation;
  return from;
}

void TurnSockets::read_errors(std::uint64_t packed) {
  SocketTag tag;
  const Entry* const from = entry_of(packed, tag);
  if (from == nullptr) return;
  IcmpError error;
  for (int i = 0; i < kErrorsOfASocket && error_count_ < kErrorsMax; ++i) {
    if (!next_error(from->fd, error)) return;
    error.tag = tag;
    if (error.peer.is_set()) errors_[error_count_++] = error;
  }
}

void TurnSockets::read_relayed(std::uint64_t packed, bool shed, Batch& batch) {
  SocketTag tag;
  const Entry* const from = entry_of(packed, tag);
  if (from == nullptr) return;
  Packet* packet = batch.next();
  sockaddr_storage source;
  socklen_t source_bytes = sizeof source;
  const ssize_t length = recvfrom(from->fd, packet->data, kPayloadBytesMax,
                                  MSG_DONTWAIT | MSG_TRUNC, as_sockaddr(source), &source_bytes);
  if (length < 0) return;
  packet->length = static_cast<std::uint32_t>(length);
  packet->source = from_sockaddr(source);
  packet->tag = tag;
  packet->shed_behind = shed ? throw_away(from->fd) : 0;
  packet->overflowed = 0;
  batch.commit();
}

// ---- Sending

int TurnSockets::fd_of(const SocketTag& tag) {
  if (is_shared(tag))
    return tag.generation < listeners_.size() ? listeners_[tag.generation].fd : -1;
  const Entry* const from = entry(tag);
  return from != nullptr && from->generation == tag.generation ? from->fd : -1;
}

void TurnSockets::send(std::span<const Send> sends, const Fate& fate) {
  Group to_clients;
  Group to_peers;
  for (const Send& send : sends) {
    const int fd = fd_of(send.tag);
    if (fd < 0) {
      fate(send, SendResult::kFailed);
      continue;
    }
    add_to(is_shared(send.tag) ? to_clients : to_peers, fd, send, fate);
  }
  send_off(to_clients, fate);
  send_off(to_peers, fate);
}

void TurnSockets::add_to(Group& group, int fd, const Send& send, const Fate& fate) {
  if (group.fd != fd || group.count == group.sends.size()) send_off(group, fate);
  group.fd = fd;
  group.sends[group.count++] = &send;
}

void TurnSockets::send_off(Group& group, const Fate& fate) {
  const std::size_t count = std::exchange(group.count, 0);
  if (count == 0) return;
  if (count == 1) {
    const Send& one = *group.sends[0];
    int error = transmit_datagram(group.fd, {one.data, one.length}, one.destination);
    if (may_be_of_earlier(error)) {
      error = transmit_datagram(group.fd, {one.data, one.length}, one.destination);
    }
    if (error != 0) fate(one, result_of_transmit(error));
    return;
  }
  std::array<mmsghdr, kBatchPacketsMax> messages{};
  std::array<iovec, kBatchPacketsMax> pieces;
  std::array<sockaddr_storage, kBatchPacketsMax> targets;
  for (std::size_t i = 0; i < count; ++i) {
    const Send& one = *group.sends[i];
    // An iovec knows no const; sendmmsg(2) writes nothing there.
    std::memcpy(&pieces[i].iov_base, &one.data, sizeof one.data);
    pieces[i].iov_len = one.length;
    messages[i].msg_hdr.msg_namelen = to_sockaddr(one.destination, targets[i]);
    messages[i].msg_hdr.msg_name = &targets[i];
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  std::size_t done = 0;
  std::size_t tried = count;  // again, once
  while (done < count) {
    const int sent = sendmmsg(group.fd, &messages[done], static_cast<unsigned>(count - done),
                              MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent > 0) {
      done += static_cast<std::size_t>(sent);
      continue;
    }
    if (may_be_of_earlier(errno) && tried != done) {
      tried = done;
      continue;
    }
    // Only the first one that was left has met this error; what follows may still leave.
    fate(*group.sends[done++], result_of_transmit(errno));
  }
}

}  // namespace turnpike
