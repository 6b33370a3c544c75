// Nanoseconds per packet of the media engine, from a received packet to one that is ready to be
// sent, and of the two first steps on that way: telling what a packet is, finding its stream.
// Sockets and system calls are not part of it; the clock's own cost is taken off.
#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include <benchmark/benchmark.h>
#include <time.h>

#include "relay/core/bytes.h"
#include "relay/media/engine.h"
#include "relay/wire/classify.h"

namespace turnpike {
namespace {

constexpr std::uint32_t kRtpBytes = 172;
constexpr std::uint32_t kGeneration = 1;
constexpr std::uint32_t kSsrc = 0x1234;
constexpr std::size_t kEvictBytes = std::size_t{64} << 20;  // far more than a core's own caches
constexpr std::uint32_t kHotSessions = 16;

/// Which legs are SRTP; the suites of two SRTP legs differ.
enum class Keying { kRtpRtp, kSrtpRtp, kSrtpSrtp };

SrtpKeying keying_of(std::uint32_t session, std::uint8_t direction) {
  SrtpKeying keying;
  keying.suite = direction < 2 ? SrtpSuite::kAesCm128HmacSha1_80 : SrtpSuite::kAesCm128HmacSha1_32;
  for (std::size_t i = 0; i < keying.master_key.size(); ++i) {
    keying.master_key[i] =
        static_cast<std::uint8_t>(i * 31 + session + (session >> 8) * 7 + direction * 101U);
  }
  return keying;
}

SocketAddress remote_of(Side side) {
  return {IpAddress::v4(198, 51, 100, side == Side::kA ? 10 : 20), 5004};
}

double thread_cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// What two calls of the clock add to what lies between them.
double clock_seconds() {
  static const double cost = [] {
    std::array<double, 1001> seen{};
    for (double& one : seen) {
      const double begin = thread_cpu_seconds();
      one = thread_cpu_seconds() - begin;
    }
    std::nth_element(seen.begin(), seen.begin() + seen.size() / 2, seen.end());
    return seen[seen.size() / 2];
  }();
  return cost;
}

/// Seconds of this thread in `work`, without the clock's.
template <typename Work>
double time_of(Work work) {
  const double begin = thread_cpu_seconds();
  work();
  return std::max(thread_cpu_seconds() - begin - clock_seconds(), 0.0);
}

/// Sessions that one engine relays; each side sends from one address.
class Relay {
 public:
  Relay(std::uint32_t sessions, Keying keying)
      : shape_{sessions, sessions * 2, 0, 1, 36000, 59999},
        memory_(media::Arena::bytes_for(shape_)),
        arena_(media::Arena::format(memory_.data(), shape_)),
        engine_(arena_, {}, counters_),
        phones_(sessions),
        phone_streams_(sessions),
        phone_transform_(sessions) {
    for (std::uint32_t slot = 0; slot < sessions; ++slot) {
      engine_.open({slot, kGeneration, Side::kA, Component::kRtp}, MediaKind::kAudio, {}, now_);
      for (const Side side : {Side::kA, Side::kB}) {
        LegConfig leg;
        leg.remote = {remote_of(side), remote_of(side)};
        const bool secure =
            side == Side::kA ? keying != Keying::kRtpRtp : keying == Keying::kSrtpSrtp;
        if (secure) {
          const auto first = static_cast<std::uint8_t>(2 * index_of(side));
          leg.must_encrypt = true;
          leg.receive = keying_of(slot, first);
          leg.send = keying_of(slot, static_cast<std::uint8_t>(first + 1));
          if (side == Side::kA) static_cast<void>(derive_srtp_context(leg.receive, phones_[slot]));
        }
        engine_.update_leg({slot, kGeneration, side, Component::kRtp}, side, leg, now_);
      }
    }
  }

  /// The next packet of the next session, as the phone of `side` sends it.
  void receive(Side side) {
    Packet* packet = batch_.next();
    packet->tag = {session_, kGeneration, side, Component::kRtp};
    packet->source = remote_of(side);
    packet->length = kRtpBytes;
    std::memset(packet->data, 0x55, kRtpBytes);
    packet->data[0] = 0x80;
    packet->data[1] = 8;
    write_be16(packet->data + 2, sequence_);
    write_be32(packet->data + 8, kSsrc);
    if (side == Side::kA && phones_[session_].suite != SrtpSuite::kNone) protect(*packet);
    batch_.commit();
    if (++session_ == phones_.size()) {
      session_ = 0;
      ++sequence_;
    }
  }

  std::size_t handle() {
    engine_.handle(now_, batch_, outbox_, notices_);
    std::size_t forwarded = 0;
    for (const Send& send : outbox_) {
      engine_.sent(send, now_);
      ++forwarded;
    }
    outbox_.clear();
    batch_.clear();
    return forwarded;
  }

  /// The state of side A's stream as the engine comes to it, from what the socket is known by.
  const media::StreamState* find(std::uint32_t slot) {
    const media::SessionState* session = arena_.find(slot, kGeneration);
    if (session == nullptr) return nullptr;
    std::uint32_t index = session->legs[0].first_stream;
    while (index != media::kNoStream && arena_.stream(index).ssrc != kSsrc) {
      index = arena_.stream(index).next;
    }
    return index == media::kNoStream ? nullptr : &arena_.stream(index);
  }

 private:
  void protect(Packet& packet) {
    SrtpJob job;
    job.data = packet.data;
    job.length = packet.length;
    job.capacity = kPayloadBytesMax;
    job.cache_slot = session_;
    job.context = &phones_[session_];
    job.send = &phone_streams_[session_];
    phone_transform_.protect({&job, 1});
    packet.length = job.length;
  }

  media::ArenaShape shape_;
  std::vector<std::uint8_t> memory_;
  media::Arena arena_;
  ShardCounters counters_;
  media::Engine engine_;
  Batch batch_;
  Outbox outbox_;
  media::Notices notices_;
  Instant now_{Seconds(1000)};
  std::vector<SrtpContext> phones_;
  std::vector<SrtpSendStream> phone_streams_;
  SrtpTransform phone_transform_;
  std::uint32_t session_ = 0;
  std::uint16_t sequence_ = 0;
};

void count_packets(benchmark::State& state, std::size_t packets) {
  state.counters["per_packet"] = benchmark::Counter(
      static_cast<double>(packets),
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void forward(benchmark::State& state, Keying keying, Side from) {
  Relay relay(static_cast<std::uint32_t>(state.range(0)), keying);
  const auto batch = static_cast<std::size_t>(state.range(1));
  std::size_t forwarded = 0;
  std::size_t received = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < batch; ++i) relay.receive(from);
    received += batch;
    state.SetIterationTime(time_of([&] { forwarded += relay.handle(); }));
  }
  if (forwarded != received) state.SkipWithError("a packet was not forwarded");
  count_packets(state, batch);
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"sessions", "batch"})
      ->ArgsProduct({{64, 1000, 4000}, {1, 8, 32, 64}})
      ->UseManualTime();
}
BENCHMARK_CAPTURE(forward, rtp_to_rtp, Keying::kRtpRtp, Side::kA)->Apply(sizes);
BENCHMARK_CAPTURE(forward, srtp_to_rtp, Keying::kSrtpRtp, Side::kA)->Apply(sizes);
BENCHMARK_CAPTURE(forward, rtp_to_srtp, Keying::kSrtpRtp, Side::kB)->Apply(sizes);
BENCHMARK_CAPTURE(forward, srtp_to_srtp, Keying::kSrtpSrtp, Side::kA)->Apply(sizes);

void stage_classify(benchmark::State& state) {
  constexpr std::size_t kPackets = 1024;
  std::mt19937 random(1);
  std::array<std::array<std::uint8_t, 2>, kPackets> heads{};
  for (auto& head : heads) {
    head[0] = random() % 64 == 0 ? 0 : 0x80;  // a STUN request now and then
    head[1] = random() % 25 == 0 ? 200 : 8;   // and RTCP
  }
  for (auto _ : state) {
    for (const auto& head : heads) benchmark::DoNotOptimize(classify(head.data(), kRtpBytes));
  }
  count_packets(state, kPackets);
}
BENCHMARK(stage_classify);

// Hot: a few sessions again and again. Cold: each of all sessions once, in no order, after other
// work has taken the caches, as for calls whose packets are 20 ms apart.
void stage_look_up(benchmark::State& state, bool cold) {
  const auto sessions = static_cast<std::uint32_t>(state.range(0));
  Relay relay(sessions, Keying::kRtpRtp);
  std::size_t forwarded = 0;
  for (std::uint32_t i = 0; i < sessions; ++i) {
    relay.receive(Side::kA);
    forwarded += relay.handle();
  }
  if (forwarded != sessions) state.SkipWithError("a packet was not forwarded");
  std::vector<std::uint32_t> order(sessions);
  std::iota(order.begin(), order.end(), 0U);
  if (!cold) {
    for (std::uint32_t& slot : order) slot %= kHotSessions;
  }
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  std::vector<std::uint8_t> other_work(cold ? kEvictBytes : 1);
  std::size_t found = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < other_work.size(); i += 64) ++other_work[i];
    state.SetIterationTime(time_of([&] {
      for (const std::uint32_t slot : order) {
        const media::StreamState* stream = relay.find(slot);
        found += stream != nullptr && stream->packets == 1 ? 1 : 0;
      }
    }));
  }
  if (found != order.size() * state.iterations()) state.SkipWithError("a stream was not found");
  count_packets(state, order.size());
}
BENCHMARK_CAPTURE(stage_look_up, hot, false)->ArgName("sessions")->Arg(4000)->UseManualTime();
BENCHMARK_CAPTURE(stage_look_up, cold, true)->ArgName("sessions")->Arg(4000)->UseManualTime();

}  // namespace
}  // namespace turnpike
