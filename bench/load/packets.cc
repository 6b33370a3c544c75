#include "bench/load/packets.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <arpa/inet.h>
#include <srtp2/srtp.h>

namespace turnpike::bench {
namespace {

std::vector<std::uint8_t> plain_packet(std::uint32_t ssrc, std::uint32_t index,
                                       std::uint32_t bytes) {
  std::vector<std::uint8_t> packet(bytes);
  packet[0] = 0x80;
  packet[1] = 8;
  const std::uint16_t sequence = htons(static_cast<std::uint16_t>(kFirstSequence + index));
  const std::uint32_t timestamp = htonl(index * 160);
  const std::uint32_t name = htonl(ssrc);
  std::memcpy(&packet[2], &sequence, 2);
  std::memcpy(&packet[4], &timestamp, 4);
  std::memcpy(&packet[8], &name, 4);
  for (std::uint32_t i = 12; i < bytes; ++i) packet[i] = static_cast<std::uint8_t>(index + i);
  return packet;
}

void must(srtp_err_status_t status, const char* what) {
  if (status == srtp_err_status_ok) return;
  std::fprintf(stderr, "turnpike_load: %s: libsrtp2 says %d\n", what, static_cast<int>(status));
  std::exit(1);
}

class Context {
 public:
  Context(const Key& key, bool outbound) : key_(key.bytes) {
    srtp_policy_t policy;
    std::memset(&policy, 0, sizeof policy);
    const auto profile = [&] {
      if (key.suite == "AES_CM_128_HMAC_SHA1_32") return srtp_profile_aes128_cm_sha1_32;
      if (key.suite == "AEAD_AES_128_GCM") return srtp_profile_aead_aes_128_gcm;
      if (key.suite == "AEAD_AES_256_GCM") return srtp_profile_aead_aes_256_gcm;
      return srtp_profile_aes128_cm_sha1_80;
    }();
    srtp_crypto_policy_set_from_profile_for_rtp(&policy.rtp, profile);
    srtp_crypto_policy_set_from_profile_for_rtcp(&policy.rtcp, profile);
    policy.ssrc.type = outbound ? ssrc_any_outbound : ssrc_any_inbound;
    policy.key = key_.data();
    policy.window_size = 1024;
    must(srtp_create(&session_, &policy), "srtp_create");
  }
  ~Context() { srtp_dealloc(session_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  srtp_t get() const { return session_; }

 private:
  std::vector<std::uint8_t> key_;
  srtp_t session_ = nullptr;
};

}  // namespace

void start_srtp() {
  must(srtp_init(), "srtp_init");
}

PacketTrain::PacketTrain(std::uint32_t ssrc, std::uint32_t count, std::uint32_t bytes,
                         const std::optional<Key>& key)
    : stride_(bytes) {
  std::optional<Context> context;
  if (key) context.emplace(*key, true);
  for (std::uint32_t i = 0; i < count; ++i) {
    auto packet = plain_packet(ssrc, i, bytes);
    if (context) {
      packet.resize(bytes + SRTP_MAX_TRAILER_LEN);
      int length = static_cast<int>(bytes);
      must(srtp_protect(context->get(), packet.data(), &length), "srtp_protect");
      packet.resize(static_cast<std::size_t>(length));
      stride_ = static_cast<std::uint32_t>(length);
    }
    data_.insert(data_.end(), packet.begin(), packet.end());
  }
}

std::uint32_t count_bad(const std::vector<std::vector<std::uint8_t>>& received,
                        const std::optional<Key>& key) {
  std::optional<Context> context;
  if (key) context.emplace(*key, false);
  std::uint32_t bad = 0;
  for (std::vector<std::uint8_t> packet : received) {
    int length = static_cast<int>(packet.size());
    if (context && srtp_unprotect(context->get(), packet.data(), &length) != srtp_err_status_ok) {
      ++bad;
      continue;
    }
    packet.resize(static_cast<std::size_t>(length));
    const auto sequence = static_cast<std::uint16_t>((packet[2] << 8) | packet[3]);
    std::uint32_t ssrc = 0;
    std::memcpy(&ssrc, &packet[8], 4);
    const auto index = static_cast<std::uint16_t>(sequence - kFirstSequence);
    const auto expected = plain_packet(ntohl(ssrc), index, static_cast<std::uint32_t>(length));
    if (packet != expected) ++bad;
  }
  return bad;
}

}  // namespace turnpike::bench
