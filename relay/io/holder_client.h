// The holder keeps duplicates of descriptors (media sockets, memfds) while turnpiked is away.
// Hides: the SOCK_SEQPACKET protocol with SCM_RIGHTS (at most 253 descriptors a message).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "turnpike/result.h"

namespace turnpike {

enum class HeldKind : std::uint8_t { kSocket = 1, kArena = 2, kRecords = 3 };

struct HeldDescriptor {
  HeldKind kind = HeldKind::kSocket;
  std::uint64_t key = 0;  ///< kSocket: unused; kArena: shard; kRecords: 0
  int fd = -1;
};

class HolderClient {
 public:
  /// Connects and checks that the holder runs as our uid (SO_PEERCRED) and speaks our version.
  static Result<std::unique_ptr<HolderClient>> connect(const std::string& socket_path);
  ~HolderClient();

  /// Everything that the holder keeps, as fresh descriptors that the caller owns.
  Result<std::vector<HeldDescriptor>> fetch();
  /// Gives duplicates into keeping. The same kind and key replaces (except kSocket).
  Result<void> keep(std::span<const HeldDescriptor> descriptors);
  /// Makes the holder close everything it keeps.
  Result<void> reset();

 private:
  explicit HolderClient(int fd);
  int fd_ = -1;
};

}  // namespace turnpike
