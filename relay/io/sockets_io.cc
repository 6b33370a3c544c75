#include "relay/io/sockets_io.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <vector>

#include <linux/sock_diag.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "relay/io/coalesced_reader.h"
#include "relay/io/connected_twin.h"
#include "relay/io/media_socket.h"
#include "relay/io/sockaddr.h"

namespace turnpike {
namespace {

// epoll data: slot (32) | generation (28, low bits) | other family | twin | side | component.
// Of shared sockets: kSharedSlot | index, and beside them what makes kept datagrams known.
constexpr std::uint64_t kTwinBit = 4;
constexpr std::uint64_t kOtherFamilyBit = 8;
constexpr std::uint32_t kKeptIndex = 0xffffffff;
// A socket that had something so often in one turn has more than a stream of audio.
constexpr std::uint32_t kBacklogReads = 4;
// Sends to one address after which a port with a backlog gets its twin: the kernel then tells the
// remote end's datagrams from a flood.
constexpr std::uint32_t kConnectAfterInBacklog = 8;
// How often a twin waits for an empty socket. In a flood it would wait for ever.
constexpr std::uint32_t kDeferralsMax = 32;
// Of a batch, for all shared sockets together.
constexpr std::size_t kSharedShare = kBatchPacketsMax / 2;

std::uint64_t pack(const SocketTag& tag) {
  return (std::uint64_t{tag.slot} << 32) | (std::uint64_t{tag.generation & 0xfffffffU} << 4) |
         (std::uint64_t{index_of(tag.side)} << 1) | index_of(tag.component);
}

std::uint64_t pack_shared(std::uint32_t index) {
  return (std::uint64_t{kSharedSlot} << 32) | index;
}

int twin_descriptor_max() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  constexpr rlim_t kMax = std::numeric_limits<int>::max();
  return static_cast<int>(std::min(limit.rlim_cur, kMax) / 4 * 3);
}

class SocketsIo final : public UdpIo {
 public:
  SocketsIo(int epoll_fd, std::uint32_t sessions_max, std::uint32_t connect_after)
      : epoll_fd_(epoll_fd),
        connect_after_(connect_after),
        twin_descriptor_max_(twin_descriptor_max()),
        entries_(std::size_t{sessions_max} * 4) {}
  ~SocketsIo() override {
    for (const Entry& entry : entries_) {
      if (entry.twin >= 0) close(entry.twin);
    }
    if (kept_fd_ >= 0) close(kept_fd_);
    close(epoll_fd_);
  }

  bool add(int fd, const SocketTag& tag) override {
    if (!watch(fd, pack(tag))) return false;
    Entry fresh;
    fresh.fd = fd;
    fresh.generation = tag.generation;
    fresh.bound.overflows = overflows_of(fd);  // before this session, or of a filter
    entry(tag) = fresh;
    return true;
  }

  bool add_other_family(int fd, const SocketTag& tag, AddressFamily family) override {
    if (!watch(fd, pack(tag) | kOtherFamilyBit)) return false;
    entry(tag).other = fd;
    entry(tag).other_family = family;
    entry(tag).other_queue.overflows = overflows_of(fd);
    return true;
  }

  void remove(int fd, const SocketTag& tag) override {
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
    Entry& from = entry(tag);
    if (fd == from.other) {
      if (from.twin >= 0 && from.twin_family == from.other_family) close_twin(from);
      from.other = -1;
      return;
    }
    if (from.twin >= 0) close(from.twin);
    from = {};
  }

  void begin_turn() override { ++turn_; }
  bool add_shared(int fd, std::uint32_t index) override {
    if (!watch(fd, pack_shared(index))) return false;
    if (shared_.size() <= index) shared_.resize(index + 1);
    // Without a way to tell of what is kept there is none.
    shared_[index] = {fd, can_keep() && coalesced_.ask(fd)};
    return true;
  }

  // The sockets do not show what was read from them and is kept.
  void end_turn() override {
    if (!coalesced_.keeps() || kept_known_) return;
    kept_known_ = eventfd_write(kept_fd_, 1) == 0;
  }

  int poll_fd() const override { return epoll_fd_; }

  bool readable() const override {
    pollfd question{epoll_fd_, POLLIN, 0};
    return coalesced_.keeps() || poll(&question, 1, 0) > 0;
  }

  Waiting receive(Batch& batch, bool shed) override {
    std::array<epoll_event, kBatchPacketsMax> events;
    std::size_t shared_read = coalesced_.take(batch, kSharedShare);
    const auto room = static_cast<int>(kBatchPacketsMax - batch.size());
    const int ready = epoll_wait(epoll_fd_, events.data(), room, 0);
    bool backlog = false;
    bool cut_short = ready == room || coalesced_.keeps();
    const int first = shared_.empty() || ready <= 0
                          ? 0
                          : static_cast<int>(start_++ % static_cast<unsigned>(ready));
    for (int i = 0; i < ready; ++i) {
      const std::uint64_t packed = events[static_cast<std::size_t>((first + i) % ready)].data.u64;
      if (batch.full()) {
        cut_short = true;
      } else if (packed >> 32 == kSharedSlot) {
        // Each time another one first: others want to be read too.
        const std::size_t share = kSharedShare - std::min(shared_read, kSharedShare);
        shared_read += read_shared(static_cast<std::uint32_t>(packed), share, batch, cut_short);
      } else {
        backlog |= read_one(packed, batch, shed);
      }
    }
    if (ready <= 0 && shared_read == 0) return Waiting::kNothing;
    if (cut_short) return Waiting::kMore;
    return backlog && !shed ? Waiting::kBacklog : Waiting::kLittle;
  }

  SendResult send(const Send& send) override {
    Entry& from = entry(send.tag);
    if (from.fd < 0 || from.generation != send.tag.generation) return SendResult::kFailed;
    if (from.peer != send.destination) {
      if (send.transport) return send_aside(from, send);
      from.peer = send.destination;
      from.errors = {send.destination, 0, 0, Instant{}};
      from.sends = 0;
      from.deferrals = 0;
      from.tried = false;
      from.connected = false;
    }
    if (from.connected) {
      const SendResult result = transmit(from.twin, send, nullptr, 0);
      // An error may be that of an earlier datagram (ICMP): this one goes the other way.
      if (result != SendResult::kFailed) return result;
      take_errors(from.twin, from.errors);
    } else if (send.tag.component == Component::kRtp && wants_twin(from)) {
      connect_twin(from, send.tag);
    }
    const SendResult result = send_aside(from, send);
    if (result == SendResult::kFailed) note_send_error(errno, from.errors);
    return result;
  }

  SendErrors errors_of(const SocketTag& tag) const override {
    const Entry& of =
        entries_[std::size_t{tag.slot} * 4 + index_of(tag.side) * 2 + index_of(tag.component)];
    return of.generation == tag.generation ? of.errors : SendErrors{};
  }

 private:
  struct Queue {
    std::uint32_t turn = 0;       // in which it was read last
    std::uint32_t reads = 0;      // in that turn
    std::uint32_t overflows = 0;  // as the kernel counts them, when last looked
  };
  struct Entry {
    int fd = -1;
    int other = -1;  // of the family below
    int twin = -1;   // also when it is connected to an address from before `peer`
    AddressFamily other_family = AddressFamily::kNone;
    AddressFamily twin_family = AddressFamily::kNone;
    std::uint32_t generation = 0;
    std::uint32_t sends = 0;      // in a row to `peer`, not connected
    std::uint32_t deferrals = 0;  // of a twin to `peer`
    SocketAddress peer;           // of the last datagram sent
    bool connected = false;       // the twin is, to `peer`
    bool tried = false;           // to make it
    bool backlog = false;         // `fd` or `other` had one, at any time
    Queue bound;
    Queue other_queue;
    Queue connected_queue;
    SendErrors errors;

    int fd_towards(const SocketAddress& to) const {
      return other >= 0 && to.ip.family == other_family ? other : fd;
    }
  };

  struct Shared {
    int fd = -1;
    bool in_pieces = false;
  };

  bool can_keep() {
    if (kept_fd_ >= 0) return true;
    const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) return false;
    if (watch(fd, pack_shared(kKeptIndex))) return (kept_fd_ = fd, true);
    close(fd);
    return false;
  }

  bool watch(int fd, std::uint64_t data) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = data;
    return epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0;
  }

  static SendResult send_aside(const Entry& from, const Send& send) {
    sockaddr_storage to;
    const socklen_t to_bytes = to_sockaddr(send.destination, to);
    return transmit(from.fd_towards(send.destination), send, as_sockaddr(to), to_bytes);
  }

  static SendResult transmit(int fd, const Send& send, const sockaddr* to, socklen_t to_bytes) {
    ssize_t sent = 0;
    do {
      sent = sendto(fd, send.data, send.length, MSG_DONTWAIT | MSG_NOSIGNAL, to, to_bytes);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) return SendResult::kSent;
    const bool blocked = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
    return blocked ? SendResult::kBlocked : SendResult::kFailed;
  }

  // Once for each peer, unless it is put off.
  bool wants_twin(Entry& from) {
    if (connect_after_ == 0 || from.tried) return false;
    const std::uint32_t enough =
        from.backlog ? std::min(connect_after_, kConnectAfterInBacklog) : connect_after_;
    return ++from.sends >= enough;
  }

  // What a twin of an earlier address has still to read stays in its queue.
  void connect_twin(Entry& from, const SocketTag& tag) {
    const int fd = from.fd_towards(from.peer);
    if (has_datagram(fd) && from.deferrals < kDeferralsMax) {
      ++from.deferrals;  // what comes to the twin would overtake it
      return;
    }
    from.tried = true;
    if (from.twin >= 0 && from.twin_family != from.peer.ip.family) close_twin(from);
    if (from.twin >= 0) {
      SendErrors of_another;
      take_errors(from.twin, of_another);
      from.connected = reconnect_twin(from.twin, from.peer);
      return;
    }
    const int twin = open_connected_twin(fd, from.peer);
    if (twin < 0) return;
    if (twin >= twin_descriptor_max_ || !watch(twin, pack(tag) | kTwinBit)) {
      close(twin);
      return;
    }
    from.twin = twin;
    from.twin_family = from.peer.ip.family;
    from.connected = true;
    from.connected_queue = {};
  }

  static void close_twin(Entry& from) {
    close(from.twin);
    from.twin = -1;
    from.connected = false;
  }

  Entry& entry(const SocketTag& tag) {
    return entries_[std::size_t{tag.slot} * 4 + index_of(tag.side) * 2 + index_of(tag.component)];
  }

  // True when the socket has a backlog.
  bool read_one(std::uint64_t packed, Batch& batch, bool shed) {
    Packet* packet = batch.next();
    SocketTag tag;
    tag.slot = static_cast<std::uint32_t>(packed >> 32);
    tag.side = (packed & 2) != 0 ? Side::kB : Side::kA;
    tag.component = (packed & 1) != 0 ? Component::kRtcp : Component::kRtp;
    Entry& from = entry(tag);
    tag.generation = from.generation;
    if (from.fd < 0) return false;
    sockaddr_storage source;
    socklen_t source_bytes = sizeof source;
    const bool by_twin = (packed & kTwinBit) != 0;
    const bool by_other = !by_twin && (packed & kOtherFamilyBit) != 0;
    const int fd = by_twin ? from.twin : by_other ? from.other : from.fd;
    const ssize_t length = recvfrom(fd, packet->data, kPayloadBytesMax, MSG_DONTWAIT | MSG_TRUNC,
                                    reinterpret_cast<sockaddr*>(&source), &source_bytes);
    if (length < 0) {  // EAGAIN, or an ICMP error
      SendErrors of_another;
      if (by_twin) take_errors(fd, from.connected ? from.errors : of_another);
      return false;
    }
    packet->length = static_cast<std::uint32_t>(length);
    packet->source = from_sockaddr(source);
    packet->tag = tag;
    packet->shed_behind = shed ? throw_away(fd) : 0;
    packet->overflowed = 0;
    batch.commit();

    Queue& queue = by_twin ? from.connected_queue : by_other ? from.other_queue : from.bound;
    if (queue.turn != turn_) queue = {turn_, 0, queue.overflows};
    const bool backlog = ++queue.reads >= kBacklogReads;
    if (queue.reads == kBacklogReads || packet->shed_behind != 0) {
      const std::uint32_t overflows = overflows_of(fd);
      packet->overflowed = overflows - queue.overflows;
      queue.overflows = overflows;
    }
    if (backlog && !by_twin) from.backlog = true;
    return backlog;
  }

  // How many were read; `cut_short` when more may wait.
  std::size_t read_shared(std::uint32_t index, std::size_t share, Batch& batch, bool& cut_short) {
    if (index == kKeptIndex) {
      eventfd_t count = 0;
      if (eventfd_read(kept_fd_, &count) == 0) kept_known_ = false;
      return 0;
    }
    const std::size_t room = std::min({kSharedBurst, share, kBatchPacketsMax - batch.size()});
    const Shared& from = shared_[index];
    if (room == 0 || (from.in_pieces && coalesced_.keeps())) {
      cut_short = true;
      return 0;
    }
    if (!from.in_pieces) return read_singly(index, room, batch, cut_short);
    const bool more = coalesced_.read(from.fd, index, room);
    const std::size_t count = coalesced_.take(batch, room);
    if (more || coalesced_.keeps()) cut_short = true;
    return count;
  }

  std::size_t read_singly(std::uint32_t index, std::size_t room, Batch& batch, bool& cut_short) {
    std::array<mmsghdr, kSharedBurst> messages{};
    std::array<iovec, kSharedBurst> pieces;
    std::array<sockaddr_storage, kSharedBurst> sources;
    for (std::size_t i = 0; i < room; ++i) {
      pieces[i] = {batch.payload(batch.size() + i) - kSharedHeadroomBytes,
                   kPayloadBytesMax + kSharedHeadroomBytes};
      messages[i].msg_hdr.msg_name = &sources[i];
      messages[i].msg_hdr.msg_namelen = sizeof sources[i];
      messages[i].msg_hdr.msg_iov = &pieces[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int count = recvmmsg(shared_[index].fd, messages.data(), static_cast<unsigned>(room),
                               MSG_DONTWAIT | MSG_TRUNC, nullptr);
    for (int i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      Packet* packet = batch.next();
      packet->data -= kSharedHeadroomBytes;
      packet->length = messages[at].msg_len;
      packet->source = from_sockaddr(sources[at]);
      packet->tag = shared_tag(index);
      packet->shed_behind = 0;
      packet->overflowed = 0;
      batch.commit();
    }
    if (count == static_cast<int>(room)) cut_short = true;
    return count < 0 ? 0 : static_cast<std::size_t>(count);
  }

  // Datagrams that found no room since the socket was made; wraps.
  static std::uint32_t overflows_of(int fd) {
    std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
    socklen_t size = sizeof memory;
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory.data(), &size) != 0) return 0;
    return memory[SK_MEMINFO_DROPS];
  }

  static bool has_datagram(int fd) {
    char nothing = 0;
    return recv(fd, &nothing, 0, MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC) >= 0;
  }

  int epoll_fd_;
  std::uint32_t connect_after_;
  int twin_descriptor_max_;
  std::uint32_t turn_ = 0;
  std::vector<Shared> shared_;  // by index
  CoalescedReader coalesced_;
  int kept_fd_ = -1;         // readable: coalesced_ keeps something
  bool kept_known_ = false;  // it is
  unsigned start_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace

std::unique_ptr<UdpIo> make_sockets_io(std::uint32_t sessions_max, std::uint32_t connect_after) {
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return nullptr;
  return std::make_unique<SocketsIo>(epoll_fd, sessions_max, connect_after);
}

}  // namespace turnpike
