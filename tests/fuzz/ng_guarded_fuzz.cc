// The transports of NG that want a token: a connection over TCP, however its bytes are cut, and a
// message as HTTP and WebSocket hand it over. Without the token nothing is carried out; with it
// the same requests have the same replies, cut or whole.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "control/ng/dispatcher.h"
#include "control/ng/gate.h"
#include "control/ng/stream_session.h"
#include "tests/fuzz/echo_calls.h"

namespace {

using namespace turnpike;
using fuzz::EchoCalls;
using fuzz::require;

constexpr const char* kToken = "0123456789abcdef";
const IpAddress kClient = IpAddress::v4(127, 0, 0, 1);

/// The far end of a connection: what it is written, and whether it is still there.
struct Wire {
  ng::StreamLink::Handlers handlers;
  std::string written;
  bool paused = false;
};

class FakeLink final : public ng::StreamLink {
 public:
  explicit FakeLink(Wire& wire) : wire_(wire) {}
  void start(Handlers handlers) override { wire_.handlers = std::move(handlers); }
  void write(std::string bytes) override { wire_.written += bytes; }
  std::size_t bytes_unsent() const override { return 0; }
  void pause_reading() override { wire_.paused = true; }
  void resume_reading() override { wire_.paused = false; }
  bool end() override { return false; }

 private:
  Wire& wire_;
};

struct Outcome {
  std::string written;
  std::size_t asked = 0;
  bool closed = false;
  bool operator==(const Outcome&) const = default;
};

ng::GateRules rules() {
  return {.token = kToken, .requests_in_work_max = 1U << 20, .requests_per_second_max = 1U << 20};
}

Outcome over_tcp(std::string_view bytes, std::size_t piece) {
  EchoCalls calls;
  ng::Dispatcher dispatcher(calls, [] { return Instant{}; }, {});
  ng::Gate gate(rules(), {}, dispatcher);
  Wire wire;
  Outcome outcome;
  const auto session = std::make_shared<ng::StreamSession>(
      std::make_unique<FakeLink>(wire), ng::Guard{&gate, kClient}, ng::MessageLimits{},
      ng::StreamLimits{}, dispatcher, [&] { outcome.closed = true; });
  session->start();
  for (std::size_t at = 0; at < bytes.size() && !outcome.closed; at += piece) {
    wire.handlers.on_data(bytes.substr(at, piece));
  }
  if (!outcome.closed) wire.handlers.on_end();
  outcome.written = wire.written;
  outcome.asked = calls.asked;
  return outcome;
}

void over_http(const std::string& message) {
  EchoCalls calls;
  ng::Dispatcher dispatcher(calls, [] { return Instant{}; }, {});
  ng::Gate gate(rules(), {}, dispatcher);
  int replies = 0;
  gate.handle(kClient, message, [&](ng::Gate::Outcome outcome, const std::string& text) {
    ++replies;
    require(outcome != ng::Gate::Outcome::kRefused && !text.empty());
    require(outcome == ng::Gate::Outcome::kReply || calls.asked == 0);
  });
  require(replies == 1 && calls.asked <= 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(data[i]);
  const std::string shown = std::string("Authorization: Bearer ") + kToken + "\r\n";
  // As it came: nobody guesses the token, whatever else he says.
  if (!bytes.starts_with(shown)) require(over_tcp(bytes, bytes.size() + 1).asked == 0);
  const Outcome whole = over_tcp(shown + bytes, shown.size() + bytes.size());
  for (const std::size_t piece : {std::size_t{1}, std::size_t{13}}) {
    const Outcome cut = over_tcp(shown + bytes, piece);
    require(cut.asked == whole.asked && cut.written == whole.written);
  }
  over_http(bytes);
  return 0;
}
