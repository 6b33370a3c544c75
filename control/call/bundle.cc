// Implements bundle.h.
#include "control/call/bundle.h"

#include <algorithm>

#include "control/call/transport.h"

namespace turnpike::call {

namespace {

/// `Media` is const when the call is.
template <typename Media, typename AnyCall>
Media* find_in(AnyCall& call, SessionId session) {
  if (!session.is_set()) return nullptr;
  for (auto* sessions : {&call.media, &call.carriers}) {
    for (Media& media : *sessions) {
      if (media.session == session) return &media;
    }
  }
  return nullptr;
}

}  // namespace

CallMedia* find_session(Call& call, SessionId session) {
  return find_in<CallMedia>(call, session);
}

const CallMedia* find_session(const Call& call, SessionId session) {
  return find_in<const CallMedia>(call, session);
}

const CallMedia& transport_of_line(const Call& call, const CallMedia& media, Side side) {
  const CallMedia* carrier = find_session(call, media.sides[index_of(side)].carrier);
  return carrier != nullptr ? *carrier : media;
}

bool carries(const Call& call, const CallMedia& media, Side side) {
  return std::any_of(call.media.begin(), call.media.end(), [&](const CallMedia& line) {
    return line.has_session() && line.session != media.session &&
           line.sides[index_of(side)].carrier == media.session;
  });
}

std::vector<SessionId> sessions_of(const Call& call) {
  std::vector<SessionId> sessions;
  std::vector<SessionId> carriers;
  for (const auto* of_call : {&call.media, &call.carriers}) {
    for (const CallMedia& media : *of_call) {
      if (!media.has_session()) continue;
      sessions.push_back(media.session);
      for (const MediaSide& side : media.sides) carriers.push_back(side.carrier);
    }
  }
  std::stable_partition(sessions.begin(), sessions.end(), [&](const SessionId& session) {
    return std::find(carriers.begin(), carriers.end(), session) == carriers.end();
  });
  return sessions;
}

void leave_transport(MediaSide& side) {
  leave_ice(side);
  leave_dtls(side);
  // Keys that the relay was told stay behind: it forgets which indices they were used for.
  side.keys = {};
  side.suite = SrtpSuite::kNone;
}

}  // namespace turnpike::call
