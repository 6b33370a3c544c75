// Small blobs by key in shared memory: control's call state, found again after a crash.
// A record appears and disappears by one store to one word, so a process that is killed at any
// instruction leaves every record whole: the one being written is the old or the new one (or, if
// there was no room for both, may be gone). The checksums are against damage, not attackers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/io/shared_memory.h"
#include "turnpike/result.h"

namespace turnpike {

class RecordStore {
 public:
  /// A new store over zeroed memory, or the one that lies in adopted memory; an adopted one with
  /// a wrong header is refused, damaged records are wiped and counted. At least 1 KiB.
  static Result<std::unique_ptr<RecordStore>> open(SharedMemory memory);
  ~RecordStore();
  RecordStore(const RecordStore&) = delete;
  RecordStore& operator=(const RecordStore&) = delete;

  /// Replaces what was under `key` (not 0). False: no room; nothing is under the key then.
  bool store(std::uint64_t key, std::string_view bytes);
  void erase(std::uint64_t key);  ///< also wipes the bytes
  std::vector<std::pair<std::uint64_t, std::string>> all() const;
  std::size_t damaged() const;  ///< records lost to damage, found at open()
  int fd() const;

 private:
  struct State;
  explicit RecordStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace turnpike
