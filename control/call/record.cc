// Implements record.h: one list of fields, walked by a writer and by a reader.
#include "control/call/record.h"

#include <algorithm>
#include <concepts>
#include <type_traits>

#include "control/call/record_fields.h"

namespace turnpike::call {
namespace fields {

// One list of fields for both directions. T is const when written.
template <typename T, typename Plain>
concept Is = std::same_as<std::remove_const_t<T>, Plain>;

template <typename V, Is<IpAddress> T>
void visit(V& v, T& x) {
  v.field(x.family);
  v.field(x.bytes);
}
template <typename V, Is<SocketAddress> T>
void visit(V& v, T& x) {
  v.field(x.ip);
  v.field(x.port);
}
template <typename V, Is<SrtpKeying> T>
void visit(V& v, T& x) {
  v.field(x.suite);
  if (static_cast<std::size_t>(x.suite) == 0) return;
  v.field(x.mki_bytes);
  v.field(x.mki);
  v.field(x.master_key);
  v.field(x.master_salt);
  v.field(x.lifetime_packets);
}
template <typename V, Is<sdp::SecretKeying> T>
void visit(V& v, T& x) {
  v.field(x.value);
}
template <typename V, Is<sdp::Addresses> T>
void visit(V& v, T& x) {
  v.field(x.rtp);
  v.field(x.rtcp);
}
template <typename V, Is<IceCredentials> T>
void visit(V& v, T& x) {
  v.field(x.ufrag);
  v.field(x.password);
}
template <typename V, Is<sdp::SecretIceCredentials> T>
void visit(V& v, T& x) {
  v.field(x.value);
}
template <typename V, Is<IceCandidate> T>
void visit(V& v, T& x) {
  v.field(x.address);
  v.field(x.priority);
  v.field(x.component);
  v.field(x.type);
}
template <typename V, Is<Fingerprint> T>
void visit(V& v, T& x) {
  v.field(x.hash);
  v.field(x.bytes);
}
template <typename V, Is<DtlsIdentity> T>
void visit(V& v, T& x) {
  v.field(x.id);
  v.field(x.fingerprint);
}
template <typename V, Is<sdp::DtlsDescription> T>
void visit(V& v, T& x) {
  v.field(x.fingerprint);
  v.field(x.setup);
  v.field(x.tls_id);
}
template <typename V, Is<OwnIce> T>
void visit(V& v, T& x) {
  v.field(x.in_use);
  v.field(x.lite);
  v.field(x.controlling);
  v.field(x.credentials);
}
template <typename V, Is<OwnDtls> T>
void visit(V& v, T& x) {
  v.field(x.identity);
  v.field(x.tls_id);
  v.field(x.lost);
}
template <typename V, Is<Carriage> T>
void visit(V& v, T& x) {
  v.field(x.flow);
  v.field(x.shard);
  v.field(x.side);
  v.field(x.slot);
  v.field(x.generation);
}
template <typename V, Is<SessionId> T>
void visit(V& v, T& x) {
  v.field(x.slot);
  v.field(x.generation);
  v.field(x.shard);
}
template <typename V, Is<RemoteMedia> T>
void visit(V& v, T& x) {
  v.field(x.address);
  v.field(x.held);
  v.field(x.direction);
  v.field(x.rtcp_mux);
  v.field(x.rtcp_mux_only);
  v.field(x.crypto_tag);
  v.field(x.key);
  v.field(x.ice);
  v.field(x.ice_lite);
  v.field(x.candidates);
  v.field(x.dtls);
  v.field(x.payload_types);
  v.field(x.mid_extension);
  v.field(x.carriage);
  v.field(x.spoken);
}
template <typename V, Is<SourceRules> T>
void visit(V& v, T& x) {
  v.field(x.policy);
  v.field(x.received_from);
}
template <typename V, Is<Bridge> T>
void visit(V& v, T& x) {
  v.field(x.session);
  v.field(x.address);
  v.field(x.receive);
  v.field(x.send);
  v.field(x.sends);
  v.field(x.payload_types);
}
template <typename V, Is<MediaSide> T>
void visit(V& v, T& x) {
  v.field(x.remote);
  v.field(x.profile);
  v.field(x.keying);
  v.field(x.ice);
  v.field(x.dtls);
  v.field(x.dtls_role);
  v.field(x.association);
  v.field(x.has_transport);
  v.field(x.rtcp_mux);
  v.field(x.carrier);
  v.field(x.mid);
  v.field(x.clock_rate_hz);
  v.field(x.suite);
  v.field(x.keys);
  v.field(x.bridge);
}
template <typename V, Is<SessionPorts> T>
void visit(V& v, T& x) {
  v.field(x.local);
  v.field(x.advertised);
  v.field(x.other_local);
  v.field(x.other_advertised);
}
template <typename V, Is<SessionSpec> T>
void visit(V& v, T& x) {
  v.field(x.interface_index);
  v.field(x.family);
  v.field(x.dscp);
  v.field(x.both_families);
  v.field(x.carried);
  v.field(x.one_sided);
  v.field(x.kind);
  v.field(x.shard);
}
template <typename V, Is<CallMedia> T>
void visit(V& v, T& x) {
  v.field(x.kind);
  v.field(x.accepted);
  v.field(x.answered);
  v.field(x.session);
  v.field(x.ports);
  v.field(x.spec);
  v.field(x.preferred_family);
  v.field(x.sides);
  v.field(x.silent_since);
}
template <typename V, Is<OfferedCrypto> T>
void visit(V& v, T& x) {
  v.field(x.tag);
  v.field(x.suite);
}
template <typename V, Is<OfferedMedia> T>
void visit(V& v, T& x) {
  v.field(x.kind);
  v.field(x.protocol);
  v.field(x.accepted);
  v.field(x.sender);
  v.field(x.receiver_profile);
  v.field(x.sender_keying);
  v.field(x.receiver_keying);
  v.field(x.answer_role);
  v.field(x.receiver_ice);
  v.field(x.sender_ice_lite);
  v.field(x.receiver_dtls);
  v.field(x.mid);
  v.field(x.bundle_mid);
  v.field(x.bundle_rank);
  v.field(x.bundle_only);
  v.field(x.receiver_mid);
  v.field(x.shared);
  v.field(x.mux_offered);
  v.field(x.mux_accept);
  v.field(x.mux_reject);
  v.field(x.crypto);
}
template <typename V, Is<Offer> T>
void visit(V& v, T& x) {
  v.field(x.in_dialog);
  v.field(x.rules);
  v.field(x.media);
}
template <typename V, Is<MediaSwitches> T>
void visit(V& v, T& x) {
  v.field(x.blocked);
  v.field(x.silenced);
}
template <typename V, Is<CallSide> T>
void visit(V& v, T& x) {
  v.field(x.tag);
  v.field(x.label);
  v.field(x.switches);
  v.field(x.other_tags);
  v.field(x.since);
  v.field(x.interface);
  v.field(x.rules);
  v.field(x.sent_username);
  v.field(x.sent_session_name);
}
template <typename V, Is<Totals> T>
void visit(V& v, T& x) {
  v.field(x.rtp_packets);
  v.field(x.rtp_bytes);
  v.field(x.rtp_errors);
  v.field(x.rtcp_packets);
}
template <typename V, Is<HeardMedia> T>
void visit(V& v, T& x) {
  v.field(x.line);
  v.field(x.side);
  v.field(x.session);
  v.field(x.tag);
}
template <typename V, Is<End> T>
void visit(V& v, T& x) {
  v.field(x.why);
  v.field(x.at);
  v.field(x.unix_us);
}
template <typename V, Is<Call> T>
void visit(V& v, T& x) {
  v.field(x.id);
  v.field(x.record_key);
  v.field(x.created);
  v.field(x.created_unix_us);
  v.field(x.last_signal);
  v.field(x.last_signal_unix_us);
  v.field(x.answered);
  v.field(x.delete_at);
  v.field(x.switches);
  v.field(x.sides);
  v.field(x.media);
  v.field(x.carriers);
  v.field(x.offers);
  v.field(x.past);
  v.field(x.answered_at);
  v.field(x.form);
  v.field(x.subscribed_to);
  v.field(x.heard);
}

}  // namespace fields

namespace {

using fields::Reader;
using fields::Writer;

constexpr std::uint32_t kMagic = 0x54504331;     // "TPC1"
constexpr std::uint32_t kEndMagic = 0x54504531;  // "TPE1"

void write_all(Writer& writer, const Call& call, const End* end) {
  writer.field(end == nullptr ? kMagic : kEndMagic);
  writer.field(kRecordVersion);
  if (end != nullptr) writer.field(*end);
  writer.field(call);
}

std::string write_both(const Call& call, const End* end) {
  Writer measure(nullptr);
  write_all(measure, call, end);
  std::string out;
  out.reserve(measure.size());
  Writer writer(&out);
  write_all(writer, call, end);
  return out;
}

// Enumerators and offsets that code indexes with must be ones that exist.
bool is_sound(const sdp::SecretKeying& key) {
  return static_cast<std::size_t>(key.value.suite) < kSrtpSuiteCount &&
         key.value.mki_bytes <= kMkiBytesMax;
}

bool is_sound(const Fingerprint& fingerprint) {
  return fingerprint.hash <= FingerprintHash::kSha512;
}

bool is_sound(const IceCandidate& candidate) {
  return candidate.component <= Component::kRtcp && candidate.type <= CandidateType::kRelayed;
}

bool is_sound(const RemoteMedia& remote) {
  return is_sound(remote.key) && remote.direction <= sdp::Direction::kInactive &&
         remote.carriage.side <= Side::kB && remote.candidates.size() <= sdp::kCandidatesReadMax &&
         std::all_of(remote.candidates.begin(), remote.candidates.end(),
                     [](const IceCandidate& candidate) { return is_sound(candidate); }) &&
         is_sound(remote.dtls.fingerprint) && remote.dtls.setup <= sdp::Setup::kHoldconn;
}

bool is_sound(const MediaSide& side) {
  for (const sdp::SecretKeying& key : side.keys) {
    if (!is_sound(key)) return false;
  }
  if (!is_sound(side.bridge.receive) || !is_sound(side.bridge.send)) return false;
  return static_cast<std::size_t>(side.suite) < kSrtpSuiteCount && is_sound(side.remote) &&
         side.profile <= sdp::Profile::kTlsSavpf && side.keying <= Keying::kPassedDtls &&
         side.dtls_role <= DtlsRole::kPassive && is_sound(side.dtls.identity.fingerprint);
}

bool is_sound(const Offer& offer) {
  for (const OfferedMedia& media : offer.media) {
    if (media.receiver_profile > sdp::Profile::kTlsSavpf || !is_sound(media.sender)) return false;
    if (media.sender_keying > Keying::kPassedDtls || media.receiver_keying > Keying::kPassedDtls)
      return false;
    if (media.answer_role > DtlsRole::kPassive) return false;
    if (!is_sound(media.receiver_dtls.identity.fingerprint)) return false;
    if (media.accepted && !sdp::profile_of(media.protocol)) return false;
    for (const OfferedCrypto& line : media.crypto) {
      if (static_cast<std::size_t>(line.suite) >= kSrtpSuiteCount) return false;
    }
  }
  return true;
}

bool is_sound(const Call& call) {
  for (const auto* sessions : {&call.media, &call.carriers}) {
    for (const CallMedia& media : *sessions) {
      if (!is_sound(media.sides[0]) || !is_sound(media.sides[1])) return false;
    }
  }
  for (const auto& offer : call.offers) {
    if (!offer) continue;
    if (!is_sound(*offer) || offer->media.size() > call.media.size()) return false;
  }
  for (const HeardMedia& heard : call.heard) {
    if (heard.side > Side::kB) return false;
  }
  return !call.id.empty() && call.record_key != 0 && call.form <= CallForm::kSubscribed;
}

}  // namespace

std::string write_record(const Call& call) {
  return write_both(call, nullptr);
}

std::string write_record(const Call& call, const End& end) {
  return write_both(call, &end);
}

std::optional<Call> read_record(std::string_view bytes, std::optional<End>& end) {
  end.reset();
  Reader reader(bytes);
  std::uint32_t magic = 0;
  std::uint16_t version = 0;
  reader.field(magic);
  reader.field(version);
  const bool known = magic == kMagic || magic == kEndMagic;
  if (!reader.ok() || !known || version != kRecordVersion) return std::nullopt;
  if (magic == kEndMagic) reader.field(end.emplace());
  if (end && end->why >= Ending::kCount) return std::nullopt;
  Call call;
  reader.field(call);
  if (!reader.ok() || !reader.at_end() || !is_sound(call)) return std::nullopt;
  return call;
}

std::optional<Call> read_record(std::string_view bytes) {
  std::optional<End> end;
  auto call = read_record(bytes, end);
  return end ? std::nullopt : std::move(call);
}

}  // namespace turnpike::call
