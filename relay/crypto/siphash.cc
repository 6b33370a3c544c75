#include "relay/crypto/siphash.h"

#include <bit>
#include <cstddef>

namespace turnpike {
namespace {

std::uint64_t read_le(const std::uint8_t* from, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value |= std::uint64_t{from[i]} << (8 * i);
  return value;
}

struct State {
  std::uint64_t a, b, c, d;

  void round() {
    a += b;
    c += d;
    b = std::rotl(b, 13) ^ a;
    d = std::rotl(d, 16) ^ c;
    a = std::rotl(a, 32);
    c += b;
    a += d;
    b = std::rotl(b, 17) ^ c;
    d = std::rotl(d, 21) ^ a;
    c = std::rotl(c, 32);
  }
  void absorb(std::uint64_t word) {
    d ^= word;
    round();
    round();
    a ^= word;
  }
};

}  // namespace

std::uint64_t siphash_2_4(const SipHashKey& key, std::span<const std::uint8_t> message) {
  const std::uint64_t k0 = read_le(key.data(), 8);
  const std::uint64_t k1 = read_le(key.data() + 8, 8);
  // "somepseudorandomlygeneratedbytes", as the definition has it.
  State state{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
              k1 ^ 0x7465646279746573};
  const std::size_t whole = message.size() / 8 * 8;
  for (std::size_t i = 0; i < whole; i += 8) state.absorb(read_le(message.data() + i, 8));
  const std::uint64_t length = message.size() & 0xff;
  state.absorb(read_le(message.data() + whole, message.size() - whole) | (length << 56));
  state.c ^= 0xff;
  for (int i = 0; i < 4; ++i) state.round();
  return state.a ^ state.b ^ state.c ^ state.d;
}

}  // namespace turnpike
