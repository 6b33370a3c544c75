// Nanoseconds per packet of the SRTP transform, with libsrtp2 as packaged beside it.
// Each stream has its own key; packets go round all streams, as they do in a relay.
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <srtp2/srtp.h>
#include <time.h>

#include "relay/core/bytes.h"
#include "relay/crypto/srtp_backend.h"

namespace turnpike {
namespace {

constexpr std::size_t kBatchPacketsMax = 64;
constexpr std::size_t kBufferBytes = 2048;

using MakeBackend = std::unique_ptr<SrtpBackend> (*)(std::size_t cache_slots);

template <IpsecMbLevel level>
std::unique_ptr<SrtpBackend> ipsec_mb(std::size_t cache_slots) {
  return make_ipsec_mb_backend(cache_slots, level);
}

SrtpKeying keying_of(SrtpSuite suite, std::size_t stream) {
  SrtpKeying keying;
  keying.suite = suite;
  for (std::size_t i = 0; i < keying.master_key.size(); ++i) {
    keying.master_key[i] = static_cast<std::uint8_t>(i * 31 + stream + (stream >> 8) * 7);
  }
  return keying;
}

double thread_cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Times the transform alone, in processor time: filling the batch is not what is measured.
template <class Work>
void timed(benchmark::State& state, Work work) {
  const double begin = thread_cpu_seconds();
  work();
  state.SetIterationTime(thread_cpu_seconds() - begin);
}

void report(benchmark::State& state, std::size_t packets_per_iteration, std::size_t refused) {
  if (refused != 0) {
    state.SkipWithError("a packet was refused");
  }
  state.counters["per_packet"] = benchmark::Counter(
      static_cast<double>(packets_per_iteration),
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void write_rtp(std::uint8_t* packet, std::size_t bytes, std::uint16_t sequence) {
  std::memset(packet, 0x55, bytes);
  packet[0] = 0x80;
  write_be16(packet + 2, sequence);
  write_be32(packet + 8, 0x1234);
}

/// Contexts and stream states lie flat, as in a shard's arena.
class Streams {
 public:
  Streams(MakeBackend make, SrtpSuite suite, std::size_t count)
      : contexts_(count), send_(count), receive_(count), transform_(count, make(count)) {
    for (std::size_t i = 0; i < count; ++i) {
      derive_srtp_context(keying_of(suite, i), contexts_[i]);
    }
    buffers_.resize(kBatchPacketsMax * kBufferBytes);
    jobs_.resize(kBatchPacketsMax);
  }

  void point(std::size_t place, std::size_t stream, std::size_t bytes) {
    SrtpJob& job = jobs_[place];
    job.data = buffer(place);
    job.length = static_cast<std::uint32_t>(bytes);
    job.capacity = kBufferBytes;
    job.cache_slot = static_cast<std::uint32_t>(stream);
    job.context = &contexts_[stream];
    job.send = &send_[stream];
    job.receive = &receive_[stream];
  }

  std::uint8_t* buffer(std::size_t place) { return buffers_.data() + place * kBufferBytes; }
  std::span<SrtpJob> jobs(std::size_t count) { return {jobs_.data(), count}; }
  SrtpTransform& transform() { return transform_; }
  std::size_t size() const { return contexts_.size(); }
  SrtpReceiveStream& receive(std::size_t stream) { return receive_[stream]; }

 private:
  std::vector<SrtpContext> contexts_;
  std::vector<SrtpSendStream> send_;
  std::vector<SrtpReceiveStream> receive_;
  std::vector<std::uint8_t> buffers_;
  std::vector<SrtpJob> jobs_;
  SrtpTransform transform_;
};

void protect(benchmark::State& state, MakeBackend make, SrtpSuite suite) {
  Streams streams(make, suite, static_cast<std::size_t>(state.range(1)));
  const auto batch = static_cast<std::size_t>(state.range(2));
  const auto bytes = static_cast<std::size_t>(state.range(0));
  std::size_t stream = 0;
  std::uint16_t sequence = 0;
  for (std::size_t i = 0; i < batch; ++i) {
    write_rtp(streams.buffer(i), bytes, 0);
  }
  std::size_t refused = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < batch; ++i) {
      streams.point(i, stream, bytes);
      write_be16(streams.buffer(i) + 2, sequence);
      if (++stream == streams.size()) {
        stream = 0;
        ++sequence;
      }
    }
    timed(state, [&] { streams.transform().protect(streams.jobs(batch)); });
    for (const SrtpJob& job : streams.jobs(batch)) {
      refused += job.status != SrtpStatus::kOk ? 1U : 0U;
    }
  }
  report(state, batch, refused);
}

/// Encrypted packets for every stream are made ahead; the receive state is put back so that the
/// same packets are fresh again.
void unprotect(benchmark::State& state, MakeBackend make, SrtpSuite suite) {
  Streams streams(make, suite, static_cast<std::size_t>(state.range(1)));
  const auto batch = static_cast<std::size_t>(state.range(2));
  const auto bytes = static_cast<std::size_t>(state.range(0));
  const std::size_t stride = bytes + kSrtpTrailerBytesMax;
  std::vector<std::uint8_t> wire(streams.size() * stride);
  std::vector<std::uint32_t> lengths(streams.size());
  for (std::size_t i = 0; i < streams.size(); ++i) {
    write_rtp(streams.buffer(0), bytes, 1);
    streams.point(0, i, bytes);
    streams.transform().protect(streams.jobs(1));
    lengths[i] = streams.jobs(1)[0].length;
    std::memcpy(wire.data() + i * stride, streams.buffer(0), lengths[i]);
  }
  std::size_t stream = 0;
  std::size_t refused = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < batch; ++i) {
      streams.point(i, stream, lengths[stream]);
      std::memcpy(streams.buffer(i), wire.data() + stream * stride, lengths[stream]);
      streams.receive(stream) = SrtpReceiveStream{};
      stream = stream + 1 == streams.size() ? 0 : stream + 1;
    }
    timed(state, [&] { streams.transform().unprotect(streams.jobs(batch)); });
    for (const SrtpJob& job : streams.jobs(batch)) {
      refused += job.status != SrtpStatus::kOk ? 1U : 0U;
    }
  }
  report(state, batch, refused);
}

void derive(benchmark::State& state, SrtpSuite suite) {
  const SrtpKeying keying = keying_of(suite, 1);
  SrtpContext context;
  for (auto _ : state) {
    benchmark::DoNotOptimize(derive_srtp_context(keying, context));
  }
}

void rtcp(benchmark::State& state, MakeBackend make, SrtpSuite suite) {
  Streams streams(make, suite, static_cast<std::size_t>(state.range(1)));
  const auto batch = static_cast<std::size_t>(state.range(2));
  const auto bytes = static_cast<std::size_t>(state.range(0));
  std::size_t stream = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < batch; ++i) {
      streams.point(i, stream, bytes);
      streams.jobs(batch)[i].rtcp = true;
      stream = stream + 1 == streams.size() ? 0 : stream + 1;
    }
    timed(state, [&] { streams.transform().protect(streams.jobs(batch)); });
  }
  report(state, batch, 0);
}

/// One libsrtp2 session per stream. Only small numbers of streams: as packaged by Debian (built
/// on NSS) its cost per packet grows with the number of sessions.
class LibSrtpSessions {
 public:
  LibSrtpSessions(SrtpSuite suite, std::size_t count, bool sending) : sessions_(count) {
    static const bool started = srtp_library_available(SrtpLibrary::kLibsrtp2);
    for (std::size_t i = 0; started && i < count; ++i) {
      const SrtpKeying keying = keying_of(suite, i);
      const SrtpSuiteInfo& info = info_of(suite);
      std::vector<std::uint8_t> key(keying.master_key.begin(),
                                    keying.master_key.begin() + info.key_bytes);
      key.insert(key.end(), keying.master_salt.begin(),
                 keying.master_salt.begin() + info.salt_bytes);
      srtp_policy_t policy{};
      const auto set = [suite](srtp_crypto_policy_t* crypto) {
        suite == SrtpSuite::kAesCm128HmacSha1_80 ? srtp_crypto_policy_set_rtp_default(crypto)
        : suite == SrtpSuite::kAesCm256HmacSha1_80
            ? srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(crypto)
        : suite == SrtpSuite::kAeadAes128Gcm ? srtp_crypto_policy_set_aes_gcm_128_16_auth(crypto)
                                             : srtp_crypto_policy_set_aes_gcm_256_16_auth(crypto);
      };
      set(&policy.rtp);
      set(&policy.rtcp);
      policy.ssrc.type = sending ? ssrc_any_outbound : ssrc_any_inbound;
      policy.window_size = 128;
      policy.key = key.data();
      srtp_create(&sessions_[i], &policy);
    }
  }
  ~LibSrtpSessions() {
    for (srtp_t session : sessions_) {
      srtp_dealloc(session);
    }
  }
  LibSrtpSessions(const LibSrtpSessions&) = delete;
  LibSrtpSessions& operator=(const LibSrtpSessions&) = delete;

  srtp_t operator[](std::size_t stream) const { return sessions_[stream]; }
  std::size_t size() const { return sessions_.size(); }

 private:
  std::vector<srtp_t> sessions_;
};

void libsrtp_protect(benchmark::State& state, SrtpSuite suite) {
  const LibSrtpSessions sessions(suite, static_cast<std::size_t>(state.range(1)), true);
  const auto bytes = static_cast<std::size_t>(state.range(0));
  std::vector<std::uint32_t> buffer(kBufferBytes / 4);
  auto* packet = static_cast<std::uint8_t*>(static_cast<void*>(buffer.data()));
  write_rtp(packet, bytes, 0);
  std::size_t stream = 0;
  std::uint16_t sequence = 0;
  std::size_t refused = 0;
  for (auto _ : state) {
    write_be16(packet + 2, sequence);
    int length = static_cast<int>(bytes);
    refused += srtp_protect(sessions[stream], packet, &length) != srtp_err_status_ok ? 1U : 0U;
    if (++stream == sessions.size()) {
      stream = 0;
      ++sequence;
    }
  }
  report(state, 1, refused);
}

void libsrtp_unprotect(benchmark::State& state, SrtpSuite suite) {
  const auto count = static_cast<std::size_t>(state.range(1));
  const LibSrtpSessions senders(suite, count, true);
  const LibSrtpSessions receivers(suite, count, false);
  const auto bytes = static_cast<std::size_t>(state.range(0));
  std::vector<std::uint32_t> buffer(kBufferBytes / 4);
  auto* packet = static_cast<std::uint8_t*>(static_cast<void*>(buffer.data()));
  std::size_t stream = 0;
  std::uint16_t sequence = 0;
  std::size_t refused = 0;
  // A session cannot be put back, so each packet is made while the clock stands.
  constexpr std::size_t kAhead = 512;
  std::vector<std::vector<std::uint8_t>> wire;
  std::vector<std::size_t> owner;
  std::size_t at = 0;
  for (auto _ : state) {
    if (at == wire.size()) {
      state.PauseTiming();
      wire.clear();
      owner.clear();
      at = 0;
      for (std::size_t i = 0; i < kAhead; ++i) {
        write_rtp(packet, bytes, sequence);
        int length = static_cast<int>(bytes);
        srtp_protect(senders[stream], packet, &length);
        wire.emplace_back(packet, packet + length);
        owner.push_back(stream);
        if (++stream == count) {
          stream = 0;
          ++sequence;
        }
      }
      state.ResumeTiming();
    }
    int length = static_cast<int>(wire[at].size());
    refused += srtp_unprotect(receivers[owner[at]], wire[at].data(), &length) != 0 ? 1U : 0U;
    ++at;
  }
  report(state, 1, refused);
}

bool register_all() {
  constexpr std::array<SrtpSuite, 4> kSuites = {
      SrtpSuite::kAesCm128HmacSha1_80, SrtpSuite::kAesCm256HmacSha1_80, SrtpSuite::kAeadAes128Gcm,
      SrtpSuite::kAeadAes256Gcm};
  struct Library {
    const char* name;
    MakeBackend make;
    bool many_streams;
  };
  constexpr std::array<Library, 5> kLibraries = {{
      {"openssl", make_evp_backend, true},
      {"ipsec_mb", ipsec_mb<IpsecMbLevel::kBest>, true},
      {"ipsec_mb_avx2", ipsec_mb<IpsecMbLevel::kAvx2>, true},
      {"ipsec_mb_sse", ipsec_mb<IpsecMbLevel::kSse>, true},
      {"libsrtp2_ciphers", make_libsrtp2_backend, false},
  }};
  for (const SrtpSuite suite : kSuites) {
    const std::string name(info_of(suite).name);
    using Run = void (*)(benchmark::State&, MakeBackend, SrtpSuite);
    for (const Library& library : kLibraries) {
      if (library.make(1) == nullptr) continue;
      const auto add = [&](const std::string& what, Run run) {
        const MakeBackend make = library.make;
        return benchmark::RegisterBenchmark(
                   (what + "/" + library.name + "/" + name).c_str(),
                   [run, make, suite](benchmark::State& state) { run(state, make, suite); })
            ->ArgNames({"bytes", "streams", "batch"})
            ->UseManualTime();
      };
      const std::vector<std::int64_t> streams = library.many_streams
                                                    ? std::vector<std::int64_t>{64, 4000}
                                                    : std::vector<std::int64_t>{64};
      add("srtp_protect", protect)->ArgsProduct({{172, 1200}, streams, {1, 8, 64}});
      add("srtp_unprotect", unprotect)->ArgsProduct({{172, 1200}, streams, {1, 8, 64}});
      add("srtcp_protect", rtcp)->Args({100, streams.back(), 64});
    }
    const auto add = [&](const std::string& what, void (*run)(benchmark::State&, SrtpSuite)) {
      return benchmark::RegisterBenchmark(
                 (what + "/" + name).c_str(),
                 [run, suite](benchmark::State& state) { run(state, suite); })
          ->ArgNames({"bytes", "streams"});
    };
    add("libsrtp_protect", libsrtp_protect)->ArgsProduct({{172, 1200}, {64}});
    add("libsrtp_unprotect", libsrtp_unprotect)->ArgsProduct({{172, 1200}, {64}});
    benchmark::RegisterBenchmark(("srtp_derive/" + name).c_str(),
                                 [suite](auto& state) { derive(state, suite); });
  }
  return true;
}

const bool registered = register_all();

}  // namespace
}  // namespace turnpike
