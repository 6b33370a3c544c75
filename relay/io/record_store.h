// Small blobs by key in shared memory: control's call state, found again after a crash.
// Each record is checksummed; a torn write loses that record only, never another.
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
  /// a wrong header is refused, damaged records are skipped and counted.
  static Result<std::unique_ptr<RecordStore>> open(SharedMemory memory);
  ~RecordStore();

  bool store(std::uint64_t key, std::string_view bytes);  ///< false: no room, key erased
  void erase(std::uint64_t key);                          ///< also wipes the bytes
  std::vector<std::pair<std::uint64_t, std::string>> all() const;
  std::size_t damaged() const;
  int fd() const;

 private:
  struct State;
  explicit RecordStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace turnpike
