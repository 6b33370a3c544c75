// libsrtp2 as the oracle: one session for one direction, with the statuses of our transform.
#pragma once

#include <optional>

#include "relay/crypto/srtp.h"
#include "tests/unit/crypto/srtp_testing.h"

struct srtp_ctx_t_;

namespace turnpike::srtp_testing {

class LibSrtp {
 public:
  enum class Direction { kSend, kReceive };
  /// `rtcp_encrypted` false: sends SRTCP with the E flag clear.
  LibSrtp(const SrtpKeying& keying, Direction direction, bool rtcp_encrypted = true);
  ~LibSrtp();
  LibSrtp(const LibSrtp&) = delete;
  LibSrtp& operator=(const LibSrtp&) = delete;

  /// In place. nullopt: a status that has no counterpart.
  std::optional<SrtpStatus> protect(Bytes& packet, bool rtcp);
  std::optional<SrtpStatus> unprotect(Bytes& packet, bool rtcp);

 private:
  srtp_ctx_t_* session_ = nullptr;
  bool mki_ = false;
};

}  // namespace turnpike::srtp_testing
