// From message to call service and back.
#include "control/ng/dispatcher.h"

#include <cstring>
#include <optional>
#include <utility>

#include "control/ng/control_statistics.h"
#include "control/ng/request.h"

namespace turnpike::ng {
namespace {

void count_reply(CommandCounters& counters, const Value::Dict& reply, Nanoseconds duration) {
  const std::string result = text_of(find(reply, "result"));
  if (result == "error") ++counters.errors;
  if (result == "load limit") ++counters.load_limits;
  counters.duration.add(duration);
}

std::string describe(const IgnoredNames::Entry& entry) {
  const std::string name = "NG " + std::string(to_string(entry.kind)) + " '" + entry.name + "'";
  if (entry.kind == IgnoredKind::kValue) return name + " has a value of no use and is ignored";
  return name + " has no effect and is ignored";
}

std::optional<call::MediaCommand> media_command_of(Command command) {
  switch (command) {
    case Command::kBlockMedia:
      return call::MediaCommand::kBlock;
    case Command::kUnblockMedia:
      return call::MediaCommand::kUnblock;
    case Command::kSilenceMedia:
      return call::MediaCommand::kSilence;
    case Command::kUnsilenceMedia:
      return call::MediaCommand::kUnsilence;
    default:
      return std::nullopt;
  }
}

/// Wipes its description, which may carry SRTP keys, when it goes away.
struct KeyedRequest {
  explicit KeyedRequest(call::CallRequest request) : value(std::move(request)) {}
  KeyedRequest(const KeyedRequest&) = delete;
  KeyedRequest& operator=(const KeyedRequest&) = delete;
  ~KeyedRequest() { explicit_bzero(value.sdp.data(), value.sdp.size()); }
  call::CallRequest value;
};

}  // namespace

Dispatcher::Dispatcher(call::CallService& calls, Clock clock, Log log) : calls_(calls) {
  IgnoredNames ignored([log = std::move(log)](const IgnoredNames::Entry& entry) {
    if (log) log(describe(entry));
  });
  state_ = std::make_shared<State>(
      State{.counters = {}, .ignored = std::move(ignored), .clock = std::move(clock)});
}

call::ReplyFunction Dispatcher::finish_with(Command command, ReplyFunction reply) {
  const Instant begun = state_->clock();
  return [weak = std::weak_ptr(state_), command, begun,
          reply = std::move(reply)](Value::Dict answer) mutable {
    const auto state = weak.lock();
    // A second reply to one request would reach a peer that asked something else by then.
    if (!state || !reply) return;
    auto& counters = state->counters.commands[static_cast<std::size_t>(command)];
    count_reply(counters, answer, state->clock() - begun);
    std::exchange(reply, nullptr)(std::move(answer));
  };
}

void Dispatcher::handle(const Value::Dict& message, ReplyFunction reply) {
  const std::string name = text_of(find(message, "command"));
  const Command command = command_of(name);
  ++state_->counters.commands[static_cast<std::size_t>(command)].requests;
  call::ReplyFunction finish = finish_with(command, std::move(reply));

  if (command == Command::kPing) return finish({{"result", "pong"}});
  if (command == Command::kUnrecognized) return finish(error_reply("Unrecognized command"));
  if (command == Command::kUnsupported) {
    return finish(error_reply("Command '" + name +
                              "' is not supported: " + std::string(why_unsupported(name))));
  }
  if (command == Command::kStatistics) {
    Value::Dict figures = calls_.node_statistics();
    figures.emplace_back("controlstatistics", control_statistics(state_->counters));
    return finish({{"result", "ok"}, {"statistics", std::move(figures)}});
  }
  const KeyedRequest keyed(to_call_request(message, state_->ignored));
  const call::CallRequest& request = keyed.value;
  if (const std::string defect = find_defect(command, request); !defect.empty()) {
    return finish(error_reply(defect));
  }
  if (command == Command::kOffer) return calls_.offer(request, std::move(finish));
  if (command == Command::kAnswer) return calls_.answer(request, std::move(finish));
  if (command == Command::kDelete) return calls_.remove(request, std::move(finish));
  if (const auto media = media_command_of(command)) {
    return calls_.switch_media(*media, request, std::move(finish));
  }
  if (command == Command::kList) return calls_.list(request, std::move(finish));
  if (command == Command::kPublish) return calls_.publish(request, std::move(finish));
  if (command == Command::kSubscribeRequest) return calls_.subscribe(request, std::move(finish));
  if (command == Command::kSubscribeAnswer) {
    return calls_.answer_subscription(request, std::move(finish));
  }
  if (command == Command::kUnsubscribe) return calls_.unsubscribe(request, std::move(finish));
  if (command == Command::kConnect) return calls_.connect(request, std::move(finish));
  calls_.query(request, std::move(finish));
}

Value::Dict error_reply(std::string_view reason) {
  return {{"result", "error"}, {"error-reason", reason}};
}

}  // namespace turnpike::ng
