#include "control/zone/admission.h"

#include <algorithm>
#include <iterator>

namespace turnpike::zone {
namespace {

IpAddress source_of(const IpAddress& from) {
  IpAddress source = from;
  if (source.is_v6()) std::fill(source.bytes.begin() + 8, source.bytes.end(), std::uint8_t{0});
  return source;
}

}  // namespace

void Admission::refill(Source& source, Instant now) const {
  const std::chrono::duration<double> passed = now - source.counted;
  source.arrivals_left = std::min<double>(
      limits_.arrivals_burst, source.arrivals_left + passed.count() * limits_.arrivals_per_second);
  source.counted = now;
}

/// Forgets sources of which nothing needs to be known any more.
bool Admission::make_room(Instant now) {
  if (sources_.size() < limits_.sources_max) return true;
  for (const bool known_too : {false, true}) {
    for (auto entry = sources_.begin(); entry != sources_.end();) {
      Source& source = entry->second;
      refill(source, now);
      const bool idle = source.waiting == 0 && source.paused_until <= now &&
                        source.arrivals_left >= limits_.arrivals_burst;
      entry = idle && (known_too || !source.known) ? sources_.erase(entry) : std::next(entry);
    }
    if (sources_.size() < limits_.sources_max) return true;
  }
  return false;
}

Reason Admission::arrive(const IpAddress& from, Instant now) {
  const IpAddress key = source_of(from);
  auto found = sources_.find(key);
  // Who keeps all places taken must not keep out whom we know.
  const bool known = found != sources_.end() && found->second.known;
  const std::uint32_t places = limits_.waiting_max + (known ? limits_.waiting_known_max : 0);
  if (waiting_ >= places) return Reason::kTooManyWaiting;
  if (found == sources_.end()) {
    if (!make_room(now)) return Reason::kTooManyWaiting;
    found = sources_.emplace(key, Source{}).first;
    found->second.arrivals_left = limits_.arrivals_burst;
    found->second.counted = now;
  }
  Source& source = found->second;
  refill(source, now);
  if (source.paused_until > now) return Reason::kAfterWrongPassword;
  if (source.waiting >= limits_.waiting_per_source_max) return Reason::kTooManyFromSource;
  if (source.arrivals_left < 1) return Reason::kTooOften;
  source.arrivals_left -= 1;
  ++source.waiting;
  ++waiting_;
  return Reason::kNone;
}

void Admission::settled(const IpAddress& from) {
  const auto found = sources_.find(source_of(from));
  if (found == sources_.end() || found->second.waiting == 0) return;
  --found->second.waiting;
  --waiting_;
}

void Admission::passed_password(const IpAddress& from) {
  const auto found = sources_.find(source_of(from));
  if (found == sources_.end()) return;
  found->second.wrong_passwords = 0;
  found->second.paused_until = {};
  found->second.known = true;
}

void Admission::gave_wrong_password(const IpAddress& from, Instant now) {
  const auto found = sources_.find(source_of(from));
  if (found == sources_.end()) return;
  Source& source = found->second;
  const unsigned doublings = std::min<unsigned>(source.wrong_passwords++, 16);
  const Milliseconds pause = limits_.password_pause_min * (1 << doublings);
  source.paused_until = now + std::min(pause, limits_.password_pause_max);
}

}  // namespace turnpike::zone
