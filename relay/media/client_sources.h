// The addresses from which an edge has heard a client's leg. An edge has no keys: it cannot tell
// the client from anybody else, so it numbers sources and lets the core decide. A packet goes back
// only to a source that the core has named, which it does after verifying what came from there
// (security ID M3), or to the one that signalling named.
// Bounded: sources, new ones a second, and packets of those that the core has not named yet.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "turnpike/address.h"
#include "turnpike/flow.h"
#include "turnpike/time.h"

namespace turnpike::media {

class ClientSources {
 public:
  static constexpr std::size_t kSourcesMax = 4;
  /// Of a source that the core has not named.
  static constexpr std::uint32_t kPacketsASecond = 200;
  /// Before that an unnamed source makes no room for another: the core needs a moment.
  static constexpr Milliseconds kResidence{700};
  /// A number is not used again for a while: what the core says of the old one must not reach
  /// somebody else. The source named last keeps its number for good.
  static constexpr std::uint32_t kNewASecond = 16;
  static constexpr std::uint8_t kSignalled = 0;  ///< the number of the signalled one

  /// Where signalling says that the client is (unset: it does not say), and where signalling itself
  /// comes from. With another address everything that was heard before is void.
  void set_signalled(const SocketAddress& address, const IpAddress& received_from);
  /// The client that the process before this one sent to, and its number.
  void restore(const SocketAddress& address, std::uint8_t number);
  /// A packet has come from there. The source's number; nothing when it is to be dropped. From
  /// kStrangersFrom on when signalling knows nothing of its IP address.
  std::optional<std::uint8_t> heard(const SocketAddress& address, Instant now);
  /// Whether the core has sent to that source, or signalling has named it.
  bool is_named(std::uint8_t number) const;
  /// The core sends to that source. Unset when it is not known (any more).
  SocketAddress named(std::uint8_t number, Instant now);

 private:
  struct Source {
    SocketAddress address;
    std::uint8_t number = 0;
    bool named = false;
    Instant since{};
    Instant last{};
    Instant window{};
    std::uint32_t in_window = 0;
  };
  Source* find(std::uint8_t number);
  bool knows(const IpAddress& ip) const;
  Source* room(bool known, Instant now);
  std::uint8_t fresh_number(bool known);

  std::array<Source, kSourcesMax> sources_{};  // the signalled one first
  IpAddress received_from_;
  std::array<std::uint8_t, 2> last_number_{kStrangersFrom - 1, 0};  // of strangers, of the others
  std::uint8_t named_last_ = kSignalled;
  Instant new_window_{};
  std::uint32_t new_in_window_ = 0;
};

}  // namespace turnpike::media
