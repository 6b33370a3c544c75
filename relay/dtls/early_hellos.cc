#include "relay/dtls/early_hellos.h"

#include <algorithm>
#include <cstring>

#include "relay/dtls/records.h"

namespace turnpike {
namespace {

bool is_client_hello(std::span<const std::uint8_t> datagram) {
  DtlsRecord record;
  HelloStart hello;
  return take_record(datagram, record) && parse_hello(record, hello);
}

bool same_leg(const SocketTag& a, const SocketTag& b) {
  return a.slot == b.slot && a.generation == b.generation && a.side == b.side;
}

}  // namespace

bool EarlyHellos::keep(const Packet& packet, Instant now) {
  if (packet.length > kBytesMax || !is_client_hello({packet.data, packet.length})) return false;
  Place& place = place_for(packet, now);
  used_ += place.length == 0 ? 1 : 0;
  place.kept = now;
  place.source = packet.source;
  place.tag = packet.tag;
  place.length = packet.length;
  std::memcpy(place.bytes.data(), packet.data, packet.length);
  return true;
}

// The same source's, else the older one of a leg that has its share, else a free one or the oldest.
EarlyHellos::Place& EarlyHellos::place_for(const Packet& packet, Instant now) {
  Place* oldest = &places_[0];
  Place* oldest_of_leg = nullptr;
  std::size_t of_leg = 0;
  for (Place& place : places_) {
    if (place.length != 0 && now - place.kept > kAgeMax) {
      place.length = 0;
      --used_;
    }
    const bool is_older = place.length == 0 || place.kept < oldest->kept;
    if (oldest->length != 0 && is_older) oldest = &place;
    if (place.length == 0 || !same_leg(place.tag, packet.tag)) continue;
    if (place.source == packet.source) return place;
    ++of_leg;
    if (oldest_of_leg == nullptr || place.kept < oldest_of_leg->kept) oldest_of_leg = &place;
  }
  return of_leg < kPlacesOfLegMax ? *oldest : *oldest_of_leg;
}

bool EarlyHellos::has(const SocketTag& leg) const {
  return used_ != 0 && std::any_of(places_.begin(), places_.end(), [&](const Place& place) {
           return place.length != 0 && same_leg(place.tag, leg);
         });
}

void EarlyHellos::each(const SocketTag& leg, Instant now,
                       const std::function<void(const Packet&)>& hear) {
  std::array<Place*, kPlaces> found{};
  std::size_t count = 0;
  for (Place& place : places_) {
    const bool is_wanted = place.length != 0 && same_leg(place.tag, leg);
    if (is_wanted && now - place.kept <= kAgeMax) found[count++] = &place;
  }
  std::sort(found.begin(), found.begin() + count,
            [](const Place* a, const Place* b) { return a->kept < b->kept; });
  for (std::size_t i = 0; i < count; ++i) {
    Packet packet;
    packet.data = found[i]->bytes.data();
    packet.length = found[i]->length;
    packet.source = found[i]->source;
    packet.tag = found[i]->tag;
    hear(packet);
  }
}

void EarlyHellos::forget(const SocketTag& leg) {
  if (used_ == 0) return;
  for (Place& place : places_) {
    if (place.length == 0 || !same_leg(place.tag, leg)) continue;
    place.length = 0;
    --used_;
  }
}

}  // namespace turnpike
