#include "control/doctor/probe.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/doctor/look.h"
#include "control/loop/event_loop.h"

namespace turnpike::doctor {
namespace {

using Phase = zone::Connection::Phase;

constexpr std::size_t kBlockBytes = 16384;
constexpr Seconds kAnswerTime{5};  // for the first answer over HTTP/2

Instant now() {
  return loop::EventLoop::now();
}

zone::ConnectionOptions options_of(const zone::ZoneConfig& zone, const zone::PeerConfig& peer,
                                   const std::string& node, zone::Purpose purpose) {
  zone::ConnectionOptions options;
  options.dials = true;
  options.hello.purpose = purpose;
  options.hello.role = zone::Role::kCore;
  options.hello.zone = zone.name;
  options.hello.node = node;
  options.hello.user = zone.user;
  options.peer_rule = {zone.tls_verify_subject, {peer.tls_name}, zone.accept_common_name};
  options.server_name = peer.tls_name;
  options.handshake_timeout = zone.handshake_timeout;
  options.keepalive = zone.keepalive;
  options.http2 = zone.http2;
  return options;
}

/// Drives the engine over a socket until it has answered or ended.
class Probe {
 public:
  Probe(int fd, zone::ConnectionOptions options, const zone::Credentials& credentials)
      : fd_(fd), connection_(std::move(options), credentials, now()) {}

  void run(ProbeFacts& facts) {
    Phase phase = connection_.phase();
    Instant opened{};
    while (connection_.phase() != Phase::kClosed && connection_.round_trip() == Nanoseconds{0}) {
      phase = connection_.phase();
      if (phase == Phase::kOpen && opened == Instant{}) {
        opened = now();
        facts.node = connection_.peer_hello().node;
      }
      if (opened != Instant{} && now() - opened > kAnswerTime) {
        connection_.close(zone::Reason::kSilent);
        break;
      }
      if (!turn(facts)) break;
    }
    finish(phase, facts);
  }

 private:
  bool flush() {
    for (;;) {
      if (unsent_.empty()) unsent_ = connection_.take_output(kBlockBytes);
      if (unsent_.empty()) return true;
      const ssize_t count = ::send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno == EAGAIN;
      unsent_.erase(0, static_cast<std::size_t>(count));
    }
  }

  /// One wait and what it brings. False: the other end has gone and what it said is used.
  bool turn(ProbeFacts& facts) {
    const bool sent = flush();
    if (connection_.phase() == Phase::kClosed) return false;
    const auto wait = std::chrono::ceil<Milliseconds>(connection_.next_deadline() - now());
    pollfd entry{.fd = fd_, .events = POLLIN, .revents = 0};
    if (sent && !unsent_.empty()) entry.events |= POLLOUT;
    const auto patience = std::clamp<Milliseconds::rep>(wait.count(), 0, 1000);
    if (::poll(&entry, 1, static_cast<int>(patience)) > 0 && !read(facts)) return false;
    connection_.on_deadline(now());
    return true;
  }

  bool read(ProbeFacts& facts) {
    std::array<char, kBlockBytes> block;
    const ssize_t count = ::recv(fd_, block.data(), block.size(), 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (count <= 0) {
      connection_.on_transport_end(now());
      return false;
    }
    facts.heard = true;
    connection_.receive({block.data(), static_cast<std::size_t>(count)}, now());
    return true;
  }

  void finish(Phase phase, ProbeFacts& facts) {
    const bool answered = connection_.round_trip() != Nanoseconds{0};
    facts.certificate = connection_.peer_certificate();
    facts.tls = connection_.tls_description();
    facts.round_trip = connection_.round_trip();
    facts.reason = answered ? zone::Reason::kNone : connection_.reason();
    facts.detail = connection_.detail();
    facts.stage = answered                     ? Stage::kDone
                  : phase == Phase::kTls       ? Stage::kTls
                  : phase == Phase::kChallenge ? Stage::kChallenge
                                               : Stage::kStreams;
    connection_.close(zone::Reason::kStopped);
    flush();
  }

  int fd_;
  zone::Connection connection_;
  std::string unsent_;
};

ProbeFacts probe_once(const zone::ConnectionOptions& options, const SocketAddress& to,
                      const zone::Credentials& credentials) {
  ProbeFacts facts;
  facts.to = to;
  const int fd = connect_tcp(to, facts.connect, facts.from);
  if (fd < 0 && facts.connect.error == ECONNRESET) {  // it was taken, and hung up at once
    facts.connect = {};
    facts.stage = Stage::kTls;
    facts.reason = zone::of(tls::Refusal::kClosedEarly);
  }
  if (fd < 0) return facts;
  facts.stage = Stage::kTls;
  Probe(fd, options, credentials).run(facts);
  ::close(fd);
  return facts;
}

}  // namespace

ProbeFacts probe_edge(const zone::ZoneConfig& zone, const zone::PeerConfig& peer,
                      const std::string& node, zone::Purpose purpose,
                      const zone::Credentials& credentials) {
  zone::ConnectionOptions options = options_of(zone, peer, node, purpose);
  auto& nonce = options.hello.nonce;
  if (::getrandom(&options.hello.epoch, sizeof options.hello.epoch, 0) < 0 ||
      ::getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size())) {
    ProbeFacts facts;
    facts.to = peer.address;
    facts.connect.error = errno;
    return facts;
  }
  return probe_once(options, peer.address, credentials);
}

}  // namespace turnpike::doctor
