#include "relay/front_door.h"

#include <algorithm>
#include <array>

#include <unistd.h>

#include "relay/core/bytes.h"
#include "relay/io/loop.h"
#include "relay/io/tcp_stream.h"

namespace turnpike {
namespace {

using door::Outcome;

// Sleeps end by themselves, to look for who is late, and for the end.
constexpr Milliseconds kLongestSleep{200};
constexpr std::size_t kReadyMax = 64;

/// One host has a whole /64 of IPv6 at least.
std::pair<AddressFamily, std::uint64_t> source_of(const IpAddress& ip) {
  const std::uint64_t high = read_be32(ip.bytes.data());
  return {ip.family, high << 32 | read_be32(ip.bytes.data() + 4)};
}

}  // namespace

Result<std::unique_ptr<FrontDoorThread>> FrontDoorThread::start(const door::Config& config,
                                                                Targets targets) {
  auto poll = StreamPoll::make();
  if (poll == nullptr) return Error{"front door: no descriptors are left; raise LimitNOFILE"};
  std::unique_ptr<FrontDoorThread> own(
      new FrontDoorThread(std::move(poll), config, std::move(targets)));
  for (const SocketAddress& local : config.listeners) {
    const auto fds = open_stream_port(local, 1);
    if (!fds) return Error{"front door: " + fds.error().message};
    if (!own->listeners_.add(fds->front())) {
      return Error{"front door: no descriptors are left; raise LimitNOFILE"};
    }
  }
  own->thread_ = std::thread([thread = own.get()] { thread->run(); });
  return own;
}

FrontDoorThread::FrontDoorThread(std::unique_ptr<StreamPoll> poll, const door::Config& config,
                                 Targets targets)
    : poll_(std::move(poll)),
      config_(config),
      targets_(std::move(targets)),
      rules_(config.targets, targets_.turn_takes_stun),
      listeners_(*poll_),
      waiting_(kWaitingMax),
      bytes_(ClientHelloReader::kBytesMax) {
  for (std::size_t place = kWaitingMax; place > 0; --place) free_.push_back(place - 1);
}

FrontDoorThread::~FrontDoorThread() {
  stop();
  for (const Waiting& one : waiting_) {
    if (one.fd >= 0) close(one.fd);
  }
}

void FrontDoorThread::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  thread_.join();
}

void FrontDoorThread::run() {
  yield_to_media();
  bool more = false;
  while (!stopping_.load()) {
    std::array<StreamPoll::Ready, kReadyMax> ready;
    const std::size_t woken = poll_->wait(ready, more ? Milliseconds{0} : kLongestSleep);
    more = false;
    const Instant now = monotonic_now();
    for (std::size_t i = 0; i < woken; ++i) {
      const std::uint32_t item = ready[i].item;
      if (StreamListeners::is_item(item)) {
        more |= listeners_.accept(item, now, [this, now](auto listener, const auto& accepted) {
          take(listener, accepted, now);
        });
      } else {
        look(item);
      }
    }
    end_late(now);
    listeners_.end_pauses(now);
  }
}

// ---- Who comes

void FrontDoorThread::take(std::uint32_t listener, const Accepted& accepted, Instant now) {
  if (accepted.fd < 0) return count(Outcome::kNoDescriptor);
  const bool is_full = held_ >= config_.connections_max;
  if (is_full || !enter(accepted.source.ip)) {
    count(is_full ? Outcome::kFull : Outcome::kSourceFull);
    close(accepted.fd);
    return;
  }
  if (free_.empty()) make_room();
  const std::size_t place = free_.back();
  // What has come is looked at once, however long it stays unread.
  if (!poll_->add_edge(accepted.fd, static_cast<std::uint32_t>(place))) {
    count(Outcome::kNoDescriptor);
    leave(accepted.source.ip);
    close(accepted.fd);
    return;
  }
  free_.pop_back();
  waiting_[place] = {accepted.fd, accepted.source, listener, false, now};
}

// Who waits longest goes: to keep others out takes more than to come and to be slow.
void FrontDoorThread::make_room() {
  const auto oldest =
      std::min_element(waiting_.begin(), waiting_.end(),
                       [](const Waiting& a, const Waiting& b) { return a.since < b.since; });
  end(static_cast<std::size_t>(oldest - waiting_.begin()), Outcome::kEvicted);
}

bool FrontDoorThread::enter(const IpAddress& ip) {
  std::uint32_t& there = sources_[source_of(ip)];
  if (config_.connections_per_source_max != 0 && there >= config_.connections_per_source_max) {
    return false;
  }
  ++there;
  ++held_;
  counters_.entered.add();
  return true;
}

void FrontDoorThread::leave(const IpAddress& ip) {
  const auto found = sources_.find(source_of(ip));
  if (--found->second == 0) sources_.erase(found);
  --held_;
  counters_.left.add();
}

// ---- What they want

void FrontDoorThread::look(std::size_t place) {
  Waiting& one = waiting_[place];
  if (one.fd < 0) return;  // made room in this turn
  const StreamMoved seen = peek_stream(one.fd, bytes_);
  if (seen.state == StreamState::kWait) return;
  if (seen.state != StreamState::kMoved) return end(place, Outcome::kGone);
  one.has_begun = true;
  const door::Rules::Verdict verdict = rules_.judge({bytes_.data(), seen.bytes}, *reader_);
  if (verdict.decided) pass_on(place, verdict.outcome);
}

void FrontDoorThread::pass_on(std::size_t place, Outcome outcome) {
  const Waiting& one = waiting_[place];
  const bool is_tls = outcome == Outcome::kTurnTls;
  if (!is_tls && outcome != Outcome::kTurnTcp) return end(place, outcome);
  poll_->remove(one.fd);
  const DoorNewcomer newcomer{one.fd, one.client, config_.listeners[one.listener], is_tls};
  if (!targets_.turn(newcomer)) return end(place, Outcome::kTargetFull);
  count(outcome);
  forget(place);
}

void FrontDoorThread::end(std::size_t place, Outcome why) {
  count(why);  // first: who sees the end finds it counted
  close(waiting_[place].fd);
  forget(place);
}

void FrontDoorThread::forget(std::size_t place) {
  leave(waiting_[place].client.ip);
  waiting_[place] = {};
  free_.push_back(place);
}

void FrontDoorThread::end_late(Instant now) {
  for (std::size_t place = 0; place < waiting_.size(); ++place) {
    const Waiting& one = waiting_[place];
    if (one.fd < 0) continue;
    if (!one.has_begun && now - one.since >= config_.first_byte_max) {
      end(place, Outcome::kSilent);
    } else if (now - one.since >= config_.hello_max) {
      end(place, Outcome::kSlowHello);
    }
  }
}

}  // namespace turnpike
