// Remembers replies for peers that repeat a request over UDP, so that it is carried out once.
// A request is known by its peer, its cookie and its content: a peer that uses a cookie again for
// something else asks something new.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "turnpike/address.h"
#include "turnpike/time.h"

namespace turnpike::ng {

struct ReplyCacheLimits {
  std::uint32_t entries_max = 32768;
  std::size_t bytes_max = 32u << 20;  ///< of all kept keys and replies
  Seconds age_max{60};                ///< also how long a request may stay in work
  std::uint32_t waiting_max = 8;      ///< repetitions that wait for one reply
};

class ReplyCache {
 public:
  enum class Verdict : std::uint8_t {
    kNew,      ///< carry it out, then finish()
    kWaits,    ///< in work; finish() will count this one
    kDropped,  ///< in work, and enough wait already
    kReplay,   ///< done: `reply` again
    kFull,     ///< only requests in work, no place for one more
  };
  struct Found {
    Verdict verdict = Verdict::kNew;
    const std::string* reply = nullptr;  ///< for kReplay, until the next call
  };

  explicit ReplyCache(ReplyCacheLimits limits = {}) : limits_(limits) {}

  static std::string key_of(const SocketAddress& peer, std::string_view cookie,
                            std::string_view body);

  /// Call expire() first: what is too old is still found otherwise.
  Found begin(const std::string& key, Instant now);
  /// How often `reply` must be sent: once, and once for each that waited. 0: not in work (any
  /// more).
  std::uint32_t finish(const std::string& key, std::string reply);
  /// Forgets what is too old. Returns how many of those were still in work.
  std::uint32_t expire(Instant now);

  std::size_t size() const { return by_key_.size(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string key;
    std::string reply;
    Instant begun{};
    std::uint32_t waiting = 0;
    bool done = false;
  };
  using Entries = std::list<Entry>;

  void erase(Entries::iterator entry);
  bool make_room();

  ReplyCacheLimits limits_;
  Entries entries_;                                                 // oldest first
  std::unordered_map<std::string_view, Entries::iterator> by_key_;  // views of Entry::key
  std::size_t bytes_ = 0;
};

}  // namespace turnpike::ng
