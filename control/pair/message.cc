#include "control/pair/message.h"

#include <algorithm>
#include <bitset>

namespace turnpike::pair {
namespace {

enum class Type : std::uint8_t { kOffer = 1, kNumbers = 2 };

constexpr std::size_t kHeadBytes = 3;
constexpr std::size_t kOfferedBytes = 1 + 16 + 16 + 32;
constexpr std::size_t kNumberedBytes = 1 + 2 + 2;

void put(std::string& to, std::uint64_t value, unsigned bytes) {
  for (unsigned i = bytes; i-- > 0;) to += static_cast<char>((value >> (8 * i)) & 0xff);
}

template <std::size_t N>
void put(std::string& to, const std::array<std::uint8_t, N>& bytes) {
  for (const std::uint8_t byte : bytes) to += static_cast<char>(byte);
}

/// Reads from the front of what is long enough.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  T number() {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      value = value << 8 | static_cast<unsigned char>(bytes_[i]);
    }
    bytes_.remove_prefix(sizeof(T));
    return static_cast<T>(value);
  }
  template <std::size_t N>
  void fill(std::array<std::uint8_t, N>& array) {
    std::transform(bytes_.begin(), bytes_.begin() + N, array.begin(),
                   [](char c) { return static_cast<std::uint8_t>(c); });
    bytes_.remove_prefix(N);
  }

 private:
  std::string_view bytes_;
};

std::string head(Type type, std::size_t count, std::size_t bytes) {
  std::string message;
  message.reserve(kHeadBytes + count * bytes);  // keys are not left behind by growing
  put(message, static_cast<std::uint8_t>(type), 1);
  put(message, count, 2);
  return message;
}

/// How many items `message` has; unset when it is not of that type and exact size.
std::optional<std::size_t> count_of(std::string_view message, Type type, std::size_t bytes) {
  if (message.size() < kHeadBytes) return std::nullopt;
  Reader reader(message);
  const bool is_type = reader.number<std::uint8_t>() == static_cast<std::uint8_t>(type);
  const std::size_t count = reader.number<std::uint16_t>();
  const bool fits = count <= kShardsMax && message.size() == kHeadBytes + count * bytes;
  return is_type && fits ? std::optional(count) : std::nullopt;
}

bool names_each_once(const auto& flows) {
  std::bitset<kShardsMax> seen;
  for (const auto& flow : flows) {
    if (seen.test(flow.shard)) return false;
    seen.set(flow.shard);
  }
  return true;
}

}  // namespace

std::string write(const std::vector<OfferedFlow>& flows) {
  std::string message = head(Type::kOffer, flows.size(), kOfferedBytes);
  for (const OfferedFlow& flow : flows) {
    put(message, flow.shard, 1);
    put(message, flow.keys.to_edge);
    put(message, flow.keys.to_core);
    put(message, flow.keys.binding);
  }
  return message;
}

std::string write(const std::vector<NumberedFlow>& flows) {
  std::string message = head(Type::kNumbers, flows.size(), kNumberedBytes);
  for (const NumberedFlow& flow : flows) {
    put(message, flow.shard, 1);
    put(message, flow.number, 2);
    put(message, flow.port, 2);
  }
  return message;
}

std::optional<std::vector<OfferedFlow>> read_offer(std::string_view message) {
  const auto count = count_of(message, Type::kOffer, kOfferedBytes);
  if (!count) return std::nullopt;
  Reader reader(message.substr(kHeadBytes));
  std::vector<OfferedFlow> flows(*count);
  for (OfferedFlow& flow : flows) {
    flow.shard = reader.number<std::uint8_t>();
    reader.fill(flow.keys.to_edge);
    reader.fill(flow.keys.to_core);
    reader.fill(flow.keys.binding);
  }
  if (!names_each_once(flows)) return std::nullopt;
  return flows;
}

std::optional<std::vector<NumberedFlow>> read_numbers(std::string_view message) {
  const auto count = count_of(message, Type::kNumbers, kNumberedBytes);
  if (!count) return std::nullopt;
  Reader reader(message.substr(kHeadBytes));
  std::vector<NumberedFlow> flows(*count);
  for (NumberedFlow& flow : flows) {
    flow.shard = reader.number<std::uint8_t>();
    flow.number = reader.number<FlowNumber>();
    flow.port = reader.number<std::uint16_t>();
  }
  if (!names_each_once(flows)) return std::nullopt;
  return flows;
}

}  // namespace turnpike::pair
