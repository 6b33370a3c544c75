// DTLS-SRTP between two of our engines, over the paths of an IceWorld: behind NATs, over a network
// that loses, doubles and reorders, with somebody who repeats and damages what he saw. One end may
// do without ICE and meet a public one, as a softphone does. OpenSSL's randomness is its own: a
// seed gives the same world, not the same bytes.
// Checks that flights go only where somebody was heard, that keys come only from the certificate
// of the SDP and are the same at both ends, and that nobody harms an association that has them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "relay/dtls/handshakes.h"
#include "tests/sim/ice_world.h"

namespace turnpike::sim {

struct DtlsScenario {
  IceScenario network;
  bool ice = true;  ///< false: side 1 is public and passive, and side 0 is where its NAT says
  std::size_t active = 0;
  bool impostor = false;         ///< side 0 has another certificate than its SDP says
  Milliseconds answer_after{0};  ///< until then the passive side has no fingerprint
  bool renews = false;           ///< signalling asks for a second association
};

class DtlsWorld final : private Rider {
 public:
  DtlsWorld(std::uint64_t seed, const DtlsScenario& scenario);
  ~DtlsWorld();

  void call();
  void run(Milliseconds duration) { network_.run(duration); }
  /// Another association, by signalling.
  void renew();
  /// Side 0 ends the call.
  void hang_up();
  IceWorld& network() { return network_; }

  /// Both ends have keys of the association that signalling names last, and they match.
  bool secured() const;
  DtlsState state(std::size_t side) const;
  /// Why it is not, in words.
  std::string why(std::size_t side) const;
  std::uint64_t refused() const { return refused_; }  ///< datagrams of strangers
  std::uint64_t cookies() const;
  const std::string& violation() const {
    return violation_.empty() ? network_.violation() : violation_;
  }

 private:
  struct End;
  /// Of an address without proof: what has come from there and what has gone there.
  struct Traffic {
    std::size_t received = 0;
    std::size_t sent = 0;
  };

  void receive(std::size_t side, const SocketAddress& from, bool validated,
               const std::vector<std::uint8_t>& bytes, Instant now) override;
  void selected(std::size_t side, const SocketAddress& to, Instant now) override;
  Instant next_deadline() const override;
  void on_deadline(Instant now) override;

  void tell(std::size_t side);
  void judge_send(std::size_t side, const SocketAddress& to, std::size_t bytes);
  void judge_keys(std::size_t side);
  void fail(const std::string& what) {
    if (violation_.empty()) violation_ = what;
  }

  DtlsScenario scenario_;
  IceWorld network_;
  std::array<std::unique_ptr<End>, 2> ends_;
  std::map<SocketAddress, Traffic> strangers_;
  Instant answer_at_ = Instant::max();  // when the passive side learns of the fingerprint
  bool hung_up_ = false;
  std::uint64_t refused_ = 0;
  std::string violation_;
};

}  // namespace turnpike::sim
