// /v1/sessions: which sessions are listed, in which order, and on request the newest figures of
// each that is. Hides: waiting for those figures. Is not: one session in full (endpoints.h).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/api/http_server.h"
#include "control/call/call_service.h"
#include "turnpike/event.h"
#include "turnpike/relay.h"
#include "turnpike/time.h"

namespace turnpike::api {

/// Sessions whose figures one answer may hold: what a page asks for once a second stays cheap.
constexpr std::size_t kFiguresMax = 50;

class SessionList {
 public:
  /// `first_token`: figures are asked for under this token and the following 2^32.
  SessionList(Relay& relay, const call::CallService& calls, std::function<Instant()> clock,
              std::uint64_t first_token);

  /// Query: `search` (part of call-id, tag, address or kind, in any case), `sort` (`newest`,
  /// `oldest`, `call_id`), `offset`, `limit`, `figures` (`true`; needs a limit of at most
  /// kFiguresMax), `after` (the last session of the page before, "" for the first page; by ID, goes
  /// with `limit` and `figures` only). Anything else is answered with 400.
  void handle(const Request& request, const Respond& respond);

  /// Takes kSessionStats events with a token of ours. True when it was one.
  bool on_event(const Event& event);
  /// Answers without the figures that do not come. Call about once a second.
  void on_tick();

 private:
  struct Row;
  struct Page;

  void ask_for_figures(const std::shared_ptr<Page>& page);

  Relay& relay_;
  const call::CallService& calls_;
  std::function<Instant()> clock_;
  std::uint64_t first_token_;
  std::uint32_t tokens_used_ = 0;
  struct Asked {
    std::shared_ptr<Page> page;
    std::size_t row = 0;
  };
  std::map<std::uint64_t, Asked> asked_by_token_;
};

}  // namespace turnpike::api
