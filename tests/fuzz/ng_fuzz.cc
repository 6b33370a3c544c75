// A datagram through frame, decoding, key mapping and dispatch: exactly one reply to whatever is a
// dictionary, and the table of ignored names stays small.
#include <cstddef>
#include <cstdint>
#include <string>

#include "control/ng/dispatcher.h"
#include "control/ng/message.h"
#include "control/ng/request.h"
#include "tests/fuzz/echo_calls.h"

namespace {

using namespace turnpike;
using fuzz::EchoCalls;
using fuzz::require;

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
