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
#include "bench/load/schedule.h"
#include "bench/load/srtp_sender.h"

namespace turnpike::bench {
namespace {

constexpr std::int64_t kPreludeNs = 20'000'000;    // from the end of preparations to the first one
constexpr std::int64_t kLateNs = 1'000'000;        // the generator itself was late
constexpr std::int64_t kLastPacketNs = 3'000'000;  // until the relay has sent the last one
constexpr std::int64_t kTailNs = 500'000'000;      // wait for what is still under way
constexpr float kUselessUs = 20'000.0F;            // a jitter buffer would rather not wait longer
constexpr float kLostUs = 100'000.0F;              // to a listener the same as not at all
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

double percentile(const std::vector<float>& sorted, double share) {
  if (sorted.empty()) return 0;
  const double last = static_cast<double>(sorted.size() - 1);
  return double{sorted[static_cast<std::size_t>(share * last)]};
}

std::uint64_t above(const std::vector<float>& sorted, float limit) {
  return static_cast<std::uint64_t>(sorted.end() -
                                    std::upper_bound(sorted.begin(), sorted.end(), limit));
}

}  // namespace

class Traffic::Player {
 public:
  Player(const TrafficPlan& plan, const Ends& ends, const std::vector<Call>& calls)
      : plan_(plan),
        ends_(ends),
        calls_(calls),
        sample_every_(std::max<std::size_t>(calls.size() / kSampledCalls, 1)),
        spans_(spans_of(plan, calls.size() * 2)),
        packets_(spans_.back().begin + spans_.back().count),
        sent_at_(calls.size() * 2 * packets_),
        heard_(sent_at_.size()),
        phases_(plan.phases.size()),
        delay_us_(plan.phases.size()) {
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      span_of_.insert(span_of_.end(), spans_[i].count, static_cast<std::uint8_t>(i));
      if (spans_[i].phase != kWarmUp) {
        delay_us_[spans_[i].phase].reserve(spans_[i].count * calls.size() * 2);
      }
    }
    make_packets();
    std::mt19937 random(kPhaseSeed);
    std::uniform_real_distribution<double> share(0, 1);
    for (std::uint32_t train = 0; train < trains_.size(); ++train) {
      order_.push_back({share(random), train});
    }
    std::sort(order_.begin(), order_.end());
  }

  std::uint64_t unread() const { return ends_.unread(); }

  TrafficResult run(const std::function<void(std::size_t)>& on_phase,
                    const std::function<void()>& on_end) {
    for (std::size_t train = 0; train < trains_.size(); ++train) {
      const std::size_t side = train % 2;
      to_.push_back(address_of(plan_.relay_address[side], calls_[train / 2].leg[side].relay_port));
    }
    std::int64_t planned = now_ns() + kPreludeNs;
    for (const Span& span : spans_) {
      if (span.phase != kWarmUp) on_phase(span.phase);
      // Who could not keep up with a phase does not owe its packets to the next one.
      const std::int64_t begin = std::max(planned, now_ns());
      play(span, begin);
      planned = begin + static_cast<std::int64_t>(span.interval_ns * span.count);
    }
    hear_for(kLastPacketNs);
    on_end();
    hear_for(kTailNs);
    return result();
  }

 private:
  void make_packets() {
    for (std::uint32_t train = 0; train < calls_.size() * 2; ++train) {
      const auto& key = calls_[train / 2].leg[train % 2].ours;
      trains_.emplace_back(train, packets_, plan_.packet_bytes, key);
      if (is_sample(train / 2) && !trains_.back().library_agrees(key)) {
        std::fprintf(stderr, "turnpike_load: libsrtp2 refuses the packets made for %s\n",
                     key ? key->suite.c_str() : "RTP");
        std::exit(1);
      }
    }
  }

  bool is_sample(std::uint32_t call) const {
    return call % sample_every_ == 0 && call / sample_every_ < kSampledCalls;
  }

  void play(const Span& span, std::int64_t begin) {
    for (std::uint32_t i = 0; i < span.count; ++i) {
      for (const auto& [share, train] : order_) {
        const std::int64_t due = begin + static_cast<std::int64_t>((i + share) * span.interval_ns);
        const std::int64_t now = now_ns();
        if (now < due) {
          flush();
          while (now_ns() < due) hear();
        }
        queue(train, span.begin + i, now - due, span);
      }
    }
    flush();
    if (span.phase == kWarmUp) return;
    const auto lasted = static_cast<double>(now_ns() - begin);
    phases_[span.phase].sent_per_second =
        static_cast<double>(span.count * trains_.size()) * static_cast<double>(kSecondNs) / lasted;
  }

  void hear_for(std::int64_t duration_ns) {
    for (const std::int64_t end = now_ns() + duration_ns; now_ns() < end;) hear();
  }

  void queue(std::uint32_t train, std::uint32_t index, std::int64_t late_ns, const Span& span) {
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
    queue.packet[at] = std::size_t{train} * packets_ + index;
    if (span.phase != kWarmUp) {
      PhaseResult& phase = phases_[span.phase];
      ++phase.sent;
      phase.first_second_sent += index - span.begin < span.first_second ? 1 : 0;
      phase.sent_late_share += late_ns > kLateNs ? 1 : 0;  // a count until result()
    }
    if (queue.size < kSendBurst) return;
    flush();
    hear(listening_side_);  // half as many calls while there is no time to lose
    listening_side_ = 1 - listening_side_;
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
    hear(0);
    hear(1);
  }

  void hear(std::uint32_t side) {
    listener_.receive(ends_.fd[side], [&](const auto* data, auto length, auto arrival) {
      note(side, data, length, arrival);
    });
  }

  // Header fields are in the clear in SRTP too: SSRC names call and sender, SEQ the packet.
  void note(std::uint32_t side, const std::uint8_t* data, std::uint32_t length,
            std::int64_t arrival) {
    std::uint32_t train = 0;
    if (length >= kRtpHeaderBytes) std::memcpy(&train, data + 8, 4);
    train = ntohl(train);
    const auto index = static_cast<std::uint16_t>(
        static_cast<std::uint16_t>((data[2] << 8) | data[3]) - kFirstSequence);
    if (length < kRtpHeaderBytes || train >= trains_.size() || train % 2 == side ||
        index >= packets_) {
      ++foreign_;
      return;
    }
    if (is_sample(train / 2)) samples_[train].emplace_back(data, data + length);
    const Span& span = spans_[span_of_[index]];
    if (span.phase == kWarmUp) return;
    const std::size_t packet = std::size_t{train} * packets_ + index;
    if (heard_[packet]) {
      ++duplicates_;
      return;
    }
    heard_[packet] = true;
    const float delay_us = static_cast<float>(arrival - sent_at_[packet]) / 1000.0F;
    delay_us_[span.phase].push_back(delay_us);
    if (index - span.begin >= span.first_second) return;
    ++phases_[span.phase].first_second_received;
    phases_[span.phase].first_second_late += delay_us > kLostUs ? 1 : 0;
  }

  TrafficResult result() {
    TrafficResult out;
    out.duplicates = duplicates_;
    out.foreign = foreign_;
    for (const auto& [train, packets_heard] : samples_) {
      out.checked += packets_heard.size();
      // What side A sent reaches side B under the relay's key for side B.
      out.bad += count_bad(packets_heard, calls_[train / 2].leg[1 - train % 2].relays);
    }
    std::vector<float> all;
    for (std::size_t i = 0; i < phases_.size(); ++i) {
      PhaseResult& phase = phases_[i];
      std::vector<float>& delays = delay_us_[i];
      std::sort(delays.begin(), delays.end());
      phase.received = delays.size();
      phase.late = above(delays, kLostUs);
      phase.delay_p50_us = percentile(delays, 0.5);
      phase.delay_p99_us = percentile(delays, 0.99);
      out.sent += phase.sent;
      out.received += phase.received;
      out.late += phase.late;
      out.sent_late_share += phase.sent_late_share;
      phase.sent_late_share /= static_cast<double>(phase.sent);
      all.insert(all.end(), delays.begin(), delays.end());
    }
    out.sent_late_share /= static_cast<double>(out.sent);
    std::sort(all.begin(), all.end());
    out.delay_p50_us = percentile(all, 0.5);
    out.delay_p99_us = percentile(all, 0.99);
    out.delay_p999_us = percentile(all, 0.999);
    out.too_late = above(all, kUselessUs);
    out.phases = phases_;
    return out;
  }

  const TrafficPlan& plan_;
  const Ends& ends_;
  const std::vector<Call>& calls_;
  const std::size_t sample_every_;
  const std::vector<Span> spans_;
  const std::uint32_t packets_;                          // of each train
  std::vector<std::uint8_t> span_of_;                    // by index of the packet
  std::vector<PacketTrain> trains_;                      // by call * 2 + side
  std::vector<sockaddr_in> to_;                          // by train
  std::vector<std::pair<double, std::uint32_t>> order_;  // share of the interval, train
  std::vector<std::int64_t> sent_at_;                    // by train, packet
  std::vector<bool> heard_;                              // by train, packet
  std::vector<PhaseResult> phases_;
  std::vector<std::vector<float>> delay_us_;  // by phase
  std::map<std::uint32_t, std::vector<std::vector<std::uint8_t>>> samples_;
  std::uint64_t duplicates_ = 0;
  std::uint64_t foreign_ = 0;
  std::array<SendQueue, 2> queue_;
  std::uint32_t listening_side_ = 0;
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

TrafficResult Traffic::play(const std::function<void(std::size_t)>& on_phase,
                            const std::function<void()>& on_end) {
  TrafficResult result = player_->run(on_phase, on_end);
  result.unread = player_->unread();
  return result;
}

}  // namespace turnpike::bench
