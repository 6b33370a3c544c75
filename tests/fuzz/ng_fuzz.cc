// A datagram through frame, decoding, key mapping and dispatch: exactly one reply to whatever is a
// dictionary, and the table of ignored names stays small.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "control/ng/dispatcher.h"
#include "control/ng/message.h"
#include "control/ng/request.h"

namespace {

using namespace turnpike;

void require(bool condition) {
  if (!condition) std::abort();
}

/// Every call request is answered with what it asked for.
class EchoCalls final : public call::CallService {
 public:
  void offer(const call::CallRequest& request, call::ReplyFunction reply) override {
    require(!request.call_id.empty() && !request.sdp.empty() && !request.from_tag.empty());
    reply({{"result", "ok"}, {"sdp", request.sdp}});
  }
  void answer(const call::CallRequest& request, call::ReplyFunction reply) override {
    require(!request.to_tag.empty());
    offer(request, std::move(reply));
  }
  void remove(const call::CallRequest& request, call::ReplyFunction reply) override {
    require(!request.call_id.empty());
    reply({{"result", "ok"}});
  }
  void query(const call::CallRequest& request, call::ReplyFunction reply) override {
    remove(request, std::move(reply));
  }
  void list(const call::CallRequest& request, call::ReplyFunction reply) override {
    require(request.limit > 0);
    reply({{"result", "ok"}});
  }
  void switch_media(call::MediaCommand, const call::CallRequest& request,
                    call::ReplyFunction reply) override {
    remove(request, std::move(reply));
  }
  ng::Value::Dict node_statistics() const override { return {}; }
  void on_event(const Event&) override {}
  void on_tick() override {}
  void set_draining(bool) override {}
  std::size_t call_count() const override { return 0; }
  std::vector<call::CallSummary> calls() const override { return {}; }
  call::CallAdoption adopt() override { return {}; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string datagram;
  for (std::size_t i = 0; i < size; ++i) datagram += static_cast<char>(data[i]);
  const ng::Frame frame = ng::parse_frame(datagram);
  if (frame.fault != ng::ParseFault::kNone) return 0;
  const ng::WholeMessage message = ng::read_whole(frame.body);
  if (message.fault != ng::ParseFault::kNone) return 0;

  EchoCalls calls;
  ng::Dispatcher dispatcher(calls, [] { return Instant{}; }, {});
  int replies = 0;
  dispatcher.handle(message.dict, [&](const ng::Value::Dict& reply) {
    ++replies;
    require(ng::find(reply, "result") != nullptr);
    std::string encoded;
    ng::append_message(message.encoding, reply, encoded);
    const auto again = ng::read_whole(encoded, {.bytes_max = 1u << 20});
    require(again.fault == ng::ParseFault::kNone && again.encoding == message.encoding);
  });
  require(replies == 1);
  constexpr std::size_t kPlaces = 256;
  require(dispatcher.ignored().entries().size() <= kPlaces);
  return 0;
}
