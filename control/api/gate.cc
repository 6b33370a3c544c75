#include "control/api/gate.h"

#include <algorithm>

#include "control/tls/hmac.h"

namespace turnpike::api {
namespace {

constexpr unsigned kWrongMax = 10;  // wrong tokens of one source in kWrongWindow, then a pause
constexpr Seconds kWrongWindow{60};
constexpr std::size_t kSourcesMax = 1024;
constexpr std::string_view kScheme = "bearer ";

/// An IPv6 network of one subscriber has 2^64 addresses: it counts as one source.
IpAddress network_of(IpAddress source) {
  if (source.is_v6()) std::fill(source.bytes.begin() + 8, source.bytes.end(), std::uint8_t{0});
  return source;
}

/// What follows the scheme (RFC 6750 section 2.1; its name in any case), or "".
std::string_view token_of(std::string_view authorization) {
  const bool matches =
      authorization.size() > kScheme.size() &&
      std::equal(kScheme.begin(), kScheme.end(), authorization.begin(), [](char wanted, char c) {
        return wanted == (c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
      });
  if (!matches) return {};
  authorization.remove_prefix(kScheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  return authorization;
}

Response failure(unsigned status, const char* reason) {
  return {status, "application/json", std::string("{\n  \"error\": \"") + reason + "\"\n}\n"};
}

}  // namespace

Gate::Gate(GateContext context, const std::vector<Token>& tokens) : context_(std::move(context)) {
  key_.resize(32);
  context_.random_bytes(key_.data(), key_.size());
  replace(tokens);
}

void Gate::replace(const std::vector<Token>& tokens) {
  entries_.clear();
  for (const Token& token : tokens) {
    entries_.push_back({token.name, token.scope, tls::hmac_sha256(key_, token.text.reveal())});
  }
}

const Gate::Entry* Gate::find(std::string_view authorization) const {
  const Tag tag = tls::hmac_sha256(key_, token_of(authorization));
  const Entry* found = nullptr;
  for (const Entry& entry : entries_) {  // all of them: how long it takes tells nothing
    if (tls::equal_in_constant_time(entry.tag, tag)) found = &entry;
  }
  return found;
}

std::optional<Response> Gate::judge(Request& request, std::optional<Scope> scope) {
  const std::string authorization = std::move(request.authorization);
  request.authorization.clear();
  if (request.door == Door::kUnix) request.asker = "unix socket";
  if (request.door != Door::kApi || !scope) return std::nullopt;
  Scope granted = Scope::kRead;
  if (entries_.empty() && request.has_certificate) {
    const std::string& name = request.certificate_name;
    request.asker = name.empty() ? "certificate without a name" : "certificate " + name;
  } else if (const Entry* entry = find(authorization); entry != nullptr) {
    // Before the pause: who guesses behind an address that others share must not lock them out.
    granted = entry->scope;
    request.asker = entry->name;
  } else if (is_paused(request.source)) {
    return refuse(Refusal::kTooManyAttempts, request, "");
  } else if (token_of(authorization).empty()) {
    return refuse(Refusal::kNoToken, request, "");
  } else {
    note_wrong(request.source);
    return refuse(Refusal::kWrongToken, request, "");
  }
  if (*scope == Scope::kOperate && granted != Scope::kOperate) {
    return refuse(Refusal::kScope, request, request.asker);
  }
  return std::nullopt;
}

bool Gate::is_paused(const IpAddress& source) {
  const auto found = attempts_by_source_.find(network_of(source));
  if (found == attempts_by_source_.end()) return false;
  if (context_.clock() - found->second.since >= kWrongWindow) {
    attempts_by_source_.erase(found);
    return false;
  }
  return found->second.wrong >= kWrongMax;
}

void Gate::note_wrong(const IpAddress& source) {
  const Instant now = context_.clock();
  if (attempts_by_source_.size() >= kSourcesMax) {
    std::erase_if(attempts_by_source_,
                  [now](const auto& one) { return now - one.second.since >= kWrongWindow; });
  }
  if (attempts_by_source_.size() >= kSourcesMax) {
    // Whoever has so many sources is not slowed down by one more entry; the oldest makes room.
    attempts_by_source_.erase(std::min_element(
        attempts_by_source_.begin(), attempts_by_source_.end(),
        [](const auto& a, const auto& b) { return a.second.since < b.second.since; }));
  }
  const auto [entry, is_new] = attempts_by_source_.emplace(network_of(source), Attempts{0, now});
  ++entry->second.wrong;
}

Response Gate::refuse(Refusal why, const Request& request, const std::string& name) {
  ++counters_[static_cast<std::size_t>(why)];
  if (why == Refusal::kWrongToken || why == Refusal::kScope) {
    context_.refused(why, request.source, name);
  }
  if (why == Refusal::kScope) {
    return failure(403, "this needs a token whose scope is operate");
  }
  if (why == Refusal::kTooManyAttempts) {
    Response response = failure(429, "too many wrong tokens from this address; wait a minute");
    response.headers = {{"retry-after", "60"}};
    return response;
  }
  Response response =
      failure(401, why == Refusal::kNoToken ? "give a token: Authorization: Bearer TOKEN"
                                            : "this token is not known");
  response.headers = {{"www-authenticate", "Bearer realm=\"turnpike\""}};
  return response;
}

}  // namespace turnpike::api
