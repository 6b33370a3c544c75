#include "bench/load/traffic.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/packets.h"

namespace turnpike::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kTicksPerPacket = 20;  // one millisecond each
constexpr std::size_t kBurst = 64;
constexpr std::uint32_t kSampledCalls = 8;
constexpr auto kTail = std::chrono::milliseconds(500);  // wait for what is still under way

sockaddr_in address_of(const std::string& ip, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, ip.c_str(), &address.sin_addr) != 1) std::abort();
  return address;
}

std::int64_t ns(Clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

class Player {
 public:
  Player(const TrafficPlan& plan, const Ends& ends, const std::vector<Call>& calls)
      : plan_(plan), ends_(ends), calls_(calls), sent_at_(calls.size() * 2 * packets()) {
    for (std::uint32_t call = 0; call < calls.size(); ++call) {
      for (std::uint32_t side = 0; side < 2; ++side) {
        trains_.emplace_back(call * 2 + side, packets(), plan.packet_bytes,
                             calls[call].leg[side].ours);
        to_.push_back(address_of(plan.relay_address[side], calls[call].leg[side].relay_port));
      }
    }
  }

  TrafficResult run(const std::function<void()>& on_measure) {
    const auto start = Clock::now();
    const std::uint32_t ticks = packets() * kTicksPerPacket;
    std::uint64_t behind = 0;
    for (std::uint32_t tick = 0; tick < ticks; ++tick) {
      const auto due = start + std::chrono::milliseconds(tick);
      while (Clock::now() < due) hear();
      if (tick == plan_.warm_up_seconds * 1000) on_measure();
      if (Clock::now() - due > std::chrono::milliseconds(2)) ++behind;
      send_tick(tick);
      hear();
    }
    for (const auto end = Clock::now() + kTail; Clock::now() < end;) hear();
    return result(static_cast<double>(behind) / ticks);
  }

 private:
  std::uint32_t packets() const {
    return (plan_.seconds + plan_.warm_up_seconds) * 1000 / kTicksPerPacket;
  }
  std::uint32_t first_measured() const { return plan_.warm_up_seconds * 1000 / kTicksPerPacket; }

  void send_tick(std::uint32_t tick) {
    const std::uint32_t index = tick / kTicksPerPacket;
    for (std::uint32_t side = 0; side < 2; ++side) {
      for (std::uint32_t call = tick % kTicksPerPacket; call < calls_.size();
           call += kTicksPerPacket) {
        queue(call * 2 + side, index);
        if (queued_ == kBurst) flush(side);
      }
      flush(side);
    }
  }

  void queue(std::uint32_t train, std::uint32_t index) {
    const auto packet = trains_[train].packet(index);
    vector_[queued_] = {const_cast<std::uint8_t*>(packet.data()), packet.size()};
    msghdr& header = message_[queued_].msg_hdr;
    header = {};
    header.msg_name = &to_[train];
    header.msg_namelen = sizeof to_[train];
    header.msg_iov = &vector_[queued_];
    header.msg_iovlen = 1;
    stamp_[queued_] = train * packets() + index;
    ++queued_;
  }

  void flush(std::uint32_t side) {
    const std::int64_t now = ns(Clock::now().time_since_epoch());
    for (std::size_t i = 0; i < queued_; ++i) sent_at_[stamp_[i]] = now;
    for (std::size_t done = 0; done < queued_;) {
      const int n = sendmmsg(ends_.fd[side], message_.data() + done,
                             static_cast<unsigned>(queued_ - done), 0);
      if (n <= 0) std::abort();
      done += static_cast<std::size_t>(n);
    }
    queued_ = 0;
  }

  void hear() {
    for (std::uint32_t side = 0; side < 2; ++side) hear_side(side);
  }

  void hear_side(std::uint32_t side) {
    for (std::size_t i = 0; i < kBurst; ++i) {
      vector_[i] = {heard_[i].data(), heard_[i].size()};
      message_[i].msg_hdr = {};
      message_[i].msg_hdr.msg_iov = &vector_[i];
      message_[i].msg_hdr.msg_iovlen = 1;
    }
    const int n = recvmmsg(ends_.fd[side], message_.data(), kBurst, MSG_DONTWAIT, nullptr);
    const std::int64_t now = ns(Clock::now().time_since_epoch());
    for (int i = 0; i < n; ++i) {
      const auto at = static_cast<std::size_t>(i);
      note(side, heard_[at].data(), message_[at].msg_len, now);
    }
  }

  // Header fields are in the clear in SRTP too: SSRC names call and sender, SEQ the packet.
  void note(std::uint32_t side, const std::uint8_t* data, std::uint32_t length, std::int64_t now) {
    if (length < 12) return;
    std::uint32_t train = 0;
    std::memcpy(&train, data + 8, 4);
    train = ntohl(train);
    const auto index = static_cast<std::uint16_t>(
        static_cast<std::uint16_t>((data[2] << 8) | data[3]) - kFirstSequence);
    if (train >= trains_.size() || train % 2 == side || index >= packets()) return;
    if (train / 2 < kSampledCalls) samples_[train].emplace_back(data, data + length);
    if (index < first_measured()) return;
    delay_.push_back(static_cast<float>(now - sent_at_[train * packets() + index]) / 1000.0F);
  }

  TrafficResult result(double behind_share) {
    TrafficResult out;
    out.sent = std::uint64_t{packets() - first_measured()} * trains_.size();
    out.received = delay_.size();
    out.behind_share = behind_share;
    for (const auto& [train, packets_heard] : samples_) {
      out.checked += packets_heard.size();
      // What side A sent reaches side B under the relay's key for side B.
      out.bad += count_bad(packets_heard, calls_[train / 2].leg[1 - train % 2].relays);
    }
    std::sort(delay_.begin(), delay_.end());
    const auto at = [&](double share) {
      return delay_.empty() ? 0.0
                            : double{delay_[static_cast<std::size_t>(
                                  share * static_cast<double>(delay_.size() - 1))]};
    };
    out.delay_p50_us = at(0.5);
    out.delay_p99_us = at(0.99);
    out.delay_p999_us = at(0.999);
    out.too_late = static_cast<std::uint64_t>(
        delay_.end() - std::upper_bound(delay_.begin(), delay_.end(), 20'000.0F));
    return out;
  }

  const TrafficPlan& plan_;
  const Ends& ends_;
  const std::vector<Call>& calls_;
  std::vector<PacketTrain> trains_;  // by call * 2 + side
  std::vector<sockaddr_in> to_;
  std::vector<std::int64_t> sent_at_;
  std::vector<float> delay_;
  std::map<std::uint32_t, std::vector<std::vector<std::uint8_t>>> samples_;
  std::size_t queued_ = 0;
  std::array<mmsghdr, kBurst> message_{};
  std::array<iovec, kBurst> vector_{};
  std::array<std::size_t, kBurst> stamp_{};
  std::array<std::array<std::uint8_t, 2048>, kBurst> heard_{};
};

}  // namespace

Ends::Ends(const std::array<std::string, 2>& address) {
  for (unsigned side = 0; side < 2; ++side) {
    fd[side] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int bytes = 8 << 20;
    setsockopt(fd[side], SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    setsockopt(fd[side], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    sockaddr_in local = address_of(address[side], 0);
    socklen_t length = sizeof local;
    if (bind(fd[side], reinterpret_cast<sockaddr*>(&local), length) != 0 ||
        getsockname(fd[side], reinterpret_cast<sockaddr*>(&local), &length) != 0) {
      std::abort();
    }
    port[side] = ntohs(local.sin_port);
  }
}

Ends::~Ends() {
  for (const int one : fd) close(one);
}

TrafficResult play(const TrafficPlan& plan, const Ends& ends, const std::vector<Call>& calls,
                   const std::function<void()>& on_measure) {
  return Player(plan, ends, calls).run(on_measure);
}

}  // namespace turnpike::bench
