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

void Admission::Allowance::refill(std::uint32_t burst, std::uint32_t per_second, Instant now) {
  const std::chrono::duration<double> passed = now - counted;
  left = std::min<double>(burst, left + passed.count() * per_second);
  counted = now;
}

bool Admission::is_idle(const Source& source, Instant now) const {
  const bool paused = std::any_of(source.pauses.begin(), source.pauses.end(),
                                  [now](const auto& entry) { return entry.second.until > now; });
  return source.waiting == 0 && !paused && source.arrivals.left >= limits_.arrivals_burst;
}

/// Forgets sources of which nothing needs to be known any more.
bool Admission::make_room(Instant now) {
  if (sources_.size() < limits_.sources_max) return true;
  for (const bool known_too : {false, true}) {
    for (auto entry = sources_.begin(); entry != sources_.end();) {
      Source& source = entry->second;
      refill(source, now);
      const bool forget = is_idle(source, now) && (known_too || !source.known);
      entry = forget ? sources_.erase(entry) : std::next(entry);
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
  strangers_.refill(limits_.strangers_burst, limits_.strangers_per_second, now);
  if (!known && strangers_.left < 1) return Reason::kTooManyWaiting;
  if (found == sources_.end()) {
    if (!make_room(now)) return Reason::kTooManyWaiting;
    const Allowance full{static_cast<double>(limits_.arrivals_burst), now};
    found = sources_.emplace(key, Source{.arrivals = full}).first;
  }
  return judge(found->second, now);
}

Reason Admission::judge(Source& source, Instant now) {
  refill(source, now);
  if (source.waiting >= limits_.waiting_per_source_max) return Reason::kTooManyFromSource;
  if (source.arrivals.left < 1) return Reason::kTooOften;
  source.arrivals.left -= 1;
  if (!source.known) strangers_.left -= 1;
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

Reason Admission::try_password(const IpAddress& from, const std::string& name, Instant now) const {
  const auto found = sources_.find(source_of(from));
  if (found == sources_.end()) return Reason::kNone;
  const auto pause = found->second.pauses.find(name);
  const bool paused = pause != found->second.pauses.end() && pause->second.until > now;
  return paused ? Reason::kAfterWrongPassword : Reason::kNone;
}

void Admission::passed_password(const IpAddress& from, const std::string& name) {
  const auto found = sources_.find(source_of(from));
  if (found == sources_.end()) return;
  found->second.pauses.erase(name);
  found->second.known = true;
}

void Admission::gave_wrong_password(const IpAddress& from, const std::string& name, Instant now) {
  const auto found = sources_.find(source_of(from));
  if (found == sources_.end()) return;
  Pause& pause = found->second.pauses[name];
  const unsigned doublings = std::min<unsigned>(pause.wrong_passwords++, 16);
  const Milliseconds length = limits_.password_pause_min * (1 << doublings);
  pause.until = now + std::min(length, limits_.password_pause_max);
}

}  // namespace turnpike::zone
