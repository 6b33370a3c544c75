// Sets calls up and takes them down on any relay that speaks NG over UDP. Hides: bencode, SDP.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/load/call.h"

namespace turnpike::bench {

/// How the two legs of a call are keyed.
enum class Mode { kRtpRtp, kSrtpRtp, kSrtpSrtp, kGcmGcm };

/// A call whose sides have chosen their keys, not set up yet.
Call new_call(const std::string& id, Mode mode);

class NgSession {
 public:
  /// `port` of the relay's NG socket on 127.0.0.1.
  explicit NgSession(std::uint16_t port);
  ~NgSession();
  NgSession(const NgSession&) = delete;
  NgSession& operator=(const NgSession&) = delete;

  /// Offer and answer. `address`/`ports`: what both sides of the call name in their SDP.
  /// False: the relay refused; `error` says how.
  bool set_up(Call& call, const std::array<std::string, 2>& address,
              const std::array<std::uint16_t, 2>& ports, std::string& error);
  /// A call between a client that makes the DTLS handshake, with the certificate of this
  /// a=fingerprint value, and plain RTP. `relay_port`: where the client finds the relay.
  bool set_up_dtls(const std::string& id, const std::array<std::string, 2>& address,
                   const std::array<std::uint16_t, 2>& ports, const std::string& fingerprint,
                   std::uint16_t& relay_port, std::string& error);
  void tear_down(const std::string& call_id);

 private:
  std::string request(const std::string& dictionary, std::string& error);

  int fd_ = -1;
  unsigned cookie_ = 0;
  std::array<char, 65536> reply_{};
};

}  // namespace turnpike::bench
