#include "relay/turn/credentials.h"

#include <algorithm>
#include <charconv>

#include "relay/core/bytes.h"
#include "relay/crypto/digest.h"

namespace turnpike::turn {
namespace {

constexpr std::size_t kUsernameBytesMax = 508;  // RFC 8489 section 14.3
constexpr std::uint16_t kMd5 = 1;               // RFC 8489 section 18.5
constexpr std::uint16_t kSha256 = 2;

// How far an authorization server's clock may be ahead (RFC 7635 section 4.1.1).
constexpr Seconds kTokenClockSkew{5};

// There are clients that use this much of a token's key with HMAC-SHA1, as much as a password
// gives.
constexpr std::size_t kShortKeyBytes = 16;

// In the year 2096: some give milliseconds, and sums must not overflow.
constexpr std::int64_t kLastSecond = 4'000'000'000;

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {static_cast<const std::uint8_t*>(static_cast<const void*>(text.data())), text.size()};
}

std::string_view text_of(std::span<const std::uint8_t> bytes) {
  return {static_cast<const char*>(static_cast<const void*>(bytes.data())), bytes.size()};
}

// "EXPIRY[:anything]" in Unix seconds; nothing when it is no such name.
std::optional<Seconds> expiry_of(std::string_view user) {
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(user.data(), user.data() + user.size(), seconds);
  const bool whole = end == user.data() + user.size() || *end == ':';
  if (error != std::errc() || !whole || seconds <= 0) return std::nullopt;
  seconds = std::min(seconds, kLastSecond);
  return Seconds(seconds);
}

}  // namespace

SealKey::SealKey(std::span<const std::uint8_t> key, bool sha256) : sha256_(sha256) {
  if (sha256_) {
    sha256_key_ = make_hmac_sha256_key(key);
  } else {
    sha1_key_ = make_hmac_sha1_key(key);
  }
}

SealKey::~SealKey() {
  secure_wipe(&sha1_key_, sizeof sha1_key_);
  secure_wipe(&sha256_key_, sizeof sha256_key_);
}

Credentials::Secret::~Secret() {
  secure_wipe(&sha1_key, sizeof sha1_key);
  secure_wipe(&sha256_key, sizeof sha256_key);
}

bool SealKey::verifies(const stun::Message& message) const {
  const auto found = sha256_ ? message.integrity_sha256() : message.integrity();
  if (!found) return false;
  std::array<std::uint8_t, kSha256Bytes> code{};
  if (sha256_) {
    hmac_sha256(sha256_key_, found->header, found->attributes, code.data());
  } else {
    hmac_sha1(sha1_key_, found->header, found->attributes, code.data());
  }
  return equal_constant_time(code.data(), found->code.data(), found->code.size());
}

void SealKey::seal(stun::Writer& writer) const {
  if (sha256_) {
    writer.add_integrity_sha256([this](stun::Bytes message, std::uint8_t* code) {
      hmac_sha256(sha256_key_, message, {}, code);
    });
  } else {
    writer.add_integrity([this](stun::Bytes message, std::uint8_t* code) {
      hmac_sha1(sha1_key_, message, {}, code);
    });
  }
}

// What a request says of its sender.
struct Credentials::Claim {
  std::uint32_t realm = 0;
  std::string_view user;
  bool sha256_password = false;
  bool sha256_code = false;
};

Credentials::Credentials(std::shared_ptr<const Settings> settings, const SipHashKey& key)
    : settings_(std::move(settings)), key_(key) {
  if (settings_->realms.empty()) {  // nobody may do anything, and everybody is told so
    auto nobody = std::make_shared<Settings>(*settings_);
    nobody->realms.emplace_back();
    settings_ = std::move(nobody);
  }
  for (const Realm& realm : settings_->realms) {
    PreparedRealm& prepared = realms_.emplace_back();
    for (const SharedSecret& secret : realm.secrets) {
      const auto bytes = bytes_of(secret.secret);
      Secret& ours = prepared.secrets.emplace_back();
      ours.sha256 = secret.sha256;
      ours.sha1_key = make_hmac_sha1_key(bytes);
      ours.sha256_key = make_hmac_sha256_key(bytes);
      ours.credential = hash({"secret", secret.secret});
    }
    for (const TokenKey& token : realm.token_keys) {
      prepared.token_credentials.push_back(hash({"token key", token.kid, token.key}));
    }
    for (const auto& [user, keys] : realm.users) {
      const auto userhash = sha256({user, ":", realm.name});
      prepared.user_by_hash.emplace(text_of(userhash), user);
    }
    // Whose name holds a time cannot be found by a hash of it.
    prepared.features = kPasswordAlgorithmsFeature;
    if (realm.secrets.empty()) prepared.features |= kUsernameAnonymityFeature;
  }
}

std::uint64_t Credentials::hash(std::initializer_list<std::string_view> parts) const {
  std::string message;
  for (const std::string_view part : parts) {
    message += std::to_string(part.size());
    message += ':';
    message += part;
  }
  const std::uint64_t result = siphash_2_4(key_, bytes_of(message));
  secure_wipe(message.data(), message.size());
  return result;
}

std::uint64_t Credentials::credential_of(const UserKeys& keys) const {
  return hash({"user", text_of(keys.md5), text_of(keys.sha256)});
}

std::uint64_t Credentials::owner_of(std::uint32_t realm, std::string_view user) const {
  return hash({"owner", settings_->realms[realm].name, user});
}

std::uint64_t Credentials::owner_of(std::uint32_t realm) const {
  return hash({"realm", settings_->realms[realm].name});
}

std::optional<std::uint32_t> Credentials::realm_of(std::string_view name) const {
  const auto& realms = settings_->realms;
  const auto found = std::find_if(realms.begin(), realms.end(),
                                  [name](const Realm& realm) { return realm.name == name; });
  if (found == realms.end()) return std::nullopt;
  return static_cast<std::uint32_t>(found - realms.begin());
}

bool Credentials::vouches(std::uint32_t realm, std::string_view user,
                          std::uint64_t credential) const {
  const auto& users = settings_->realms[realm].users;
  const auto found = users.find(std::string(user));
  if (found != users.end() && credential_of(found->second) == credential) return true;
  const auto& secrets = realms_[realm].secrets;
  const auto& tokens = realms_[realm].token_credentials;
  return std::any_of(
             secrets.begin(), secrets.end(),
             [credential](const Secret& secret) { return secret.credential == credential; }) ||
         std::find(tokens.begin(), tokens.end(), credential) != tokens.end();
}

// RFC 8489 section 9.2.4: the bid-down check. Every nonce of ours promises password algorithms.
bool Credentials::claims_right_algorithms(const stun::Message& request, Claim& claim) const {
  const auto list = request.find(stun::kPasswordAlgorithms);
  const auto chosen = request.find(stun::kPasswordAlgorithm);
  if (!list && !chosen) return true;  // as if MD5
  if (!list || !chosen || chosen->size() < 4) return false;
  if (!std::equal(list->begin(), list->end(), kPasswordAlgorithmsValue.begin(),
                  kPasswordAlgorithmsValue.end())) {
    return false;
  }
  const std::uint16_t algorithm = read_be16(chosen->data());
  const std::uint16_t parameter_bytes = read_be16(chosen->data() + 2);
  claim.sha256_password = algorithm == kSha256;
  return (algorithm == kSha256 || algorithm == kMd5) && parameter_bytes == 0 && chosen->size() == 4;
}

// RFC 8489 section 9.2.4, with the nonce first of all that is looked at: who has none of ours has
// not shown that he is at his address, and must not use up what its users may do wrong.
Credentials::Outcome Credentials::authenticate(const stun::Message& request, std::string_view only,
                                               const SocketAddress& client, const Nonces& nonces,
                                               Instant now, Seconds wall,
                                               const TokenSession* session) const {
  using Source = Outcome::Source;
  Claim claim;
  claim.realm = realm_of(only).value_or(0);
  const auto refused = [&claim](Refusal refusal, Source source) {
    return Outcome{nullptr, refusal, claim.realm, source};
  };
  // 1. No code at all: a challenge.
  if (!request.has_integrity()) return refused(Refusal::kUnauthenticated, Source::kUnproven);
  // 2. All that belongs to a code.
  const auto realm_name = request.text(stun::kRealm);
  const auto nonce = request.text(stun::kNonce);
  const auto user = request.username();
  const auto userhash = request.find(stun::kUserhash);
  claim.sha256_code = request.integrity_sha256().has_value();
  if (!nonce || !realm_name || (!user && !userhash) ||
      (!claim.sha256_code && !request.integrity())) {
    return refused(Refusal::kBadRequest, Source::kUnproven);
  }
  // 3. The nonce is of this address, and not old.
  const auto known_realm = realm_of(*realm_name);
  const bool serves = only.empty() || *realm_name == only;
  if (!known_realm || !serves) return refused(Refusal::kBadCredentials, Source::kUnproven);
  claim.realm = *known_realm;
  const Seconds lifetime = std::min(settings_->nonce_lifetime, Nonces::kLifetimeMax);
  switch (nonces.judge(*nonce, client, features(claim.realm), now, lifetime)) {
    case Nonces::Verdict::kForeign:
      return refused(Refusal::kStaleNonce, Source::kUnproven);
    case Nonces::Verdict::kOld:
      return refused(Refusal::kStaleNonce, Source::kOnceProven);
    case Nonces::Verdict::kGood:
      break;
  }
  // 4. Nobody has taken the better password algorithm away between us and the client.
  if (!claims_right_algorithms(request, claim)) {
    return refused(Refusal::kBidDown, Source::kProven);
  }
  // 5. The user is known, and the code is right.
  if (user) {
    claim.user = *user;
    const auto token = request.find(stun::kAccessToken);
    if (token && !settings_->realms[claim.realm].token_keys.empty()) {
      return verify_token(request, claim, *token, wall);
    }
    if (session != nullptr) {
      auto identity = verify_session(request, claim, *session, wall);
      if (identity != nullptr) return {std::move(identity), {}, claim.realm, Source::kProven};
    }
  } else {
    const auto& by_hash = realms_[claim.realm].user_by_hash;
    const auto found = by_hash.find(std::string(text_of(*userhash)));
    if (found != by_hash.end()) claim.user = found->second;
  }
  return verify(request, claim, wall);
}

Credentials::Outcome Credentials::verify(const stun::Message& request, const Claim& claim,
                                         Seconds wall) const {
  Outcome outcome{nullptr, Refusal::kBadCredentials, claim.realm, Outcome::Source::kProven};
  if (claim.user.size() > kUsernameBytesMax) return outcome;
  const Realm& realm = settings_->realms[claim.realm];
  const auto known = realm.users.find(std::string(claim.user));
  // Somebody unknown takes as long to refuse as a wrong code.
  outcome.identity =
      verify_user(request, claim, known != realm.users.end() ? known->second : UserKeys{});
  if (known == realm.users.end()) outcome.identity = nullptr;
  if (outcome.identity != nullptr) return outcome;
  const auto expiry = expiry_of(claim.user);
  for (const Secret& secret : realms_[claim.realm].secrets) {
    if (!expiry || outcome.identity != nullptr) break;
    outcome.identity = verify_secret(request, claim, secret);
  }
  if (outcome.identity == nullptr) return outcome;
  // Whose name only tells a time is counted by it; otherwise a new time is no new user.
  const std::size_t colon = claim.user.find(':');
  if (colon != std::string_view::npos) {
    outcome.identity->owner = owner_of(claim.realm, claim.user.substr(colon + 1));
  }
  outcome.identity->good_until = *expiry;
  outcome.identity->expired = wall >= *expiry;
  return outcome;
}

std::unique_ptr<Identity> Credentials::verify_user(const stun::Message& request, const Claim& claim,
                                                   const UserKeys& keys) const {
  const SealKey key(claim.sha256_password ? std::span<const std::uint8_t>(keys.sha256)
                                          : std::span<const std::uint8_t>(keys.md5),
                    claim.sha256_code);
  if (!key.verifies(request)) return nullptr;
  return std::make_unique<Identity>(Identity{claim.realm, std::string(claim.user),
                                             owner_of(claim.realm, claim.user), credential_of(keys),
                                             Seconds(0), false, key});
}

std::unique_ptr<Identity> Credentials::verify_secret(const stun::Message& request,
                                                     const Claim& claim,
                                                     const Secret& secret) const {
  std::array<std::uint8_t, kSha256Bytes> code{};
  const auto user = bytes_of(claim.user);
  if (secret.sha256) {
    hmac_sha256(secret.sha256_key, user, {}, code.data());
  } else {
    hmac_sha1(secret.sha1_key, user, {}, code.data());
  }
  std::string password =
      base64({code.data(), secret.sha256 ? kSha256Bytes : std::size_t{kSha1Bytes}});
  const std::string_view realm = settings_->realms[claim.realm].name;
  UserKeys keys;
  if (claim.sha256_password) {
    keys.sha256 = sha256({claim.user, ":", realm, ":", password});
  } else {
    keys.md5 = md5({claim.user, ":", realm, ":", password});
  }
  auto identity = verify_user(request, claim, keys);
  if (identity != nullptr) identity->credential = secret.credential;
  secure_wipe(password.data(), password.size());
  secure_wipe(code.data(), code.size());
  secure_wipe(&keys, sizeof keys);
  return identity;
}

// RFC 7635 section 4.1.2. Who has made the code has the token's key, and the nonce says that he is
// where he says: somebody else's token, heard on the way, is of no use.
Credentials::Outcome Credentials::verify_token(const stun::Message& request, const Claim& claim,
                                               stun::Bytes token, Seconds wall) const {
  Outcome outcome{nullptr, Refusal::kBadCredentials, claim.realm, Outcome::Source::kProven};
  const Realm& realm = settings_->realms[claim.realm];
  const auto named = std::find_if(realm.token_keys.begin(), realm.token_keys.end(),
                                  [&claim](const TokenKey& one) { return one.kid == claim.user; });
  if (named == realm.token_keys.end() || wall < named->not_before) return outcome;
  const auto opened = open_token(named->key, realm.token_server, token);
  if (!opened) return outcome;
  SessionKey used = opened->key;
  if (!claim.sha256_code && !SealKey(used.bytes(), false).verifies(request)) {
    used = SessionKey(used.bytes().first(kShortKeyBytes));
  }
  const SealKey key(used.bytes(), claim.sha256_code);
  if (!key.verifies(request) || opened->issued > wall + kTokenClockSkew) return outcome;
  Seconds until = std::min(opened->issued + opened->lifetime, Seconds(kLastSecond));
  if (named->not_after != Seconds(0)) until = std::min(until, named->not_after);
  // Nobody is named in a token: it counts as a user of its own.
  const auto number = static_cast<std::size_t>(named - realm.token_keys.begin());
  outcome.identity = std::make_unique<Identity>(Identity{
      claim.realm, named->kid, hash({"token", realm.name, named->kid, text_of(opened->nonce)}),
      realms_[claim.realm].token_credentials[number], until, wall >= until, key, true, used});
  return outcome;
}

// Without a token, in a session that one has begun.
std::unique_ptr<Identity> Credentials::verify_session(const stun::Message& request,
                                                      const Claim& claim,
                                                      const TokenSession& session,
                                                      Seconds wall) const {
  if (session.realm != claim.realm || session.kid != claim.user) return nullptr;
  const Realm& realm = settings_->realms[claim.realm];
  const auto& credentials = realms_[claim.realm].token_credentials;
  const auto found = std::find(credentials.begin(), credentials.end(), session.credential);
  if (found == credentials.end()) return nullptr;
  const auto number = static_cast<std::size_t>(found - credentials.begin());
  const Seconds key_until = realm.token_keys[number].not_after;
  const SealKey key(session.key.bytes(), claim.sha256_code);
  if (!key.verifies(request)) return nullptr;
  const bool over = key_until != Seconds(0) && wall >= key_until;
  return std::make_unique<Identity>(Identity{claim.realm, std::string(session.kid), session.owner,
                                             session.credential, key_until, over, key, true});
}

}  // namespace turnpike::turn
