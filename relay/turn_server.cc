#include "relay/turn_server.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <unistd.h>

#include "relay/core/bytes.h"
#include "relay/io/flow_socket.h"
#include "relay/io/loop.h"
#include "relay/io/secure_random.h"
#include "relay/io/tcp_stream.h"

namespace turnpike {
namespace {

// Of a mailbox the rest is for settings.
constexpr std::size_t kQuestionsMax = TurnShard::kRequestsMax / 2;
constexpr Milliseconds kPatience{2000};
constexpr std::string_view kAlpnOfTurn = "stun.turn";  // RFC 7443

void close_all(const std::vector<TurnShardSetup>& setups) {
  for (const TurnShardSetup& setup : setups) {
    for (const int fd : setup.listener_fds) {
      if (fd >= 0) close(fd);
    }
  }
}

// Those of TLS are one for all shards, and stay the owner's of `tls` whatever happens.
Result<void> open_listeners(const turn::Config& config, std::vector<TurnShardSetup>& setups,
                            std::vector<TurnTlsThread::Listener>& tls) {
  for (std::uint32_t number = 0; number < config.listeners.size(); ++number) {
    const turn::Listener& listener = config.listeners[number];
    if (listener.at_door) {
      for (TurnShardSetup& setup : setups) setup.listener_fds.push_back(-1);
      continue;
    }
    const bool is_tls = listener.transport == turn::ListenerTransport::kTls;
    const auto fds = turn::over_datagrams(listener.transport)
                         ? open_shared_port(listener.local, setups.size())
                         : open_stream_port(listener.local, is_tls ? 1 : setups.size());
    if (!fds) {
      close_all(setups);
      return Error{"turn: " + fds.error().message};
    }
    if (is_tls) tls.push_back({fds->front(), number});
    for (std::size_t i = 0; i < setups.size(); ++i) {
      setups[i].listener_fds.push_back(is_tls ? -1 : (*fds)[i]);
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<TurnServers>> TurnServers::make(const turn::Config& config,
                                                       std::size_t shards) {
  std::vector<TurnShardSetup> setups(shards);
  std::unique_ptr<TurnServers> servers(new TurnServers());
  if (auto opened = open_listeners(config, setups, servers->tls_listeners_); !opened) {
    return opened.error();
  }
  servers->listeners_ = config.listeners;
  auto& nonce_key = servers->nonce_key_;
  fill_random(nonce_key.data(), nonce_key.size());
  SipHashKey source_key;
  fill_random(source_key.data(), source_key.size());
  std::vector<RelayedPortTable::Place> places;
  for (const turn::RelayAddress& one : config.relay_addresses) {
    places.push_back({one.local, one.advertised});
  }
  servers->ports_ = std::make_unique<RelayedPortTable>(std::move(places), config.port_min,
                                                       config.port_max, config.port_quarantine);
  servers->gate_.emplace(servers->shared_, source_key, config.connections_per_source_max);
  const bool has_dtls =
      std::any_of(config.listeners.begin(), config.listeners.end(),
                  [](const auto& one) { return one.transport == turn::ListenerTransport::kDtls; });
  if (has_dtls) {
    servers->dtls_ = std::make_unique<TurnDtlsThread>(
        shards, [own = servers.get()](std::size_t shard) { own->wake_(shard); });
  }
  if (config.tcp_allocations) {
    servers->shared_->connection_ids =
        std::make_unique<turn::ConnectionIds>(config.tcp_connections_max);
    servers->tcp_ =
        TurnTcpThread::make(shards, {servers->shared_, servers->ports_.get(), *servers->gate_},
                            [own = servers.get()](std::size_t shard) { own->wake_(shard); });
  }
  bool made = !config.tcp_allocations || servers->tcp_ != nullptr;
  for (std::size_t i = 0; i < shards; ++i) {
    setups[i].index = static_cast<std::uint16_t>(i);
    setups[i].shards = shards;
    setups[i].nonce_key = nonce_key;
    setups[i].source_key = source_key;
    setups[i].shared = servers->shared_;
    setups[i].wake = [of = servers.get()](std::size_t shard) { of->wake_(shard); };
    setups[i].ports = servers->ports_.get();
    setups[i].dtls = servers->dtls_.get();
    setups[i].tcp = servers->tcp_.get();
    servers->shards_.push_back(TurnShard::make(setups[i], config));
    secure_wipe(setups[i].nonce_key.data(), setups[i].nonce_key.size());
    made = made && servers->shards_.back() != nullptr;
  }
  if (!made) return Error{"turn: no descriptors are left; raise LimitNOFILE"};
  servers->has_credentials_.resize(shards, true);
  return servers;
}

Result<void> TurnServers::start() {
  if (dtls_ != nullptr) dtls_->start();
  if (tcp_ != nullptr) tcp_->start();
  const bool at_door = std::any_of(listeners_.begin(), listeners_.end(),
                                   [](const auto& one) { return one.at_door; });
  if (tls_listeners_.empty() && !at_door) return {};
  const auto listeners = std::exchange(tls_listeners_, {});
  tls_ = TurnTlsThread::start(listeners, *gate_, common_, [this](const TurnNewcomer& newcomer) {
    return give_to_a_shard(newcomer);
  });
  if (tls_ == nullptr) return Error{"turn: no descriptors are left; raise LimitNOFILE"};
  return {};
}

// To one after the other; who has no room at the moment is passed over.
bool TurnServers::give_to_a_shard(const TurnNewcomer& newcomer) {
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    const std::size_t shard = next_shard_++ % shards_.size();
    if (!shards_[shard]->push(newcomer)) continue;
    wake_(shard);
    return true;
  }
  return false;
}

bool TurnServers::takes_stun_at_door() const {
  return std::any_of(listeners_.begin(), listeners_.end(), [](const auto& one) {
    return one.at_door && one.transport == turn::ListenerTransport::kTcp;
  });
}

bool TurnServers::take(const DoorNewcomer& newcomer) {
  const auto transport =
      newcomer.is_tls ? turn::ListenerTransport::kTls : turn::ListenerTransport::kTcp;
  for (std::uint32_t number = 0; number < listeners_.size(); ++number) {
    const turn::Listener& one = listeners_[number];
    if (!one.at_door || one.transport != transport || one.local != newcomer.local) continue;
    return tls_ != nullptr && tls_->push({newcomer.fd, newcomer.client, number, transport});
  }
  return false;
}

void TurnServers::stop() {
  if (tls_ != nullptr) tls_->stop();
  if (dtls_ != nullptr) dtls_->stop();
  if (tcp_ != nullptr) tcp_->stop();
}

TurnServers::~TurnServers() {
  stop();  // the threads call wake_
  for (const TurnTlsThread::Listener& one : tls_listeners_) close(one.fd);
  secure_wipe(nonce_key_.data(), nonce_key_.size());
}

bool TurnServers::push(std::size_t shard, const TurnRequest& request) {
  if (!shards_[shard]->push(request)) return false;
  wake_(shard);
  return true;
}

// Keys of all users are worked out here: on a shard that would hold up its media.
Result<void> TurnServers::configure(std::shared_ptr<const turn::Settings> settings) {
  const Result<void> shown = show(settings->certificate, settings->private_key);
  credentials_ = turn::prepare(std::move(settings), nonce_key_);
  has_credentials_.assign(shards_.size(), false);
  give_credentials();
  return shown;
}

// Without a certificate nobody more is served.
Result<void> TurnServers::show(const std::string& certificate, const std::string& private_key) {
  std::shared_ptr<const TlsServerContext> tls;
  std::shared_ptr<const TlsServerContext> dtls;
  for (const auto& [context, over, wanted] :
       {std::tuple{&tls, TlsOver::kStreams, tls_ != nullptr},
        std::tuple{&dtls, TlsOver::kDatagrams, dtls_ != nullptr}}) {
    if (!wanted || certificate.empty()) continue;
    auto made = TlsServerContext::make(certificate, private_key, kAlpnOfTurn, over);
    if (!made) return made.error();
    *context = std::move(*made);
  }
  tls_context_ = std::move(tls);
  dtls_context_ = std::move(dtls);
  give_contexts();
  return {};
}

void TurnServers::give_contexts() {
  if (tls_context_ && (tls_ == nullptr || tls_->use(*tls_context_))) tls_context_.reset();
  if (dtls_context_ && (dtls_ == nullptr || dtls_->use(*dtls_context_))) dtls_context_.reset();
}

void TurnServers::give_credentials() {
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    if (has_credentials_[i]) continue;
    TurnRequest request;
    request.kind = TurnRequestKind::kConfigure;
    request.credentials = credentials_;
    has_credentials_[i] = push(i, request);
  }
}

std::uint32_t TurnServers::allocations() const {
  std::uint64_t open = 0;
  for (const auto& shard : shards_) {
    const turn::Counters& counters = shard->counters();
    const std::uint64_t closed = counters.total(&turn::ClientCounters::allocations_closed);
    open += counters.total(&turn::ClientCounters::allocations_opened) - closed;
  }
  return static_cast<std::uint32_t>(open);
}

bool TurnServers::list(Listed done) {
  if (questions_.size() >= kQuestionsMax) return false;
  Question& question = questions_[++last_token_];
  question.listed = std::move(done);
  question.give_up_at = monotonic_now() + kPatience;
  TurnRequest request;
  request.kind = TurnRequestKind::kList;
  request.token = last_token_;
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    if (push(i, request)) ++question.shards_left;
  }
  if (question.shards_left == shards_.size()) return true;
  questions_.erase(last_token_);  // what answers still is of nobody
  return false;
}

bool TurnServers::end(const turn::AllocationId& id, Ended done) {
  if (questions_.size() >= kQuestionsMax) return false;
  TurnRequest request;
  request.kind = TurnRequestKind::kEnd;
  request.token = last_token_ + 1;
  request.id = id;
  if (id.shard >= shards_.size()) {
    done(false);
    return true;
  }
  if (!push(id.shard, request)) return false;
  Question& question = questions_[++last_token_];
  question.shards_left = 1;
  question.ended = std::move(done);
  question.give_up_at = monotonic_now() + kPatience;
  return true;
}

// A shard that is stopped answers late: who has asked is told what there is.
void TurnServers::on_tick(Instant now) {
  while (!questions_.empty() && questions_.begin()->second.give_up_at <= now) {
    const Question question = std::move(questions_.begin()->second);
    questions_.erase(questions_.begin());
    finish(question, false);
  }
}

void TurnServers::finish(const Question& question, bool found) {
  if (question.listed) question.listed(question.list);
  if (question.ended) question.ended(found);
}

void TurnServers::poll() {
  give_contexts();
  if (credentials_ != nullptr) give_credentials();
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    bool any = false;
    while (const TurnAnswer* answer = shards_[i]->next_answer()) {
      const TurnAnswer taken = *answer;
      shards_[i]->pop_answer();
      take(taken);
      any = true;
    }
    if (any) wake_(i);  // a shard without room for answers has left requests waiting
  }
}

void TurnServers::take(const TurnAnswer& answer) {
  const auto found = questions_.find(answer.token);
  if (found == questions_.end()) return;
  Question& waiting = found->second;
  if (answer.list != nullptr) {
    waiting.list.insert(waiting.list.end(), answer.list->begin(), answer.list->end());
  }
  if (--waiting.shards_left != 0) return;
  const Question question = std::move(waiting);
  questions_.erase(found);
  finish(question, answer.found);
}

}  // namespace turnpike
