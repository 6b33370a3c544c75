#include "relay/front_door.h"

#include <algorithm>
#include <array>

#include <unistd.h>

#include "relay/core/bytes.h"
#include "relay/io/loop.h"
#include "relay/io/tcp_stream.h"
#include "relay/turn/peer_policy.h"
#include "relay/wire/proxy_header.h"

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
      waiting_(door::kWaitingMax),
      splices_(*poll_, config.sip, targets_.source_key,
               {.decided = [this](Outcome outcome) { count(outcome); },
                .ended =
                    [this](const IpAddress& ip) {
                      leave_source(Stay::kCarried, ip);
                      counters_.left.add();
                    }}),
      bytes_(ProxyHeader::kBytesMax + ClientHelloReader::kBytesMax) {
  for (std::size_t place = door::kWaitingMax; place > 0; --place) free_.push_back(place - 1);
}

FrontDoorThread::~FrontDoorThread() {
  stop();
  for (const Waiting& one : waiting_) {
    if (one.fd >= 0) close(one.fd);
  }
  for (; callers_.front() != nullptr; callers_.pop()) close(callers_.front()->fd);
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
      } else if (DoorSplices::is_item(item)) {
        splices_.on_ready(item, now);
      } else {
        look(item);
      }
    }
    more |= splices_.go_on(now);
    end_late(now);
    splices_.end_late(now);
    listeners_.end_pauses(now);
  }
}

// ---- Who comes

void FrontDoorThread::take(std::uint32_t listener, const Accepted& accepted, Instant now) {
  if (accepted.fd < 0) return count(Outcome::kNoDescriptor);
  const IpAddress& ip = accepted.source.ip;
  const bool of_proxy = is_proxy(ip);
  std::uint32_t& waiting = held_[index_of(Stay::kWaiting)];
  const bool is_full = waiting >= config_.connections_max;
  if (is_full || (!of_proxy && !enter_source(Stay::kWaiting, ip))) {
    count(is_full ? Outcome::kFull : Outcome::kSourceFull);
    close(accepted.fd);
    return;
  }
  ++waiting;
  counters_.entered.add();
  if (free_.empty()) make_room();
  const std::size_t place = free_.back();
  free_.pop_back();
  waiting_[place] = {accepted.fd, accepted.source, listener, false, of_proxy, now};
  // What has come is looked at once, however long it stays unread.
  if (!poll_->add_edge(accepted.fd, static_cast<std::uint32_t>(place))) {
    end(place, Outcome::kNoDescriptor);
  }
}

// Who waits longest goes: to keep others out takes more than to come and to be slow.
void FrontDoorThread::make_room() {
  const auto oldest =
      std::min_element(waiting_.begin(), waiting_.end(),
                       [](const Waiting& a, const Waiting& b) { return a.since < b.since; });
  end(static_cast<std::size_t>(oldest - waiting_.begin()), Outcome::kEvicted);
}

bool FrontDoorThread::is_proxy(const IpAddress& ip) const {
  return std::any_of(config_.proxies.begin(), config_.proxies.end(),
                     [&ip](const auto& prefix) { return turn::contains(prefix, ip); });
}

bool FrontDoorThread::enter_source(Stay stay, const IpAddress& ip) {
  const std::uint32_t max = config_.connections_per_source_max;
  std::uint32_t& there = sources_[index_of(stay)][source_of(ip)];
  if (max != 0 && there >= max) return false;
  ++there;
  if (stay == Stay::kCarried) ++held_[index_of(stay)];
  return true;
}

void FrontDoorThread::leave_source(Stay stay, const IpAddress& ip) {
  auto& sources = sources_[index_of(stay)];
  const auto found = sources.find(source_of(ip));
  if (--found->second == 0) sources.erase(found);
  if (stay == Stay::kCarried) --held_[index_of(stay)];
}

// ---- What they want

void FrontDoorThread::look(std::size_t place) {
  Waiting& one = waiting_[place];
  if (one.fd < 0) return;  // made room in this turn
  const StreamMoved seen = peek_stream(one.fd, bytes_);
  if (seen.state == StreamState::kWait) return;
  if (seen.state != StreamState::kMoved) return end(place, Outcome::kGone);
  std::span<const std::uint8_t> bytes(bytes_.data(), seen.bytes);
  if (one.wants_header && !take_header(place, bytes)) return;
  if (bytes.empty()) return;
  one.has_begun = true;
  const door::Rules::Verdict verdict = rules_.judge(bytes, *reader_);
  if (verdict.decided) return pass_on(place, verdict.outcome);
  // However small the segments are in which the rest comes: it is looked at once it may be there.
  wait_for_bytes(one.fd, verdict.wanted);
}

// False when it is not whole, or the connection has ended. Else the client's own are left of
// `bytes`.
bool FrontDoorThread::take_header(std::size_t place, std::span<const std::uint8_t>& bytes) {
  Waiting& one = waiting_[place];
  const ProxyHeader header = read_proxy_header(bytes);
  const auto refuse = [this, place](Outcome why) {
    end(place, why);
    return false;
  };
  switch (header.state) {
    case ProxyState::kIncomplete:
      return false;
    case ProxyState::kLocal:
      return refuse(Outcome::kHealthCheck);
    case ProxyState::kMissing:
      return refuse(Outcome::kNoProxyHeader);
    case ProxyState::kMalformed:
      return refuse(Outcome::kBadProxyHeader);
    case ProxyState::kUnsupported:
      return refuse(Outcome::kOtherFamily);
    case ProxyState::kBadChecksum:
      return refuse(Outcome::kBadChecksum);
    case ProxyState::kProxied:
      break;
  }
  if (!skip_stream(one.fd, header.bytes)) return refuse(Outcome::kGone);
  if (!enter_source(Stay::kWaiting, header.source.ip)) return refuse(Outcome::kSourceFull);
  one.client = header.source;
  one.wants_header = false;
  bytes = bytes.subspan(header.bytes);
  return true;
}

void FrontDoorThread::pass_on(std::size_t place, Outcome outcome) {
  const Waiting one = waiting_[place];
  const bool is_carried = outcome == Outcome::kSip;
  if (!is_carried && outcome != Outcome::kTurnTcp && outcome != Outcome::kTurnTls &&
      outcome != Outcome::kApi) {
    return end(place, outcome);
  }
  if (is_carried) {
    const bool is_full = held_[index_of(Stay::kCarried)] >= config_.connections_max;
    if (is_full || !enter_source(Stay::kCarried, one.client.ip)) {
      return end(place, is_full ? Outcome::kTargetFull : Outcome::kSourceFull);
    }
  }
  poll_->remove(one.fd);
  wait_for_bytes(one.fd, 1);
  if (const auto refused = hand_over(one, outcome, monotonic_now())) {
    if (is_carried) leave_source(Stay::kCarried, one.client.ip);
    return end(place, *refused);
  }
  if (!is_carried) count(outcome);
  forget(place);
  if (is_carried) counters_.entered.add();  // it stays the door's
}

std::optional<Outcome> FrontDoorThread::hand_over(const Waiting& one, Outcome outcome,
                                                  Instant now) {
  if (outcome == Outcome::kSip) return splices_.begin(one.fd, one.client, now);
  bool is_taken = false;
  if (outcome == Outcome::kApi) {
    is_taken = callers_.push({one.fd, one.client});
    if (is_taken) callers_bell_.ring();
  } else {
    const SocketAddress& local = config_.listeners[one.listener];
    is_taken = targets_.turn({one.fd, one.client, local, outcome == Outcome::kTurnTls});
  }
  return is_taken ? std::nullopt : std::optional(Outcome::kTargetFull);
}

// Of control.
bool FrontDoorThread::next_caller(door::Caller& caller) {
  const door::Caller* next = callers_.front();
  if (next == nullptr) {  // the bell stays readable until all have been taken
    callers_bell_.answer();
    next = callers_.front();
  }
  if (next == nullptr) return false;
  caller = *next;
  callers_.pop();
  return true;
}

void FrontDoorThread::end(std::size_t place, Outcome why) {
  count(why);  // first: who sees the end finds it counted
  close(waiting_[place].fd);
  forget(place);
}

void FrontDoorThread::forget(std::size_t place) {
  if (!waiting_[place].wants_header) leave_source(Stay::kWaiting, waiting_[place].client.ip);
  --held_[index_of(Stay::kWaiting)];
  counters_.left.add();
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
