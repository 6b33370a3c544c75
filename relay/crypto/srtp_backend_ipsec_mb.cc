// Intel's multi-buffer library: AES-CTR and HMAC-SHA1 of many packets in the lanes of the vector
// unit, GCM one packet after the other. Key schedules lie flat, in memory that is committed when
// first used and that no dump contains. SRTCP is rare and goes through EVP.
#include "relay/crypto/srtp_backend.h"

#ifdef TURNPIKE_IPSEC_MB

#include <algorithm>
#include <cstring>

#include <intel-ipsec-mb.h>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/crypto/hmac_sha1.h"
#include "relay/crypto/secret_array.h"

namespace turnpike {
namespace {

/// Below this many packets the lanes cost more than they save (bench/micro/srtp_bench.cc).
constexpr std::size_t kLanesWorthwhile = 6;
constexpr std::size_t kRoundKeyBytesMax = 240;  // 15 round keys of AES-256

struct alignas(64) CmKeys {
  std::uint64_t serial;  // of the context whose keys these are; 0 = none
  HmacSha1Key hmac;
  alignas(16) std::array<std::uint8_t, kRoundKeyBytesMax> round_keys;
};
static_assert(sizeof(CmKeys) == 320);

struct alignas(64) GcmKeys {
  std::uint64_t serial;
  alignas(64) gcm_key_data data;  // its own declaration asks for it on some systems only
};

struct ManagerFree {
  void operator()(IMB_MGR* manager) const { free_mb_mgr(manager); }
};
using ManagerPointer = std::unique_ptr<IMB_MGR, ManagerFree>;

ManagerPointer make_manager(IpsecMbLevel level) {
  ManagerPointer manager(alloc_mb_mgr(0));
  if (!manager) return nullptr;
  IMB_ARCH arch = IMB_ARCH_NONE;
  switch (level) {
    case IpsecMbLevel::kBest:
      init_mb_mgr_auto(manager.get(), &arch);
      // Without AES instructions the library is far slower than EVP.
      if (arch == IMB_ARCH_NOAESNI) return nullptr;
      break;
    case IpsecMbLevel::kAvx512:
      init_mb_mgr_avx512(manager.get());
      break;
    case IpsecMbLevel::kAvx2:
      init_mb_mgr_avx2(manager.get());
      break;
    case IpsecMbLevel::kAvx:
      init_mb_mgr_avx(manager.get());
      break;
    case IpsecMbLevel::kSse:
      init_mb_mgr_sse(manager.get());
      break;
  }
  if (imb_get_errno(manager.get()) != 0) return nullptr;
  return manager;
}

const std::uint8_t* bytes_of(const void* object) {
  return static_cast<const std::uint8_t*>(object);
}

bool has_long_key(const SrtpOperation& op) {
  return info_of(op.context->suite).key_bytes == 32;
}

class IpsecMbBackend final : public SrtpBackend {
 public:
  IpsecMbBackend(ManagerPointer manager, std::size_t cache_slots)
      : manager_(std::move(manager)),
        cm_(cache_slots),
        gcm_(cache_slots),
        evp_(make_evp_backend(1)) {}

  void seal(std::span<SrtpOperation> operations) override;
  void open(std::span<SrtpOperation> operations) override;
  void verify(SrtpOperation& op) override;
  void prefetch(const SrtpContext& context, std::uint32_t cache_slot) const override;
  void forget(std::uint32_t cache_slot) override;

 private:
  CmKeys& cm_keys_for(const SrtpOperation& op);
  GcmKeys& gcm_keys_for(const SrtpOperation& op);
  void crypt(std::span<SrtpOperation* const> operations);
  void crypt(std::span<SrtpOperation* const> operations, bool long_key);
  void authenticate(std::span<SrtpOperation* const> operations);
  void authenticate_in_lanes(std::span<SrtpOperation* const> operations);
  void seal_gcm(const SrtpOperation& op);
  void open_gcm(SrtpOperation& op);

  ManagerPointer manager_;
  SecretArray<CmKeys> cm_;
  SecretArray<GcmKeys> gcm_;
  std::unique_ptr<SrtpBackend> evp_;  // SRTCP and single questions; its one slot is for these
  gcm_context_data gcm_context_{};

  // Scratch of one batch.
  std::array<IMB_JOB, kOperationsMax> jobs_{};
  std::array<std::array<std::uint8_t, kSha1Bytes>, kOperationsMax> digests_{};
};

CmKeys& IpsecMbBackend::cm_keys_for(const SrtpOperation& op) {
  CmKeys& keys = cm_[op.cache_slot];
  const SrtpContext& context = *op.context;
  if (keys.serial == context.serial) return keys;
  // The library writes the schedule of the inverse cipher as well, which CTR never uses.
  alignas(16) std::array<std::uint8_t, kRoundKeyBytesMax> inverse;
  if (has_long_key(op)) {
    IMB_AES_KEYEXP_256(manager_.get(), context.rtp_key.data(), keys.round_keys.data(),
                       inverse.data());
  } else {
    IMB_AES_KEYEXP_128(manager_.get(), context.rtp_key.data(), keys.round_keys.data(),
                       inverse.data());
  }
  secure_wipe(inverse.data(), inverse.size());
  keys.hmac = make_hmac_sha1_key(context.rtp_auth_key);
  keys.serial = context.serial;
  return keys;
}

GcmKeys& IpsecMbBackend::gcm_keys_for(const SrtpOperation& op) {
  GcmKeys& keys = gcm_[op.cache_slot];
  const SrtpContext& context = *op.context;
  if (keys.serial == context.serial) return keys;
  if (has_long_key(op)) {
    IMB_AES256_GCM_PRE(manager_.get(), context.rtp_key.data(), &keys.data);
  } else {
    IMB_AES128_GCM_PRE(manager_.get(), context.rtp_key.data(), &keys.data);
  }
  keys.serial = context.serial;
  return keys;
}

// Encrypting and decrypting are the same in counter mode.
void IpsecMbBackend::crypt(std::span<SrtpOperation* const> operations) {
  crypt(operations, false);
  crypt(operations, true);
}

void IpsecMbBackend::crypt(std::span<SrtpOperation* const> operations, bool long_key) {
  std::uint32_t count = 0;
  for (const SrtpOperation* op : operations) {
    if (has_long_key(*op) != long_key || op->cipher_bytes == 0) continue;
    IMB_JOB& job = jobs_[count++];
    job.enc_keys = cm_[op->cache_slot].round_keys.data();
    job.key_len_in_bytes = long_key ? 32 : 16;
    job.src = op->packet;
    job.dst = op->packet + op->clear_bytes;
    job.cipher_start_src_offset_in_bytes = op->clear_bytes;
    job.msg_len_to_cipher_in_bytes = op->cipher_bytes;
    job.iv = op->iv.data();
    job.iv_len_in_bytes = op->iv.size();
    job.cipher_mode = IMB_CIPHER_CNTR;
    job.cipher_direction = IMB_DIR_ENCRYPT;
    job.status = IMB_STATUS_BEING_PROCESSED;
  }
  if (count == 0) return;
  const std::uint32_t done = IMB_SUBMIT_CIPHER_BURST_NOCHECK(
      manager_.get(), jobs_.data(), count, IMB_CIPHER_CNTR, IMB_DIR_ENCRYPT,
      long_key ? IMB_KEY_256_BYTES : IMB_KEY_128_BYTES);
  CHECK(done == count);
}

// Leaves the codes in digests_, in order.
void IpsecMbBackend::authenticate(std::span<SrtpOperation* const> operations) {
  if (operations.size() >= kLanesWorthwhile) return authenticate_in_lanes(operations);
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const SrtpOperation& op = *operations[i];
    hmac_sha1(cm_[op.cache_slot].hmac, {op.packet, op.clear_bytes + op.cipher_bytes},
              {op.tail.data(), op.tail_bytes}, digests_[i].data());
  }
}

void IpsecMbBackend::authenticate_in_lanes(std::span<SrtpOperation* const> operations) {
  // The library hashes consecutive bytes only: the roll-over counter stands behind the packet
  // meanwhile, where the tag or the MKI is.
  std::array<std::array<std::uint8_t, 4>, kOperationsMax> covered;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const SrtpOperation& op = *operations[i];
    const CmKeys& keys = cm_[op.cache_slot];
    const std::uint32_t body = op.clear_bytes + op.cipher_bytes;
    std::memcpy(covered[i].data(), op.packet + body, 4);
    std::memcpy(op.packet + body, op.tail.data(), 4);
    IMB_JOB& job = jobs_[i];
    job.src = op.packet;
    job.hash_start_src_offset_in_bytes = 0;
    job.msg_len_to_hash_in_bytes = body + 4;
    job.auth_tag_output = digests_[i].data();
    job.auth_tag_output_len_in_bytes = kSha1Bytes;
    job.u.HMAC._hashed_auth_key_xor_ipad = bytes_of(keys.hmac.inner.data());
    job.u.HMAC._hashed_auth_key_xor_opad = bytes_of(keys.hmac.outer.data());
    job.hash_alg = IMB_AUTH_HMAC_SHA_1;
    job.status = IMB_STATUS_BEING_PROCESSED;
  }
  const auto count = static_cast<std::uint32_t>(operations.size());
  const std::uint32_t done =
      IMB_SUBMIT_HASH_BURST_NOCHECK(manager_.get(), jobs_.data(), count, IMB_AUTH_HMAC_SHA_1);
  CHECK(done == count);
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const SrtpOperation& op = *operations[i];
    std::memcpy(op.packet + op.clear_bytes + op.cipher_bytes, covered[i].data(), 4);
  }
}

void IpsecMbBackend::seal(std::span<SrtpOperation> operations) {
  CHECK(operations.size() <= kOperationsMax);
  std::array<SrtpOperation*, kOperationsMax> cm;
  std::size_t count = 0;
  for (SrtpOperation& op : operations) {
    if (op.rtcp) {
      evp_->seal({&op, 1});
    } else if (is_gcm(op.context->suite)) {
      seal_gcm(op);
    } else {
      static_cast<void>(cm_keys_for(op));
      cm[count++] = &op;
    }
  }
  const std::span<SrtpOperation* const> batch(cm.data(), count);
  crypt(batch);
  authenticate(batch);
  for (std::size_t i = 0; i < count; ++i) {
    std::copy_n(digests_[i].data(), tag_bytes_of(*cm[i]), cm[i]->tag);
  }
}

void IpsecMbBackend::open(std::span<SrtpOperation> operations) {
  CHECK(operations.size() <= kOperationsMax);
  std::array<SrtpOperation*, kOperationsMax> cm;
  std::size_t count = 0;
  for (SrtpOperation& op : operations) {
    if (op.rtcp) {
      evp_->open({&op, 1});
    } else if (is_gcm(op.context->suite)) {
      open_gcm(op);
    } else {
      static_cast<void>(cm_keys_for(op));
      cm[count++] = &op;
    }
  }
  authenticate({cm.data(), count});
  std::size_t authentic = 0;
  for (std::size_t i = 0; i < count; ++i) {
    SrtpOperation& op = *cm[i];
    op.ok = equal_constant_time(digests_[i].data(), op.tag, tag_bytes_of(op));
    if (op.ok) cm[authentic++] = &op;
  }
  crypt({cm.data(), authentic});
}

void IpsecMbBackend::seal_gcm(const SrtpOperation& op) {
  const GcmKeys& keys = gcm_keys_for(op);
  std::uint8_t* payload = op.packet + op.clear_bytes;
  const auto code = has_long_key(op) ? manager_->gcm256_enc : manager_->gcm128_enc;
  code(&keys.data, &gcm_context_, payload, payload, op.cipher_bytes, op.iv.data(), op.packet,
       op.clear_bytes, op.tag, tag_bytes_of(op));
}

void IpsecMbBackend::open_gcm(SrtpOperation& op) {
  const GcmKeys& keys = gcm_keys_for(op);
  std::array<std::uint8_t, 16> tag;
  const auto code = has_long_key(op) ? manager_->gcm256_dec : manager_->gcm128_dec;
  std::uint8_t* payload = op.packet + op.clear_bytes;
  code(&keys.data, &gcm_context_, payload, payload, op.cipher_bytes, op.iv.data(), op.packet,
       op.clear_bytes, tag.data(), tag.size());
  op.ok = equal_constant_time(tag.data(), op.tag, tag_bytes_of(op));
}

// A rare question (a source that may have moved).
void IpsecMbBackend::verify(SrtpOperation& op) {
  SrtpOperation question = op;
  question.cache_slot = 0;
  evp_->verify(question);
  op.ok = question.ok;
}

void IpsecMbBackend::prefetch(const SrtpContext& context, std::uint32_t cache_slot) const {
  constexpr std::size_t kLineBytes = 64;
  const bool gcm = is_gcm(context.suite);
  const auto* begin = gcm ? bytes_of(&gcm_[cache_slot]) : bytes_of(&cm_[cache_slot]);
  // CM: serial, HMAC states and round keys; GCM: as much of the schedule.
  const std::size_t bytes = info_of(context.suite).key_bytes == 32 ? 320 : 256;
  for (std::size_t at = 0; at < bytes; at += kLineBytes) __builtin_prefetch(begin + at);
}

void IpsecMbBackend::forget(std::uint32_t cache_slot) {
  cm_.wipe(cache_slot);
  gcm_.wipe(cache_slot);
  secure_wipe(&gcm_context_, sizeof gcm_context_);
  evp_->forget(0);
}

}  // namespace

std::unique_ptr<SrtpBackend> make_ipsec_mb_backend(std::size_t cache_slots, IpsecMbLevel level) {
  ManagerPointer manager = make_manager(level);
  if (!manager) return nullptr;
  return std::make_unique<IpsecMbBackend>(std::move(manager), cache_slots);
}

}  // namespace turnpike

#else

namespace turnpike {

std::unique_ptr<SrtpBackend> make_ipsec_mb_backend(std::size_t, IpsecMbLevel) {
  return nullptr;
}

}  // namespace turnpike

#endif
