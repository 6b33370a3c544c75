#include "control/log/record_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

namespace turnpike::log {
namespace {

constexpr std::chrono::seconds kLastWordsMax{1};
constexpr mode_t kMode = 0640;  // who was called when is nobody else's business

/// The file itself, on the writer's thread.
class Writer {
 public:
  ~Writer() { close(); }

  void set(RecordFileOptions options) {
    close();
    if (options.path == options_.path) forget_from(options.files_max);
    options_ = std::move(options);
    grows_to_ = 0;
    rotate_trouble_.clear();
  }

  /// `line` is near the end of the file, or of the one before it.
  bool has(const std::string& line) {
    if (fd_ < 0 && !open().empty()) return false;
    if (has_at_end(fd_, line)) return true;
    const int older = ::open(name(1).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (older < 0) return false;
    const bool found = has_at_end(older, line);
    ::close(older);
    return found;
  }

  /// "" or why the line is not in the file. `trouble`: why a full file goes on to grow.
  std::string add(const std::string& line, std::uint64_t& rotations, std::string& trouble) {
    if (fd_ < 0) {
      if (std::string why = open(); !why.empty()) return why;
    }
    struct stat status {};
    if (::fstat(fd_, &status) != 0) return reason("look at", errno);
    bytes_ = static_cast<std::uint64_t>(status.st_size);  // somebody else may have emptied it
    if (bytes_ != 0 && bytes_ + line.size() > std::max(options_.file_bytes_max, grows_to_)) {
      rotate_trouble_ = rotate();
      if (rotate_trouble_.empty()) ++rotations;
      if (std::string why = open(); !why.empty()) return why;
      grows_to_ = rotate_trouble_.empty() ? 0 : bytes_ + options_.file_bytes_max / 16;
    }
    trouble = rotate_trouble_;
    const ssize_t written = ::write(fd_, line.data(), line.size());
    if (written == static_cast<ssize_t>(line.size())) return {};
    std::string why = reason("write", written < 0 ? errno : ENOSPC);
    if (written > 0) take_back(written);
    return why;
  }

 private:
  std::string reason(const char* what, int error) const {
    return std::string("cannot ") + what + " " + options_.path + ": " + std::strerror(error);
  }

  static bool has_at_end(int fd, const std::string& line) {
    struct stat status {};
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return false;
    const auto bytes = static_cast<std::size_t>(status.st_size);
    std::string end(std::min(bytes, RecordFile::kSearchedBytes), '\0');
    const auto begin = static_cast<off_t>(bytes - end.size());
    const ssize_t got = ::pread(fd, end.data(), end.size(), begin);
    end.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return end.find(line) != std::string::npos;
  }

  std::string name(std::uint32_t n) const { return options_.path + "." + std::to_string(n); }

  /// Files that rotation made, and that fewer of them no longer need.
  void forget_from(std::uint32_t files_max) const {
    for (std::uint32_t n = std::max(files_max, 1U); n < options_.files_max; ++n) {
      static_cast<void>(::unlink(name(n).c_str()));
    }
  }

  /// The last bytes, wherever they are: somebody else may have emptied the file meanwhile.
  void take_back(ssize_t bytes) {
    struct stat status {};
    const bool known = ::fstat(fd_, &status) == 0 && status.st_size >= bytes;
    if (!known || ::ftruncate(fd_, status.st_size - bytes) != 0) close();
  }

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  std::string open() {
    constexpr int kFlags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
    static_cast<void>(finish_rotating());
    fd_ = ::open(options_.path.c_str(), kFlags);
    if (fd_ < 0 && errno == ENOENT) {
      fd_ = ::open(options_.path.c_str(), kFlags | O_CREAT | O_EXCL, 0600);
      if (fd_ >= 0) static_cast<void>(::fchmod(fd_, kMode));  // whatever the umask is
    }
    if (fd_ < 0) return reason("open", errno);
    struct stat status {};
    if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
      close();
      return options_.path + " is no file";
    }
    bytes_ = static_cast<std::uint64_t>(status.st_size);
    if (auto trouble = cut_half_a_line(); !trouble.empty()) return trouble;
    // One that was there before. Of somebody else's it stays as it is.
    static_cast<void>(::fchmod(fd_, status.st_mode & kMode));
    return {};
  }

  std::string cut_half_a_line() {
    std::uint64_t whole = bytes_;
    std::array<char, 4096> tail{};
    while (whole > 0) {
      const std::uint64_t begin = whole - std::min<std::uint64_t>(whole, tail.size());
      const ssize_t got = ::pread(fd_, tail.data(), whole - begin, static_cast<off_t>(begin));
      if (got != static_cast<ssize_t>(whole - begin)) break;
      const auto* const end =
          static_cast<const char*>(::memrchr(tail.data(), '\n', static_cast<std::size_t>(got)));
      whole = end == nullptr ? begin : begin + static_cast<std::uint64_t>(end - tail.data()) + 1;
      if (end != nullptr) break;
    }
    if (whole == bytes_) return {};
    if (!is_half_a_line(whole)) {
      close();
      return options_.path + " ends with something else than a record; name another file";
    }
    if (::ftruncate(fd_, static_cast<off_t>(whole)) != 0) {
      const int error = errno;
      close();
      return reason("cut half a line off", error);
    }
    bytes_ = whole;
    return {};
  }

  /// What was named by mistake loses nothing. After a power loss some file systems leave zeros.
  bool is_half_a_line(std::uint64_t begin) const { return begins_a_line(begin) || is_zeros(begin); }

  bool is_zeros(std::uint64_t begin) const {
    std::array<char, 4096> part{};
    while (begin < bytes_) {
      const ssize_t got = ::pread(fd_, part.data(), part.size(), static_cast<off_t>(begin));
      if (got <= 0) return false;
      const auto* const end = part.data() + got;
      if (std::find_if(part.cbegin(), part.cbegin() + got, [](char c) { return c != 0; }) != end) {
        return false;
      }
      begin += static_cast<std::uint64_t>(got);
    }
    return true;
  }

  bool begins_a_line(std::uint64_t begin) const {
    std::string head(std::min<std::uint64_t>(bytes_ - begin, options_.line_begin.size()), '\0');
    const ssize_t got = ::pread(fd_, head.data(), head.size(), static_cast<off_t>(begin));
    return got == static_cast<ssize_t>(head.size()) && options_.line_begin.starts_with(head);
  }

  /// The oldest file goes, each other one is one older. Without room for a second one the file
  /// begins anew. With a failure the file keeps its name.
  std::string rotate() {
    close();
    if (options_.files_max <= 1) {
      return ::unlink(options_.path.c_str()) == 0 ? "" : reason("remove", errno);
    }
    if (const int error = finish_rotating(); error != 0) return reason("rotate", error);
    if (::rename(options_.path.c_str(), aside().c_str()) != 0) return reason("rotate", errno);
    const int error = shift();
    if (error == 0) return {};
    static_cast<void>(::rename(aside().c_str(), options_.path.c_str()));
    return reason("rotate", error);
  }

  std::string aside() const { return options_.path + ".rotating"; }

  /// What was put aside becomes the newest of the older files; those up to the first gap are one
  /// older, so it can be done again from where it ended. 0 or why not.
  int shift() const {
    std::uint32_t gap = 1;
    while (gap + 1 < options_.files_max && ::access(name(gap).c_str(), F_OK) == 0) ++gap;
    for (std::uint32_t n = gap; n > 0; --n) {
      const std::string from = n == 1 ? aside() : name(n - 1);
      if (::rename(from.c_str(), name(n).c_str()) != 0) return errno;
    }
    return 0;
  }

  /// A process before this one may have ended in the middle of rotating.
  int finish_rotating() const {
    return options_.files_max > 1 && ::access(aside().c_str(), F_OK) == 0 ? shift() : 0;
  }

  RecordFileOptions options_;
  int fd_ = -1;
  std::uint64_t bytes_ = 0;
  std::uint64_t grows_to_ = 0;  // before rotating is tried again
  std::string rotate_trouble_;  // of the last time
};

}  // namespace

struct RecordFile::State {
  struct Item {
    std::string line;
    std::optional<RecordFileOptions> options{};
    std::uint64_t ticket = 0;
    bool unless_there = false;
  };

  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<Item> queue;
  std::size_t queue_bytes = 0;
  bool ending = false;
  bool ended = false;
  Counters counters;
  std::string trouble;
  std::uint64_t tickets = 0;  // that were given
  std::uint64_t done = 0;

  /// The line's ticket.
  std::uint64_t push(Item item) {
    std::uint64_t ticket = 0;
    {
      const std::lock_guard lock(mutex);
      if (!item.options) item.ticket = ++tickets;
      queue_bytes += item.line.size();
      ticket = item.ticket;
      queue.push_back(std::move(item));
    }
    changed.notify_all();
    return ticket;
  }

  void run() {
    Writer writer;
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return ending || !queue.empty(); });
      if (queue.empty()) break;
      Item item = std::move(queue.front());
      queue.pop_front();
      queue_bytes -= item.line.size();
      lock.unlock();
      std::uint64_t rotations = 0;
      std::string why;
      std::string full;
      const bool there = item.unless_there && writer.has(item.line);
      if (item.options) {
        writer.set(std::move(*item.options));
      } else if (!there) {
        why = writer.add(item.line, rotations, full);
      }
      lock.lock();
      counters.rotations += rotations;
      if (item.options) continue;
      done = item.ticket;
      if (there) continue;
      ++(why.empty() ? counters.written : counters.lost);
      trouble = why.empty() ? std::move(full) : std::move(why);
    }
    ended = true;
    changed.notify_all();
  }
};

RecordFile::RecordFile(RecordFileOptions options) : state_(std::make_shared<State>()) {
  reopen(std::move(options));
  std::thread([state = state_] {
    // Past RLIMIT_FSIZE write(2) gives EFBIG only to whom the signal does not kill.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    state->run();
  }).detach();
}

void RecordFile::finish() {
  std::unique_lock lock(state_->mutex);
  state_->ending = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, kLastWordsMax, [this] { return state_->ended; });
}

std::uint64_t RecordFile::write(std::string line) {
  return queue(std::move(line), false);
}

std::uint64_t RecordFile::write_unless_there(std::string line) {
  return queue(std::move(line), true);
}

std::uint64_t RecordFile::queue(std::string line, bool unless_there) {
  line += '\n';
  {
    const std::lock_guard lock(state_->mutex);
    const bool full = state_->queue_bytes + line.size() > kQueueBytes;
    if (full || state_->queue.size() >= kQueueLines) {
      ++state_->counters.lost;
      state_->trouble = "the disk does not keep up";
      return 0;
    }
  }
  return state_->push({.line = std::move(line), .unless_there = unless_there});
}

std::uint64_t RecordFile::done() const {
  const std::lock_guard lock(state_->mutex);
  return state_->done;
}

void RecordFile::reopen(RecordFileOptions options) {
  state_->push({.line = {}, .options = std::move(options)});
}

RecordFile::Counters RecordFile::counters() const {
  const std::lock_guard lock(state_->mutex);
  return state_->counters;
}

std::string RecordFile::trouble() const {
  const std::lock_guard lock(state_->mutex);
  return state_->trouble;
}

}  // namespace turnpike::log
