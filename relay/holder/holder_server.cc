// The holder's end of holder_protocol.h.
#include "relay/holder/holder_server.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/io/fd_message.h"
#include "relay/io/sockaddr.h"

namespace turnpike {
namespace {

struct UnixAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_un);
};

Result<UnixAddress> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error{"socket path '" + path + "' must have 1 to 107 characters"};
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  UnixAddress result;
  std::memcpy(&result.storage, &address, sizeof address);
  return result;
}

Error system_error(const std::string& what) {
  return Error{what + ": " + std::strerror(errno)};
}

// Removes the socket file of a holder that is gone.
Result<void> clear_path(const std::string& path, const UnixAddress& address) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) return Error{path + " exists and is no socket"};
  const int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return system_error("cannot open a socket");
  const bool served = connect(probe, as_sockaddr(address.storage), address.size) == 0;
  const bool gone = !served && errno == ECONNREFUSED;
  close(probe);
  if (!gone) return Error{path + " is in use; is another turnpike-holder running?"};
  if (unlink(path.c_str()) != 0) return system_error("cannot remove the old " + path);
  return {};
}

Result<int> open_listener(const std::string& path) {
  auto address = unix_address(path);
  if (!address) return address.error();
  if (auto cleared = clear_path(path, *address); !cleared) return cleared.error();
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return system_error("cannot open a socket");
  const mode_t before = umask(0177);  // from the first moment, not by a later chmod
  const bool bound = bind(fd, as_sockaddr(address->storage), address->size) == 0;
  umask(before);
  if (!bound || ::listen(fd, 4) != 0) {
    const Error error = system_error("cannot listen on " + path);
    close(fd);
    return error;
  }
  return fd;
}

// The request's header, when it and what came with it add up.
std::optional<HolderRequest> parse(std::span<const std::uint8_t> message, std::size_t fd_count) {
  HolderRequest request;
  if (message.size() < sizeof request) return std::nullopt;
  std::memcpy(&request, message.data(), sizeof request);
  const bool carries = request.op == HolderOp::kKeep || request.op == HolderOp::kForget;
  if (request.magic != kHolderMagic || request.version != kHolderVersion ||
      request.op < HolderOp::kHello || request.op > HolderOp::kReset || request.count != fd_count ||
      (!carries && request.count != 0) ||
      message.size() != sizeof request + fd_count * sizeof(HolderEntry)) {
    return std::nullopt;
  }
  return request;
}

}  // namespace

Result<std::unique_ptr<HolderServer>> HolderServer::listen(const std::string& socket_path,
                                                           std::size_t held_max, Log log) {
  auto fd = open_listener(socket_path);
  if (!fd) return fd.error();
  return std::unique_ptr<HolderServer>(
      new HolderServer(*fd, socket_path, held_max, std::move(log)));
}

HolderServer::HolderServer(int listen_fd, std::string path, std::size_t held_max, Log log)
    : listen_fd_(listen_fd), path_(std::move(path)), held_(held_max), log_(std::move(log)) {}

HolderServer::~HolderServer() {
  if (client_fd_ >= 0) close(client_fd_);
  close(listen_fd_);
  unlink(path_.c_str());
}

bool HolderServer::run(int stop_fd) {
  for (;;) {
    std::array<pollfd, 3> watched = {{{stop_fd, POLLIN, 0},
                                      {listen_fd_, POLLIN, 0},
                                      {client_fd_, POLLIN, 0}}};  // -1 is passed over
    if (poll(watched.data(), watched.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    if (watched[0].revents != 0) return true;
    if (watched[2].revents != 0) serve_client();
    if (watched[1].revents == 0) continue;
    // A client that has died goes before the next one is judged; what it sent last still counts.
    while (serve_client()) continue;
    accept_client();
  }
}

void HolderServer::accept_client() {
  const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != geteuid()) {
    log_("refused a connection of uid " + std::to_string(peer.uid));
    close(fd);
    return;
  }
  if (client_fd_ >= 0) {
    log_("refused process " + std::to_string(peer.pid) + ": another one is served");
    HolderReply busy;
    busy.status = HolderStatus::kBusy;
    std::array<std::uint8_t, sizeof busy> bytes;
    std::memcpy(bytes.data(), &busy, sizeof busy);
    send_message(fd, bytes, {});
    close(fd);
    return;
  }
  client_fd_ = fd;
  greeted_ = false;
  log_("client connected: process " + std::to_string(peer.pid) + ", " +
       std::to_string(held_.size()) + " descriptors kept");
}

void HolderServer::drop_client(const std::string& why) {
  if (client_fd_ < 0) return;
  close(client_fd_);
  client_fd_ = -1;
  log_("client gone: " + why + "; " + std::to_string(held_.size()) + " descriptors kept");
}

// True when there was a message; more may wait.
bool HolderServer::serve_client() {
  if (client_fd_ < 0) return false;
  std::array<std::uint8_t, kHolderMessageBytesMax> bytes;
  std::size_t size = 0;
  std::vector<int> fds;
  switch (receive_message(client_fd_, bytes, size, fds)) {
    case ReceiveOutcome::kNothing:
      return false;
    case ReceiveOutcome::kClosed:
      drop_client("it disconnected");
      return false;
    case ReceiveOutcome::kTruncated:
      drop_client("its message was too long, or the descriptor limit is too low");
      return false;
    case ReceiveOutcome::kMessage:
      break;
  }
  const std::span message(bytes.data(), size);
  const auto request = parse(message, fds.size());
  if (request && (greeted_ || request->op == HolderOp::kHello)) {
    handle(*request, message.subspan(sizeof *request), fds);
  } else {
    for (const int fd : fds) close(fd);
    drop_client("its message is not of this protocol and version");
  }
  return client_fd_ >= 0;
}

void HolderServer::handle(const HolderRequest& request, std::span<const std::uint8_t> entries,
                          std::vector<int>& fds) {
  std::vector<HeldDescriptor> received;
  for (std::size_t i = 0; i < fds.size(); ++i) {
    HolderEntry entry;
    std::memcpy(&entry, entries.data() + i * sizeof entry, sizeof entry);
    received.push_back({static_cast<HeldKind>(entry.kind), entry.key, fds[i]});
  }
  HolderReply reply;
  reply.op = request.op;
  switch (request.op) {
    case HolderOp::kHello:
      greeted_ = true;
      break;
    case HolderOp::kKeep:
      if (!keep(received, reply)) return;
      break;
    case HolderOp::kForget:
      forget(received);
      break;
    case HolderOp::kFetch:
      return answer(reply, request.from);
    case HolderOp::kReset:
      log_("reset: closing " + std::to_string(held_.size()) + " descriptors");
      held_.clear();
      break;
  }
  answer(reply, held_.size());
}

// False when the client was dropped.
bool HolderServer::keep(std::span<const HeldDescriptor> received, HolderReply& reply) {
  bool wrong_kind = false;
  for (const HeldDescriptor& held : received) {
    const auto outcome = held_.keep(held);
    if (outcome == HeldSet::Outcome::kFull) reply.status = HolderStatus::kFull;
    if (outcome == HeldSet::Outcome::kWrongKind) wrong_kind = true;
  }
  if (reply.status == HolderStatus::kFull) {
    log_("full: " + std::to_string(held_.size()) + " descriptors kept, more refused");
  }
  if (wrong_kind) drop_client("it sent a descriptor that is not what it says");
  return !wrong_kind;
}

void HolderServer::forget(std::span<const HeldDescriptor> received) {
  for (const HeldDescriptor& held : received) held_.forget(held);
}

// The reply, with what is kept from position `from` on, as much as one message takes.
void HolderServer::answer(HolderReply reply, std::size_t from) {
  const std::size_t first = std::min(from, held_.size());
  const std::size_t count = std::min(held_.size() - first, kDescriptorsPerMessageMax);
  reply.count = static_cast<std::uint32_t>(count);
  reply.total = static_cast<std::uint32_t>(held_.size());
  std::array<std::uint8_t, kHolderMessageBytesMax> bytes;
  std::array<int, kDescriptorsPerMessageMax> fds;
  std::memcpy(bytes.data(), &reply, sizeof reply);
  for (std::size_t i = 0; i < count; ++i) {
    const HeldDescriptor& held = held_.at(first + i);
    HolderEntry entry;
    entry.key = held.key;
    entry.kind = static_cast<std::uint8_t>(held.kind);
    std::memcpy(bytes.data() + sizeof reply + i * sizeof entry, &entry, sizeof entry);
    fds[i] = held.fd;
  }
  const std::span message(bytes.data(), sizeof reply + count * sizeof(HolderEntry));
  if (!send_message(client_fd_, message, std::span(fds.data(), count))) {
    drop_client("it does not read its answers");
  }
}

}  // namespace turnpike
