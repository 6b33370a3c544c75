// Mobility tickets (RFC 8016 section 3.4): which allocation a client takes along. They need no
// memory: the name, hidden and with a code that only this server can make. As text of 32
// characters: there are clients that take it for no more than that.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "relay/crypto/hmac_sha256.h"

namespace turnpike::turn {

struct TicketName {
  std::uint16_t shard = 0;
  std::uint32_t slot = 0;
  std::uint32_t serial = 0;
  std::uint16_t move = 0;  ///< how often the allocation had moved
  bool operator==(const TicketName&) const = default;
};

constexpr std::size_t kTicketNameBytes = 12;
constexpr std::size_t kTicketCodeBytes = 12;
using Ticket = std::array<std::uint8_t, (kTicketCodeBytes + kTicketNameBytes) / 3 * 4>;

class Tickets {
 public:
  /// `key`: secret, of all shards alike.
  explicit Tickets(std::span<const std::uint8_t> key);

  Ticket make(const TicketName& name) const;
  /// Nothing when it is none of ours.
  std::optional<TicketName> open(std::span<const std::uint8_t> ticket) const;

 private:
  using Name = std::array<std::uint8_t, kTicketNameBytes>;
  using Sealed = std::array<std::uint8_t, kTicketCodeBytes + kTicketNameBytes>;
  Sealed seal(const Name& name) const;
  /// XOR of what hides the name; it depends on the code alone.
  void veil(std::span<const std::uint8_t> code, std::uint8_t* name) const;

  HmacSha256Key code_key_;
  HmacSha256Key veil_key_;
};

}  // namespace turnpike::turn
