// The STUN reader under arbitrary bytes, against a naive reading of the same, and the writer with
// what was read.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "relay/wire/stun.h"

namespace {

using namespace turnpike;  // NOLINT(*-using-namespace)

void must(bool holds) {
  if (!holds) __builtin_trap();
}

// Values lie inside the datagram, and MESSAGE-INTEGRITY covers only what is in front of it.
void check_values(const stun::Message& message, stun::Bytes datagram) {
  for (unsigned type = 0; type < 0x10000; type = type == 0x40 ? 0x8000 : type + 1) {
    if (type > 0x8040) break;
    const auto value = message.find(static_cast<std::uint16_t>(type));
    if (!value) continue;
    must(value->data() >= datagram.data() + stun::kHeaderBytes + stun::kAttributeHeaderBytes);
    must(value->data() + value->size() <= datagram.data() + datagram.size());
    must(type != stun::kMessageIntegrity && type != stun::kFingerprint);
  }
  const auto integrity = message.integrity();
  if (!integrity) return;
  must(integrity->attributes.data() == datagram.data() + stun::kHeaderBytes);
  must(integrity->code.size() == stun::kIntegrityBytes);
  must(integrity->code.data() == integrity->attributes.data() + integrity->attributes.size() + 4);
  must(read_be16(integrity->header.data() + 2) == integrity->attributes.size() + 24);
}

void check_typed(const stun::Message& message) {
  std::array<std::uint8_t, 300> buffer{};
  stun::Writer writer(buffer, message.message_class(), message.method(), message.transaction());
  const auto address = message.xor_address(stun::kXorMappedAddress);
  const auto code = message.error_code();
  const auto priority = message.priority();
  if (address) writer.add_xor_address(stun::kXorMappedAddress, *address);
  if (code) writer.add_error_code(*code);
  if (priority) writer.add_u32(stun::kPriority, *priority);
  if (message.use_candidate()) writer.add_flag(stun::kUseCandidate);
  writer.add_fingerprint();
  const auto again = stun::Message::parse(writer.finish());
  must(again.has_value() && again->has_fingerprint());
  must(again->message_class() == message.message_class() && again->method() == message.method());
  must(again->transaction() == message.transaction());
  must(again->xor_address(stun::kXorMappedAddress) == address);
  must(again->error_code() == code && again->priority() == priority);
  must(again->use_candidate() == message.use_candidate());
  std::array<std::uint16_t, 4> unknown{};
  const std::size_t count = message.unknown_required({}, unknown);
  must(count <= unknown.size());
  for (std::size_t i = 0; i < count; ++i) must(unknown[i] < 0x8000);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // As it came, and with a header that adds up, so that what lies behind it is reached too.
  std::vector<std::uint8_t> mended(data, data + size);
  mended.resize(std::min<std::size_t>(mended.size(), 2000) / 4 * 4);
  if (mended.size() >= stun::kHeaderBytes) {
    mended[0] &= 0x3f;
    write_be16(&mended[2], static_cast<std::uint16_t>(mended.size() - stun::kHeaderBytes));
    write_be32(&mended[4], stun::kMagicCookie);
  }
  for (const stun::Bytes datagram : {stun::Bytes(data, size), stun::Bytes(mended)}) {
    const auto message = stun::Message::parse(datagram);
    if (!message) continue;
    must(datagram.size() >= stun::kHeaderBytes && datagram.size() % 4 == 0);
    check_values(*message, datagram);
    check_typed(*message);
  }
  return 0;
}
