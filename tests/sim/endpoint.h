// A simulated phone: sends RTP and RTCP for one leg, remembers what it sent, and is the judge of
// what reaches its leg. Its SRTP state is per SSRC, as a real one's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "relay/crypto/srtp.h"
#include "turnpike/address.h"
#include "turnpike/command.h"

namespace turnpike::sim {

using Bytes = std::vector<std::uint8_t>;

class Endpoint {
 public:
  /// `receive`/`send` as the relay's leg has them: we encrypt with its receive key.
  Endpoint(std::uint32_t ssrc, SocketAddress rtp, SocketAddress rtcp)
      : transform_(2), ssrc_(ssrc), address_{rtp, rtcp} {}

  void set_keys(const SrtpKeying& ours, const SrtpKeying& relays);
  bool secure() const { return send_.suite != SrtpSuite::kNone; }

  Bytes next_rtp();
  Bytes next_rtcp();
  void change_ssrc(std::uint32_t ssrc);
  void jump_sequence(std::uint16_t by) { sequence_ = static_cast<std::uint16_t>(sequence_ + by); }

  SocketAddress address(Component component) const { return address_[index_of(component)]; }
  /// The NAT in front gives another mapping.
  void rebind(Component component, const SocketAddress& to);
  /// Signalling names this address for the endpoint, rightly or not.
  void is_signalled_at(const SocketAddress& address) { history_.insert(address); }
  /// Whether this endpoint ever had the address, or was said to: the relay may send there.
  bool ever_had(const SocketAddress& address) const { return history_.contains(address); }

  /// Decrypts what the relay emitted towards this endpoint (in emission order, before the network
  /// touches it). Empty: the packet does not verify, or uses an index for the second time.
  std::optional<Bytes> open(const Bytes& packet, bool rtcp);
  /// Whether this endpoint sent a packet with that body (RTP: sequence may have been shifted).
  bool sent_body(const Bytes& plain) const { return bodies_.contains(body_of(plain)); }

 private:
  static Bytes body_of(const Bytes& plain);
  Bytes seal(Bytes plain, bool rtcp);

  SrtpTransform transform_;
  SrtpContext send_;
  SrtpContext receive_;
  std::map<std::uint32_t, SrtpSendStream> send_streams_;
  std::map<std::uint32_t, SrtpReceiveStream> receive_streams_;
  std::uint32_t ssrc_;
  std::uint16_t sequence_ = 65000;
  std::uint32_t timestamp_ = 0;
  std::uint32_t count_ = 0;
  std::array<SocketAddress, 2> address_;
  std::set<SocketAddress> history_{address_[0], address_[1]};
  std::set<Bytes> bodies_;
};

}  // namespace turnpike::sim
