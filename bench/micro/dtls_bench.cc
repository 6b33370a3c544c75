// Processor time of the DTLS-SRTP handshake engine for one full handshake, by role, and the heap
// that associations hold. The other end is another engine, whose time is not counted.
#include <cstdint>
#include <deque>
#include <vector>

#include <benchmark/benchmark.h>
#include <malloc.h>
#include <time.h>

#include "relay/dtls/handshakes.h"

namespace turnpike {
namespace {

const SocketAddress kClient = {IpAddress::v4(192, 0, 2, 1), 4000};
const SocketAddress kServer = {IpAddress::v4(192, 0, 2, 2), 4000};
constexpr Instant kNow = Instant{} + Seconds{1000};

double thread_cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

class End final : public HandshakeSink {
 public:
  explicit End(DtlsRole role) : identity(handshakes.add_identity()) {
    config.enabled = true;
    config.role = role;
    config.identity = identity.id;
  }
  void send(const LegKey&, const SocketAddress&, std::span<const std::uint8_t> bytes) override {
    sent.emplace_back(bytes.begin(), bytes.end());
  }
  void established(const LegKey&, std::uint32_t, const SocketAddress&, const SrtpKeying&,
                   const SrtpKeying&) override {
    ++completed;
  }
  void changed(const LegKey&, std::uint32_t, DtlsState, DtlsFailure, const DtlsFlights&) override {}
  void goodbyes(const LegKey&, std::span<const Goodbye>) override {}

  void open(const LegKey& leg, const SocketAddress& peer) {
    const double begin = thread_cpu_seconds();
    handshakes.update(leg, config, peer, kNow, *this);
    used_seconds += thread_cpu_seconds() - begin;
  }
  void take(const LegKey& leg, End& from, const SocketAddress& source) {
    while (!from.sent.empty()) {
      const double begin = thread_cpu_seconds();
      handshakes.handle(leg, source, true, from.sent.front(), kNow, *this);
      used_seconds += thread_cpu_seconds() - begin;
      from.sent.pop_front();
    }
  }

  Handshakes handshakes{HandshakeLimits{.half_open_max = 100000, .lingering_max = 100000}};
  DtlsIdentity identity;
  DtlsConfig config;
  std::deque<std::vector<std::uint8_t>> sent;
  std::size_t completed = 0;
  double used_seconds = 0;
};

struct Ends {
  Ends() {
    client.config.remote = server.identity.fingerprint;
    server.config.remote = client.identity.fingerprint;
  }
  void open(const LegKey& leg) {
    server.open(leg, kClient);
    client.open(leg, kServer);
  }
  void finish(const LegKey& leg) {
    for (int round = 0; round < 4; ++round) {
      server.take(leg, client, kClient);
      client.take(leg, server, kServer);
    }
  }
  void close(const LegKey& leg) {
    server.handshakes.close(leg, server);
    client.handshakes.close(leg, client);
    server.sent.clear();
    client.sent.clear();
  }
  End client{DtlsRole::kActive};
  End server{DtlsRole::kPassive};
};

void handshake(benchmark::State& state, DtlsRole role) {
  Ends ends;
  End& measured = role == DtlsRole::kActive ? ends.client : ends.server;
  std::uint32_t generation = 0;
  for (auto _ : state) {
    const LegKey leg = {0, 1, ++generation, Side::kA};
    measured.used_seconds = 0;
    ends.open(leg);
    ends.finish(leg);
    state.SetIterationTime(measured.used_seconds);
    ends.close(leg);
  }
  if (measured.completed != generation) state.SkipWithError("a handshake did not complete");
}

/// Bytes of heap for each association of both ends together, halved.
void association_memory(benchmark::State& state, bool half_open) {
  constexpr std::uint32_t kLegs = 500;
  for (auto _ : state) {
    Ends ends;
    const std::size_t before = mallinfo2().uordblks;
    for (std::uint32_t i = 0; i < kLegs; ++i) {
      const LegKey leg = {0, i, 1, Side::kA};
      ends.open(leg);
      if (half_open) {
        ends.server.take(leg, ends.client, kClient);
        ends.server.sent.clear();
      } else {
        ends.finish(leg);
      }
    }
    const std::size_t held = mallinfo2().uordblks - before;
    state.counters["bytes_each"] = static_cast<double>(held) / (2.0 * kLegs);
  }
}

BENCHMARK_CAPTURE(handshake, passive, DtlsRole::kPassive)->UseManualTime();
BENCHMARK_CAPTURE(handshake, active, DtlsRole::kActive)->UseManualTime();
BENCHMARK_CAPTURE(association_memory, half_open, true)->Iterations(1);
BENCHMARK_CAPTURE(association_memory, lingering, false)->Iterations(1);

}  // namespace
}  // namespace turnpike
