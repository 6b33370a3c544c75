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

void Engine::set_keys(const SocketTag& leg, const SrtpKeying& receive, const SrtpKeying& send) {
  SessionState* session = arena_.find(leg.slot, leg.generation);
  if (session == nullptr) return;
  LegState& state = session->legs[index_of(leg.side)];
  if (!state.config.dtls) return;
  LegConfig previous = state.config;
  const SessionEdit edit(*session);
  state.config.receive = receive;
  state.config.send = send;
  state.closed = false;
  if (!(previous.receive == receive && previous.send == send)) {
    remember_keys(leg, *session, previous);
    const PastKeys* past = find_past_keys(leg, receive, send);
    const bool again = past != nullptr && can_restore(*past, leg);
    // Better none than an index that is used twice.
    if (past != nullptr && !again) state.config.receive = state.config.send = SrtpKeying{};
    rekey(*session, leg.slot, leg.side, previous);
    if (again) restore_indices(*past, leg);
  }
  secure_wipe(&previous, sizeof previous);
}

bool Engine::has_tombstones(const SessionState& session) const {
  return session.legs[0].tombstones.count != 0 || session.legs[1].tombstones.count != 0;
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
  at->spent = at->spent || has_tombstones(session);
  at->received.clear();
  at->sent.clear();
  const auto add = [&](std::uint32_t i, std::vector<PastStream>& streams) {
    const StreamState& stream = arena_.stream(i);
    streams.push_back({stream.ssrc, stream.receive, stream.send});
  };
  const LegState& state = session.legs[index_of(leg.side)];
  for (std::uint32_t i = state.first_stream; i != kNoStream; i = arena_.stream(i).next) {
    add(i, at->received);
  }
  for (const std::uint32_t i : streams_sent_by(leg.slot, leg.side)) add(i, at->sent);
}

// At most one stream sends with an SSRC into a transport, whatever m-lines share it.
StreamState* Engine::find_sent(const SocketTag& leg, std::uint32_t ssrc) {
  for (const std::uint32_t i : streams_sent_by(leg.slot, leg.side)) {
    if (arena_.stream(i).ssrc == ssrc) return &arena_.stream(i);
  }
  return nullptr;
}

bool Engine::can_restore(const PastKeys& past, const SocketTag& leg) {
  const SessionState& session = arena_.session(leg.slot);
  if (past.spent || has_tombstones(session)) return false;
  const LegState& state = session.legs[index_of(leg.side)];
  return std::all_of(past.received.begin(), past.received.end(),
                     [&](const auto& had) { return find_stream(state, had.ssrc) != nullptr; }) &&
         std::all_of(past.sent.begin(), past.sent.end(),
                     [&](const auto& had) { return find_sent(leg, had.ssrc) != nullptr; });
}

void Engine::restore_indices(const PastKeys& past, const SocketTag& leg) {
  for (const PastStream& had : past.received) {
    StreamState* stream = find_stream(arena_.session(leg.slot).legs[index_of(leg.side)], had.ssrc);
    stream->receive = had.receive;
    stream->newest_rtp_index = had.receive.rtp_highest;
    stream->newest_rtcp_index = had.receive.rtcp_highest;
  }
  for (const PastStream& had : past.sent) find_sent(leg, had.ssrc)->send = had.send;
}

}  // namespace turnpike::media
