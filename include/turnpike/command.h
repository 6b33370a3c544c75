// What control tells a shard. Plain data: copied through the mailbox; nothing in it owns memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "turnpike/address.h"
#include "turnpike/flow.h"
#include "turnpike/ids.h"
#include "turnpike/keying.h"
#include "turnpike/transport.h"

namespace turnpike {

/// From which sources a plain-RTP leg accepts packets. An SRTP leg does not trust addresses:
/// it accepts what its key verifies, and follows a new source by the rule of docs/security.md (M1).
enum class SourcePolicy : std::uint8_t {
  kStrict = 0,      ///< only the signalled address and port
  kLatch = 1,       ///< first packet from the signalled IP (or received_from), any port; then fixed
                    ///< until the next offer or answer
  kLatchAny = 2,    ///< as kLatch, from any IP whatsoever: exposes the leg to RTP Bleed
  kAsymmetric = 3,  ///< any port of the signalled IP is heard; media goes to the signalled one
};

constexpr std::size_t kMidBytesMax = 32;

/// Which m-line a leg is of several that share one transport (RFC 9143), and how its packets are
/// told from theirs (section 9.2).
struct BundleConfig {
  /// The session whose leg on this side has the socket, ICE, DTLS and the keys for this one: a
  /// session of the same shard, maybe this one itself. Unset: not bundled.
  SessionId transport{};
  ShortText<kMidBytesMax> mid;     ///< a=mid, as the remote end knows it
  std::uint8_t mid_extension = 0;  ///< id of the header extension that carries it; 0 = none
  std::array<std::uint64_t, 2> payload_types{};  ///< that the remote end may send: bit n % 64

  bool has_payload_type(std::uint8_t type) const {
    return ((payload_types[(type >> 6) & 1U] >> (type & 63U)) & 1U) != 0;
  }
  void add_payload_type(std::uint8_t type) {
    payload_types[(type >> 6) & 1U] |= std::uint64_t{1} << (type & 63U);
  }
};

/// A leg whose packets others hear as well.
struct HeardLeg {
  SessionId session{};  ///< of the same shard; unset: nobody is heard
  Side side = Side::kA;
  bool operator==(const HeardLeg&) const = default;
};
/// Who hears one leg at most.
constexpr unsigned kSubscribersPerLegMax = 16;

/// Everything that signalling knows about one leg. Replaces the leg's previous configuration;
/// what did not change keeps its state (SRTP indices in particular never go back).
struct LegConfig {
  /// Where media goes, by Component. Port 0: no destination (not answered yet, or held).
  /// With rtcp_mux the RTCP entry is ignored.
  std::array<SocketAddress, 2> remote{};
  /// Source IP of the signalling, accepted besides the signalled IP by kLatch; for SRTP it speaks
  /// for a source among several (M1). May be unset.
  IpAddress received_from{};
  SourcePolicy source_policy = SourcePolicy::kStrict;
  /// SRTP only: nothing is sent to `remote` on the word of signalling. The first source that proves
  /// itself as one that a leg follows (M1) becomes the destination.
  bool remote_unproven = false;
  bool rtcp_mux = false;      ///< RFC 5761: both components on the RTP port
  bool must_encrypt = false;  ///< SRTP leg; without keys every packet is dropped (kNotKeyed)
  /// ICE says where media goes and, on plain RTP, from where it comes: `remote` is not used.
  bool ice = false;
  /// DTLS gives the keys, to the RTP component alone: `receive` and `send` are not used.
  bool dtls = false;
  /// RTP, RTCP and DTLS pass as they are, in both directions: the other node of a traversal pair
  /// has the keys. On both legs of a session or on none; one of them is carried by a flow
  /// (turnpike/flow.h). `remote` and `ice` tell where the client is; of the rest nothing is used.
  bool opaque = false;
  /// Of a carried leg: where its media is; generation 0: not known yet.
  Carriage carriage{};
  bool expects_media = true;  ///< false while the remote end may rightly be silent (hold, recvonly)
  std::uint32_t clock_rate_hz = 8000;  ///< RTP clock of what the remote end sends, for its jitter
  SrtpKeying receive{};                ///< key of the remote end (suite kNone: not negotiated yet)
  SrtpKeying send{};                   ///< our key towards the remote end
  /// With a transport that is another session's, that one's leg is told where media goes and its
  /// keys; here `remote`, `ice`, `dtls` and the keys stay unset.
  BundleConfig bundle{};
  /// Of side B of a one-sided session (SessionSpec::one_sided), of which nothing else is used: what
  /// that leg receives, and control lets pass, comes from here. Unset, side A is not sent anything.
  HeardLeg hears{};
  bool absent = false;  ///< this leg is that side B
};

/// What becomes of the RTP that a leg's remote end sends, beside what signalling says. Its RTCP
/// passes.
struct MediaSwitches {
  bool blocked = false;  ///< goes nowhere (DropReason::kBlocked)
  /// G.711 is made silent, comfort noise passes, what is of another payload type goes nowhere
  /// (DropReason::kSilenced).
  bool silenced = false;

  bool any() const { return blocked || silenced; }
  bool operator==(const MediaSwitches&) const = default;
};

/// What a new session needs before its first packet.
struct SessionSpec {
  std::array<std::uint16_t, 2> interface_index{};  ///< by side: position in RelayConfig::interfaces
  std::array<AddressFamily, 2> family{AddressFamily::kIpv4, AddressFamily::kIpv4};
  std::array<std::uint8_t, 2> dscp{};  ///< by side: DSCP code point 0-63 (RFC 2474)
  /// By side: ports of the other address family too, so that ICE has a candidate of each. They come
  /// without promise: an interface may have no such address, or no such port free.
  std::array<bool, 2> both_families{};
  /// By side: the leg has no ports of its own, but a flow to the other node of a traversal pair.
  std::array<bool, 2> carried{};
  /// Side B has neither ports nor a remote end: A publishes what it sends to those who hear it
  /// (LegConfig::hears), or is one of them. Say so in B's LegConfig as well.
  bool one_sided = false;
  MediaKind kind = MediaKind::kAudio;
  /// Shard to use, so that all m-lines of a call share one; -1 = the relay chooses.
  int shard = -1;
};

/// The local transport addresses of a session, by side and component. Advertise these. A carried
/// side has none.
struct SessionPorts {
  std::array<std::array<SocketAddress, 2>, 2> local{};       ///< what the sockets are bound to
  std::array<std::array<SocketAddress, 2>, 2> advertised{};  ///< what goes into SDP (NAT in front)
  /// The same of the other address family; unset: there are none on that side.
  std::array<std::array<SocketAddress, 2>, 2> other_local{};
  std::array<std::array<SocketAddress, 2>, 2> other_advertised{};

  bool has_both_families(Side side) const { return other_local[index_of(side)][0].is_set(); }
};

}  // namespace turnpike
