#include "relay/door_splices.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "relay/io/tcp_stream.h"
#include "relay/splice.h"

namespace turnpike {
namespace {

using door::Outcome;

bool lacks_descriptor(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

}  // namespace

struct DoorSplices::Splice {
  std::unique_ptr<ByteStream> client;
  std::unique_ptr<ByteStream> target;
  IpAddress address;
  Instant due{};  // or not at all
  bool is_answered = false;
  bool has_client = true;  // who has not left
  bool waits = false;      // in `waiting_`
  SpliceWay in;            // to the target
  SpliceWay out;
};

// In two steps, because the SIP server counts by site: what shares a /24, or a /48 of IPv6, shares
// a /24 here too.
IpAddress stand_in_for(const IpAddress& client, const SipHashKey& key) {
  std::array<std::uint8_t, 9> source{};
  const std::ptrdiff_t site_bytes = client.is_v6() ? 6 : 3;
  std::copy_n(client.bytes.begin(), site_bytes, source.begin());
  source[8] = static_cast<std::uint8_t>(client.family);
  const std::uint64_t site = siphash_2_4(key, source);
  std::copy_n(client.bytes.begin(), 8, source.begin());  // IPv4 and /64 alike
  const std::uint64_t host = siphash_2_4(key, source);
  return IpAddress::v4(127, static_cast<std::uint8_t>(1 + (site >> 16) % 254),
                       static_cast<std::uint8_t>(site >> 8), static_cast<std::uint8_t>(host));
}

DoorSplices::DoorSplices(StreamPoll& poll, const SocketAddress& target, const SipHashKey& key,
                         Handlers handlers)
    : poll_(poll), target_(target), key_(key), handlers_(std::move(handlers)) {}

DoorSplices::~DoorSplices() = default;

std::optional<Outcome> DoorSplices::begin(int fd, const SocketAddress& client, Instant now) {
  const int target_fd = connect_from({stand_in_for(client.ip, key_), 0}, target_);
  if (target_fd < 0) return lacks_descriptor(errno) ? Outcome::kNoDescriptor : Outcome::kTargetDown;
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(splices_.size()));
    splices_.emplace_back();
  }
  const std::uint32_t place = free_.back();
  auto target = make_tcp_stream(target_fd);
  if (!poll_.add_edge(target_fd, kItem | place, true)) return Outcome::kNoDescriptor;
  if (!poll_.add_edge(fd, kItem | place, true)) {
    poll_.remove(target_fd);
    return Outcome::kNoDescriptor;
  }
  free_.pop_back();
  splices_[place] = std::make_unique_for_overwrite<Splice>();
  Splice& splice = *splices_[place];
  splice.client = make_tcp_stream(fd);
  splice.target = std::move(target);
  splice.address = client.ip;
  splice.due = now + kAnswerMax;
  return std::nullopt;
}

void DoorSplices::on_ready(std::uint32_t item, Instant now) {
  const std::uint32_t place = item & ~kItem;
  if (splices_[place] != nullptr) carry(place, now);  // or it ended in this turn
}

bool DoorSplices::go_on(Instant now) {
  for (const std::uint32_t place : std::exchange(waiting_, {})) {
    if (splices_[place] == nullptr || !std::exchange(splices_[place]->waits, false)) continue;
    carry(place, now);
  }
  return !waiting_.empty();
}

void DoorSplices::carry(std::uint32_t place, Instant now) {
  Splice& splice = *splices_[place];
  const Carried in = carry_some(*splice.client, *splice.target, splice.in);
  const Carried out = carry_some(*splice.target, *splice.client, splice.out);
  if (!splice.is_answered && splice.out.read != 0) {
    splice.is_answered = true;
    splice.due = {};
    handlers_.decided(Outcome::kSip);
  }
  const bool is_over = splice.in.is_told && splice.out.is_told;
  const bool client_failed = in == Carried::kGiverFailed || out == Carried::kTakerFailed;
  const bool target_failed = in == Carried::kTakerFailed || out == Carried::kGiverFailed;
  splice.has_client = !client_failed && !splice.in.has_ended;
  if (client_failed || target_failed || is_over) return end(place);
  const bool is_half = splice.in.is_told || splice.out.is_told;
  if (is_half && splice.due == Instant{}) splice.due = now + kHalfOpenMax;
  if ((in == Carried::kSome || out == Carried::kSome) && !std::exchange(splice.waits, true)) {
    waiting_.push_back(place);
  }
}

void DoorSplices::end(std::uint32_t place) {
  const std::unique_ptr<Splice> splice = std::move(splices_[place]);
  if (!splice->is_answered) {
    handlers_.decided(splice->has_client ? Outcome::kTargetDown : Outcome::kGone);
  }
  poll_.remove(splice->client->fd());
  poll_.remove(splice->target->fd());
  free_.push_back(place);
  handlers_.ended(splice->address);
}

void DoorSplices::end_late(Instant now) {
  for (std::uint32_t place = 0; place < splices_.size(); ++place) {
    const Splice* const splice = splices_[place].get();
    if (splice != nullptr && splice->due != Instant{} && splice->due <= now) end(place);
  }
}

}  // namespace turnpike
