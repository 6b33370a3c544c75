// libsrtp2's set-up and status codes.
#include "tests/property/crypto/libsrtp.h"

#include <gtest/gtest.h>
#include <srtp2/srtp.h>

namespace turnpike::srtp_testing {
namespace {

void set_suite(SrtpSuite suite, srtp_policy_t& policy) {
  switch (suite) {
    case SrtpSuite::kNone:
      break;
    case SrtpSuite::kAesCm128HmacSha1_80:
      srtp_crypto_policy_set_rtp_default(&policy.rtp);
      srtp_crypto_policy_set_rtp_default(&policy.rtcp);
      break;
    case SrtpSuite::kAesCm128HmacSha1_32:
      srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&policy.rtp);
      srtp_crypto_policy_set_rtp_default(&policy.rtcp);
      break;
    case SrtpSuite::kAesCm256HmacSha1_80:
      srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&policy.rtp);
      srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&policy.rtcp);
      break;
    case SrtpSuite::kAesCm256HmacSha1_32:
      srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32(&policy.rtp);
      srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&policy.rtcp);
      break;
    case SrtpSuite::kAeadAes128Gcm:
      srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
      srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
      break;
    case SrtpSuite::kAeadAes256Gcm:
      srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtp);
      srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtcp);
      break;
  }
}

std::optional<SrtpStatus> status_of(srtp_err_status_t status, bool sending) {
  switch (status) {
    case srtp_err_status_ok:
      return SrtpStatus::kOk;
    case srtp_err_status_auth_fail:
      return SrtpStatus::kAuthFailed;
    case srtp_err_status_replay_fail:
      return sending ? SrtpStatus::kIndexUsed : SrtpStatus::kReplayed;
    case srtp_err_status_replay_old:
      return sending ? SrtpStatus::kIndexUsed : SrtpStatus::kTooOld;
    case srtp_err_status_bad_mki:
      return SrtpStatus::kWrongMki;
    case srtp_err_status_parse_err:
    case srtp_err_status_bad_param:
      return SrtpStatus::kMalformed;
    default:
      return std::nullopt;
  }
}

}  // namespace

LibSrtp::LibSrtp(const SrtpKeying& keying, Direction direction, bool rtcp_encrypted)
    : mki_(keying.mki_bytes != 0) {
  static const bool started = srtp_library_available(SrtpLibrary::kLibsrtp2);
  EXPECT_TRUE(started);
  const SrtpSuiteInfo& info = info_of(keying.suite);
  Bytes key(keying.master_key.begin(), keying.master_key.begin() + info.key_bytes);
  key.insert(key.end(), keying.master_salt.begin(), keying.master_salt.begin() + info.salt_bytes);
  Bytes mki(keying.mki.begin(), keying.mki.begin() + keying.mki_bytes);
  srtp_master_key_t master{key.data(), mki.data(), keying.mki_bytes};
  srtp_master_key_t* masters[] = {&master};

  srtp_policy_t policy{};
  set_suite(keying.suite, policy);
  if (!rtcp_encrypted) {
    policy.rtcp.sec_serv = sec_serv_auth;
  }
  policy.ssrc.type = direction == Direction::kSend ? ssrc_any_outbound : ssrc_any_inbound;
  policy.window_size = 128;
  if (mki_) {
    policy.keys = masters;
    policy.num_master_keys = 1;
  } else {
    policy.key = key.data();
  }
  EXPECT_EQ(srtp_create(&session_, &policy), srtp_err_status_ok);
}

LibSrtp::~LibSrtp() {
  srtp_dealloc(session_);
}

std::optional<SrtpStatus> LibSrtp::protect(Bytes& packet, bool rtcp) {
  int length = static_cast<int>(packet.size());
  packet.resize(packet.size() + SRTP_MAX_TRAILER_LEN + SRTP_MAX_MKI_LEN + 4);
  const srtp_err_status_t status =
      rtcp ? srtp_protect_rtcp_mki(session_, packet.data(), &length, mki_ ? 1 : 0, 0)
           : srtp_protect_mki(session_, packet.data(), &length, mki_ ? 1 : 0, 0);
  packet.resize(static_cast<std::size_t>(length));
  return status_of(status, true);
}

std::optional<SrtpStatus> LibSrtp::unprotect(Bytes& packet, bool rtcp) {
  int length = static_cast<int>(packet.size());
  const srtp_err_status_t status =
      rtcp ? srtp_unprotect_rtcp_mki(session_, packet.data(), &length, mki_ ? 1 : 0)
           : srtp_unprotect_mki(session_, packet.data(), &length, mki_ ? 1 : 0);
  packet.resize(static_cast<std::size_t>(length));
  return status_of(status, false);
}

}  // namespace turnpike::srtp_testing
