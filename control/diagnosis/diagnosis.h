// Why there is no audio: what signalling agreed and what the relay counted, judged for each leg and
// direction. A pure function; asks nobody, knows no clock.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "control/diagnosis/finding.h"
#include "turnpike/address.h"
#include "turnpike/command.h"
#include "turnpike/ids.h"
#include "turnpike/stats.h"
#include "turnpike/time.h"

namespace turnpike::diagnosis {

/// What a leg's media is protected by, towards us.
enum class Protection : std::uint8_t {
  kPlain = 0,
  kSdes = 1,
  kDtls = 2,
  kPassed = 3,  ///< its ends have the keys and we do not
};

/// What one end said about the m-line, and what follows for its leg.
struct LegSignalling {
  SocketAddress remote;  ///< where it wants RTP; unset: it has not said, or holds
  IpAddress from;        ///< where its signalling came from; may be unset
  SourcePolicy policy = SourcePolicy::kStrict;
  Protection protection = Protection::kPlain;
  bool ice = false;
  bool carried = false;   ///< over the other node of a traversal pair
  bool rides = false;     ///< on the transport of another m-line, which has refused packets
  bool blocked = false;   ///< control lets nothing of what it sends go on
  bool silenced = false;  ///< control makes silence of what it sends
  bool sends = true;      ///< by its direction, and it does not hold by a null address
  bool receives = true;
  std::string_view direction = "sendrecv";  ///< as in SDP; "held" with a null address
  /// Payload types that it takes: bit n % 64 of the words; all 0: not known.
  std::array<std::uint64_t, 2> payload_types{};
};

struct Signalling {
  bool answered = false;
  bool accepted = false;              ///< by the last answer
  Instant since{};                    ///< the last offer or answer
  std::array<LegSignalling, 2> legs;  ///< by index_of(Side)
};

/// At the edge of a pair, which has no keys: media of the m-line is on the transport of another
/// one, cannot be told from that one's, and is judged there.
inline bool rides_unseen(const Signalling& signalled) {
  const auto unseen = [](const LegSignalling& leg) {
    return leg.rides && leg.protection == Protection::kPassed;
  };
  return signalled.accepted && unseen(signalled.legs[0]) && unseen(signalled.legs[1]);
}

/// Silence that is no finding yet, of media that has just begun or that pauses.
constexpr Seconds kTooEarly{3};
constexpr Seconds kPause{5};

struct Verdict {
  Finding finding = Finding::kHealthy;
  std::string evidence;  ///< figures and addresses, for people: never a key
  const FindingInfo& info() const { return info_of(finding); }
};

struct LegVerdicts {
  Verdict received;  ///< what its remote end sends us
  Verdict sent;      ///< what we send there
  /// The one that weighs more; of equals what is received.
  const Verdict& worse() const {
    return sent.info().weight > received.info().weight ? sent : received;
  }
};
using SessionVerdicts = std::array<LegVerdicts, 2>;

SessionVerdicts judge(const Signalling& signalled, const SessionStats& stats, Instant now);

/// Of a session that signalling has ended: its ends fall silent when the call is over, which is no
/// finding. One that ended because nothing came is judged like any other.
SessionVerdicts judge_after_goodbye(const Signalling& signalled, const SessionStats& stats,
                                    Instant now);

/// Networks that the internet does not route: RFC 1918, 6598, 3927, 4193, 4291 link-local.
bool is_private(const IpAddress& address);

}  // namespace turnpike::diagnosis
