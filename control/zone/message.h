// The messages that two nodes exchange after TLS and before HTTP/2, as bytes. Pure: no state.
//
//   message = type(1) length(2, network order) body(length)
//   hello   = version(2) purpose(1) role(1) epoch(8) nonce(32) zone node user   (type 1)
//   proof   = HMAC-SHA-256(32)                                                  (type 2)
//   refusal = code(1)                                                           (type 3)
//   text    = length(1) bytes
//
// A body must be used up exactly. Later versions say so in `version`, which stays in its place.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/tls/hmac.h"
#include "control/zone/reason.h"

namespace turnpike::zone {

inline constexpr std::uint16_t kProtocolVersion = 1;
inline constexpr std::size_t kMessageHeaderBytes = 3;
inline constexpr std::size_t kMessageBodyBytesMax = 512;
inline constexpr std::size_t kNameBytesMax = 100;
using Nonce = std::array<std::uint8_t, 32>;

enum class Role : std::uint8_t { kEdge = 1, kCore = 2 };

/// What a connection is for, and which end opens its streams (is its HTTP/2 client). The core dials
/// all of them. Bulk streams have a connection of their own, so that they never stand before a call
/// in one TCP queue; it is there while it is used. Value 4 is kept for bulk streams of the edge.
enum class Purpose : std::uint8_t { kSignallingByCore = 1, kSignallingByEdge = 2, kBulk = 3 };
inline constexpr std::size_t kPurposeCount = 3;
/// The first ones: those that are always to be up.
inline constexpr std::size_t kSignallingCount = 2;

struct Hello {
  std::uint16_t version = kProtocolVersion;
  Purpose purpose = Purpose::kSignallingByCore;
  Role role = Role::kCore;
  std::uint64_t epoch = 0;  ///< of the process: another one after a restart
  Nonce nonce{};
  std::string zone;  ///< texts: at most kNameBytesMax bytes, printable ASCII
  std::string node;
  std::string user;

  bool operator==(const Hello&) const = default;
};

struct Proof {
  tls::Sha256Tag tag{};
};

struct Refused {
  Reason reason = Reason::kRefusedThere;
};

enum class MessageType : std::uint8_t { kHello = 1, kProof = 2, kRefusal = 3 };

/// A whole message in a piece of bytes.
struct Frame {
  MessageType type = MessageType::kHello;
  std::string_view body;
  std::size_t size = 0;  ///< with its header
};

/// The first message of `bytes`. Unset and `bad` false: more bytes are needed. Unset and `bad`
/// true: this is none and will never be one (unknown type, too long).
std::optional<Frame> first_message(std::string_view bytes, bool& bad);

std::string write(const Hello& hello);
std::string write(const Proof& proof);
/// Reasons that the other end has no use for are sent as kRefusedThere.
std::string write(const Refused& refused);

/// Unset: damaged. A hello of another version gives that version and nothing else.
std::optional<Hello> read_hello(std::string_view body);
std::optional<Proof> read_proof(std::string_view body);
std::optional<Refused> read_refusal(std::string_view body);

}  // namespace turnpike::zone
