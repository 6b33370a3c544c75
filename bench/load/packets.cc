#include "bench/load/packets.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <arpa/inet.h>
#include <srtp2/srtp.h>

#include "bench/load/srtp_sender.h"

namespace turnpike::bench {
namespace {

constexpr std::uint32_t kTriedPackets = 64;

void write_plain(std::span<std::uint8_t> packet, std::uint32_t ssrc, std::uint32_t index) {
  packet[0] = 0x80;
  packet[1] = 8;
  const std::uint16_t sequence = htons(static_cast<std::uint16_t>(kFirstSequence + index));
  const std::uint32_t timestamp = htonl(index * 160);
  const std::uint32_t name = htonl(ssrc);
  std::memcpy(&packet[2], &sequence, 2);
  std::memcpy(&packet[4], &timestamp, 4);
  std::memcpy(&packet[8], &name, 4);
  for (std::size_t i = kRtpHeaderBytes; i < packet.size(); ++i) {
    packet[i] = static_cast<std::uint8_t>(index + i);
  }
}

void must(srtp_err_status_t status, const char* what) {
  if (status == srtp_err_status_ok) return;
  std::fprintf(stderr, "turnpike_load: %s: libsrtp2 says %d\n", what, static_cast<int>(status));
  std::exit(1);
}

class Context {
 public:
  explicit Context(const Key& key) : key_(key.bytes) {
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
    policy.ssrc.type = ssrc_any_inbound;
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
    : count_(count), stride_(bytes) {
  std::optional<SrtpSender> sender;
  if (key) stride_ += sender.emplace(*key).tag_bytes();
  data_.resize(std::size_t{count} * stride_);
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::span<std::uint8_t> packet{data_.data() + std::size_t{i} * stride_, stride_};
    write_plain(packet.first(bytes), ssrc, i);
    if (sender) sender->protect(packet, std::uint64_t{kFirstSequence} + i);
  }
}

bool PacketTrain::library_agrees(const std::optional<Key>& key) const {
  std::vector<std::vector<std::uint8_t>> some;
  for (std::uint32_t i = 0; i < std::min(count_, kTriedPackets); ++i) {
    some.emplace_back(packet(i).begin(), packet(i).end());
  }
  return count_bad(some, key) == 0;
}

std::uint32_t count_bad(const std::vector<std::vector<std::uint8_t>>& received,
                        const std::optional<Key>& key) {
  std::optional<Context> context;
  if (key) context.emplace(*key);
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
    std::vector<std::uint8_t> expected(packet.size());
    write_plain(expected, ntohl(ssrc), index);
    if (packet != expected) ++bad;
  }
  return bad;
}

}  // namespace turnpike::bench
