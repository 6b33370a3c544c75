#include "relay/media/past_keys.h"

#include <algorithm>
#include <utility>

#include "relay/core/bytes.h"
#include "relay/media/engine.h"
#include "relay/media/session_seal.h"

namespace turnpike::media {
namespace {

std::uint32_t number_of(const SocketTag& leg) {
  return leg.slot * 2 + index_of(leg.side);
}

}  // namespace

PastKeys::~PastKeys() {
  secure_wipe(&receive, sizeof receive);
  secure_wipe(&send, sizeof send);
}

bool Engine::set_keys(const SocketTag& leg, const SrtpKeying& receive, const SrtpKeying& send) {
  SessionState* session = arena_.find(leg.slot, leg.generation);
  if (session == nullptr) return true;
  LegState& state = session->legs[index_of(leg.side)];
  if (!state.config.dtls) return true;
  LegConfig previous = state.config;
  const SessionEdit edit(*session);
  state.config.receive = receive;
  state.config.send = send;
  state.closed = false;
  bool usable = true;
  if (!(previous.receive == receive && previous.send == send)) {
    remember_keys(leg, *session, previous);
    rekey(*session, leg.slot, leg.side, previous);
    const PastKeys* past = find_past_keys(leg, receive, send);
    usable = past == nullptr || restore_indices(*past, leg);
    if (!usable) {
      // Better none than an index that is used twice.
      secure_wipe(&previous, sizeof previous);
      previous = state.config;
      state.config.receive = state.config.send = SrtpKeying{};
      rekey(*session, leg.slot, leg.side, previous);
    }
  }
  secure_wipe(&previous, sizeof previous);
  return usable;
}

const PastKeys* Engine::find_past_keys(const SocketTag& leg, const SrtpKeying& receive,
                                       const SrtpKeying& send) const {
  const auto found = past_keys_.find(number_of(leg));
  if (found == past_keys_.end()) return nullptr;
  for (const PastKeys& past : found->second) {
    if (past.receive == receive && past.send == send) return &past;
  }
  return nullptr;
}

// The streams themselves stay; what they are about to forget is kept here.
void Engine::remember_keys(const SocketTag& leg, const SessionState& session,
                           const LegConfig& previous) {
  if (previous.receive.suite == SrtpSuite::kNone) return;
  std::vector<PastKeys>& all = past_keys_[number_of(leg)];
  const auto same = [&](const PastKeys& past) {
    return past.receive == previous.receive && past.send == previous.send;
  };
  auto at = std::find_if(all.begin(), all.end(), same);
  if (at == all.end()) {
    // The oldest fork's: it has long been parted with.
    if (all.size() == kPastKeysMax) all.erase(all.begin());
    all.emplace_back();
  } else {
    std::rotate(at, at + 1, all.end());
  }
  at = all.end() - 1;
  at->receive = previous.receive;
  at->send = previous.send;
  at->received.clear();
  at->sent.clear();
  const LegState& state = session.legs[index_of(leg.side)];
  at->packets_used = state.send.packets_used;
  at->rtcp_packets_used = state.send.rtcp_packets_used;
  const auto add = [&](std::uint32_t i, std::vector<PastStream>& streams) {
    const StreamState& stream = arena_.stream(i);
    streams.push_back({stream.ssrc, stream.receive, stream.send});
  };
  for (std::uint32_t i = state.first_stream; i != kNoStream; i = arena_.stream(i).next) {
    add(i, at->received);
  }
  for (const std::uint32_t i : streams_sent_by(leg.slot, leg.side)) add(i, at->sent);
  const bool whole = remember_graves(state.tombstones, at->received) &&
                     remember_graves(session.legs[index_of(other(leg.side))].tombstones, at->sent);
  at->spent = at->spent || !whole;
}

// What was left behind of streams that were given up. False: it is too much.
bool Engine::remember_graves(const TombstoneList& list, std::vector<PastStream>& streams) const {
  if (streams.size() + list.count > kPastStreamsMax) return false;
  const std::size_t present = streams.size();
  arena_.tombstones().for_each(list, [&](const Tombstone& grave) {
    const auto end = streams.begin() + static_cast<std::ptrdiff_t>(present);
    const bool lives = std::any_of(
        streams.begin(), end, [&](const PastStream& stream) { return stream.ssrc == grave.ssrc; });
    if (lives) return;  // it went on from there
    PastStream& past = streams.emplace_back();
    past.ssrc = grave.ssrc;
    restore(grave, past.receive);
    restore(grave, past.send);
  });
  return true;
}

// At most one stream sends with an SSRC into a transport, whatever m-lines share it.
StreamState* Engine::find_sent(const SocketTag& leg, std::uint32_t ssrc) {
  for (const std::uint32_t i : streams_sent_by(leg.slot, leg.side)) {
    if (arena_.stream(i).ssrc == ssrc) return &arena_.stream(i);
  }
  return nullptr;
}

// What has no stream any more is left behind as a tombstone. False: there is no room for it.
bool Engine::restore_indices(const PastKeys& past, const SocketTag& leg) {
  if (past.spent) return false;
  SessionState& session = arena_.session(leg.slot);
  const auto bury_past = [&](const PastStream& had, Side side, TombstonePart part) {
    StreamState stream;
    stream.ssrc = had.ssrc;
    stream.receive = had.receive;
    stream.send = had.send;
    TombstoneList& list = session.legs[index_of(side)].tombstones;
    return arena_.tombstones().bury(number_of_leg(leg.slot, side), list, stream, part);
  };
  LegState& state = session.legs[index_of(leg.side)];
  state.send.packets_used = past.packets_used;
  state.send.rtcp_packets_used = past.rtcp_packets_used;
  for (const PastStream& had : past.received) {
    StreamState* stream = find_stream(state, had.ssrc);
    if (stream == nullptr) {
      if (!bury_past(had, leg.side, TombstonePart::kReceived)) return false;
      continue;
    }
    stream->receive = had.receive;
    stream->newest_rtp_index = had.receive.rtp_highest;
    stream->newest_rtcp_index = had.receive.rtcp_highest;
  }
  for (const PastStream& had : past.sent) {
    StreamState* stream = find_sent(leg, had.ssrc);
    if (stream != nullptr) {
      stream->send = had.send;
    } else if (!bury_past(had, other(leg.side), TombstonePart::kSent)) {
      return false;
    }
  }
  return true;
}

}  // namespace turnpike::media
