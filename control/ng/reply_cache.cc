// Oldest first out; what is in work stays.
#include "control/ng/reply_cache.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

namespace turnpike::ng {

std::string ReplyCache::key_of(const SocketAddress& peer, std::string_view cookie,
                               std::string_view body) {
  // Fields of fixed size but for the cookie, which comes last: no two peers and messages give one
  // key, and no text is made of an address for each request.
  const auto family = static_cast<std::uint8_t>(peer.ip.family);
  const std::size_t size = body.size();
  const std::size_t hash = std::hash<std::string_view>{}(body);
  std::string key;
  key.reserve(64 + cookie.size());
  const auto add = [&key](const auto& field) {
    key.append(reinterpret_cast<const char*>(&field), sizeof field);
  };
  add(family);
  add(peer.ip.bytes);
  add(peer.port);
  add(size);
  add(hash);
  key += cookie;
  return key;
}

ReplyCache::Found ReplyCache::begin(const std::string& key, Instant now) {
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    Entry& entry = *found->second;
    if (entry.done) return {.verdict = Verdict::kReplay, .reply = &entry.reply};
    if (entry.waiting >= limits_.waiting_max) return {.verdict = Verdict::kDropped};
    ++entry.waiting;
    return {.verdict = Verdict::kWaits};
  }
  if (entries_.size() >= limits_.entries_max && !make_room()) return {.verdict = Verdict::kFull};
  entries_.push_back({.key = key, .reply = {}, .begun = now});
  by_key_.emplace(entries_.back().key, std::prev(entries_.end()));
  bytes_ += key.size();
  return {.verdict = Verdict::kNew};
}

std::uint32_t ReplyCache::finish(const std::string& key, std::string reply) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end() || found->second->done) return 0;
  Entry& entry = *found->second;
  entry.done = true;
  bytes_ += reply.size();
  entry.reply = std::move(reply);
  const std::uint32_t times = 1 + entry.waiting;
  while (bytes_ > limits_.bytes_max && make_room()) {
  }
  return times;
}

std::uint32_t ReplyCache::expire(Instant now) {
  std::uint32_t in_work = 0;
  while (!entries_.empty() && now - entries_.front().begun >= limits_.age_max) {
    if (!entries_.front().done) ++in_work;
    erase(entries_.begin());
  }
  return in_work;
}

bool ReplyCache::make_room() {
  const auto oldest_done =
      std::find_if(entries_.begin(), entries_.end(), [](const Entry& entry) { return entry.done; });
  if (oldest_done == entries_.end()) return false;
  erase(oldest_done);
  return true;
}

void ReplyCache::erase(Entries::iterator entry) {
  bytes_ -= entry->key.size() + entry->reply.size();
  explicit_bzero(entry->reply.data(), entry->reply.size());  // descriptions carry SRTP keys
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace turnpike::ng
