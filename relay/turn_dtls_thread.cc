#include "relay/turn_dtls_thread.h"

#include <algorithm>
#include <cstring>

#include "relay/dtls/records.h"
#include "relay/io/loop.h"

namespace turnpike {
namespace {

using turn::StreamClose;

// Of one shard before the next one gets its turn.
constexpr int kRequestsPerTurn = 16;
constexpr Milliseconds kLongestSleep{200};
constexpr Milliseconds kAskAgain{20};  // a shard takes its results in a turn

SocketTag tag_of(std::uint32_t slot, std::uint32_t generation) {
  return {slot, generation, Side::kA, Component::kRtp};
}

}  // namespace

// The flights of one handshake, to its shard. A full queue is a lost datagram: it is repeated.
class TurnDtlsThread::Out final : public DatagramOut {
 public:
  Out(TurnDtlsThread& thread, std::size_t shard, const SocketTag& client)
      : thread_(thread), shard_(shard), client_(client) {}
  void datagram(std::span<const std::uint8_t> bytes) override {
    DtlsResult& result = thread_.result_;
    if (bytes.size() > result.data.size()) return;
    result.length = static_cast<std::uint32_t>(bytes.size());
    std::memcpy(result.data.data(), bytes.data(), bytes.size());
    thread_.answer(shard_, client_, DtlsAnswer::kDatagram);
  }

 private:
  TurnDtlsThread& thread_;
  std::size_t shard_;
  SocketTag client_;
};

TurnDtlsThread::TurnDtlsThread(std::size_t shards, std::function<void(std::size_t)> wake_shard)
    : wake_shard_(std::move(wake_shard)) {
  for (std::size_t i = 0; i < shards; ++i) lanes_.push_back(std::make_unique<Lane>());
}

TurnDtlsThread::~TurnDtlsThread() {
  stop();
  for (const auto& lane : lanes_) {
    for (; lane->results.front() != nullptr; lane->results.pop()) {
      delete lane->results.front()->association;
    }
  }
}

void TurnDtlsThread::start() {
  thread_ = std::thread([this] { run(); });
}

void TurnDtlsThread::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  doorbell_.ring();
  thread_.join();
}

bool TurnDtlsThread::use(std::shared_ptr<const TlsServerContext> context) {
  if (!contexts_.push(context)) return false;
  doorbell_.ring();
  return true;
}

bool TurnDtlsThread::push(std::size_t shard, const DtlsRequest& request) {
  if (!lanes_[shard]->requests.push(request)) return false;
  doorbell_.ring();
  return true;
}

void TurnDtlsThread::run() {
  yield_to_media();
  while (!stopping_.load()) {
    doorbell_.listen();
    take_contexts();
    for (bool more = true; more && !stopping_.load();) {
      more = false;
      const Instant now = monotonic_now();
      for (std::size_t i = 0; i < lanes_.size(); ++i) more = serve(i, now) || more;
      if (next_deadline() <= now) on_deadline(now);
      wake_shards();
    }
    const Instant now = monotonic_now();
    const Instant due = std::min<Instant>(next_deadline(), now + kLongestSleep);
    doorbell_.sleep(std::max(due - now, Nanoseconds{0}));
  }
}

void TurnDtlsThread::take_contexts() {
  for (; const auto* context = contexts_.front(); contexts_.pop()) context_ = *context;
}

// True when more waits.
bool TurnDtlsThread::serve(std::size_t shard, Instant now) {
  Mailbox<DtlsRequest>& requests = lanes_[shard]->requests;
  for (int i = 0; i < kRequestsPerTurn; ++i) {
    const DtlsRequest* const request = requests.front();
    if (request == nullptr) return false;
    handle(shard, *request, now);
    requests.pop();
  }
  return requests.front() != nullptr;
}

void TurnDtlsThread::handle(std::size_t shard, const DtlsRequest& request, Instant now) {
  const std::span<const std::uint8_t> datagram(request.data.data(), request.length);
  if (request.ask == DtlsAsk::kBegin) return begin(shard, request.client, datagram, now);
  const auto at = handshakes_.find({shard, request.client.slot});
  if (at == handshakes_.end() || at->second.generation != request.client.generation) return;
  if (request.ask == DtlsAsk::kDatagram) {
    feed(at, datagram, now);
  } else {
    handshakes_.erase(at);
  }
}

void TurnDtlsThread::begin(std::size_t shard, const SocketTag& client,
                           std::span<const std::uint8_t> datagram, Instant now) {
  handshakes_.erase({shard, client.slot});
  if (context_ == nullptr) return fail(shard, client, StreamClose::kNoCertificate);
  if (handshakes_.size() >= kHandshakesMax) return fail(shard, client, StreamClose::kFull);
  std::span<const std::uint8_t> rest = datagram;
  DtlsRecord first;
  HelloStart hello;
  if (!take_record(rest, first) || !parse_hello(first, hello)) {
    return fail(shard, client, StreamClose::kTlsFailed);
  }
  auto association = std::make_unique<DtlsAssociation>(context_);
  association->expect_cookie(hello.cookie, first.sequence, now);
  Handshake& made = handshakes_[{shard, client.slot}];
  made.generation = client.generation;
  made.association = std::move(association);
  made.gives_up = now + kHandshakeMax;
  feed(handshakes_.find({shard, client.slot}), datagram, now);
}

void TurnDtlsThread::feed(Handshakes::iterator at, std::span<const std::uint8_t> datagram,
                          Instant now) {
  const SocketTag client = tag_of(at->first.slot, at->second.generation);
  DtlsAssociation& association = *at->second.association;
  Out out(*this, at->first.shard, client);
  DtlsRecord record;
  while (association.phase() == DtlsAssociation::Phase::kHandshaking &&
         take_record(datagram, record)) {
    if (judge(record, DtlsRole::kPassive) != RecordVerdict::kPass) continue;
    association.handle(record.whole, now, out);
  }
  if (association.phase() == DtlsAssociation::Phase::kHandshaking) return;
  if (association.phase() == DtlsAssociation::Phase::kComplete) {
    if (hand_over(at, now)) handshakes_.erase(at);
    return;
  }
  const std::size_t shard = at->first.shard;
  handshakes_.erase(at);
  fail(shard, client, StreamClose::kTlsFailed);
}

// False when the shard has no room for it now: the client has our last flight, and would wait.
bool TurnDtlsThread::hand_over(Handshakes::iterator at, Instant now) {
  Handshake& done = at->second;
  result_.association = done.association.get();
  const bool given =
      answer(at->first.shard, tag_of(at->first.slot, done.generation), DtlsAnswer::kUp);
  result_.association = nullptr;
  if (given) static_cast<void>(done.association.release());
  done.asks_again = now + kAskAgain;
  return given;
}

void TurnDtlsThread::fail(std::size_t shard, const SocketTag& client, StreamClose why) {
  result_.why = why;
  answer(shard, client, DtlsAnswer::kFailed);  // lost: the shard's own time limit says so
}

Instant TurnDtlsThread::next_deadline() const {
  Instant due = Instant::max();
  for (const auto& [place, one] : handshakes_) {
    due = std::min({due, one.association->next_deadline(), one.asks_again, one.gives_up});
  }
  return due;
}

void TurnDtlsThread::on_deadline(Instant now) {
  for (auto at = handshakes_.begin(); at != handshakes_.end();) {
    Handshake& one = at->second;
    Out out(*this, at->first.shard, tag_of(at->first.slot, one.generation));
    if (one.association->next_deadline() <= now) one.association->on_deadline(now, out);
    const auto phase = one.association->phase();
    bool over = one.gives_up <= now || phase == DtlsAssociation::Phase::kFailed;
    if (!over && one.asks_again <= now) over = hand_over(at, now);
    at = over ? handshakes_.erase(at) : std::next(at);
  }
}

bool TurnDtlsThread::answer(std::size_t shard, const SocketTag& client, DtlsAnswer answer) {
  Lane& lane = *lanes_[shard];
  result_.answer = answer;
  result_.client = client;
  if (!lane.results.push(result_)) return false;
  lane.has_results = true;
  return true;
}

void TurnDtlsThread::wake_shards() {
  handshake_count_.store(handshakes_.size(), std::memory_order_relaxed);
  for (std::size_t shard = 0; shard < lanes_.size(); ++shard) {
    if (lanes_[shard]->has_results) wake_shard_(shard);
    lanes_[shard]->has_results = false;
  }
}

}  // namespace turnpike
