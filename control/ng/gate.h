// Who may ask over TCP, HTTP and WebSocket, and how much: networks, a token, and for each client
// (an address) a number of requests in work and of requests a second. Is not: a transport; the
// file mode of the unix socket guards that one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "control/ng/dispatcher.h"
#include "control/ng/reading.h"
#include "turnpike/address.h"
#include "turnpike/time.h"

namespace turnpike::ng {

struct GateRules {
  /// What a client shows to be let in; empty = nobody is let in by a token. Only a keyed digest of
  /// it stays in memory.
  std::string token{};
  /// Whether an address is one of the clients'; empty = those of this host.
  std::function<bool(const IpAddress&)> is_client{};
  std::uint32_t requests_in_work_max = 64;      ///< of one client
  std::uint32_t requests_per_second_max = 500;  ///< of one client; as many may come at once
  std::uint32_t clients_max = 1024;             ///< whose figures are kept
};

class Gate {
 public:
  /// A request in work. Its client may have another one when this goes.
  using Place = std::shared_ptr<void>;
  struct Entry {
    Place place;                       ///< null: refused
    Refusal refusal = Refusal::kNone;  ///< why
  };
  enum class Outcome : std::uint8_t {
    kReply,       ///< what NG answers, be it an error
    kUnreadable,  ///< no NG message
    kRefused,     ///< more than the client may ask
  };
  /// Called once, at once or later. `text` is the reply in the encoding of its request.
  using TextReply = std::function<void(Outcome outcome, std::string text)>;

  /// `dispatcher` outlives this.
  Gate(GateRules rules, MessageLimits limits, Dispatcher& dispatcher);

  /// Other rules for what comes from now on; the token stays.
  void set_rules(GateRules rules);
  /// Another token, whose text is wiped; empty: none. What was let in by the one before is not any
  /// more.
  void set_token(std::string token);
  /// Whether there is a token by which anybody could be let in.
  bool has_token() const { return has_token_; }
  /// Of the token that holds now: another one has another number.
  std::uint64_t token_number() const { return token_number_; }
  /// Why a connection that once was let in is not any more: its address, or a token that was
  /// replaced. kNone: it is. For each request, and for connections that ask nothing.
  Refusal judge_again(const IpAddress& client, std::uint64_t token_number) const;

  /// Whether the address may connect. A refusal is counted.
  bool admits(const IpAddress& client);
  /// Whether this is "Bearer" (in any case), a space and the token, compared in constant time.
  bool is_authorised(std::string_view credentials) const;
  /// Whether this is the token, likewise.
  bool is_token(std::string_view text) const;
  void count(Refusal refusal);
  /// A message that did not come whole in its time.
  void count_late() { ++dispatcher_.counters().connections_timed_out; }
  /// A place for one request.
  Entry enter(const IpAddress& client, Instant now);
  /// Carries out a message that came whole: a dictionary, perhaps with a cookie and a space before
  /// it. The reply has the same form.
  void handle(const IpAddress& client, std::string_view message, TextReply reply);

 private:
  struct Clients;
  using Digest = std::array<std::uint8_t, 32>;
  Digest digest_of(std::string_view token) const;

  std::function<bool(const IpAddress&)> is_client_;
  std::array<char, 32> digest_key_{};
  bool may_connect(const IpAddress& client) const;

  bool has_token_ = false;
  std::uint64_t token_number_ = 0;
  Digest token_digest_{};
  MessageLimits limits_;
  Dispatcher& dispatcher_;
  std::shared_ptr<Clients> clients_;
};

}  // namespace turnpike::ng
