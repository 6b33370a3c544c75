#include "control/ctl/capture.h"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
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

/// What is written holds what people said to each other, or with whom: nobody else may read it.
class OutputFile {
 public:
  explicit OutputFile(std::string path) : path_(std::move(path)) {}
  ~OutputFile() {
    if (fd_ > STDERR_FILENO) ::close(fd_);
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  bool write(const std::string& bytes) {
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
  const std::string& trouble() const { return trouble_; }

 private:
  void open() {
    fd_ = path_ == "-" ? STDOUT_FILENO
                       : ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd_ < 0) trouble_ = "cannot write " + path_ + ": " + std::strerror(errno);
  }

  std::string path_;
  int fd_ = -1;
  std::string trouble_;
};

}  // namespace

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
  return reader;
}

}  // namespace turnpike::ctl
