#include "relay/mux/edge_flows.h"

#include <algorithm>
#include <cstring>

#include "relay/core/bytes.h"

namespace turnpike::mux {
namespace {

constexpr Seconds kHintPause{1};

}  // namespace

// ---- SharedAddress

// A reader that meets a writer reads nonsense, notices, and reads again: who sees a new word sees
// the odd edition that came before it as well.
void SharedAddress::store(const SocketAddress& address, Instant until) {
  std::array<std::uint64_t, 4> words{};
  std::memcpy(words.data(), address.ip.bytes.data(), address.ip.bytes.size());
  words[2] = (std::uint64_t{address.port} << 8) | static_cast<std::uint8_t>(address.ip.family);
  words[3] = static_cast<std::uint64_t>(until.time_since_epoch().count());
  const std::uint32_t edition = edition_.load(std::memory_order_relaxed);
  edition_.store(edition + 1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < words.size(); ++i) {
    words_[i].store(words[i], std::memory_order_release);
  }
  edition_.store(edition + 2, std::memory_order_release);
}

SharedAddress::Value SharedAddress::load() const {
  std::array<std::uint64_t, 4> words{};
  std::uint32_t before = 0;
  std::uint32_t after = 0;
  do {
    before = edition_.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < words.size(); ++i) {
      words[i] = words_[i].load(std::memory_order_acquire);
    }
    after = edition_.load(std::memory_order_relaxed);
  } while (before != after || (before & 1) != 0);
  Value value;
  std::memcpy(value.address.ip.bytes.data(), words.data(), value.address.ip.bytes.size());
  value.address.ip.family = static_cast<AddressFamily>(words[2] & 0xff);
  value.address.port = static_cast<std::uint16_t>(words[2] >> 8);
  value.until = Instant(Nanoseconds(static_cast<std::int64_t>(words[3])));
  return value;
}

// ---- EdgeFlows

EdgeFlows::Flow::Flow(FlowNumber number, const FlowKeys& given, const BindingKey& secret)
    : keys(given), binding(number, given.binding, secret) {}

EdgeFlows::Flow::~Flow() {
  secure_wipe(&keys, sizeof keys);
}

EdgeFlows::EdgeFlows(const BindingKey& secret) : secret_(secret) {}

EdgeFlows::~EdgeFlows() {
  for (std::atomic<Flow*>& flow : flows_) delete flow.load();
}

std::optional<FlowNumber> EdgeFlows::add(const FlowKeys& keys, Instant now) {
  bury(now);
  // Round and round: a session that was left on a removed flow must not meet another's soon.
  std::size_t tried = 0;
  while (tried < kFlowsMax && taken_[next_]) {
    next_ = (next_ + 1) % kFlowsMax;
    ++tried;
  }
  if (tried == kFlowsMax) return std::nullopt;
  const std::size_t index = next_;
  taken_[index] = true;
  next_ = (next_ + 1) % kFlowsMax;
  const auto number = static_cast<FlowNumber>(index + 1);
  flows_[index].store(new Flow(number, keys, secret_), std::memory_order_release);
  return number;
}

void EdgeFlows::remove(FlowNumber number, Instant now) {
  bury(now);
  if (find(number) == nullptr) return;
  std::unique_ptr<Flow> flow(flows_[number - 1U].exchange(nullptr));
  retired_.push_back({std::move(flow), number, now});
}

void EdgeFlows::bury(Instant now) {
  std::erase_if(retired_, [&](const Retired& retired) {
    if (now - retired.at < kRetirement) return false;
    taken_[retired.number - 1U] = false;
    return true;
  });
}

EdgeFlows::Flow* EdgeFlows::find(FlowNumber number) const {
  if (number == 0 || number > kFlowsMax) return nullptr;
  return flows_[number - 1U].load(std::memory_order_acquire);
}

FlowReport EdgeFlows::report(FlowNumber number, Instant now) const {
  FlowReport report;
  const Flow* flow = find(number);
  if (flow == nullptr) return report;
  const SharedAddress::Value value = flow->address.load();
  if (now >= value.until) return report;
  report.address = value.address;
  report.bound_until = value.until;
  return report;
}

EdgeFlows::Verdict EdgeFlows::judge(FlowNumber number,
                                    std::span<const std::uint8_t> datagram) const {
  const Flow* flow = find(number);
  if (flow == nullptr) return Verdict::kNoFlow;
  return tag_is_right(flow->keys.to_edge, datagram) ? Verdict::kRight : Verdict::kWrongTag;
}

EdgeFlows::Route EdgeFlows::route(FlowNumber number, Instant now) const {
  Route route;
  const Flow* flow = find(number);
  if (flow == nullptr) return route;
  const SharedAddress::Value value = flow->address.load();
  if (now < value.until) route.address = value.address;
  route.port = flow->port.load(std::memory_order_relaxed);
  route.key = &flow->keys.to_core;
  return route;
}

stun::Bytes EdgeFlows::hint(FlowNumber number, Instant now, const stun::TransactionId& transaction,
                            BindingBuffer& buffer) {
  Flow* flow = find(number);
  if (flow == nullptr) return {};
  Nanoseconds last = flow->hinted.load(std::memory_order_relaxed);
  if (now.time_since_epoch() - last < kHintPause) return {};
  if (!flow->hinted.compare_exchange_strong(last, now.time_since_epoch())) return {};
  return flow->binding.hint(transaction, buffer);
}

EdgeBinding::Answer EdgeFlows::handle_binding(stun::Bytes datagram, const SocketAddress& source,
                                              std::uint32_t port, Instant now,
                                              BindingBuffer& buffer) {
  const std::optional<stun::Message> message = stun::Message::parse(datagram);
  if (!message) return {BindingOutcome::kMalformed, {}};
  const std::optional<FlowNumber> number = flow_of(*message);
  if (!number) return {BindingOutcome::kMalformed, {}};
  Flow* flow = find(*number);
  if (flow == nullptr) return {BindingOutcome::kUnknownFlow, {}};
  const EdgeBinding::Answer answer = flow->binding.handle(*message, source, now, buffer);
  if (answer.outcome == BindingOutcome::kRefreshed || answer.outcome == BindingOutcome::kMoved) {
    flow->port.store(port, std::memory_order_relaxed);
    flow->address.store(source, flow->binding.bound_until());
  }
  return answer;
}

}  // namespace turnpike::mux
