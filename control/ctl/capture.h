// `turnpikectl capture`: writes the file that the API streams, and reads in it how the capture
// went.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "turnpike/result.h"

namespace turnpike::ctl {

/// Reads a pcapng file as it comes, in pieces of any size; knows the blocks that turnpiked writes.
class CaptureReader {
 public:
  void add(const std::string& bytes);

  std::uint64_t packets() const { return packets_; }
  std::uint64_t missing() const { return missing_; }
  /// Why it ended; "": it did not, or was cut short.
  const std::string& why() const { return why_; }

 private:
  void read_block(const std::string& block);

  std::string rest_;
  std::uint64_t packets_ = 0;
  std::uint64_t missing_ = 0;
  std::string why_;
};

/// What is written holds what people said to each other, or with whom: nobody else may read it.
/// Opened with the first bytes.
class OutputFile {
 public:
  /// "-": standard output. Else a new file, or a regular one of this user's, which is emptied; its
  /// mode becomes 0600.
  explicit OutputFile(std::string path) : path_(std::move(path)) {}
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// False: see trouble().
  bool write(const std::string& bytes);
  /// Words for the operator, or "".
  const std::string& trouble() const { return trouble_; }

 private:
  void open();

  std::string path_;
  int fd_ = -1;
  std::string trouble_;
};

/// POST `path` and write what comes to `file` (as OutputFile), until it ends or SIGINT. Fails with
/// words for the operator, also when the file cannot be written or is cut short.
Result<CaptureReader> capture(const std::string& socket_path, const std::string& path,
                              const std::string& file);

}  // namespace turnpike::ctl
