#include "control/ctl/capture.h"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/ctl/client.h"
#include "control/ctl/print.h"

namespace turnpike::ctl {
namespace {

constexpr std::uint32_t kStatisticsBlock = 5;
constexpr std::uint32_t kPacketBlock = 6;
constexpr std::size_t kBlockBytesMin = 12;
constexpr std::size_t kStatisticsOptions = 20;
constexpr std::uint16_t kComment = 1;
constexpr std::uint16_t kDropped = 5;

volatile std::sig_atomic_t interrupted = 0;

std::uint64_t number(const std::string& bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes.at(at + i));
  }
  return value;
}

/// Why a file that is there must not be written to, or "".
std::string objection(int fd) {
  struct stat file {};
  if (::fstat(fd, &file) != 0) return std::strerror(errno);
  if (!S_ISREG(file.st_mode)) return "it is no regular file";
  if (file.st_uid != ::geteuid()) return "it belongs to another user";
  // Before anything is written: whoever could read it before may not read this.
  return ::fchmod(fd, 0600) == 0 && ::ftruncate(fd, 0) == 0 ? "" : std::strerror(errno);
}

}  // namespace

OutputFile::~OutputFile() {
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

void OutputFile::open() {
  if (path_ == "-") {
    fd_ = STDOUT_FILENO;
    return;
  }
  constexpr int kFlags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  fd_ = ::open(path_.c_str(), kFlags, 0600);
  const std::string why =
      fd_ < 0 ? errno == ELOOP ? "it is a symbolic link" : std::strerror(errno) : objection(fd_);
  if (why.empty()) return;
  trouble_ = "cannot write " + path_ + ": " + why;
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool OutputFile::write(const std::string& bytes) {
  if (fd_ < 0) open();
  for (std::size_t done = 0; fd_ >= 0 && done < bytes.size();) {
    const ssize_t written = ::write(fd_, bytes.data() + done, bytes.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      trouble_ = "cannot write " + path_ + ": " + std::strerror(errno);
      return false;
    }
    done += static_cast<std::size_t>(written);
  }
  return fd_ >= 0;
}

void CaptureReader::add(const std::string& bytes) {
  rest_ += bytes;
  std::size_t at = 0;
  while (rest_.size() - at >= kBlockBytesMin) {
    const auto size = static_cast<std::size_t>(number(rest_, at + 4, 4));
    if (size < kBlockBytesMin || rest_.size() - at < size) break;
    read_block(rest_.substr(at, size));
    at += size;
  }
  rest_.erase(0, at);
}

void CaptureReader::read_block(const std::string& block) {
  const std::uint64_t type = number(block, 0, 4);
  if (type == kPacketBlock) ++packets_;
  if (type != kStatisticsBlock) return;
  for (std::size_t at = kStatisticsOptions; at + 4 <= block.size() - 4;) {
    const std::uint64_t code = number(block, at, 2);
    const auto size = static_cast<std::size_t>(number(block, at + 2, 2));
    if (code == 0 || at + 4 + size > block.size()) break;
    if (code == kComment) why_ = block.substr(at + 4, size);
    if (code == kDropped && size == 8) missing_ += number(block, at + 4, size);
    at += 4 + (size + 3) / 4 * 4;
  }
}

Result<CaptureReader> capture(const std::string& socket_path, const std::string& path,
                              const std::string& file) {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  CaptureReader reader;
  OutputFile output(file);
  const auto answer = follow(
      socket_path, path,
      [&](const std::string& bytes) {
        reader.add(bytes);
        return output.write(bytes);
      },
      [] { return interrupted == 0; });
  if (!output.trouble().empty()) return Error{output.trouble()};
  if (!answer) return answer.error();
  if (answer->status != 200) return Error{print_failure(answer->body)};
  if (reader.why().empty() && interrupted == 0) {
    return Error{"turnpiked has gone, or closed the connection: the file was cut short after " +
                 std::to_string(reader.packets()) + " packets"};
  }
  return reader;
}

}  // namespace turnpike::ctl
