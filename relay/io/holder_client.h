// The holder keeps duplicates of descriptors (media sockets, memfds) while turnpiked is away.
// Hides: the SOCK_SEQPACKET protocol with SCM_RIGHTS (at most 253 descriptors a message).
// Blocking, for the control thread: a holder that does not answer within 2 s is given up.
#pragma once

#include <cstddef>
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
  /// The holder has one client: a client that was connected before is cut off.
  static Result<std::unique_ptr<HolderClient>> connect(const std::string& socket_path);
  ~HolderClient();
  HolderClient(const HolderClient&) = delete;
  HolderClient& operator=(const HolderClient&) = delete;

  /// Everything that the holder keeps, as fresh descriptors that the caller owns.
  Result<std::vector<HeldDescriptor>> fetch();
  /// Gives duplicates into keeping. The same socket again changes nothing; of the other kinds the
  /// same kind and key replaces. When it fails, some may be kept.
  Result<void> keep(std::span<const HeldDescriptor> descriptors);
  /// Makes the holder close its duplicates of these sockets, or what it keeps under their kinds
  /// and keys. What it does not keep is ignored.
  Result<void> forget(std::span<const HeldDescriptor> descriptors);
  /// Makes the holder close everything it keeps.
  Result<void> reset();

  /// False once the holder went away or did not answer; only a new connection helps.
  bool connected() const { return fd_ >= 0; }

 private:
  explicit HolderClient(int fd) : fd_(fd) {}
  struct Answer;
  Result<Answer> ask(std::uint8_t op, std::uint32_t from,
                     std::span<const HeldDescriptor> descriptors);
  Result<void> give(std::uint8_t op, std::span<const HeldDescriptor> descriptors);
  void disconnect();

  int fd_ = -1;
};

}  // namespace turnpike
