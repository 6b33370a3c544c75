#include "control/log/syslog_sink.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/log/timestamp.h"
#include "control/loop/socket_address.h"

namespace turnpike::log {
namespace {

constexpr std::chrono::seconds kPause{1};  // between two looks for a receiver that is not there
constexpr std::uint32_t kSequenceMax = std::numeric_limits<std::int32_t>::max();

std::string own_host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

SyslogSeverity severity_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::err:
      return SyslogSeverity::kError;
    case spdlog::level::warn:
      return SyslogSeverity::kWarning;
    case spdlog::level::info:
      return SyslogSeverity::kInfo;
    default:
      return SyslogSeverity::kDebug;
  }
}

}  // namespace

SyslogSink::SyslogSink(SyslogTarget target)
    : target_(std::move(target)), host_name_(own_host_name()) {}

SyslogSink::~SyslogSink() {
  shut();
}

void SyslogSink::sink_it_(const spdlog::details::log_msg& message) {
  sequence_ = sequence_ == kSequenceMax ? 1 : sequence_ + 1;
  const std::string when = timestamp(message.time);
  const std::string sent = to_syslog({.facility = target_.facility,
                                      .severity = severity_of(message.level),
                                      .timestamp = when,
                                      .host_name = host_name_,
                                      .process_id = getpid(),
                                      .sequence = sequence_,
                                      .text = {message.payload.data(), message.payload.size()}});
  if (!send(sent)) lost_.fetch_add(1, std::memory_order_relaxed);
}

bool SyslogSink::send(const std::string& message) {
  // Twice: a receiver that was restarted is found again, and over UDP the first try may only bring
  // the news that the message before it has met nobody.
  for (int tries = 0; tries < 2; ++tries) {
    if (descriptor_ < 0 && !open()) return false;
    const ssize_t sent =
        ::send(descriptor_, message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return true;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == EMSGSIZE) {
      return false;
    }
    if (errno == EINTR) continue;
    const bool is_refused = target_.unix_path.empty() && errno == ECONNREFUSED;
    if (is_refused && tries == 0) lost_.fetch_add(1, std::memory_order_relaxed);
    if (!is_refused) shut();  // of UDP: our own address may be another one now
  }
  return false;
}

bool SyslogSink::open() {
  const auto now = std::chrono::steady_clock::now();
  if (now < open_again_at_) return false;
  open_again_at_ = now + kPause;
  if (target_.unix_path.empty()) {
    const sockaddr_storage address = loop::to_sockaddr(target_.udp);
    descriptor_ = ::socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor_ >= 0 &&
        ::connect(descriptor_, loop::as_sockaddr(address), loop::length_of(address)) != 0) {
      shut();
    }
    return descriptor_ >= 0;
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (target_.unix_path.size() >= sizeof address.sun_path) return false;
  std::copy(target_.unix_path.begin(), target_.unix_path.end(), address.sun_path);
  descriptor_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor_ >= 0 && ::connect(descriptor_, loop::as_sockaddr(address), sizeof address) != 0) {
    shut();
  }
  return descriptor_ >= 0;
}

void SyslogSink::shut() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace turnpike::log
