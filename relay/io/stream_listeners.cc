#include "relay/io/stream_listeners.h"

#include <unistd.h>

namespace turnpike {

StreamListeners::~StreamListeners() {
  for (const Listener& listener : listeners_) close(listener.fd);
}

bool StreamListeners::add(int fd) {
  const auto number = static_cast<std::uint32_t>(listeners_.size());
  listeners_.push_back({fd, {}});
  return poll_.add(fd, kItem | number);
}

bool StreamListeners::accept(
    std::uint32_t item, Instant now,
    const std::function<void(std::uint32_t number, const Accepted&)>& take) {
  const std::uint32_t number = item & ~kItem;
  Listener& listener = listeners_[number];
  for (int i = 0; i < kAcceptsMax; ++i) {
    const Accepted accepted = accept_stream(listener.fd);
    switch (accepted.state) {
      case AcceptState::kNobody:
        return false;
      case AcceptState::kNoLongerThere:
        break;
      case AcceptState::kExhausted:
        // The socket stays readable: asking on and on would be a busy loop.
        poll_.remove(listener.fd);
        listener.paused_until = now + kPause;
        take(number, accepted);
        return false;
      case AcceptState::kAccepted:
        take(number, accepted);
    }
  }
  return true;
}

void StreamListeners::end_pauses(Instant now) {
  for (std::uint32_t number = 0; number < listeners_.size(); ++number) {
    Listener& listener = listeners_[number];
    if (listener.paused_until == Instant{} || listener.paused_until > now) continue;
    const bool added = poll_.add(listener.fd, kItem | number);
    listener.paused_until = added ? Instant{} : now + kPause;
  }
}

}  // namespace turnpike
