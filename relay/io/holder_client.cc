// turnpiked's end of holder_protocol.h.
#include "relay/io/holder_client.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/io/fd_message.h"
#include "relay/io/holder_protocol.h"
#include "relay/io/sockaddr.h"

namespace turnpike {
namespace {

bool runs_as_us(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

Result<int> open_connection(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error{"holder: socket path '" + path + "' must have 1 to 107 characters"};
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  sockaddr_storage storage{};
  std::memcpy(&storage, &address, sizeof address);
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Error{std::string("holder: cannot open a socket: ") + std::strerror(errno)};
  if (connect(fd, as_sockaddr(storage), sizeof address) != 0) {
    const Error error{"holder: cannot connect to " + path + ": " + std::strerror(errno) +
                      "; is turnpike-holder running?"};
    close(fd);
    return error;
  }
  if (!runs_as_us(fd)) {
    close(fd);
    return Error{"holder: " + path + " belongs to another user; both must run as the same one"};
  }
  return fd;
}

/// True when something waits to be read, if only the end, within that time.
bool has_input(int fd, Milliseconds wait) {
  pollfd watched{fd, POLLIN, 0};
  int ready = 0;
  do {
    ready = poll(&watched, 1, static_cast<int>(wait.count()));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

void close_all(const std::vector<int>& fds) {
  for (const int fd : fds) close(fd);
}

void close_all(const std::vector<HeldDescriptor>& held) {
  for (const HeldDescriptor& one : held) close(one.fd);
}

}  // namespace

struct HolderClient::Answer {
  HolderReply reply;
  std::vector<HeldDescriptor> held;
};

Result<std::unique_ptr<HolderClient>> HolderClient::open(const std::string& socket_path) {
  auto fd = open_connection(socket_path);
  if (!fd) return fd.error();
  std::unique_ptr<HolderClient> client(new HolderClient(*fd));
  // A holder that refuses us may be gone already, but what it said about it is still there.
  static_cast<void>(client->send(static_cast<std::uint8_t>(HolderOp::kHello), 0, {}));
  return client;
}

Result<bool> HolderClient::greeted(Milliseconds wait) {
  if (is_greeted_) return true;
  if (fd_ < 0) return Error{"holder: not connected"};
  if (!has_input(fd_, wait)) return false;
  auto answer = receive(static_cast<std::uint8_t>(HolderOp::kHello));
  if (!answer) return answer.error();
  close_all(answer->held);
  if (answer->reply.status == HolderStatus::kBusy) {
    is_busy_ = true;
    disconnect();
    return Error{"holder: it serves another turnpiked that is running; stop that one first"};
  }
  is_greeted_ = true;
  return true;
}

Result<std::unique_ptr<HolderClient>> HolderClient::connect(const std::string& socket_path) {
  auto client = open(socket_path);
  if (!client) return client.error();
  auto greeted = (*client)->greeted(kPatienceAtStart);
  if (!greeted) return greeted.error();
  if (!*greeted) return Error{"holder: no answer in time; is turnpike-holder stopped?"};
  return client;
}

HolderClient::~HolderClient() {
  disconnect();
}

void HolderClient::disconnect() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

// The holder never speaks unasked after its greeting: what can be read now is its end.
bool HolderClient::connected() {
  if (fd_ >= 0 && is_greeted_ && has_input(fd_, Milliseconds{0})) disconnect();
  return fd_ >= 0;
}

Result<void> HolderClient::send(std::uint8_t op, std::uint32_t from,
                                std::span<const HeldDescriptor> descriptors) {
  HolderRequest request;
  request.op = static_cast<HolderOp>(op);
  request.count = static_cast<std::uint32_t>(descriptors.size());
  request.from = from;
  std::array<std::uint8_t, kHolderMessageBytesMax> bytes;
  std::array<int, kDescriptorsPerMessageMax> fds;
  std::memcpy(bytes.data(), &request, sizeof request);
  for (std::size_t i = 0; i < descriptors.size(); ++i) {
    HolderEntry entry;
    entry.key = descriptors[i].key;
    entry.kind = static_cast<std::uint8_t>(descriptors[i].kind);
    std::memcpy(bytes.data() + sizeof request + i * sizeof entry, &entry, sizeof entry);
    fds[i] = descriptors[i].fd;
  }
  const std::size_t length = sizeof request + descriptors.size() * sizeof(HolderEntry);
  if (!send_message(fd_, std::span(bytes.data(), length),
                    std::span(fds.data(), descriptors.size()))) {
    return Error{std::string("holder: cannot send to it: ") + std::strerror(errno)};
  }
  return {};
}

Result<HolderClient::Answer> HolderClient::receive(std::uint8_t op) {
  std::array<std::uint8_t, kHolderMessageBytesMax> bytes;
  std::size_t size = 0;
  std::vector<int> received;
  const auto outcome = receive_message(fd_, bytes, size, received);
  Answer answer;
  if (outcome == ReceiveOutcome::kMessage && size >= sizeof answer.reply) {
    std::memcpy(&answer.reply, bytes.data(), sizeof answer.reply);
  }
  const HolderReply& reply = answer.reply;
  if (outcome != ReceiveOutcome::kMessage || size < sizeof reply || reply.magic != kHolderMagic ||
      reply.version != kHolderVersion || reply.op != static_cast<HolderOp>(op) ||
      reply.count != received.size() || size != sizeof reply + reply.count * sizeof(HolderEntry)) {
    close_all(received);
    disconnect();
    if (outcome == ReceiveOutcome::kClosed) return Error{"holder: it closed the connection"};
    if (outcome == ReceiveOutcome::kTruncated) {
      return Error{"holder: cannot take all descriptors; raise the limit (LimitNOFILE)"};
    }
    return Error{"holder: it speaks another version; restart turnpike-holder"};
  }
  for (std::size_t i = 0; i < received.size(); ++i) {
    HolderEntry entry;
    std::memcpy(&entry, bytes.data() + sizeof reply + i * sizeof entry, sizeof entry);
    answer.held.push_back({static_cast<HeldKind>(entry.kind), entry.key, received[i]});
  }
  return answer;
}

Result<HolderClient::Answer> HolderClient::ask(std::uint8_t op, std::uint32_t from,
                                               std::span<const HeldDescriptor> descriptors) {
  if (fd_ < 0 || !is_greeted_) return Error{"holder: not connected"};
  if (auto sent = send(op, from, descriptors); !sent) {
    disconnect();
    return sent.error();
  }
  if (!has_input(fd_, patience_)) {
    disconnect();
    return Error{"holder: no answer within " + std::to_string(patience_.count()) +
                 " ms; is turnpike-holder stopped?"};
  }
  return receive(op);
}

Result<std::vector<HeldDescriptor>> HolderClient::fetch() {
  std::vector<HeldDescriptor> all;
  for (;;) {
    auto answer = ask(static_cast<std::uint8_t>(HolderOp::kFetch),
                      static_cast<std::uint32_t>(all.size()), {});
    if (!answer) {
      close_all(all);
      return answer.error();
    }
    all.insert(all.end(), answer->held.begin(), answer->held.end());
    if (answer->held.empty() || all.size() >= answer->reply.total) return all;
  }
}

Result<void> HolderClient::give(std::uint8_t op, std::span<const HeldDescriptor> descriptors) {
  while (!descriptors.empty()) {
    const std::size_t count = std::min(descriptors.size(), kDescriptorsPerMessageMax);
    auto answer = ask(op, 0, descriptors.first(count));
    if (!answer) return answer.error();
    close_all(answer->held);
    if (answer->reply.status == HolderStatus::kFull) {
      return Error{"holder: it is full; raise its --max or its descriptor limit"};
    }
    descriptors = descriptors.subspan(count);
  }
  return {};
}

Result<void> HolderClient::keep(std::span<const HeldDescriptor> descriptors) {
  return give(static_cast<std::uint8_t>(HolderOp::kKeep), descriptors);
}

Result<void> HolderClient::forget(std::span<const HeldDescriptor> descriptors) {
  return give(static_cast<std::uint8_t>(HolderOp::kForget), descriptors);
}

Result<void> HolderClient::reset() {
  auto answer = ask(static_cast<std::uint8_t>(HolderOp::kReset), 0, {});
  if (!answer) return answer.error();
  return {};
}

}  // namespace turnpike
