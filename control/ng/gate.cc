// The rate is kept as the time at which a client's bucket is empty again (one number for each).
#include "control/ng/gate.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include <sys/random.h>

#include "control/loop/event_loop.h"
#include "control/ng/message.h"
#include "control/ng/request.h"
#include "control/tls/hmac.h"

namespace turnpike::ng {
namespace {

constexpr std::string_view kScheme = "bearer ";

std::string_view frame_of(std::string_view message, ParseFault& fault, std::string_view& body) {
  body = message;
  if (!message.empty() && encoding_of(message.front())) return {};
  const Frame frame = parse_frame(message);
  fault = frame.fault;
  body = frame.body;
  return frame.cookie;
}

std::string with_cookie(std::string_view cookie, Encoding encoding, const Value::Dict& reply) {
  std::string text(cookie);
  if (!cookie.empty()) text += ' ';
  append_message(encoding, reply, text);
  return text;
}

}  // namespace

struct Gate::Clients : std::enable_shared_from_this<Gate::Clients> {
  struct Client {
    std::uint32_t in_work = 0;
    Instant idle_at{};  // when what it asked is worn off at the allowed rate
  };
  std::uint32_t in_work_max = 0;
  Nanoseconds per_request{};
  std::uint32_t clients_max = 0;
  std::map<IpAddress, Client> by_address;

  Refusal begin(const IpAddress& address, Instant now) {
    if (by_address.size() >= clients_max && by_address.count(address) == 0) {
      std::erase_if(by_address, [now](const auto& entry) {
        return entry.second.in_work == 0 && entry.second.idle_at <= now;
      });
      if (by_address.size() >= clients_max) return Refusal::kRate;
    }
    Client& client = by_address[address];
    if (client.in_work >= in_work_max) return Refusal::kInWork;
    const Instant idle_at = std::max(client.idle_at, now) + per_request;
    if (idle_at > now + Seconds{1}) return Refusal::kRate;
    client.idle_at = idle_at;
    ++client.in_work;
    return Refusal::kNone;
  }

  void end(const IpAddress& address) {
    const auto client = by_address.find(address);
    if (client != by_address.end()) --client->second.in_work;
  }
};

Gate::Gate(GateRules rules, MessageLimits limits, Dispatcher& dispatcher)
    : limits_(limits), dispatcher_(dispatcher), clients_(std::make_shared<Clients>()) {
  if (::getrandom(digest_key_.data(), digest_key_.size(), 0) !=
      static_cast<ssize_t>(digest_key_.size())) {
    std::abort();  // never with 256 bytes or less, says getrandom(2)
  }
  set_token(std::move(rules.token));
  set_rules(std::move(rules));
}

void Gate::set_rules(GateRules rules) {
  is_client_ = std::move(rules.is_client);
  clients_->in_work_max = rules.requests_in_work_max;
  clients_->clients_max = rules.clients_max;
  clients_->per_request = Nanoseconds{Seconds{1}} / std::max(1U, rules.requests_per_second_max);
}

void Gate::set_token(std::string token) {
  const bool has_token = !token.empty();
  const Digest digest = has_token ? digest_of(token) : Digest{};
  explicit_bzero(token.data(), token.size());
  if (has_token == has_token_ && digest == token_digest_) return;
  has_token_ = has_token;
  token_digest_ = digest;
  ++token_number_;
}

Refusal Gate::judge_again(const IpAddress& client, std::uint64_t token_number) const {
  if (!may_connect(client)) return Refusal::kNetwork;
  return token_number == token_number_ ? Refusal::kNone : Refusal::kToken;
}

bool Gate::may_connect(const IpAddress& client) const {
  return is_client_ ? is_client_(client) : client.is_loopback();
}

Gate::Digest Gate::digest_of(std::string_view token) const {
  return tls::hmac_sha256({digest_key_.data(), digest_key_.size()}, token);
}

bool Gate::admits(const IpAddress& client) {
  const bool admitted = may_connect(client);
  if (!admitted) count(Refusal::kNetwork);
  return admitted;
}

// Digests under a key that nobody knows: neither length nor place of a difference shows in the
// time.
bool Gate::is_authorised(std::string_view credentials) const {
  if (credentials.size() <= kScheme.size()) return false;
  if (normalised(credentials.substr(0, kScheme.size() - 1)) + ' ' != kScheme) return false;
  return is_token(credentials.substr(kScheme.size()));
}

bool Gate::is_token(std::string_view text) const {
  return has_token_ && tls::equal_in_constant_time(digest_of(text), token_digest_);
}

void Gate::count(Refusal refusal) {
  ++dispatcher_.counters().refusals[static_cast<std::size_t>(refusal)];
}

Gate::Entry Gate::enter(const IpAddress& client, Instant now) {
  if (const Refusal refusal = clients_->begin(client, now); refusal != Refusal::kNone) {
    count(refusal);
    return {.place = nullptr, .refusal = refusal};
  }
  // A reply may never come, or after we are gone: then the place goes with what waits for it.
  const auto leave = [weak = std::weak_ptr(clients_), client](void*) {
    if (const auto clients = weak.lock()) clients->end(client);
  };
  return {.place = Place(clients_.get(), leave), .refusal = Refusal::kNone};
}

void Gate::handle(const IpAddress& client, std::string_view message, TextReply reply) {
  ParseFault fault = ParseFault::kNone;
  std::string_view body;
  const std::string cookie(frame_of(message, fault, body));
  if (fault != ParseFault::kNone) {
    ++dispatcher_.counters().parse_faults[static_cast<std::size_t>(fault)];
    const Value::Dict error = error_reply(info_of(fault).words);
    return reply(Outcome::kUnreadable, with_cookie(cookie, Encoding::kBencode, error));
  }
  const Entry entry = enter(client, loop::EventLoop::now());
  if (entry.place == nullptr) {
    const Encoding encoding = body.starts_with('{') ? Encoding::kJson : Encoding::kBencode;
    const Value::Dict error = error_reply(info_of(entry.refusal).words);
    return reply(Outcome::kRefused, with_cookie(cookie, encoding, error));
  }
  const WholeMessage whole = read_whole(body, limits_);
  if (whole.fault != ParseFault::kNone) {
    ++dispatcher_.counters().parse_faults[static_cast<std::size_t>(whole.fault)];
    return reply(Outcome::kUnreadable,
                 with_cookie(cookie, whole.encoding, error_reply(whole.error)));
  }
  dispatcher_.handle(whole.dict, [cookie, encoding = whole.encoding, place = entry.place,
                                  reply = std::move(reply)](const Value::Dict& answer) mutable {
    place.reset();
    reply(Outcome::kReply, with_cookie(cookie, encoding, answer));
  });
}

}  // namespace turnpike::ng
