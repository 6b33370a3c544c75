#include "relay/turn/tickets.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "relay/core/bytes.h"
#include "relay/crypto/digest.h"

namespace turnpike::turn {
namespace {

// A key for one purpose, that tells nothing of `key`.
HmacSha256Key derive(std::span<const std::uint8_t> key, std::string_view purpose) {
  std::array<std::uint8_t, kSha256Bytes> derived{};
  std::array<std::uint8_t, 16> label{};
  std::copy_n(purpose.begin(), std::min(purpose.size(), label.size()), label.begin());
  hmac_sha256(make_hmac_sha256_key(key), label, {}, derived.data());
  const HmacSha256Key made = make_hmac_sha256_key(derived);
  secure_wipe(derived.data(), derived.size());
  return made;
}

}  // namespace

Tickets::Tickets(std::span<const std::uint8_t> key)
    : code_key_(derive(key, "ticket code")), veil_key_(derive(key, "ticket veil")) {}

void Tickets::veil(std::span<const std::uint8_t> code, std::uint8_t* name) const {
  std::array<std::uint8_t, kSha256Bytes> mask{};
  hmac_sha256(veil_key_, code, {}, mask.data());
  for (std::size_t i = 0; i < kTicketNameBytes; ++i) name[i] ^= mask[i];
}

Tickets::Sealed Tickets::seal(const Name& name) const {
  std::array<std::uint8_t, kSha256Bytes> code{};
  hmac_sha256(code_key_, name, {}, code.data());
  Sealed sealed{};
  std::copy_n(code.begin(), kTicketCodeBytes, sealed.begin());
  std::copy(name.begin(), name.end(), sealed.begin() + kTicketCodeBytes);
  veil({sealed.data(), kTicketCodeBytes}, sealed.data() + kTicketCodeBytes);
  return sealed;
}

Ticket Tickets::make(const TicketName& name) const {
  Name bytes{};
  write_be16(bytes.data(), name.shard);
  write_be32(bytes.data() + 2, name.slot);
  write_be32(bytes.data() + 6, name.serial);
  write_be16(bytes.data() + 10, name.move);
  Ticket ticket{};
  const std::string text = base64(seal(bytes));
  std::copy(text.begin(), text.end(), ticket.begin());
  return ticket;
}

std::optional<TicketName> Tickets::open(std::span<const std::uint8_t> ticket) const {
  Sealed sealed{};
  if (!from_base64(ticket, sealed)) return std::nullopt;
  Name bytes{};
  std::copy(sealed.begin() + kTicketCodeBytes, sealed.end(), bytes.begin());
  veil(std::span(sealed).first(kTicketCodeBytes), bytes.data());
  const Sealed right = seal(bytes);
  if (!equal_constant_time(right.data(), sealed.data(), right.size())) return std::nullopt;
  return TicketName{read_be16(bytes.data()), read_be32(bytes.data() + 2),
                    read_be32(bytes.data() + 6), read_be16(bytes.data() + 10)};
}

}  // namespace turnpike::turn
