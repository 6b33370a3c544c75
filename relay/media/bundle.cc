// The engine where several m-lines share one transport (RFC 9143): which m-line a packet belongs
// to, and whose indices its SSRC uses.
//
// What an SSRC has received under the transport's key lies in the stream list of the transport's
// leg, whatever m-line it belongs to; `StreamState::line` is the table of learned SSRCs. What was
// sent under a key is remembered by the leg that has it: of each SSRC at most one stream sends
// into a transport. Only packets that have proven themselves move anything.
#include <algorithm>

#include "relay/media/engine.h"
#include "relay/wire/rtcp.h"
#include "relay/wire/rtp_extension.h"

namespace turnpike::media {
namespace {

// A packet may speak of hundreds of SSRCs; one of the first tells whose it is.
constexpr int kRtcpTargetsTried = 8;

bool is_mid(const BundleConfig& bundle, std::span<const std::uint8_t> value) {
  const std::string_view mid = bundle.mid.view();
  return std::equal(mid.begin(), mid.end(), value.begin(), value.end(),
                    [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
}

}  // namespace

std::uint32_t Engine::transport_slot(std::uint32_t slot, Side side) const {
  if (slot >= arena_.session_capacity()) return kNoLine;
  const SessionId& id = arena_.session(slot).legs[index_of(side)].config.bundle.transport;
  if (!id.is_set()) return slot;
  return arena_.find(id.slot, id.generation) != nullptr ? id.slot : kNoLine;
}

void Engine::refresh_bundled(std::uint32_t slot) {
  if (slot == kNoLine) return;
  SessionState& session = arena_.session(slot);
  session.bundled = false;
  for (const Side side : {Side::kA, Side::kB}) {
    session.bundled = session.bundled || lines_.first(slot, side) != kNoLine ||
                      session.legs[index_of(side)].config.bundle.transport.is_set();
  }
}

void Engine::find_lines() {
  for (std::uint32_t slot = 0; slot < arena_.session_capacity(); ++slot) {
    if (arena_.session(slot).generation == 0) continue;
    for (const Side side : {Side::kA, Side::kB}) {
      const auto& bundle = arena_.session(slot).legs[index_of(side)].config.bundle;
      const std::uint32_t transport = transport_slot(slot, side);
      if (bundle.transport.is_set() && transport != kNoLine) lines_.add(transport, side, slot);
    }
  }
  for (std::uint32_t slot = 0; slot < arena_.session_capacity(); ++slot) {
    if (arena_.session(slot).generation != 0) refresh_bundled(slot);
  }
}

void Engine::set_transport(std::uint32_t slot, Side side, const BundleConfig& bundle) {
  BundleConfig& present = arena_.session(slot).legs[index_of(side)].config.bundle;
  const std::uint32_t before = transport_slot(slot, side);
  const bool was_linked = present.transport.is_set() && before != kNoLine;
  const SessionId& wanted = bundle.transport;
  std::uint32_t after = slot;
  if (wanted.is_set()) {
    after = arena_.find(wanted.slot, wanted.generation) != nullptr ? wanted.slot : kNoLine;
  }
  // A line that leaves its own transport to others is no part of it either.
  if (before != after || (was_linked && !wanted.is_set())) give_up_streams(slot);
  if (was_linked) lines_.remove(before, side, slot);
  present = bundle;
  if (wanted.is_set() && after != kNoLine) lines_.add(after, side, slot);
  for (const std::uint32_t touched : {slot, before, after}) refresh_bundled(touched);
}

void Engine::leave_bundles(std::uint32_t slot) {
  for (const Side side : {Side::kA, Side::kB}) {
    set_transport(slot, side, BundleConfig{});
    // What still rides on this session has no transport any more.
    for (std::uint32_t line = lines_.first(slot, side); line != kNoLine;
         line = lines_.first(slot, side)) {
      lines_.remove(slot, side, line);
    }
  }
}

// Before one of the line's legs gets another transport: the keys that its streams use, of one
// direction at least, become others. Streams come back with the next packet.
void Engine::give_up_streams(std::uint32_t line) {
  for (const Side side : {Side::kA, Side::kB}) {
    const std::uint32_t receiver = transport_slot(line, side);
    if (receiver == kNoLine) continue;
    LegState& leg = arena_.session(receiver).legs[index_of(side)];
    std::uint32_t* place = &leg.first_stream;
    while (*place != kNoStream) {
      const std::uint32_t index = *place;
      StreamState& stream = arena_.stream(index);
      if (stream.line != line) {
        place = &stream.next;
      } else if (bury(receiver, side, stream)) {
        *place = stream.next;
        arena_.give_stream(index);
        --leg.stream_count;
      } else {
        // Without room to remember what was sent, nothing more is sent with that key.
        const std::uint32_t sender = transport_slot(line, other(side));
        if (sender != kNoLine) {
          SrtpContext& key = arena_.session(sender).legs[index_of(other(side))].send;
          key.packets_used = key.rtcp_packets_used = ~std::uint64_t{0};
        }
        stream.line = kNoLine;
        place = &stream.next;
      }
    }
  }
}

// Leaves behind what the keys of both its transports must never forget of a stream.
bool Engine::bury(std::uint32_t receiver, Side side, const StreamState& stream) {
  const std::uint32_t sender = transport_slot(stream.line, other(side));
  const bool apart = sender != receiver;
  const auto at = [&](std::uint32_t slot, TombstonePart part) {
    TombstoneList& list = arena_.session(slot).legs[index_of(side)].tombstones;
    return arena_.tombstones().bury(number_of_leg(slot, side), list, stream, part);
  };
  if (!apart) return at(receiver, TombstonePart::kBoth);
  if (!at(receiver, TombstonePart::kReceived)) return false;
  return sender == kNoLine || at(sender, TombstonePart::kSent);
}

// The m-line of a packet that has proven itself, and with it both of its legs.
bool Engine::sort_bundled(Work& work) {
  const SocketTag& tag = work.packet->tag;
  if (work.stream == nullptr) work.stream = find_stream(*work.receiver, work.ssrc);
  std::uint32_t line = tag.slot;
  if (lines_.first(tag.slot, tag.side) != kNoLine) {
    if (work.rtcp && !rtcp_compound_is_valid(work.packet->data, work.packet->length)) {
      return drop(work, DropReason::kMalformedRtcp), false;
    }
    line = work.rtcp ? line_of_rtcp(work) : line_of_rtp(work);
  } else if (work.from->config.bundle.transport.is_set()) {
    line = kNoLine;  // its packets come on another port
  }
  if (line == kNoLine) return drop(work, DropReason::kNotInBundle), false;
  const Side back = other(tag.side);
  const bool only_carries =
      !arena_.session(line).legs[index_of(back)].config.bundle.transport.is_set() &&
      lines_.first(line, back) != kNoLine;
  if (only_carries) return drop(work, DropReason::kNotInBundle), false;
  work.line = line;
  work.session = &arena_.session(line);
  work.from = &work.session->legs[index_of(tag.side)];
  work.to = &work.session->legs[index_of(back)];
  work.sender_slot = transport_slot(line, back);
  if (work.sender_slot == kNoLine) return drop(work, DropReason::kNoDestination), false;
  SessionState& sender = arena_.session(work.sender_slot);
  work.sender_generation = sender.generation;
  work.sender = &sender.legs[index_of(back)];
  if (work.to->config.must_encrypt && !work.sender->config.must_encrypt) {
    return drop(work, DropReason::kNotKeyed), false;
  }
  const bool known = work.stream != nullptr;
  if (known ? !move_stream(work) : ssrc_in_use(work)) {
    return drop(work, DropReason::kSsrcInUse), false;
  }
  return true;
}

// RFC 9143 section 9.2: what the packet says, then what its SSRC was, then what its payload type
// can only be.
std::uint32_t Engine::line_of_rtp(const Work& work) const {
  const SocketTag& tag = work.packet->tag;
  const auto bundle_of = [&](std::uint32_t line) -> const BundleConfig& {
    return arena_.session(line).legs[index_of(tag.side)].config.bundle;
  };
  if (has_rtp_extension(work.packet->data)) {
    bool named = false;
    for (std::uint32_t line = lines_.first(tag.slot, tag.side); line != kNoLine;
         line = lines_.next(line, tag.side)) {
      const BundleConfig& bundle = bundle_of(line);
      const auto mid = find_rtp_extension(work.packet->data, work.rtp, bundle.mid_extension);
      if (mid.empty()) continue;
      if (is_mid(bundle, mid)) return line;
      named = true;
    }
    if (named) return kNoLine;
  }
  if (work.stream != nullptr && work.stream->packets != 0 && rides(work.stream->line, tag)) {
    return work.stream->line;
  }
  std::uint32_t only = kNoLine;
  for (std::uint32_t line = lines_.first(tag.slot, tag.side); line != kNoLine;
       line = lines_.next(line, tag.side)) {
    if (!bundle_of(line).has_payload_type(work.rtp.payload_type)) continue;
    if (only != kNoLine) return kNoLine;
    only = line;
  }
  return only;
}

// A compound goes to one m-line as a whole: that of its first sender's RTP, else that of the
// streams it speaks of.
std::uint32_t Engine::line_of_rtcp(const Work& work) {
  const SocketTag& tag = work.packet->tag;
  const bool known = work.stream != nullptr && rides(work.stream->line, tag);
  if (known && work.stream->packets != 0) return work.stream->line;
  std::uint32_t target = kNoLine;
  const Side back = other(tag.side);
  int tried = 0;
  visit_rtcp_targets(work.packet->data, work.packet->length, [&](std::uint32_t ssrc) {
    if (++tried > kRtcpTargetsTried) return true;
    std::uint32_t searched = kNoLine;  // lines that share their other transport too are neighbours
    for (std::uint32_t line = lines_.first(tag.slot, tag.side); line != kNoLine;
         line = lines_.next(line, tag.side)) {
      const std::uint32_t receiver = transport_slot(line, back);
      if (receiver == kNoLine || receiver == searched) continue;
      searched = receiver;
      const StreamState* stream = find_stream(arena_.session(receiver).legs[index_of(back)], ssrc);
      if (stream == nullptr || !rides(stream->line, tag)) continue;
      target = stream->line;
      return true;
    }
    return false;
  });
  if (target != kNoLine) return target;
  if (known) return work.stream->line;
  const std::uint32_t first = lines_.first(tag.slot, tag.side);
  return lines_.next(first, tag.side) == kNoLine ? first : kNoLine;
}

bool Engine::rides(std::uint32_t line, const SocketTag& transport) const {
  if (line >= arena_.session_capacity() || arena_.session(line).generation == 0) return false;
  const auto& id = arena_.session(line).legs[index_of(transport.side)].config.bundle.transport;
  return id.slot == transport.slot && id.generation == transport.generation;
}

// The SSRC of a known stream turned out to be another m-line's. Its indices under the key towards
// that one's other leg go on from where they were; those under the key before are left behind.
bool Engine::move_stream(Work& work) {
  StreamState& stream = *work.stream;
  if (stream.line == work.line) return true;
  const Side side = work.packet->tag.side;
  const std::uint32_t before = transport_slot(stream.line, other(side));
  if (before != work.sender_slot) {
    const bool pending = is_pending(stream);
    // A packet of this batch is still to be sent at an index that is to be forgotten.
    if ((pending && !work.rtcp) || ssrc_in_use(work)) return false;
    if (before != kNoLine) {
      StreamState used = stream;
      if (pending) used.send.rtcp_next += kBatchPacketsMax;
      TombstoneList& list = arena_.session(before).legs[index_of(side)].tombstones;
      const std::uint32_t owner = number_of_leg(before, side);
      if (!arena_.tombstones().bury(owner, list, used, TombstonePart::kSent)) return false;
    }
    const std::uint32_t rtcp_next = stream.send.rtcp_next;
    stream.send = SrtpSendStream{};
    stream.sequence_offset = 0;
    stream.restart_run = 0;
    const std::uint32_t owner = number_of_leg(work.sender_slot, side);
    const Tombstone* grave = arena_.tombstones().find(owner, stream.ssrc);
    if (grave != nullptr) restore(*grave, stream.send);
    // RTCP of one receiver speaks of one m-line now and of another then, also within a batch:
    // its index never goes back, whatever key it is under.
    stream.send.rtcp_next = std::max(stream.send.rtcp_next, rtcp_next);
  }
  stream.line = work.line;
  return true;
}

// Another stream sends into the transport with this SSRC: one index would be used twice.
bool Engine::ssrc_in_use(const Work& work) {
  const Side side = work.packet->tag.side;
  for (std::uint32_t line = lines_.first(work.sender_slot, other(side)); line != kNoLine;
       line = lines_.next(line, other(side))) {
    const std::uint32_t receiver = transport_slot(line, side);
    // In a list of streams there is one for each SSRC.
    if (receiver == kNoLine || receiver == work.packet->tag.slot) continue;
    const StreamState* stream =
        find_stream(arena_.session(receiver).legs[index_of(side)], work.ssrc);
    if (stream != nullptr && stream->line == line) return true;
  }
  return false;
}

bool Engine::is_pending(const StreamState& stream) const {
  return std::any_of(work_.begin(), work_.begin() + static_cast<std::ptrdiff_t>(kept_count_),
                     [&](const Work& work) { return work.stream == &stream; });
}

}  // namespace turnpike::media
