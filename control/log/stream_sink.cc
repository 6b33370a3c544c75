#include "control/log/stream_sink.h"

#include <algorithm>
#include <cerrno>
#include <climits>

#include <poll.h>
#include <unistd.h>

#include "control/log/timestamp.h"

namespace turnpike::log {

void StreamSink::sink_it_(const spdlog::details::log_msg& message) {
  std::string line = "ts=" + timestamp(message.time) + ' ';
  line.append(message.payload.data(), message.payload.size());
  line += '\n';
  if (in_line_ && write_all("\n")) in_line_ = false;
  if (in_line_ || !write_all(line)) {
    lost_.fetch_add(1, std::memory_order_relaxed);
  }
}

bool StreamSink::write_all(std::string_view text) {
  while (!text.empty()) {
    if (!has_room()) return false;
    // A pipe that is ready takes this much at once, even if it blocks for more (pipe(7)).
    const ssize_t written =
        ::write(descriptor_, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
    in_line_ = !text.empty();
  }
  return true;
}

bool StreamSink::has_room() {
  pollfd waiting{descriptor_, POLLOUT, 0};
  const int limit = stalled_ ? 0 : kPatienceMilliseconds;
  int ready = 0;
  while ((ready = ::poll(&waiting, 1, limit)) < 0 && errno == EINTR) {
  }
  stalled_ = ready <= 0;
  return ready > 0;
}

}  // namespace turnpike::log
