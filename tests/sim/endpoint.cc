#include "tests/sim/endpoint.h"

#include "relay/core/bytes.h"

namespace turnpike::sim {
namespace {

constexpr std::size_t kRtpBytes = 12 + 40;
constexpr std::size_t kRtcpBytes = 28;

}  // namespace

void Endpoint::set_keys(const SrtpKeying& ours, const SrtpKeying& relays) {
  static_cast<void>(derive_srtp_context(ours, send_));
  static_cast<void>(derive_srtp_context(relays, receive_));
  send_streams_.clear();
  receive_streams_.clear();
}

void Endpoint::change_ssrc(std::uint32_t ssrc) {
  ssrc_ = ssrc;
  sequence_ = static_cast<std::uint16_t>(ssrc);
}

void Endpoint::rebind(Component component, const SocketAddress& to) {
  address_[index_of(component)] = to;
  history_.insert(to);
}

// Timestamp, SSRC and payload: what stays the same from end to end.
Bytes Endpoint::body_of(const Bytes& plain) {
  return {plain.begin() + 4, plain.end()};
}

Bytes Endpoint::next_rtp() {
  Bytes packet(kRtpBytes);
  packet[0] = 0x80;
  packet[1] = 8;
  write_be16(&packet[2], sequence_++);
  write_be32(&packet[4], timestamp_);
  timestamp_ += 160;
  write_be32(&packet[8], ssrc_);
  write_be32(&packet[12], ++count_);
  bodies_.insert(body_of(packet));
  return seal(std::move(packet), false);
}

Bytes Endpoint::next_rtcp() {
  Bytes packet(kRtcpBytes);
  packet[0] = 0x80;
  packet[1] = 200;
  write_be16(&packet[2], kRtcpBytes / 4 - 1);
  write_be32(&packet[4], ssrc_);
  write_be32(&packet[8], ++count_);
  bodies_.insert(body_of(packet));
  return seal(std::move(packet), true);
}

Bytes Endpoint::seal(Bytes plain, bool rtcp) {
  if (!secure()) return plain;
  SrtpJob job;
  job.length = static_cast<std::uint32_t>(plain.size());
  plain.resize(plain.size() + kSrtpTrailerBytesMax);
  job.data = plain.data();
  job.capacity = static_cast<std::uint32_t>(plain.size());
  job.rtcp = rtcp;
  job.cache_slot = 0;
  job.context = &send_;
  job.send = &send_streams_[ssrc_];
  transform_.protect({&job, 1});
  plain.resize(job.status == SrtpStatus::kOk ? job.length : 0);
  return plain;
}

std::optional<Bytes> Endpoint::open(const Bytes& packet, bool rtcp) {
  if (!secure()) return packet;
  if (packet.size() < 12) return std::nullopt;
  Bytes plain = packet;
  SrtpJob job;
  job.data = plain.data();
  job.length = job.capacity = static_cast<std::uint32_t>(plain.size());
  job.rtcp = rtcp;
  job.cache_slot = 1;
  job.context = &receive_;
  job.receive = &receive_streams_[read_be32(&plain[rtcp ? 4 : 8])];
  transform_.unprotect({&job, 1});
  if (job.status != SrtpStatus::kOk) return std::nullopt;
  plain.resize(job.length);
  return plain;
}

}  // namespace turnpike::sim
