// A file of lines that grows by whole lines only, with rotation by size and a bounded number of
// files, written by a thread of its own. Is not: what a line says.
//
// The file is PATH, older ones are PATH.1 (the newest of them), PATH.2, … A line that cannot be
// written whole is taken back, lost and counted; the next one is tried anew. A full file that
// cannot be moved goes on to grow. What a process that was killed left half written is cut off when
// the file is opened again; a file that ends with anything else is left alone. What others may read
// of a file that was there before is taken from them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace turnpike::log {

struct RecordFileOptions {
  std::string path;  ///< empty: nothing is written
  std::uint64_t file_bytes_max = std::uint64_t{64} << 20;
  /// With the one that is written; 1: older lines are thrown away. Fewer than before: what
  /// rotation made beyond them goes.
  std::uint32_t files_max = 10;
  std::string line_begin = "{";  ///< how every line begins
  bool operator==(const RecordFileOptions&) const = default;
};

class RecordFile {
 public:
  /// What waits for the disk; more is lost.
  static constexpr std::size_t kQueueLines = 16384;
  static constexpr std::size_t kQueueBytes = std::size_t{32} << 20;
  static constexpr std::size_t kSearchedBytes = std::size_t{4} << 20;

  /// Starts the thread; the file is opened by it.
  explicit RecordFile(RecordFileOptions options);
  ~RecordFile() { finish(); }
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  /// Queues a line without its end; never waits for the disk. Gives its ticket; 0: it is lost.
  std::uint64_t write(std::string line);
  /// The same for a line that a process before this one may have written: one that is among the
  /// last kSearchedBytes of the file, or of the one before it, is not written again.
  std::uint64_t write_unless_there(std::string line);
  /// Lines with a ticket up to this one are in the file, or lost.
  std::uint64_t done() const;
  /// Writes what is queued, for a second at most. Nothing is written after it.
  void finish();
  /// Closes the file and opens the one that `options` names, after what is queued so far: for a
  /// reload, and when somebody else has moved the file away.
  void reopen(RecordFileOptions options);

  struct Counters {
    std::uint64_t written = 0;    ///< lines
    std::uint64_t lost = 0;       ///< lines: no room on the disk or in the queue
    std::uint64_t rotations = 0;  ///< files that were full
  };
  Counters counters() const;
  /// Why the last line could not be written, or a full file not be moved; "" when all is well.
  std::string trouble() const;

 private:
  struct State;
  std::uint64_t queue(std::string line, bool unless_there);
  std::shared_ptr<State> state_;  // the thread's too: it may be left behind, stuck in the disk
};

}  // namespace turnpike::log
