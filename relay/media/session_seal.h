// What tells a session that was left whole from one that was not: a mark around every edit, and a
// checksum over what only edits change (identity, configuration, keys). Is not a proof against
// somebody who can write the memory; against a process that died, or went astray, in it.
#pragma once

#include <atomic>
#include <cstdint>

#include "relay/media/state.h"

namespace turnpike::media {

/// Over generation, edits, media kind, and of each leg local addresses, configuration and session
/// keys. Not over what packets change.
std::uint64_t checksum_of(const SessionState& session);

/// Brackets a command that rewrites a session: a process killed within leaves `edits` odd.
class SessionEdit {
 public:
  explicit SessionEdit(SessionState& session) : session_(session) {
    ++session_.edits;
    // The order in which a killed process's stores remain is the compiler's to change.
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  ~SessionEdit() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    ++session_.edits;
    session_.checksum = checksum_of(session_);
  }
  SessionEdit(const SessionEdit&) = delete;
  SessionEdit& operator=(const SessionEdit&) = delete;

 private:
  SessionState& session_;
};

/// Whether a session that another process left can be gone on with: no edit under way, checksum
/// right, and every value one that the engine could have written. Looks at no stream.
bool holds_together(const SessionState& session);
/// The same of one stream. Its replay windows need not be trusted: see close_windows.
bool holds_together(const StreamState& stream);

/// Counts everything up to the highest index as used and received. A process that dies while it
/// moves a window leaves any bits in it; a packet that overtook others costs less than an index
/// that is used twice.
void close_windows(StreamState& stream);

}  // namespace turnpike::media
