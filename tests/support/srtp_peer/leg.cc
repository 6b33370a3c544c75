// What leg.h declares: packets of the pattern, and the verdict on what comes back.
#include "leg.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <arpa/inet.h>
#include <unistd.h>

namespace peer {
namespace {

constexpr std::size_t kRtpHeaderBytes = 12;
constexpr std::size_t kPayloadBytes = 160;
constexpr std::size_t kPatternHeadBytes = 8;
constexpr std::size_t kSrtcpIndexBytes = 4;

[[noreturn]] void give_up(const std::string& what) {
  std::fprintf(stderr, "srtp_peer: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

void put32(std::uint8_t* at, std::uint32_t value) {
  const std::uint32_t wire = htonl(value);
  std::memcpy(at, &wire, sizeof wire);
}

std::uint32_t take32(const std::uint8_t* at) {
  std::uint32_t wire = 0;
  std::memcpy(&wire, at, sizeof wire);
  return ntohl(wire);
}

// Payload: SSRC of the sender, a counter, then bytes that both determine. A receiver that knows
// the SSRC can judge every byte.
void fill_pattern(std::uint8_t* payload, std::uint32_t ssrc, std::uint32_t counter) {
  put32(payload, ssrc);
  put32(payload + 4, counter);
  std::uint32_t state = (ssrc ^ (counter * 2654435761U)) | 1U;
  for (std::size_t i = kPatternHeadBytes; i < kPayloadBytes; ++i) {
    state ^= state << 13U;
    state ^= state >> 17U;
    state ^= state << 5U;
    payload[i] = static_cast<std::uint8_t>(state);
  }
}

std::vector<std::uint8_t> from_base64(const std::string& text) {
  static const std::string digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<std::uint8_t> bytes;
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const std::size_t value = digits.find(c);
    if (value == std::string::npos) {
      break;
    }
    bits = (bits << 6U) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<std::uint8_t>(bits >> count));
    }
  }
  return bytes;
}

struct Suite {
  const char* name;
  void (*rtp)(srtp_crypto_policy_t*);
  void (*rtcp)(srtp_crypto_policy_t*);
  std::size_t rtcp_tag_bytes;  // behind the SRTCP index; GCM has its tag before it
};

void aes128_80(srtp_crypto_policy_t* p) {
  srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(p);
}
void aes128_32(srtp_crypto_policy_t* p) {
  srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(p);
}
void aes256_80(srtp_crypto_policy_t* p) {
  srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(p);
}
void aes256_32(srtp_crypto_policy_t* p) {
  srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32(p);
}
void gcm128(srtp_crypto_policy_t* p) {
  srtp_crypto_policy_set_aes_gcm_128_16_auth(p);
}
void gcm256(srtp_crypto_policy_t* p) {
  srtp_crypto_policy_set_aes_gcm_256_16_auth(p);
}

const Suite& suite_of(const std::string& name) {
  static const std::array<Suite, 6> suites = {{
      {"AES_CM_128_HMAC_SHA1_80", aes128_80, aes128_80, 10},
      {"AES_CM_128_HMAC_SHA1_32", aes128_32, aes128_80, 10},
      {"AES_256_CM_HMAC_SHA1_80", aes256_80, aes256_80, 10},
      {"AES_256_CM_HMAC_SHA1_32", aes256_32, aes256_80, 10},
      {"AEAD_AES_128_GCM", gcm128, gcm128, 0},
      {"AEAD_AES_256_GCM", gcm256, gcm256, 0},
  }};
  for (const Suite& suite : suites) {
    if (name == suite.name) {
      return suite;
    }
  }
  errno = EINVAL;
  give_up("suite " + name);
}

srtp_t open_session(const std::string& suite, const std::string& key, srtp_ssrc_type_t direction) {
  if (suite == "none") {
    return nullptr;
  }
  std::vector<std::uint8_t> bytes = from_base64(key);
  srtp_policy_t policy{};
  suite_of(suite).rtp(&policy.rtp);
  suite_of(suite).rtcp(&policy.rtcp);
  policy.ssrc.type = direction;
  policy.key = bytes.data();
  policy.window_size = 1024;
  srtp_t session = nullptr;
  if (bytes.size() != static_cast<std::size_t>(policy.rtp.cipher_key_len) ||
      srtp_create(&session, &policy) != srtp_err_status_ok) {
    errno = EINVAL;
    give_up("key for " + suite);
  }
  return session;
}

}  // namespace

Address Address::parse(const std::string& ip, std::uint16_t port) {
  Address address;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET, ip.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    address.length = sizeof v4;
    std::memcpy(&address.storage, &v4, sizeof v4);
  } else if (inet_pton(AF_INET6, ip.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    address.length = sizeof v6;
    std::memcpy(&address.storage, &v6, sizeof v6);
  } else {
    give_up("address " + ip);
  }
  return address;
}

const sockaddr* Address::raw() const {
  return reinterpret_cast<const sockaddr*>(&storage);
}

bool Address::operator==(const Address& other) const {
  return length == other.length && std::memcmp(&storage, &other.storage, length) == 0;
}

Leg::Leg(const LegWords& words)
    : words_(words),
      rtp_to_(Address::parse(words.remote_ip, static_cast<std::uint16_t>(words.remote_rtp))),
      rtcp_to_(Address::parse(words.remote_ip, static_cast<std::uint16_t>(words.remote_rtcp))),
      send_session_(open_session(words.send_suite, words.send_key, ssrc_any_outbound)),
      receive_session_(open_session(words.receive_suite, words.receive_key, ssrc_any_inbound)),
      sequence_(static_cast<std::uint16_t>(words.ssrc)) {
  bind_sockets(static_cast<std::uint16_t>(words.local_port));
  for (const char* name :
       {"sent", "sent_rtcp", "send_errors", "received", "received_rtcp", "auth_failed", "replayed",
        "other_errors", "damaged", "clear", "foreign_source", "repeated", "rtcp_index_reused"}) {
    counts_[name] = 0;
  }
}

Leg::~Leg() {
  close(rtp_socket_);
  if (rtcp_socket_ >= 0) {
    close(rtcp_socket_);
  }
  if (send_session_ != nullptr) {
    srtp_dealloc(send_session_);
  }
  if (receive_session_ != nullptr) {
    srtp_dealloc(receive_session_);
  }
}

void Leg::bind_sockets(std::uint16_t port) {
  const auto open = [&](std::uint16_t at) {
    const Address local = Address::parse(words_.local_ip, at);
    const int fd = socket(local.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, local.raw(), local.length) != 0) {
      give_up("bind " + words_.local_ip + " " + std::to_string(at));
    }
    return fd;
  };
  rtp_socket_ = open(port);
  if (words_.mux == 0) {
    rtcp_socket_ = open(static_cast<std::uint16_t>(port + 1));
  }
}

void Leg::move(std::uint16_t local_port) {
  close(rtp_socket_);
  if (rtcp_socket_ >= 0) {
    close(rtcp_socket_);
  }
  bind_sockets(local_port);
}

std::vector<std::uint8_t> Leg::make_rtp() {
  std::vector<std::uint8_t> packet(kRtpHeaderBytes + kPayloadBytes + SRTP_MAX_TRAILER_LEN);
  packet[0] = 0x80;
  packet[1] = 0;
  packet[2] = static_cast<std::uint8_t>(sequence_ >> 8U);
  packet[3] = static_cast<std::uint8_t>(sequence_);
  put32(&packet[4], sent_counter_ * static_cast<std::uint32_t>(kPayloadBytes));
  put32(&packet[8], words_.ssrc);
  fill_pattern(&packet[kRtpHeaderBytes], words_.ssrc, sent_counter_);
  ++sequence_;
  ++sent_counter_;
  int length = static_cast<int>(kRtpHeaderBytes + kPayloadBytes);
  if (send_session_ != nullptr &&
      srtp_protect(send_session_, packet.data(), &length) != srtp_err_status_ok) {
    give_up("srtp_protect");
  }
  packet.resize(static_cast<std::size_t>(length));
  return packet;
}

void Leg::send_rtp() {
  const std::vector<std::uint8_t> packet = make_rtp();
  const ssize_t sent =
      sendto(rtp_socket_, packet.data(), packet.size(), 0, rtp_to_.raw(), rtp_to_.length);
  ++counts_[sent < 0 ? "send_errors" : "sent"];
}

std::vector<std::uint8_t> Leg::make_rtcp() {
  // Sender report and SDES with a CNAME (RFC 3550 sections 6.4.1 and 6.5).
  std::vector<std::uint8_t> packet(28 + 16);
  packet[0] = 0x80;
  packet[1] = 200;
  packet[3] = 6;
  put32(&packet[4], words_.ssrc);
  put32(&packet[16], sent_counter_ * static_cast<std::uint32_t>(kPayloadBytes));
  put32(&packet[20], sent_counter_);
  put32(&packet[24], sent_counter_ * static_cast<std::uint32_t>(kPayloadBytes));
  packet[28] = 0x81;
  packet[29] = 202;
  packet[31] = 3;
  put32(&packet[32], words_.ssrc);
  packet[36] = 1;
  packet[37] = 4;
  std::memcpy(&packet[38], "peer", 4);
  int length = static_cast<int>(packet.size());
  packet.resize(packet.size() + SRTP_MAX_TRAILER_LEN + kSrtcpIndexBytes);
  if (send_session_ != nullptr &&
      srtp_protect_rtcp(send_session_, packet.data(), &length) != srtp_err_status_ok) {
    give_up("srtp_protect_rtcp");
  }
  packet.resize(static_cast<std::size_t>(length));
  return packet;
}

void Leg::send_rtcp() {
  const std::vector<std::uint8_t> packet = make_rtcp();
  const ssize_t sent = sendto(words_.mux != 0 ? rtp_socket_ : rtcp_socket_, packet.data(),
                              packet.size(), 0, rtcp_to_.raw(), rtcp_to_.length);
  ++counts_[sent < 0 ? "send_errors" : "sent_rtcp"];
}

void Leg::receive(int socket, std::int64_t now_ns) {
  std::array<std::uint8_t, 2048> buffer{};
  while (true) {
    Address from;
    from.length = sizeof from.storage;
    const ssize_t size = recvfrom(socket, buffer.data(), buffer.size(), 0,
                                  reinterpret_cast<sockaddr*>(&from.storage), &from.length);
    if (size < 0) {
      return;
    }
    const Address& expected = socket == rtp_socket_ ? rtp_to_ : rtcp_to_;
    receive_one({buffer.data(), static_cast<std::size_t>(size)}, from == expected, now_ns);
  }
}

void Leg::receive_one(std::span<std::uint8_t> packet, bool from_remote, std::int64_t now_ns) {
  if (!from_remote) {
    ++counts_["foreign_source"];
    return;
  }
  if (packet.size() <= kRtpHeaderBytes) {
    return;  // a keep-alive
  }
  if (packet[1] >= 200 && packet[1] <= 206) {
    receive_rtcp(packet);
    return;
  }
  if (receive_session_ != nullptr && holds_clear_payload(packet)) {
    ++counts_["clear"];
    return;
  }
  int length = static_cast<int>(packet.size());
  srtp_err_status_t status = srtp_err_status_ok;
  if (receive_session_ != nullptr) {
    status = srtp_unprotect(receive_session_, packet.data(), &length);
  }
  if (status == srtp_err_status_auth_fail) {
    ++counts_["auth_failed"];
  } else if (status == srtp_err_status_replay_fail || status == srtp_err_status_replay_old) {
    ++counts_["replayed"];
  } else if (status != srtp_err_status_ok) {
    ++counts_["other_errors"];
  } else {
    const auto size = static_cast<std::size_t>(length);
    judge_payload(packet.subspan(kRtpHeaderBytes, size - kRtpHeaderBytes), now_ns);
  }
}

bool Leg::holds_clear_payload(std::span<const std::uint8_t> packet) const {
  return packet.size() >= kRtpHeaderBytes + 4 &&
         take32(&packet[kRtpHeaderBytes]) == words_.expected_ssrc;
}

void Leg::judge_payload(std::span<const std::uint8_t> payload, std::int64_t now_ns) {
  std::array<std::uint8_t, kPayloadBytes> wanted{};
  const std::uint32_t counter = payload.size() == kPayloadBytes ? take32(&payload[4]) : 0;
  fill_pattern(wanted.data(), words_.expected_ssrc, counter);
  if (!std::equal(payload.begin(), payload.end(), wanted.begin(), wanted.end())) {
    ++counts_["damaged"];
    return;
  }
  if (!counters_seen_.insert(counter).second) {
    ++counts_["repeated"];
    return;
  }
  if (counts_["received"]++ == 0) {
    lowest_counter_ = highest_counter_ = counter;
  } else {
    longest_gap_ns_ = std::max(longest_gap_ns_, now_ns - last_ns_);
  }
  lowest_counter_ = std::min(lowest_counter_, counter);
  highest_counter_ = std::max(highest_counter_, counter);
  last_ns_ = now_ns;
}

void Leg::receive_rtcp(std::span<std::uint8_t> packet) {
  if (receive_session_ != nullptr) {
    const std::size_t behind = suite_of(words_.receive_suite).rtcp_tag_bytes + kSrtcpIndexBytes;
    if (packet.size() > behind) {
      const std::uint32_t index = take32(&packet[packet.size() - behind]);
      counts_["rtcp_index_reused"] += rtcp_indices_seen_.insert(index).second ? 0 : 1;
    }
    int length = static_cast<int>(packet.size());
    const srtp_err_status_t status = srtp_unprotect_rtcp(receive_session_, packet.data(), &length);
    if (status != srtp_err_status_ok) {
      ++counts_[status == srtp_err_status_auth_fail ? "auth_failed" : "other_errors"];
      return;
    }
  }
  ++counts_[take32(&packet[4]) == words_.expected_ssrc ? "received_rtcp" : "damaged"];
}

std::string Leg::report() const {
  std::string text = "{\"id\": \"" + words_.id + "\"";
  for (const auto& [name, value] : counts_) {
    text += ", \"" + name + "\": " + std::to_string(value);
  }
  const std::uint64_t span =
      counters_seen_.empty() ? 0 : std::uint64_t{highest_counter_} - lowest_counter_ + 1;
  text += ", \"lost\": " + std::to_string(span - counters_seen_.size());
  text += ", \"longest_gap_ms\": " + std::to_string(longest_gap_ns_ / 1000000);
  text += ", \"last_ns\": " + std::to_string(last_ns_);
  return text + "}";
}

}  // namespace peer
