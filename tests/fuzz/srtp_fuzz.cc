// The SRTP transform under any bytes: as packets from outside, and as packets to send.
//
// Input: 4 bytes that choose suite, MKI, RTP or RTCP and the stream's history, then packets, each
// led by a 2-byte length.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/crypto/srtp.h"

namespace turnpike {
namespace {

/// The packet at the very end of its own allocation, so that a sanitizer sees any byte beyond.
struct ExactBuffer {
  explicit ExactBuffer(std::size_t size)
      : bytes(size), data(static_cast<std::uint8_t*>(std::malloc(size == 0 ? 1 : size))) {
    CHECK(data != nullptr);
  }
  ~ExactBuffer() { std::free(data); }
  ExactBuffer(const ExactBuffer&) = delete;
  ExactBuffer& operator=(const ExactBuffer&) = delete;

  std::size_t bytes;
  std::uint8_t* data;
};

template <class T>
bool same_bytes(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

struct Session {
  SrtpContext send_context;
  SrtpContext receive_context;
  SrtpSendStream send;
  SrtpReceiveStream receive;
  SrtpTransform transform{2};

  SrtpJob job_of(std::uint8_t* data, std::size_t bytes, std::size_t room, bool rtcp) {
    SrtpJob job;
    job.data = data;
    job.length = static_cast<std::uint32_t>(bytes);
    job.capacity = static_cast<std::uint32_t>(room);
    job.rtcp = rtcp;
    return job;
  }

  void unprotect(const std::uint8_t* packet, std::size_t bytes, bool rtcp) {
    ExactBuffer copy(bytes);
    if (bytes != 0) {
      std::memcpy(copy.data, packet, bytes);
    }
    SrtpJob job = job_of(copy.data, bytes, bytes, rtcp);
    job.context = &receive_context;
    job.receive = &receive;
    job.cache_slot = 1;
    const SrtpReceiveStream before = receive;
    const bool tag_is_right = transform.verify_tag(job);
    CHECK(bytes == 0 || std::memcmp(copy.data, packet, bytes) == 0);
    CHECK(same_bytes(before, receive));
    transform.unprotect({&job, 1});
    CHECK(job.status != SrtpStatus::kOk || tag_is_right);
    CHECK(job.status == SrtpStatus::kOk ? job.length < bytes : same_bytes(before, receive));
  }

  void protect(const std::uint8_t* packet, std::size_t bytes, std::size_t room, bool rtcp) {
    ExactBuffer copy(bytes + room);
    if (bytes != 0) {
      std::memcpy(copy.data, packet, bytes);
    }
    SrtpJob job = job_of(copy.data, bytes, bytes + room, rtcp);
    job.context = &send_context;
    job.send = &send;
    const SrtpSendStream before = send;
    transform.protect({&job, 1});
    if (job.status != SrtpStatus::kOk) {
      CHECK(same_bytes(before, send));
      CHECK(bytes == 0 || std::memcmp(copy.data, packet, bytes) == 0);
      return;
    }
    CHECK(!same_bytes(before, send));
    CHECK(job.length > bytes && job.length <= bytes + room);
    // What was just sent is received as it was, by a receiver at the same place.
    SrtpReceiveStream fresh;
    fresh.rtp_highest = before.rtp_highest;
    fresh.rtp_started = before.rtp_started;
    job.context = &receive_context;
    job.receive = &fresh;
    job.cache_slot = 1;
    const std::uint64_t index = job.index;
    transform.unprotect({&job, 1});
    CHECK(job.status == SrtpStatus::kOk && job.index == index && job.length == bytes);
    CHECK(std::memcmp(copy.data, packet, bytes) == 0);
  }
};

}  // namespace
}  // namespace turnpike

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace turnpike;
  if (size < 4) {
    return 0;
  }
  SrtpKeying keying;
  keying.suite = static_cast<SrtpSuite>(1 + data[0] % (kSrtpSuiteCount - 1));
  keying.mki_bytes = data[1] % (kMkiBytesMax + 1);
  keying.mki.fill(data[1]);
  keying.master_key.fill(7);
  keying.lifetime_packets = data[2] % 16;
  Session session;
  CHECK(derive_srtp_context(keying, session.send_context));
  CHECK(derive_srtp_context(keying, session.receive_context));
  if ((data[3] & 1) != 0) {  // near the end of the roll-over counter
    session.send.rtp_started = session.receive.rtp_started = 1;
    session.send.rtp_highest = session.receive.rtp_highest = (std::uint64_t{1} << 48) - 1000;
    session.send.rtcp_next = 0x7ffffff0;
  }
  data += 4;
  size -= 4;
  while (size >= 2) {
    const std::uint16_t head = read_be16(data);
    data += 2;
    size -= 2;
    const std::size_t bytes = head & 0x0fff;
    const std::size_t taken = bytes < size ? bytes : size;
    const bool rtcp = (head & 0x8000) != 0;
    if ((head & 0x4000) != 0) {
      session.protect(data, taken, (head >> 12) & 3 ? kSrtpTrailerBytesMax : 12, rtcp);
    } else {
      session.unprotect(data, taken, rtcp);
    }
    data += taken;
    size -= taken;
  }
  return 0;
}
