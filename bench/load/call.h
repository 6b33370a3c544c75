// A call as the generator plays it, whatever set it up on the relay.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace turnpike::bench {

/// RFC 4568 master key and salt of one direction.
struct Key {
  std::string suite;
  std::vector<std::uint8_t> bytes;  ///< key, then salt
};

/// One side of a call as the generator plays it.
struct Leg {
  std::uint16_t relay_port = 0;  ///< where this side sends to
  std::uint32_t relay_ip = 0;    ///< in network order; 0: as the plan says
  /// Which of its socket's addresses this side has, in network order; 0: the only one.
  std::uint32_t own_ip = 0;
  std::vector<std::uint8_t> header;  ///< in front of every packet that this side sends
  std::optional<Key> ours;           ///< what this side sends with
  std::optional<Key> relays;         ///< what the relay sends to this side with
};

struct Call {
  std::string id;
  std::array<Leg, 2> leg;
};

/// Sets calls up on a relay, and takes them down.
class Signalling {
 public:
  virtual ~Signalling() = default;
  /// All of them; false, and why, when the relay refused one. What the legs lack is filled in.
  virtual bool set_up(std::vector<Call>& calls, std::string& error) = 0;
  virtual void tear_down(const std::vector<Call>& calls) = 0;
};

}  // namespace turnpike::bench
