#include "relay/media/client_sources.h"

#include <algorithm>

namespace turnpike::media {
namespace {

bool spend(Instant& window, std::uint32_t& used, std::uint32_t a_second, Instant now) {
  if (window == Instant{} || now - window >= Seconds(1)) {
    window = now;
    used = 0;
  }
  return used++ < a_second;
}

}  // namespace

void ClientSources::set_signalled(const SocketAddress& address, const IpAddress& received_from) {
  received_from_ = received_from;
  Source& first = sources_.front();
  if (first.address == address) return;
  sources_ = {};
  first.address = address;
  first.named = address.is_set();
  named_last_ = kSignalled;
}

bool ClientSources::knows(const IpAddress& ip) const {
  return (received_from_.is_set() && ip == received_from_) || ip == sources_.front().address.ip;
}

void ClientSources::restore(const SocketAddress& address, std::uint8_t number) {
  if (number == kSignalled || !address.is_set()) return;
  Source& place = sources_[1];
  place = Source{};
  place.address = address;
  place.number = number;
  place.named = true;
  last_number_[number < kStrangersFrom ? 1 : 0] = number;
  named_last_ = number;
}

std::optional<std::uint8_t> ClientSources::heard(const SocketAddress& address, Instant now) {
  auto source = std::find_if(sources_.begin(), sources_.end(), [&](const Source& known) {
    return known.address.is_set() && known.address == address;
  });
  if (source == sources_.end()) {
    const bool known = knows(address.ip);
    Source* fresh = room(known, now);
    if (fresh == nullptr || !spend(new_window_, new_in_window_, kNewASecond, now)) {
      return std::nullopt;
    }
    *fresh = Source{};
    fresh->address = address;
    fresh->number = fresh_number(known);
    fresh->since = now;
    source = sources_.begin() + (fresh - sources_.data());
  }
  source->last = now;
  if (!source->named && !spend(source->window, source->in_window, kPacketsASecond, now)) {
    return std::nullopt;
  }
  return source->number;
}

// An empty place, or that of an unnamed source, or that of a named one that has been silent for
// longest and for a while. To one at a known IP address a stranger gives way at once.
ClientSources::Source* ClientSources::room(bool known, Instant now) {
  constexpr Seconds kSilence{5};
  Source* oldest = nullptr;
  for (auto source = sources_.begin() + 1; source != sources_.end(); ++source) {
    if (!source->address.is_set()) return &*source;
    if (source->number == named_last_) continue;
    const bool gives_way = known && !source->named && source->number >= kStrangersFrom;
    const bool free = gives_way || (source->named ? now - source->last >= kSilence
                                                  : now - source->since >= kResidence);
    if (!free) continue;
    const bool better = oldest == nullptr || (oldest->named && !source->named) ||
                        (oldest->named == source->named && source->last < oldest->last);
    if (better) oldest = &*source;
  }
  return oldest;
}

std::uint8_t ClientSources::fresh_number(bool known) {
  std::uint8_t& last = last_number_[known ? 1 : 0];
  const std::uint8_t top = known ? kStrangersFrom - 1 : 255;
  do {
    last = last >= top ? (known ? 1 : kStrangersFrom) : static_cast<std::uint8_t>(last + 1);
  } while (find(last) != nullptr);
  return last;
}

ClientSources::Source* ClientSources::find(std::uint8_t number) {
  const auto found = std::find_if(sources_.begin(), sources_.end(), [&](const Source& source) {
    return source.address.is_set() && source.number == number;
  });
  return found == sources_.end() ? nullptr : &*found;
}

bool ClientSources::is_named(std::uint8_t number) const {
  return std::any_of(sources_.begin(), sources_.end(), [&](const Source& source) {
    return source.address.is_set() && source.number == number && source.named;
  });
}

SocketAddress ClientSources::named(std::uint8_t number, Instant now) {
  Source* source = find(number);
  if (source == nullptr) return {};
  source->named = true;
  source->last = std::max(source->last, now);
  named_last_ = number;
  return source->address;
}

}  // namespace turnpike::media
