#include "relay/handshake_thread.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "relay/core/bytes.h"
#include "relay/io/loop.h"

namespace turnpike {
namespace {

// Of one shard before the next one gets its turn.
constexpr int kRequestsPerTurn = 16;
constexpr Milliseconds kLongestSleep{1000};
// While a shard makes no room for a result that must not be lost.
constexpr Nanoseconds kFullPause = Milliseconds{1};

LegKey key_of(std::size_t shard, const SocketTag& leg) {
  return {static_cast<std::uint16_t>(shard), leg.slot, leg.generation, leg.side};
}

}  // namespace

std::vector<Goodbye> goodbyes_of(const HandshakeResult& result) {
  std::vector<Goodbye> all(result.length / sizeof(Goodbye));
  if (!all.empty()) std::memcpy(all.data(), result.data.data(), all.size() * sizeof(Goodbye));
  return all;
}

// Hands what the handshakes decide to the shard whose leg it is.
class HandshakeThread::ToShards final : public HandshakeSink {
 public:
  explicit ToShards(HandshakeThread& thread) : thread_(thread) {}

  void send(const LegKey& leg, const SocketAddress& to,
            std::span<const std::uint8_t> datagram) override {
    if (datagram.size() > kDtlsDatagramBytesMax) return;
    HandshakeResult& result = begin(HandshakeAnswer::kDatagram, leg);
    result.address = to;
    result.length = static_cast<std::uint32_t>(datagram.size());
    std::memcpy(result.data.data(), datagram.data(), datagram.size());
    Lane& lane = *thread_.lanes_[leg.shard];
    // A full queue is a lost datagram: the handshake repeats it.
    lane.has_results = lane.results.push(result) || lane.has_results;
  }

  void established(const LegKey& leg, std::uint32_t association, const SocketAddress& peer,
                   const SrtpKeying& receive, const SrtpKeying& send) override {
    HandshakeResult& result = begin(HandshakeAnswer::kEstablished, leg);
    result.association = association;
    result.address = peer;
    result.receive = receive;
    result.send = send;
    deliver(leg.shard);
    secure_wipe(&result_, sizeof result_);
  }

  void changed(const LegKey& leg, std::uint32_t association, DtlsState state, DtlsFailure failure,
               const DtlsFlights& flights) override {
    HandshakeResult& result = begin(HandshakeAnswer::kChanged, leg);
    result.association = association;
    result.state = state;
    result.failure = failure;
    result.flights = flights;
    deliver(leg.shard);
  }

  void goodbyes(const LegKey& leg, std::span<const Goodbye> all) override {
    static_assert(std::is_trivially_copyable_v<Goodbye>);
    static_assert(kGoodbyesMax * sizeof(Goodbye) <= kDtlsDatagramBytesMax);
    HandshakeResult& result = begin(HandshakeAnswer::kGoodbyes, leg);
    result.length = static_cast<std::uint32_t>(all.size_bytes());
    if (!all.empty()) std::memcpy(result.data.data(), all.data(), all.size_bytes());
    deliver(leg.shard);
  }

 private:
  HandshakeResult& begin(HandshakeAnswer answer, const LegKey& leg) {
    result_.answer = answer;
    result_.leg = {leg.slot, leg.generation, leg.side, Component::kRtp};
    result_.length = 0;
    return result_;
  }

  void deliver(std::size_t shard) {
    Lane& lane = *thread_.lanes_[shard];
    while (!lane.results.push(result_)) {
      if (thread_.stopping_.load()) return;
      thread_.wake_shard_(shard);
      pause_for(kFullPause);
    }
    lane.has_results = true;
  }

  HandshakeThread& thread_;
  HandshakeResult result_{};
};

HandshakeThread::HandshakeThread(std::size_t shards,
                                 std::function<void(std::size_t shard)> wake_shard,
                                 std::span<const std::uint8_t> kept, Nanoseconds identity_life)
    : wake_shard_(std::move(wake_shard)), identity_life_(identity_life) {
  for (std::size_t i = 0; i < shards; ++i) lanes_.push_back(std::make_unique<Lane>());
  const DtlsIdentity known = handshakes_.add_identity(kept);
  put_identity(0, known.id != 0 ? known : handshakes_.add_identity());
  identity_made_ = monotonic_now();
  thread_ = std::thread([this] { run(); });
}

HandshakeThread::~HandshakeThread() {
  stop();
}

void HandshakeThread::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  doorbell_.ring();
  thread_.join();
}

bool HandshakeThread::push(std::size_t shard, const HandshakeRequest& request) {
  if (!lanes_[shard]->requests.push(request)) return false;
  doorbell_.ring();
  return true;
}

HandshakeThread::Identity::~Identity() {
  secure_wipe(kept.data(), kept.size());
}

void HandshakeThread::put_identity(std::size_t place, const DtlsIdentity& identity) {
  Identity& put = identities_[place];
  put.identity = identity;
  secure_wipe(put.kept.data(), put.kept.size());
  put.kept = handshakes_.kept_identity(identity.id);
}

void HandshakeThread::renew_identity(Instant now) {
  if (now - identity_made_ < identity_life_) return;
  identity_made_ = now;
  const std::size_t next = (newest_.load(std::memory_order_relaxed) + 1) % identities_.size();
  const DtlsIdentity made = handshakes_.add_identity();
  if (made.id == 0) return;  // the present one goes on
  handshakes_.remove_identity(identities_[next].identity.id);
  put_identity(next, made);
  newest_.store(next, std::memory_order_release);
}

void HandshakeThread::run() {
  yield_to_media();
  ToShards sink(*this);
  while (!stopping_.load()) {
    doorbell_.listen();
    bool more = true;
    while (more && !stopping_.load()) {
      more = false;
      for (std::size_t shard = 0; shard < lanes_.size(); ++shard) {
        more = serve(shard, sink) || more;
      }
      const Instant now = monotonic_now();
      if (handshakes_.next_deadline() <= now) handshakes_.on_deadline(now, sink);
      wake_shards();
    }
    const Instant now = monotonic_now();
    renew_identity(now);
    const Instant due = std::min<Instant>(handshakes_.next_deadline(), now + kLongestSleep);
    doorbell_.sleep(due - now);
  }
}

// True when more waits.
bool HandshakeThread::serve(std::size_t shard, ToShards& sink) {
  Mailbox<HandshakeRequest>& requests = lanes_[shard]->requests;
  for (int i = 0; i < kRequestsPerTurn; ++i) {
    const HandshakeRequest* request = requests.front();
    if (request == nullptr) return false;
    const LegKey leg = key_of(shard, request->leg);
    const Instant now = monotonic_now();
    switch (request->ask) {
      case HandshakeAsk::kUpdate:
        handshakes_.update(leg, request->config, request->address, now, sink);
        break;
      case HandshakeAsk::kClose:
        handshakes_.close(leg, sink);
        break;
      case HandshakeAsk::kRenew:
        handshakes_.renew(leg, request->config.association, now, sink);
        break;
      case HandshakeAsk::kDatagram:
        handshakes_.handle(leg, request->address, request->address_is_valid,
                           {request->data.data(), request->length}, now, sink);
        break;
      case HandshakeAsk::kNone:
        break;
    }
    requests.pop();
  }
  return requests.front() != nullptr;
}

void HandshakeThread::wake_shards() {
  for (std::size_t shard = 0; shard < lanes_.size(); ++shard) {
    Lane& lane = *lanes_[shard];
    const bool wanted = lane.room_wanted.exchange(false);
    if (lane.has_results || wanted) wake_shard_(shard);
    lane.has_results = false;
  }
}

}  // namespace turnpike
