#include "bench/load/client_streams.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/ends.h"

namespace turnpike::bench {
namespace {

constexpr std::size_t kChannelHeaderBytes = 4;
constexpr int kPatienceMs = 5000;

[[noreturn]] void give_up_tls(const char* what) {
  std::fprintf(stderr, "turnpike_load: %s: ", what);
  ERR_print_errors_fp(stderr);
  std::fputc('\n', stderr);
  std::exit(1);
}

}  // namespace

ClientStreams::ClientStreams(const sockaddr_in& server, Transport transport)
    : server_(server), epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_fd_ < 0) give_up("epoll");
  if (transport != Transport::kTls) return;
  context_ = SSL_CTX_new(TLS_client_method());
  if (context_ == nullptr) give_up_tls("TLS");
}

ClientStreams::~ClientStreams() {
  while (!streams_.empty()) close(streams_.begin()->first);
  SSL_CTX_free(context_);
  ::close(epoll_fd_);
}

void ClientStreams::open(std::uint32_t ip) {
  auto& stream = streams_[ip];
  if (stream != nullptr) return;
  stream = std::make_unique<Stream>();
  stream->ip = ip;
  stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_addr.s_addr = ip;
  const int on = 1;
  if (stream->fd < 0 || bind(stream->fd, reinterpret_cast<sockaddr*>(&local), sizeof local) != 0 ||
      connect(stream->fd, reinterpret_cast<sockaddr*>(&server_), sizeof server_) != 0 ||
      setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
    give_up("connection to the TURN server");
  }
  if (context_ != nullptr) {
    stream->tls = SSL_new(context_);
    if (stream->tls == nullptr || SSL_set_fd(stream->tls, stream->fd) != 1 ||
        SSL_connect(stream->tls) != 1) {
      give_up_tls("TLS handshake with the TURN server");
    }
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = stream.get();
  if (fcntl(stream->fd, F_SETFL, O_NONBLOCK) != 0 ||
      epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, stream->fd, &event) != 0) {
    give_up("connection to the TURN server");
  }
}

void ClientStreams::close(std::uint32_t ip) {
  const auto found = streams_.find(ip);
  if (found == streams_.end()) return;
  SSL_free(found->second->tls);
  ::close(found->second->fd);
  streams_.erase(found);
}

void ClientStreams::send(std::uint32_t ip, std::span<const iovec> pieces) {
  joined_.clear();
  for (const iovec& piece : pieces) {
    const auto* const bytes = static_cast<const std::uint8_t*>(piece.iov_base);
    joined_.insert(joined_.end(), bytes, bytes + piece.iov_len);
  }
  write(*streams_.at(ip), joined_);
}

void ClientStreams::await(int fd, short event) {
  pollfd wait{fd, event, 0};
  if (poll(&wait, 1, kPatienceMs) == 1) return;
  errno = ETIMEDOUT;
  give_up("the TURN server takes nothing");
}

void ClientStreams::write(Stream& stream, stun::Bytes bytes) {
  while (!bytes.empty()) {
    if (stream.tls != nullptr) {
      const int done = SSL_write(stream.tls, bytes.data(), static_cast<int>(bytes.size()));
      if (done > 0) return;  // all of it
      const int error = SSL_get_error(stream.tls, done);
      if (error == SSL_ERROR_WANT_READ) {
        await(stream.fd, POLLIN);
      } else if (error == SSL_ERROR_WANT_WRITE) {
        await(stream.fd, POLLOUT);
      } else {
        give_up_tls("TLS to the TURN server");
      }
      continue;
    }
    const ssize_t done = ::send(stream.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (done > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(done));
    } else if (errno == EAGAIN) {
      await(stream.fd, POLLOUT);
    } else {
      give_up("send to the TURN server");
    }
  }
}

// False when nothing (more) is there.
bool ClientStreams::read(Stream& stream) {
  std::uint8_t* const at = stream.bytes.data() + stream.filled;
  const std::size_t room = stream.bytes.size() - stream.filled;
  if (stream.tls != nullptr) {
    const int got = SSL_read(stream.tls, at, static_cast<int>(room));
    if (got > 0) {
      stream.filled += static_cast<std::size_t>(got);
      return true;
    }
    if (SSL_get_error(stream.tls, got) == SSL_ERROR_WANT_READ) return false;
    give_up_tls("the TURN server has closed a connection");
  }
  const ssize_t got = recv(stream.fd, at, room, 0);
  if (got > 0) {
    stream.filled += static_cast<std::size_t>(got);
    return true;
  }
  if (got < 0 && errno == EAGAIN) return false;
  if (got == 0) errno = ECONNRESET;
  give_up("the TURN server has closed a connection");
}

// RFC 8489 section 6.2.2; ChannelData is padded over streams (RFC 8656 section 12.5).
std::size_t ClientStreams::message_size(const Stream& stream, std::size_t at) {
  const std::size_t left = stream.filled - at;
  if (left < kChannelHeaderBytes) return 0;
  const std::uint8_t* const bytes = stream.bytes.data() + at;
  const std::size_t length = (std::size_t{bytes[2]} << 8) | bytes[3];
  const std::size_t size =
      bytes[0] < 0x40 ? stun::kHeaderBytes + length : kChannelHeaderBytes + (length + 3) / 4 * 4;
  return size <= left ? size : 0;
}

void ClientStreams::keep_from(Stream& stream, std::size_t at) {
  std::copy(stream.bytes.begin() + static_cast<std::ptrdiff_t>(at),
            stream.bytes.begin() + static_cast<std::ptrdiff_t>(stream.filled),
            stream.bytes.begin());
  stream.filled -= at;
}

}  // namespace turnpike::bench
