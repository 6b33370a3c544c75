// Implements transport.h.
#include "control/sdp/transport.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <optional>

#include "control/sdp/media.h"
#include "control/sdp/text.h"

namespace turnpike::sdp {
namespace {

// RFC 8839 section 5.4.
constexpr std::size_t kUfragBytesMin = 4;
constexpr std::size_t kPasswordBytesMin = 22;
// RFC 8445 section 5.1.2.1: type host, local preference 65535; one less for the lesser family
// (RFC 8421), and by component.
constexpr std::uint32_t kHostPriority = 2130706431;
constexpr std::uint32_t kLesserFamily = 256;

constexpr std::array<std::string_view, 5> kSetupNames = {"", "actpass", "active", "passive",
                                                         "holdconn"};
constexpr std::array<std::string_view, 4> kHashNames = {"", "sha-256", "sha-384", "sha-512"};
constexpr std::array<std::string_view, 4> kWeakHashNames = {"sha-1", "md5", "md2", "sha-224"};
constexpr std::array<std::string_view, 4> kTypeNames = {"host", "srflx", "prflx", "relay"};

char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

bool equal_fold(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
/// RFC 8839 section 5.1.
bool is_ice_char(char c) {
  return is_alphanumeric(c) || c == '+' || c == '/';
}
bool is_ice_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), is_ice_char);
}

/// At media level, else at session level.
const Attribute* find_at_either(const Session& session, const Media& media, std::string_view name) {
  const Attribute* own = find(media.attributes, name);
  return own != nullptr ? own : find(session.attributes, name);
}

template <std::size_t kMax>
std::string_view refusal_of(std::string_view value, std::size_t bytes_min) {
  if (value.size() < bytes_min) return "is shorter than RFC 8839 allows";
  if (value.size() > kMax) return "is too long";
  return is_ice_text(value) ? "" : "holds a character that RFC 8839 does not allow";
}

/// Nothing when it is none that we can use, or not even a candidate.
std::optional<IceCandidate> parse_candidate(std::string_view value) {
  const auto words = words_of(value);
  if (words.size() < 8 || words[6] != "typ") return std::nullopt;
  // The foundation is of no use to us: nothing is frozen.
  const auto component = number_of<std::uint16_t>(words[1]);
  const auto priority = number_of<std::uint32_t>(words[3]);
  const auto port = number_of<std::uint16_t>(words[5]);
  const auto* type = std::find(kTypeNames.begin(), kTypeNames.end(), words[7]);
  const auto ip = parse_ip(words[4]);
  if (!equal_fold(words[2], "udp") || !component || *component == 0 || *component > 2 ||
      !priority || !port || *port == 0 || !ip || type == kTypeNames.end()) {
    return std::nullopt;
  }
  IceCandidate candidate;
  candidate.address = {*ip, *port};
  candidate.priority = *priority;
  candidate.component = *component == 1 ? Component::kRtp : Component::kRtcp;
  candidate.type = static_cast<CandidateType>(type - kTypeNames.begin());
  return candidate;
}

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  const char folded = lower(c);
  if (folded >= 'a' && folded <= 'f') return static_cast<unsigned>(folded - 'a' + 10);
  return std::nullopt;
}

/// "AB:CD:…" of exactly so many bytes.
bool parse_hex(std::string_view text, std::size_t bytes, std::array<std::uint8_t, 64>& out) {
  if (text.size() != bytes * 3 - 1) return false;
  for (std::size_t i = 0; i < bytes; ++i) {
    const auto high = hex_digit(text[3 * i]);
    const auto low = hex_digit(text[3 * i + 1]);
    if (!high || !low) return false;
    if (i + 1 < bytes && text[3 * i + 2] != ':') return false;
    out[i] = static_cast<std::uint8_t>(*high << 4 | *low);
  }
  return true;
}

FingerprintHash hash_of(std::string_view name) {
  for (std::size_t i = 1; i < kHashNames.size(); ++i) {
    if (equal_fold(name, kHashNames[i])) return static_cast<FingerprintHash>(i);
  }
  return FingerprintHash::kNone;
}

/// The strongest of the a=fingerprint lines.
Result<Fingerprint> fingerprint_among(const Media& media, const std::vector<Attribute>& lines) {
  Fingerprint best;
  bool has_weak = false;
  for (const Attribute& line : lines) {
    if (line.name != "fingerprint") continue;
    const auto words = words_of(line.value);
    if (words.size() != 2) return error_at(media, "a=fingerprint needs a hash function and bytes");
    const FingerprintHash hash = hash_of(words[0]);
    if (hash == FingerprintHash::kNone) {
      has_weak = has_weak ||
                 std::any_of(kWeakHashNames.begin(), kWeakHashNames.end(),
                             [&](std::string_view weak) { return equal_fold(weak, words[0]); });
      continue;
    }
    Fingerprint parsed{hash, {}};
    if (!parse_hex(words[1], bytes_of(hash), parsed.bytes)) {
      return error_at(media, "a=fingerprint does not have the bytes of its hash function");
    }
    if (hash > best.hash) best = parsed;
  }
  if (best.is_set()) return best;
  return error_at(media, has_weak
                             ? "a=fingerprint has only SHA-1 or other broken hash functions; "
                               "SHA-256, SHA-384 or SHA-512 is needed"
                             : "a=fingerprint has no hash function that is supported; SHA-256, "
                               "SHA-384 or SHA-512 is needed");
}

/// RFC 8445 section 5.1.1.3: candidates of one base have one foundation.
void append_candidate(Media& media, unsigned foundation, unsigned component, bool lesser,
                      const SocketAddress& address) {
  const std::uint32_t priority = kHostPriority - (lesser ? kLesserFamily : 0) - (component - 1);
  media.attributes.push_back(Attribute::with(
      "candidate", std::to_string(foundation) + ' ' + std::to_string(component) + " UDP " +
                       std::to_string(priority) + ' ' + to_string(address.ip) + ' ' +
                       std::to_string(address.port) + " typ host"));
}

}  // namespace

void wipe(IceCredentials& credentials) {
  explicit_bzero(&credentials, sizeof credentials);
}

Result<IceDescription> ice_of(const Session& session, const Media& media) {
  IceDescription ice;
  const Attribute* ufrag = find_at_either(session, media, "ice-ufrag");
  const Attribute* password = find_at_either(session, media, "ice-pwd");
  if (ufrag == nullptr && password == nullptr) return ice;
  if (ufrag == nullptr) return error_at(media, "a=ice-pwd without a=ice-ufrag");
  if (password == nullptr) return error_at(media, "a=ice-ufrag without a=ice-pwd");
  if (const auto why = refusal_of<kIceUfragBytesMax>(ufrag->value, kUfragBytesMin); !why.empty()) {
    return error_at(media, "a=ice-ufrag " + std::string(why));
  }
  if (const auto why = refusal_of<kIcePasswordBytesMax>(password->value, kPasswordBytesMin);
      !why.empty()) {
    return error_at(media, "a=ice-pwd " + std::string(why));
  }
  ice.credentials.value.ufrag.assign(ufrag->value);
  ice.credentials.value.password.assign(password->value);
  ice.lite = has(session.attributes, "ice-lite");
  for (const Attribute& attribute : media.attributes) {
    if (attribute.name != "candidate") continue;
    const auto candidate = parse_candidate(attribute.value);
    if (candidate && ice.candidates.size() < kCandidatesReadMax) {
      ice.candidates.push_back(*candidate);
    } else {
      ++ice.skipped;
    }
  }
  return ice;
}

std::string_view name_of(Setup setup) {
  return kSetupNames[static_cast<std::size_t>(setup)];
}

bool has_fingerprint(const Session& session, const Media& media) {
  return find_at_either(session, media, "fingerprint") != nullptr;
}

Result<DtlsDescription> dtls_of(const Session& session, const Media& media) {
  DtlsDescription dtls;
  if (!has_fingerprint(session, media)) {
    return error_at(media, "DTLS-SRTP without an a=fingerprint line");
  }
  const bool own = has(media.attributes, "fingerprint");
  auto fingerprint = fingerprint_among(media, own ? media.attributes : session.attributes);
  if (!fingerprint) return fingerprint.error();
  dtls.fingerprint = *fingerprint;
  if (const Attribute* setup = find_at_either(session, media, "setup")) {
    const auto* name = std::find_if(kSetupNames.begin() + 1, kSetupNames.end(),
                                    [&](auto known) { return equal_fold(known, setup->value); });
    if (name == kSetupNames.end()) {
      return error_at(media, "a=setup is none of actpass, active, passive and holdconn");
    }
    dtls.setup = static_cast<Setup>(name - kSetupNames.begin());
  }
  if (const Attribute* id = find_at_either(session, media, "tls-id")) {
    const bool fits = !id->value.empty() && id->value.size() <= kTlsIdBytesMax &&
                      std::all_of(id->value.begin(), id->value.end(),
                                  [](char c) { return is_ice_char(c) || c == '-' || c == '_'; });
    if (!fits) return error_at(media, "a=tls-id is not of the form of RFC 8842 section 4");
    dtls.tls_id = id->value;
  }
  return dtls;
}

std::string write_fingerprint(const Fingerprint& fingerprint) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text(kHashNames[static_cast<std::size_t>(fingerprint.hash)]);
  for (std::size_t i = 0; i < bytes_of(fingerprint.hash); ++i) {
    text += i == 0 ? ' ' : ':';
    text += kDigits[fingerprint.bytes[i] >> 4];
    text += kDigits[fingerprint.bytes[i] & 15];
  }
  return text;
}

void append_ice(Media& media, const LocalIce& ice) {
  auto& attributes = media.attributes;
  attributes.reserve(attributes.size() + 8);  // growing would leave copies of the password
  const IceCredentials& own = ice.credentials.value;
  attributes.push_back(Attribute::with("ice-ufrag", std::string(own.ufrag.view())));
  attributes.push_back(Attribute::with("ice-pwd", std::string(own.password.view())));
  attributes.push_back(Attribute::with("ice-options", "ice2"));  // RFC 8445 section 10
  const bool both = ice.other_rtp.is_set();
  append_candidate(media, 1, 1, both && ice.other_first, ice.rtp);
  if (both) append_candidate(media, 2, 1, !ice.other_first, ice.other_rtp);
  if (ice.rtcp.is_set()) append_candidate(media, 1, 2, both && ice.other_first, ice.rtcp);
  if (ice.rtcp.is_set() && both) append_candidate(media, 2, 2, !ice.other_first, ice.other_rtcp);
  attributes.push_back(Attribute::flag("end-of-candidates"));
}

void append_dtls(Media& media, const DtlsDescription& dtls) {
  media.attributes.push_back(Attribute::with("setup", std::string(name_of(dtls.setup))));
  media.attributes.push_back(Attribute::with("fingerprint", write_fingerprint(dtls.fingerprint)));
  if (!dtls.tls_id.empty()) media.attributes.push_back(Attribute::with("tls-id", dtls.tls_id));
}

}  // namespace turnpike::sdp
