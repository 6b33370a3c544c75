#include "bench/load/traffic.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>

#include <arpa/inet.h>

#include "bench/load/ends.h"
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
constexpr std::int64_t kNapNs = 200'000;           // at the end, where the core is shared
constexpr std::size_t kSendBurst = 8;              // small: a burst shares one time stamp
constexpr std::uint32_t kSampledCalls = 8;
constexpr unsigned kPhaseSeed = 20;  // the same phases in every run

// Messages of one sendmmsg() to one side.
struct SendQueue {
  std::size_t size = 0;
  std::array<mmsghdr, kSendBurst> message{};
  std::array<std::array<iovec, 3>, kSendBurst> pieces{};  // header, packet, padding
  std::array<SourceAddress, kSendBurst> source{};
  std::array<std::size_t, kSendBurst> packet{};  // index into sent_at_
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
      const Leg& leg = calls_[train / 2].leg[side];
      to_.push_back(address_of(plan_.relay_address[side], leg.relay_port));
      if (leg.relay_ip != 0) to_.back().sin_addr.s_addr = leg.relay_ip;
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
          while (now_ns() < due) {
            hear();
            if (plan_.shares_core) sleep_until(due);
          }
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
    for (const std::int64_t end = now_ns() + duration_ns; now_ns() < end;) {
      hear();
      if (plan_.shares_core) sleep_until(now_ns() + kNapNs);
    }
  }

  void queue(std::uint32_t train, std::uint32_t index, std::int64_t late_ns, const Span& span) {
    SendQueue& queue = queue_[train % 2];
    const std::size_t at = queue.size++;
    write(queue, at, train, index);
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

  void write(SendQueue& queue, std::size_t at, std::uint32_t train, std::uint32_t index) {
    static std::array<std::uint8_t, 3> padding{};
    const auto packet = trains_[train].packet(index);
    const Leg& leg = calls_[train / 2].leg[train % 2];
    const bool padded = train % 2 == 0 && (plan_.framing == Framing::kIndication ||
                                           plan_.transport != Transport::kUdp);
    // An iovec knows no const; sendmmsg(2) writes nothing there.
    const auto piece = [](auto bytes) {
      return iovec{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    };
    queue.pieces[at] = {piece(stun::Bytes(leg.header)), piece(packet),
                        piece(std::span(padding).first(padded ? (4 - packet.size() % 4) % 4 : 0))};
    msghdr& header = queue.message[at].msg_hdr;
    header = {};
    header.msg_name = &to_[train];
    header.msg_namelen = sizeof to_[train];
    const std::size_t first = leg.header.empty() ? 1 : 0;
    header.msg_iov = &queue.pieces[at][first];
    header.msg_iovlen = leg.header.empty() ? 1 : queue.pieces[at].size();
    queue.source[at].put(header, leg.own_ip);
  }

  void flush() {
    for (std::size_t side = 0; side < 2; ++side) {
      SendQueue& queue = queue_[side];
      const std::int64_t now = now_ns();
      for (std::size_t i = 0; i < queue.size; ++i) sent_at_[queue.packet[i]] = now;
      const bool streams = side == 0 && ends_.streams != nullptr;
      for (std::size_t i = 0; streams && i < queue.size; ++i) {
        const msghdr& header = queue.message[i].msg_hdr;
        const Call& call = calls_[queue.packet[i] / packets_ / 2];
        ends_.streams->send(call.leg[0].own_ip, {header.msg_iov, header.msg_iovlen});
      }
      for (std::size_t done = streams ? queue.size : 0; done < queue.size;) {
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
    if (side == 0 && ends_.streams != nullptr) {
      ends_.streams->receive([this](stun::Bytes message, std::uint32_t client) {
        note(0, message, now_ns(), client);
      });
      return;
    }
    listener_.receive(ends_.fd[side], [&](auto datagram, auto arrival, auto destination) {
      note(side, datagram, arrival, destination);
    });
  }

  // Header fields are in the clear in SRTP too: SSRC names call and sender, SEQ the packet.
  void note(std::uint32_t side, stun::Bytes datagram, std::int64_t arrival,
            std::uint32_t destination) {
    const auto framed = unframed(datagram, framing_at(side));
    if (!framed || framed->packet.size() < kRtpHeaderBytes) {
      ++foreign_;
      return;
    }
    const std::uint8_t* const data = framed->packet.data();
    std::uint32_t train = 0;
    std::memcpy(&train, data + 8, 4);
    train = ntohl(train);
    const auto index = static_cast<std::uint16_t>(
        static_cast<std::uint16_t>((data[2] << 8) | data[3]) - kFirstSequence);
    if (train >= trains_.size() || train % 2 == side || index >= packets_ ||
        !belongs_to(train / 2, side, *framed, destination)) {
      ++foreign_;
      return;
    }
    if (is_sample(train / 2)) samples_[train].emplace_back(data, data + framed->packet.size());
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

  Framing framing_at(std::uint32_t side) const {
    return side == 0 ? plan_.framing : Framing::kNone;
  }

  // Whether the datagram came to the address of that call, and is told to be of its peer.
  bool belongs_to(std::uint32_t call, std::uint32_t side, const Framed& framed,
                  std::uint32_t destination) const {
    const Leg& leg = calls_[call].leg[side];
    const stun::Bytes origin = origin_in(leg.header, framing_at(side));
    return (leg.own_ip == 0 || leg.own_ip == destination) &&
           std::equal(origin.begin(), origin.end(), framed.origin.begin(), framed.origin.end());
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
