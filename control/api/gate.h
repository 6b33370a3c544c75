// Who may ask for what through the kApi door: tokens, client certificates, and a pause for the
// wrong tokens of whoever guesses. Hides: comparing tokens, and who has guessed. Is not: Origin and
// Host (http_server.h).
//
// Tokens are kept as tags under a random key: to compare them takes the same time wherever two
// differ, and their text does not stay in this object.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/api/http_server.h"
#include "control/config/secret.h"
#include "turnpike/address.h"
#include "turnpike/time.h"

namespace turnpike::api {

/// kOperate may also do what kRead may.
enum class Scope : std::uint8_t { kRead, kOperate };

struct Token {
  std::string name;  ///< for logs
  Scope scope = Scope::kRead;
  Secret text;
};

/// Why a request was refused.
enum class Refusal : std::uint8_t { kNoToken, kWrongToken, kTooManyAttempts, kScope, kCount };
constexpr std::array<std::string_view, static_cast<std::size_t>(Refusal::kCount)> kRefusals = {
    "no_token", "wrong_token", "too_many_attempts", "scope"};

struct GateContext {
  std::function<Instant()> clock;
  std::function<void(void* buffer, std::size_t size)> random_bytes;
  /// A wrong token, or an operation that the token does not allow. Never a token.
  std::function<void(Refusal, const IpAddress& source, const std::string& name)> refused;
};

class Gate {
 public:
  /// Without tokens a client certificate admits, for kRead; with tokens both are needed where TLS
  /// asks for certificates.
  Gate(GateContext context, const std::vector<Token>& tokens);

  /// The tokens from now on.
  void replace(const std::vector<Token>& tokens);
  /// Unset when the request may be served (its `asker` is then set and its `authorization` gone),
  /// else the answer: 401, 403 or 429. Only the kApi door is asked; `scope` is what the path needs,
  /// unset: nothing.
  std::optional<Response> judge(Request& request, std::optional<Scope> scope);

  using Counters = std::array<std::uint64_t, kRefusals.size()>;
  const Counters& counters() const { return counters_; }

 private:
  using Tag = std::array<std::uint8_t, 32>;
  struct Entry {
    std::string name;
    Scope scope = Scope::kRead;
    Tag tag{};
  };
  struct Attempts {
    unsigned wrong = 0;
    Instant since{};
  };

  const Entry* find(std::string_view authorization) const;
  bool is_paused(const IpAddress& source);
  void note_wrong(const IpAddress& source);
  Response refuse(Refusal why, const Request& request, const std::string& name);

  GateContext context_;
  std::string key_;
  std::vector<Entry> entries_;
  std::map<IpAddress, Attempts> attempts_by_source_;
  Counters counters_{};
};

}  // namespace turnpike::api
