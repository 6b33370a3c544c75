// Runs every fuzz harness over its committed seeds and over deterministic mutations of them, as
// ordinary tests under any compiler. Is not a fuzzer: it looks at no coverage.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/fuzz/harness_table.h"

namespace {

using Input = std::vector<std::uint8_t>;

constexpr std::size_t kMutationsPerHarness = 6000;
constexpr std::size_t kInputBytesMax = 70000;

// SplitMix64: the same sequence everywhere, so that a failure names its round and repeats.
class Sequence {
 public:
  explicit Sequence(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }

 private:
  std::uint64_t state_;
};

std::vector<std::pair<std::string, Input>> seeds_of(const std::string& harness) {
  const std::string stem = harness.substr(0, harness.size() - std::string("_fuzz").size());
  const std::filesystem::path folder = std::filesystem::path(TURNPIKE_CORPUS_DIR) / stem;
  std::vector<std::pair<std::string, Input>> seeds;
  if (!std::filesystem::is_directory(folder)) {
    return seeds;
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    seeds.emplace_back(entry.path().filename().string(),
                       Input(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()));
  }
  std::sort(seeds.begin(), seeds.end());
  return seeds;
}

void flip_bit(Input& input, Sequence& random) {
  input[random.below(input.size())] ^= static_cast<std::uint8_t>(1U << random.below(8));
}

void set_boundary_byte(Input& input, Sequence& random) {
  constexpr std::array<std::uint8_t, 8> kBoundary = {0x00, 0x01, 0x7F, 0x80, 0xFF, '0', '9', ':'};
  input[random.below(input.size())] = kBoundary[random.below(kBoundary.size())];
}

void remove_run(Input& input, Sequence& random) {
  const std::size_t begin = random.below(input.size());
  const std::size_t count = 1 + random.below(std::min<std::size_t>(32, input.size() - begin));
  const auto first = input.begin() + static_cast<std::ptrdiff_t>(begin);
  input.erase(first, first + static_cast<std::ptrdiff_t>(count));
}

void repeat_run(Input& input, Sequence& random) {
  const std::size_t begin = random.below(input.size());
  const std::size_t count = 1 + random.below(std::min<std::size_t>(64, input.size() - begin));
  const auto first = input.begin() + static_cast<std::ptrdiff_t>(begin);
  const Input run(first, first + static_cast<std::ptrdiff_t>(count));
  for (std::size_t times = 1 + random.below(8); times > 0; --times) {
    input.insert(input.begin() + static_cast<std::ptrdiff_t>(begin), run.begin(), run.end());
  }
}

void splice(Input& input, const Input& other, Sequence& random) {
  if (!other.empty()) {
    input.resize(random.below(input.size() + 1));
    const auto from = other.begin() + static_cast<std::ptrdiff_t>(random.below(other.size()));
    input.insert(input.end(), from, other.end());
  }
}

void mutate(Input& input, const Input& other, Sequence& random) {
  for (std::size_t steps = 1 + random.below(4); steps > 0; --steps) {
    if (input.empty()) {
      input.push_back(static_cast<std::uint8_t>(random.next()));
    }
    switch (random.below(6)) {
      case 0:
      case 1:
        flip_bit(input, random);
        break;
      case 2:
        set_boundary_byte(input, random);
        break;
      case 3:
        remove_run(input, random);
        break;
      case 4:
        repeat_run(input, random);
        break;
      default:
        splice(input, other, random);
        break;
    }
  }
  input.resize(std::min(input.size(), kInputBytesMax));
}

// A copy of exactly the input's size, so that the address sanitizer sees the first byte behind it.
int run(const Harness& harness, const Input& input) {
  const Input exact(input.begin(), input.end());
  return harness.run(exact.data(), exact.size());
}

class FuzzReplay : public ::testing::TestWithParam<Harness> {};

TEST_P(FuzzReplay, seeds) {
  const auto seeds = seeds_of(GetParam().name);
  ASSERT_FALSE(seeds.empty()) << GetParam().name << " has no corpus";
  EXPECT_EQ(run(GetParam(), {}), 0);
  for (const auto& [name, input] : seeds) {
    SCOPED_TRACE(name);
    EXPECT_EQ(run(GetParam(), input), 0);
  }
}

TEST_P(FuzzReplay, mutations_of_seeds) {
  const auto seeds = seeds_of(GetParam().name);
  ASSERT_FALSE(seeds.empty()) << GetParam().name << " has no corpus";
  for (std::size_t round = 0; round < kMutationsPerHarness; ++round) {
    Sequence random(round);
    Input input = seeds[round % seeds.size()].second;
    mutate(input, seeds[random.below(seeds.size())].second, random);
    ASSERT_EQ(run(GetParam(), input), 0) << "round " << round;
  }
}

std::string name_of(const ::testing::TestParamInfo<Harness>& test) {
  return test.param.name;
}

INSTANTIATE_TEST_SUITE_P(Harness, FuzzReplay, ::testing::ValuesIn(harness_table()), name_of);

}  // namespace
