// Nanoseconds per packet of the media engine, from a received packet to one that is ready to be
// sent: sockets and system calls are not part of it. Packets go round all sessions, as in a relay.
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>
#include <time.h>

#include "relay/core/bytes.h"
#include "relay/media/engine.h"

namespace turnpike {
namespace {

constexpr std::uint32_t kRtpBytes = 172;
constexpr std::uint32_t kGeneration = 1;

SrtpKeying keying_of(std::uint32_t session, std::uint8_t direction) {
  SrtpKeying keying;
  keying.suite = SrtpSuite::kAesCm128HmacSha1_80;
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

/// Sessions whose side A is SRTP or plain and whose side B is plain; both talk to one address.
class Relay {
 public:
  Relay(std::uint32_t sessions, bool secure)
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
        if (secure && side == Side::kA) {
          leg.must_encrypt = true;
          leg.receive = keying_of(slot, 0);
          leg.send = keying_of(slot, 1);
          static_cast<void>(derive_srtp_context(leg.receive, phones_[slot]));
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
    write_be32(packet->data + 8, 0x1234);
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

void forward(benchmark::State& state, bool secure, Side from) {
  Relay relay(static_cast<std::uint32_t>(state.range(0)), secure);
  const auto batch = static_cast<std::size_t>(state.range(1));
  std::size_t lost = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < batch; ++i) relay.receive(from);
    const double begin = thread_cpu_seconds();
    lost += batch - relay.handle();
    state.SetIterationTime(thread_cpu_seconds() - begin);
  }
  if (lost != 0) state.SkipWithError("a packet was not forwarded");
  state.counters["per_packet"] =
      benchmark::Counter(static_cast<double>(batch), benchmark::Counter::kIsIterationInvariantRate |
                                                         benchmark::Counter::kInvert);
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"sessions", "batch"})
      ->ArgsProduct({{64, 1000, 4000}, {1, 8, 64}})
      ->UseManualTime();
}
BENCHMARK_CAPTURE(forward, rtp_to_rtp, false, Side::kA)->Apply(sizes);
BENCHMARK_CAPTURE(forward, srtp_to_rtp, true, Side::kA)->Apply(sizes);
BENCHMARK_CAPTURE(forward, rtp_to_srtp, true, Side::kB)->Apply(sizes);

}  // namespace
}  // namespace turnpike
