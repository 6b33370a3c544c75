// Packets and deadlines must not allocate: the program counts its own calls of operator new.
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "tests/support/ice_fixture.h"

namespace {

std::size_t allocations = 0;

}  // namespace

// Not inlined: the compiler would see memory of malloc in a delete, or of new in a free.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  void* memory = std::malloc(bytes);
  if (memory == nullptr) std::abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace turnpike::test {
namespace {

struct Discard : ice::Sink {
  void send(const Send&) override { ++sends; }
  void selected(const SocketTag&, const SocketAddress&) override { ++selections; }
  void changed(const SocketTag&, IceState) override {}
  int sends = 0;
  int selections = 0;
};

TEST(IceAllocation, packets_and_deadlines_do_not_allocate) {
  IceFixture leg;
  leg.candidate(leg.near, 100);
  leg.alive = {leg.near};
  leg.update();
  leg.run(Seconds(1));
  Discard sink;
  IceBytes named = write_ice_check(leg.check());
  IceCheck nominating = leg.check();
  nominating.use_candidate = true;
  IceBytes nomination = write_ice_check(nominating);
  IceBytes garbage = nomination;
  garbage[30] ^= 1;
  Instant now = leg.now;
  const std::size_t before = allocations;
  for (int i = 0; i < 1000; ++i) {
    for (IceBytes* bytes : {&named, &nomination, &garbage}) {
      Packet packet;
      packet.data = bytes->data();
      packet.length = static_cast<std::uint32_t>(bytes->size());
      packet.source = bytes == &named ? leg.far : leg.near;
      packet.source.port = static_cast<std::uint16_t>(packet.source.port + i % 10);
      packet.tag = IceFixture::kLeg;
      leg.engine().handle(now, packet, sink);
    }
    now += Milliseconds(30);
    leg.engine().on_deadline(now, sink);
  }
  EXPECT_EQ(allocations, before);
  EXPECT_GT(sink.sends, 2000);
  EXPECT_GT(sink.selections, 0);
}

}  // namespace
}  // namespace turnpike::test
