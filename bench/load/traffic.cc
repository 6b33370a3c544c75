#include "bench/load/traffic.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <memory>
#include <random>

#include <arpa/inet.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/packets.h"

namespace turnpike::bench {
namespace {

constexpr std::int64_t kPacketNs = 20'000'000;     // a stream's packets are this far apart
constexpr std::int64_t kLateNs = 1'000'000;        // the generator itself was late
constexpr std::int64_t kLastPacketNs = 3'000'000;  // until the relay has sent the last one
constexpr std::int64_t kTailNs = 500'000'000;      // wait for what is still under way
constexpr float kUselessUs = 20'000.0F;            // a jitter buffer would not wait longer
constexpr std::size_t kSendBurst = 8;              // small: a burst shares one time stamp
constexpr std::size_t kReceiveBurst = 64;
constexpr std::uint32_t kSampledCalls = 8;
constexpr unsigned kPhaseSeed = 20;  // the same phases in every run

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "turnpike_load: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

sockaddr_in address_of(const std::string& ip, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, ip.c_str(), &address.sin_addr) != 1) {
    errno = EINVAL;
    give_up(ip.c_str());
  }
  return address;
}

std::int64_t ns_of(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// The clock of the kernel's receive time stamps.
std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return ns_of(now);
}

// Messages of one sendmmsg() to one side.
struct SendQueue {
  std::size_t size = 0;
  std::array<mmsghdr, kSendBurst> message{};
  std::array<iovec, kSendBurst> vector{};
  std::array<std::size_t, kSendBurst> packet{};  // index into sent_at_
};

class Listener {
 public:
  Listener() {
    for (std::size_t i = 0; i < kReceiveBurst; ++i) {
      vector_[i] = {data_[i].data(), data_[i].size()};
      message_[i].msg_hdr.msg_iov = &vector_[i];
      message_[i].msg_hdr.msg_iovlen = 1;
      message_[i].msg_hdr.msg_control = control_[i].data();
    }
  }

  // Calls heard(data, length, arrival) for each packet that waits, kReceiveBurst at most.
  template <typename Heard>
  void receive(int fd, Heard heard) {
    for (std::size_t i = 0; i < last_; ++i) {
      message_[i].msg_hdr.msg_controllen = control_[i].size();
    }
    const int n = recvmmsg(fd, message_.data(), kReceiveBurst, MSG_DONTWAIT, nullptr);
    last_ = n < 0 ? 0 : static_cast<std::size_t>(n);
    for (std::size_t i = 0; i < last_; ++i) {
      heard(data_[i].data(), message_[i].msg_len, arrival(message_[i].msg_hdr));
    }
  }

 private:
  static std::int64_t arrival(msghdr& header) {
    const cmsghdr* control = CMSG_FIRSTHDR(&header);
    if (control == nullptr || control->cmsg_type != SCM_TIMESTAMPNS) return now_ns();
    timespec stamp{};
    std::memcpy(&stamp, CMSG_DATA(control), sizeof stamp);
    return ns_of(stamp);
  }

  std::size_t last_ = kReceiveBurst;  // whose control lengths the kernel has changed
  std::array<mmsghdr, kReceiveBurst> message_{};
  std::array<iovec, kReceiveBurst> vector_{};
  std::array<std::array<std::uint8_t, 2048>, kReceiveBurst> data_{};
  alignas(cmsghdr) std::array<std::array<std::uint8_t, 64>, kReceiveBurst> control_{};
};

}  // namespace

class Traffic::Player {
 public:
  Player(const TrafficPlan& plan, const Ends& ends, const std::vector<Call>& calls)
      : plan_(plan),
        ends_(ends),
        calls_(calls),
        sample_every_(std::max<std::size_t>(calls.size() / kSampledCalls, 1)),
        sent_at_(calls.size() * 2 * packets()),
        heard_(sent_at_.size()) {
    for (std::uint32_t call = 0; call < calls.size(); ++call) {
      for (std::uint32_t side = 0; side < 2; ++side) {
        trains_.emplace_back(call * 2 + side, packets(), plan.packet_bytes,
                             calls[call].leg[side].ours);
      }
    }
    delay_us_.reserve(sent_at_.size());
    std::mt19937 random(kPhaseSeed);
    std::uniform_int_distribution<std::int64_t> phase(0, kPacketNs - 1);
    for (std::uint32_t train = 0; train < trains_.size(); ++train) {
      order_.push_back({phase(random), train});
    }
    std::sort(order_.begin(), order_.end());
  }

  std::uint64_t unread() const { return ends_.unread(); }

  TrafficResult run(const std::function<void()>& on_begin, const std::function<void()>& on_end) {
    for (std::size_t train = 0; train < trains_.size(); ++train) {
      const std::size_t side = train % 2;
      to_.push_back(address_of(plan_.relay_address[side], calls_[train / 2].leg[side].relay_port));
    }
    const std::int64_t start = now_ns() + kPacketNs;
    for (std::uint32_t index = 0; index < packets(); ++index) {
      if (index == first_measured()) on_begin();
      for (const auto& [phase, train] : order_) {
        const std::int64_t due = start + index * kPacketNs + phase;
        if (now_ns() < due) flush();
        while (now_ns() < due) hear();
        queue(train, index, due);
      }
    }
    flush();
    hear_for(kLastPacketNs);
    on_end();
    hear_for(kTailNs);
    return result();
  }

 private:
  std::uint32_t packets() const {
    return static_cast<std::uint32_t>((plan_.seconds + plan_.warm_up_seconds) *
                                      (1'000'000'000 / kPacketNs));
  }
  std::uint32_t first_measured() const {
    return static_cast<std::uint32_t>(plan_.warm_up_seconds * (1'000'000'000 / kPacketNs));
  }

  void hear_for(std::int64_t duration_ns) {
    for (const std::int64_t end = now_ns() + duration_ns; now_ns() < end;) hear();
  }

  void queue(std::uint32_t train, std::uint32_t index, std::int64_t due) {
    SendQueue& queue = queue_[train % 2];
    const std::size_t at = queue.size++;
    const auto packet = trains_[train].packet(index);
    queue.vector[at] = {const_cast<std::uint8_t*>(packet.data()), packet.size()};
    msghdr& header = queue.message[at].msg_hdr;
    header = {};
    header.msg_name = &to_[train];
    header.msg_namelen = sizeof to_[train];
    header.msg_iov = &queue.vector[at];
    header.msg_iovlen = 1;
    queue.packet[at] = std::size_t{train} * packets() + index;
    if (index >= first_measured() && now_ns() - due > kLateNs) ++sent_late_;
    if (queue.size < kSendBurst) return;
    flush();
    hear();
  }

  void flush() {
    for (std::size_t side = 0; side < 2; ++side) {
      SendQueue& queue = queue_[side];
      const std::int64_t now = now_ns();
      for (std::size_t i = 0; i < queue.size; ++i) sent_at_[queue.packet[i]] = now;
      for (std::size_t done = 0; done < queue.size;) {
        const int n = sendmmsg(ends_.fd[side], queue.message.data() + done,
                               static_cast<unsigned>(queue.size - done), 0);
        if (n <= 0) give_up("send");
        done += static_cast<std::size_t>(n);
      }
      queue.size = 0;
    }
  }

  void hear() {
    for (std::uint32_t side = 0; side < 2; ++side) {
      listener_.receive(ends_.fd[side], [&](const auto* data, auto length, auto arrival) {
        note(side, data, length, arrival);
      });
    }
  }

  // Header fields are in the clear in SRTP too: SSRC names call and sender, SEQ the packet.
  void note(std::uint32_t side, const std::uint8_t* data, std::uint32_t length,
            std::int64_t arrival) {
    std::uint32_t train = 0;
    if (length >= 12) std::memcpy(&train, data + 8, 4);
    train = ntohl(train);
    const auto index = static_cast<std::uint16_t>(
        static_cast<std::uint16_t>((data[2] << 8) | data[3]) - kFirstSequence);
    if (length < 12 || train >= trains_.size() || train % 2 == side || index >= packets()) {
      ++foreign_;
      return;
    }
    const std::uint32_t call = train / 2;
    if (call % sample_every_ == 0 && call / sample_every_ < kSampledCalls) {
      samples_[train].emplace_back(data, data + length);
    }
    if (index < first_measured()) return;
    const std::size_t packet = std::size_t{train} * packets() + index;
    if (heard_[packet]) {
      ++duplicates_;
      return;
    }
    heard_[packet] = true;
    delay_us_.push_back(static_cast<float>(arrival - sent_at_[packet]) / 1000.0F);
  }

  TrafficResult result() {
    TrafficResult out;
    out.sent = std::uint64_t{packets() - first_measured()} * trains_.size();
    out.received = delay_us_.size();
    out.duplicates = duplicates_;
    out.foreign = foreign_;
    out.sent_late_share = static_cast<double>(sent_late_) / static_cast<double>(out.sent);
    for (const auto& [train, packets_heard] : samples_) {
      out.checked += packets_heard.size();
      // What side A sent reaches side B under the relay's key for side B.
      out.bad += count_bad(packets_heard, calls_[train / 2].leg[1 - train % 2].relays);
    }
    std::sort(delay_us_.begin(), delay_us_.end());
    out.delay_p50_us = delay_at(0.5);
    out.delay_p99_us = delay_at(0.99);
    out.delay_p999_us = delay_at(0.999);
    out.too_late = static_cast<std::uint64_t>(
        delay_us_.end() - std::upper_bound(delay_us_.begin(), delay_us_.end(), kUselessUs));
    return out;
  }

  double delay_at(double share) const {
    if (delay_us_.empty()) return 0;
    const double last = static_cast<double>(delay_us_.size() - 1);
    return double{delay_us_[static_cast<std::size_t>(share * last)]};
  }

  const TrafficPlan& plan_;
  const Ends& ends_;
  const std::vector<Call>& calls_;
  const std::size_t sample_every_;
  std::vector<PacketTrain> trains_;                            // by call * 2 + side
  std::vector<sockaddr_in> to_;                                // by train
  std::vector<std::pair<std::int64_t, std::uint32_t>> order_;  // phase within 20 ms, train
  std::vector<std::int64_t> sent_at_;                          // by train, packet
  std::vector<bool> heard_;                                    // by train, packet
  std::vector<float> delay_us_;
  std::map<std::uint32_t, std::vector<std::vector<std::uint8_t>>> samples_;
  std::uint64_t sent_late_ = 0;
  std::uint64_t duplicates_ = 0;
  std::uint64_t foreign_ = 0;
  std::array<SendQueue, 2> queue_;
  Listener listener_;
};

Ends::Ends(const std::array<std::string, 2>& address) {
  for (unsigned side = 0; side < 2; ++side) {
    fd[side] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int bytes = 16 << 20;
    const int on = 1;
    setsockopt(fd[side], SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    setsockopt(fd[side], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    setsockopt(fd[side], SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    sockaddr_in local = address_of(address[side], 0);
    socklen_t length = sizeof local;
    if (bind(fd[side], reinterpret_cast<sockaddr*>(&local), length) != 0 ||
        getsockname(fd[side], reinterpret_cast<sockaddr*>(&local), &length) != 0) {
      give_up(address[side].c_str());
    }
    port[side] = ntohs(local.sin_port);
  }
}

Ends::~Ends() {
  for (const int one : fd) close(one);
}

std::uint64_t Ends::unread() const {
  std::uint64_t drops = 0;
  for (const int one : fd) {
    std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
    socklen_t size = sizeof memory;
    if (getsockopt(one, SOL_SOCKET, SO_MEMINFO, memory.data(), &size) != 0) give_up("SO_MEMINFO");
    drops += memory[SK_MEMINFO_DROPS];
  }
  return drops;
}

Traffic::Traffic(const TrafficPlan& plan, const Ends& ends, const std::vector<Call>& calls)
    : player_(std::make_unique<Player>(plan, ends, calls)) {}

Traffic::~Traffic() = default;

TrafficResult Traffic::play(const std::function<void()>& on_begin,
                            const std::function<void()>& on_end) {
  TrafficResult result = player_->run(on_begin, on_end);
  result.unread = player_->unread();
  return result;
}

}  // namespace turnpike::bench
