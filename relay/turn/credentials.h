// Long-term credentials (RFC 8489 section 9.2): who sent a request. Users with keys, usernames with
// a time, whose password is a code of a shared secret, and tokens of an authorization server (RFC
// 7635). Hides: keys, secrets, the order of the checks. Is not: what a user may do.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "relay/crypto/hmac_sha1.h"
#include "relay/crypto/hmac_sha256.h"
#include "relay/crypto/siphash.h"
#include "relay/turn/access_token.h"
#include "relay/turn/nonce.h"
#include "relay/wire/stun.h"
#include "turnpike/turn.h"

namespace turnpike::turn {

/// What a response is sealed with: the key and kind of code of the request.
class SealKey {
 public:
  SealKey(std::span<const std::uint8_t> key, bool sha256);
  SealKey(const SealKey&) = default;
  SealKey& operator=(const SealKey&) = default;
  ~SealKey();
  /// Whether the message carries the code of this kind, and it is right; in constant time.
  bool verifies(const stun::Message& message) const;
  void seal(stun::Writer& writer) const;

 private:
  bool sha256_;
  HmacSha1Key sha1_key_;
  HmacSha256Key sha256_key_;
};

/// Who sent an authentic request.
struct Identity {
  std::uint32_t realm = 0;  ///< index in Settings::realms
  std::string user;
  std::uint64_t owner = 0;       ///< keyed hash of realm and user, without a name's time
  std::uint64_t credential = 0;  ///< keyed hash of the key or secret that vouches
  Seconds good_until{0};         ///< Unix time; 0: for ever
  bool expired = false;          ///< good_until is over
  SealKey key;
  /// By a token, or the key of an earlier one: `user` is only who made the token.
  bool by_token = false;
  SessionKey session{};  ///< of the token in this request
};

/// What the token that made an allocation has said: requests after it need none (RFC 7635
/// section 4.3).
struct TokenSession {
  std::uint32_t realm = 0;
  std::string_view kid;
  std::uint64_t owner = 0;
  std::uint64_t credential = 0;
  SessionKey key;
};

/// PASSWORD-ALGORITHMS as we send it: SHA-256, then MD5 (RFC 8489 section 18.5).
inline constexpr std::array<std::uint8_t, 8> kPasswordAlgorithmsValue = {0, 2, 0, 0, 0, 1, 0, 0};

class Credentials {
 public:
  /// `key`: secret, of all shards alike.
  Credentials(std::shared_ptr<const Settings> settings, const SipHashKey& key);

  const Settings& settings() const { return *settings_; }
  const Realm& realm(std::uint32_t index) const { return settings_->realms[index]; }
  std::uint8_t features(std::uint32_t realm) const { return realms_[realm].features; }

  struct Outcome {
    std::unique_ptr<Identity> identity;  ///< null: refused
    Refusal refusal = Refusal::kUnauthenticated;
    std::uint32_t realm = 0;  ///< that a challenge names
    /// How sure it is that the request comes from where it says.
    enum class Source : std::uint8_t { kUnproven, kOnceProven, kProven } source = Source::kUnproven;
  };
  /// `only`: the realm that all clients must be of; empty: any, and who names none of ours is told
  /// the first. `session`: of the allocation on the request's 5-tuple, if a token has made one.
  Outcome authenticate(const stun::Message& request, std::string_view only,
                       const SocketAddress& client, const Nonces& nonces, Instant now, Seconds wall,
                       const TokenSession* session = nullptr) const;

  /// Whether a credential that was good still is in these settings: the user, the secret, or the
  /// key of tokens.
  bool vouches(std::uint32_t realm, std::string_view user, std::uint64_t credential) const;
  /// Keyed hash of a realm as a whole.
  std::uint64_t owner_of(std::uint32_t realm) const;
  /// The realm of that name.
  std::optional<std::uint32_t> realm_of(std::string_view name) const;

 private:
  struct Secret {
    ~Secret();
    bool sha256 = false;
    HmacSha1Key sha1_key;
    HmacSha256Key sha256_key;
    std::uint64_t credential = 0;
  };
  struct PreparedRealm {
    std::vector<Secret> secrets;
    std::vector<std::uint64_t> token_credentials;                    // by Realm::token_keys
    std::unordered_map<std::string, std::string_view> user_by_hash;  // USERHASH to username
    std::uint8_t features = 0;
  };
  struct Claim;

  std::uint64_t credential_of(const UserKeys& keys) const;
  std::uint64_t hash(std::initializer_list<std::string_view> parts) const;
  std::uint64_t owner_of(std::uint32_t realm, std::string_view user) const;
  bool claims_right_algorithms(const stun::Message& request, Claim& claim) const;
  Outcome verify(const stun::Message& request, const Claim& claim, Seconds wall) const;
  std::unique_ptr<Identity> verify_user(const stun::Message& request, const Claim& claim,
                                        const UserKeys& keys) const;
  std::unique_ptr<Identity> verify_secret(const stun::Message& request, const Claim& claim,
                                          const Secret& secret) const;

  Outcome verify_token(const stun::Message& request, const Claim& claim, stun::Bytes token,
                       Seconds wall) const;
  std::unique_ptr<Identity> verify_session(const stun::Message& request, const Claim& claim,
                                           const TokenSession& session, Seconds wall) const;

  std::shared_ptr<const Settings> settings_;
  SipHashKey key_;
  std::vector<PreparedRealm> realms_;
};

}  // namespace turnpike::turn
