// The rules of SRTP between the callers and the ciphers: packet layouts, indices, replay,
// lifetimes.
#include "relay/crypto/srtp.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/crypto/srtp_backend.h"
#include "relay/crypto/srtp_index.h"

namespace turnpike {
namespace {

constexpr std::uint32_t kRtpHeaderBytes = 12;
constexpr std::uint32_t kRtcpHeaderBytes = 8;
constexpr std::uint32_t kRtcpWordBytes = 4;  // E flag and index
constexpr std::uint32_t kEncryptedFlag = 0x80000000;
/// No datagram is longer, and AES-CM's 16-bit block counter must not run over.
constexpr std::uint32_t kPacketBytesMax = 0xffff;

/// Where an encrypted packet's parts lie. Offsets from the packet's start:
///   CM:   body | [E,index] | MKI | tag       (RFC 3711 sections 3.1, 3.4)
///   GCM:  body | tag | [E,index] | MKI       (RFC 7714 sections 8.2, 9.2)
struct Trailer {
  std::uint32_t word = 0;  // SRTCP only
  std::uint32_t mki = 0;
  std::uint32_t tag = 0;
  std::uint32_t end = 0;
};

Trailer trailer_after(std::uint32_t body, const SrtpContext& context, bool rtcp) {
  const SrtpSuiteInfo& info = info_of(context.suite);
  const std::uint32_t tag_bytes = rtcp ? info.rtcp_tag_bytes : info.rtp_tag_bytes;
  Trailer at;
  std::uint32_t next = body;
  const auto place = [&next](std::uint32_t bytes) {
    const std::uint32_t offset = next;
    next += bytes;
    return offset;
  };
  if (is_gcm(context.suite)) at.tag = place(tag_bytes);
  if (rtcp) at.word = place(kRtcpWordBytes);
  at.mki = place(context.mki_bytes);
  if (!is_gcm(context.suite)) at.tag = place(tag_bytes);
  at.end = next;
  return at;
}

/// Bytes of fixed header, CSRCs and header extension; 0 where they do not fit into `body`.
std::uint32_t rtp_header_bytes(const std::uint8_t* data, std::uint32_t body) {
  if (body < kRtpHeaderBytes) return 0;
  std::uint32_t bytes = kRtpHeaderBytes + 4U * (data[0] & 0x0fU);
  if ((data[0] & 0x10) != 0) {
    if (body < bytes + 4) return 0;
    bytes += 4 + 4U * read_be16(data + bytes + 2);
  }
  return bytes <= body ? bytes : 0;
}

/// RFC 3711 section 4.1.1, RFC 7714 sections 8.1 and 9.1. `index` of SRTCP is its 31-bit index.
void write_iv(const SrtpContext& context, bool rtcp, std::uint32_t ssrc, std::uint64_t index,
              std::array<std::uint8_t, 16>& iv) {
  const std::array<std::uint8_t, 14>& salt = rtcp ? context.rtcp_salt : context.rtp_salt;
  const std::size_t salt_bytes = info_of(context.suite).salt_bytes;
  iv.fill(0);
  std::copy_n(salt.begin(), salt_bytes, iv.begin());
  // The index ends where the salt ends, the SSRC stands right before its 48 bits.
  std::uint8_t* at = iv.data() + salt_bytes - 10;
  write_be32(at, read_be32(at) ^ ssrc);
  write_be32(at + 4, read_be32(at + 4) ^ static_cast<std::uint32_t>(index >> 16));
  write_be16(at + 8, static_cast<std::uint16_t>(read_be16(at + 8) ^ (index & 0xffff)));
}

/// What is common to both directions once body, clear part and index are known.
void fill(SrtpOperation& op, const SrtpJob& job, const Trailer& at, std::uint32_t body,
          std::uint32_t clear, std::uint64_t index) {
  const SrtpContext& context = *job.context;
  op.context = &context;
  op.cache_slot = job.cache_slot;
  op.rtcp = job.rtcp;
  op.ok = false;
  op.packet = job.data;
  op.tag = job.data + at.tag;
  op.clear_bytes = clear;
  op.cipher_bytes = body - clear;
  op.tail_bytes = 0;
  if (job.rtcp) {
    op.tail_bytes = 4;
    std::memcpy(op.tail.data(), job.data + at.word, 4);
  } else if (!is_gcm(context.suite)) {
    op.tail_bytes = 4;
    write_be32(op.tail.data(), static_cast<std::uint32_t>(index >> 16));
  }
  const std::uint32_t ssrc = read_be32(job.data + (job.rtcp ? 4 : 8));
  write_iv(context, job.rtcp, ssrc, index, op.iv);
}

SrtpStatus status_of(WindowPlace place) {
  switch (place) {
    case WindowPlace::kFresh:
      return SrtpStatus::kOk;
    case WindowPlace::kUsed:
      return SrtpStatus::kReplayed;
    case WindowPlace::kBehind:
      return SrtpStatus::kTooOld;
  }
  return SrtpStatus::kTooOld;
}

/// A packet to unprotect, taken apart; nothing but reading has happened.
struct Received {
  Trailer at;
  std::uint32_t body = 0;
  std::uint32_t clear = 0;
  std::uint64_t index = 0;
};

SrtpStatus take_apart(const SrtpJob& job, Received& received) {
  const SrtpContext& context = *job.context;
  const std::uint32_t overhead = trailer_after(0, context, job.rtcp).end;
  const std::uint32_t shortest = job.rtcp ? kRtcpHeaderBytes : kRtpHeaderBytes;
  if (job.length < shortest + overhead || job.length > kPacketBytesMax) {
    return SrtpStatus::kMalformed;
  }
  received.body = job.length - overhead;
  received.at = trailer_after(received.body, context, job.rtcp);
  if (job.rtcp) {
    const std::uint32_t word = read_be32(job.data + received.at.word);
    received.clear = (word & kEncryptedFlag) != 0 ? kRtcpHeaderBytes : received.body;
    received.index = word & ~kEncryptedFlag;
  } else {
    received.clear = rtp_header_bytes(job.data, received.body);
    if (received.clear == 0) return SrtpStatus::kMalformed;
  }
  // Public on the wire: no need for equal time.
  if (std::memcmp(job.data + received.at.mki, context.mki.data(), context.mki_bytes) != 0) {
    return SrtpStatus::kWrongMki;
  }
  if (job.rtcp) return SrtpStatus::kOk;

  const std::uint16_t sequence = read_be16(job.data + 2);
  if (job.receive->rtp_started == 0) {
    received.index = sequence;
    return SrtpStatus::kOk;
  }
  const std::int64_t index = estimate_index(job.receive->rtp_highest, sequence);
  if (index >= std::int64_t{kSrtpIndexCount}) return SrtpStatus::kKeyExhausted;
  // No packet is older than the first roll-over period: the sender jumped ahead within it.
  received.index = index < 0 ? sequence : static_cast<std::uint64_t>(index);
  return SrtpStatus::kOk;
}

SrtpStatus check_replay(const SrtpJob& job, std::uint64_t index) {
  const SrtpReceiveStream& stream = *job.receive;
  if (job.rtcp) {
    if (stream.rtcp_started == 0) return SrtpStatus::kOk;
    return status_of(place_of(stream.rtcp_window, stream.rtcp_highest, index));
  }
  if (stream.rtp_started == 0) return SrtpStatus::kOk;
  return status_of(place_of(stream.rtp_window, stream.rtp_highest, index));
}

void accept(SrtpReceiveStream& stream, bool rtcp, std::uint64_t index) {
  if (rtcp) {
    std::uint64_t highest = stream.rtcp_started != 0 ? stream.rtcp_highest : index;
    mark_used(stream.rtcp_window, highest, index);
    stream.rtcp_highest = static_cast<std::uint32_t>(highest);
    stream.rtcp_started = 1;
    return;
  }
  if (stream.rtp_started == 0) stream.rtp_highest = index;
  mark_used(stream.rtp_window, stream.rtp_highest, index);
  stream.rtp_started = 1;
}

/// RFC 3711 section 9.2; RFC 4568 section 6.1 counts SRTP and SRTCP packets apart.
bool is_exhausted(const SrtpContext& context, bool rtcp) {
  const std::uint64_t limit = rtcp ? kSrtcpIndexCount : kSrtpIndexCount;
  const std::uint64_t used = rtcp ? context.rtcp_packets_used : context.packets_used;
  return used >=
         (context.lifetime_packets != 0 ? std::min(limit, context.lifetime_packets) : limit);
}

/// The index that an SRTP packet would be sent at.
SrtpStatus next_rtp_index(const SrtpSendStream& stream, std::uint16_t sequence,
                          std::uint64_t& index) {
  if (stream.rtp_started == 0) {
    index = sequence;
    return SrtpStatus::kOk;
  }
  const std::int64_t estimate = estimate_index(stream.rtp_highest, sequence);
  if (estimate >= std::int64_t{kSrtpIndexCount}) return SrtpStatus::kKeyExhausted;
  // Sending it in this roll-over period instead would leave receivers that follow RFC 3711 to
  // the letter, or that miss this packet, at another roll-over counter for good.
  if (estimate < 0) return SrtpStatus::kIndexUsed;
  index = static_cast<std::uint64_t>(estimate);
  const bool fresh = place_of(stream.rtp_window, stream.rtp_highest, index) == WindowPlace::kFresh;
  return fresh ? SrtpStatus::kOk : SrtpStatus::kIndexUsed;
}

void use_rtp_index(SrtpSendStream& stream, std::uint64_t index) {
  if (stream.rtp_started == 0) stream.rtp_highest = index;
  mark_used(stream.rtp_window, stream.rtp_highest, index);
  stream.rtp_started = 1;
}

/// Checks everything, then uses up the index: from here on it is never given out again.
SrtpStatus prepare_seal(SrtpJob& job, SrtpOperation& op) {
  SrtpContext& context = *job.context;
  const std::uint32_t body = job.length;
  if (body > kPacketBytesMax) return SrtpStatus::kMalformed;
  const std::uint32_t clear = job.rtcp ? kRtcpHeaderBytes : rtp_header_bytes(job.data, body);
  if (clear == 0 || body < clear) return SrtpStatus::kMalformed;
  const Trailer at = trailer_after(body, context, job.rtcp);
  if (at.end > job.capacity || at.end > kPacketBytesMax) return SrtpStatus::kNoRoom;
  if (is_exhausted(context, job.rtcp)) return SrtpStatus::kKeyExhausted;

  if (job.rtcp) {
    if (job.send->rtcp_next >= kSrtcpIndexCount) return SrtpStatus::kKeyExhausted;
    job.index = job.send->rtcp_next++;
    ++context.rtcp_packets_used;
    write_be32(job.data + at.word, kEncryptedFlag | static_cast<std::uint32_t>(job.index));
  } else {
    std::uint64_t index = 0;
    const SrtpStatus status = next_rtp_index(*job.send, read_be16(job.data + 2), index);
    if (status != SrtpStatus::kOk) return status;
    use_rtp_index(*job.send, index);
    job.index = index;
    ++context.packets_used;
  }
  std::copy_n(context.mki.begin(), context.mki_bytes, job.data + at.mki);
  fill(op, job, at, body, clear, job.index);
  job.length = at.end;
  return SrtpStatus::kOk;
}

void check_contract(const SrtpJob& job, std::size_t cache_slots) {
  CHECK(job.context != nullptr && job.context->serial != 0);
  CHECK(job.context->suite != SrtpSuite::kNone &&
        static_cast<std::size_t>(job.context->suite) < kSrtpSuiteCount &&
        job.context->mki_bytes <= kMkiBytesMax);
  CHECK(job.cache_slot < cache_slots);
}

}  // namespace

struct SrtpTransform::Cache {
  Cache(std::size_t slots, std::unique_ptr<SrtpBackend> ciphers)
      : cache_slots(slots), backend(std::move(ciphers)) {
    CHECK(backend != nullptr);
  }

  /// Unprotects the first jobs, up to one whose stream came before: its index and its replay
  /// check depend on the outcome of the earlier one. Returns how many.
  std::size_t unprotect_wave(std::span<SrtpJob> jobs);

  std::size_t cache_slots;
  std::unique_ptr<SrtpBackend> backend;
  std::array<SrtpOperation, kOperationsMax> operations;
  std::array<SrtpJob*, kOperationsMax> owners{};
  std::array<const SrtpReceiveStream*, kOperationsMax> streams{};
};

std::size_t SrtpTransform::Cache::unprotect_wave(std::span<SrtpJob> jobs) {
  std::size_t taken = 0;
  std::size_t count = 0;
  for (; taken < jobs.size() && count < kOperationsMax; ++taken) {
    SrtpJob& job = jobs[taken];
    check_contract(job, cache_slots);
    CHECK(job.receive != nullptr);
    const auto end = streams.begin() + static_cast<std::ptrdiff_t>(count);
    if (std::find(streams.begin(), end, job.receive) != end) break;
    Received received;
    job.status = take_apart(job, received);
    if (job.status == SrtpStatus::kOk) job.status = check_replay(job, received.index);
    if (job.status != SrtpStatus::kOk) continue;
    backend->prefetch(*job.context, job.cache_slot);
    fill(operations[count], job, received.at, received.body, received.clear, received.index);
    job.index = received.index;
    owners[count] = &job;
    streams[count++] = job.receive;
  }
  backend->open({operations.data(), count});
  for (std::size_t i = 0; i < count; ++i) {
    SrtpJob& job = *owners[i];
    if (!operations[i].ok) {
      job.status = SrtpStatus::kAuthFailed;
      continue;
    }
    accept(*job.receive, job.rtcp, job.index);
    job.length = operations[i].clear_bytes + operations[i].cipher_bytes;
  }
  return taken;
}

SrtpTransform::SrtpTransform(std::size_t cache_slots, SrtpLibrary library)
    : SrtpTransform(cache_slots, make_srtp_backend(library, cache_slots)) {}

SrtpTransform::SrtpTransform(std::size_t cache_slots, std::unique_ptr<SrtpBackend> backend)
    : cache_(std::make_unique<Cache>(cache_slots, std::move(backend))) {}

SrtpTransform::~SrtpTransform() = default;

void SrtpTransform::unprotect(std::span<SrtpJob> jobs) {
  while (!jobs.empty()) jobs = jobs.subspan(cache_->unprotect_wave(jobs));
}

void SrtpTransform::protect(std::span<SrtpJob> jobs) {
  std::size_t count = 0;
  for (SrtpJob& job : jobs) {
    check_contract(job, cache_->cache_slots);
    CHECK(job.send != nullptr);
    job.status = prepare_seal(job, cache_->operations[count]);
    if (job.status != SrtpStatus::kOk) continue;
    cache_->backend->prefetch(*job.context, job.cache_slot);
    if (++count == kOperationsMax) {
      cache_->backend->seal(cache_->operations);
      count = 0;
    }
  }
  cache_->backend->seal({cache_->operations.data(), count});
}

bool SrtpTransform::verify_tag(const SrtpJob& job) {
  check_contract(job, cache_->cache_slots);
  CHECK(job.receive != nullptr);
  Received received;
  if (take_apart(job, received) != SrtpStatus::kOk) return false;
  SrtpOperation op;
  fill(op, job, received.at, received.body, received.clear, received.index);
  cache_->backend->verify(op);
  return op.ok;
}

void SrtpTransform::forget(std::uint32_t cache_slot) {
  cache_->backend->forget(cache_slot);
}

}  // namespace turnpike
