// The holder keeps duplicates of descriptors (media sockets, memfds) while turnpiked is away.
// Hides: the SOCK_SEQPACKET protocol with SCM_RIGHTS (at most 253 descriptors a message).
// For the control thread, which a holder that is stopped must not stop: beginning a connection
// never waits, and an answer is waited for only as long as set_patience() says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "turnpike/result.h"
#include "turnpike/time.h"

namespace turnpike {

enum class HeldKind : std::uint8_t { kSocket = 1, kArena = 2, kRecords = 3 };

struct HeldDescriptor {
  HeldKind kind = HeldKind::kSocket;
  std::uint64_t key = 0;  ///< kSocket: unused; kArena: shard; kRecords: 0
  int fd = -1;
};

class HolderClient {
 public:
  /// How long an answer may take until set_patience() says otherwise.
  static constexpr Milliseconds kPatienceAtStart{2000};

  /// Begins a connection, and checks that the holder runs as our uid (SO_PEERCRED). Does not wait;
  /// nothing else works before greeted().
  static Result<std::unique_ptr<HolderClient>> open(const std::string& socket_path);
  /// Whether the holder has answered that it is ours and speaks our version, waiting so long for
  /// it: true once it has, false when it has not yet. An error ends the connection.
  Result<bool> greeted(Milliseconds wait);
  /// open() and greeted(): no answer in time is an error.
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

  /// An answer that takes longer ends the connection.
  void set_patience(Milliseconds patience) { patience_ = patience; }

  /// False once the holder went away or did not answer; only a new connection helps.
  bool connected();
  /// The holder serves another process, which lives. greeted() has failed for that.
  bool is_busy() const { return is_busy_; }

 private:
  explicit HolderClient(int fd) : fd_(fd) {}
  struct Answer;
  Result<void> send(std::uint8_t op, std::uint32_t from,
                    std::span<const HeldDescriptor> descriptors);
  Result<Answer> receive(std::uint8_t op);
  Result<Answer> ask(std::uint8_t op, std::uint32_t from,
                     std::span<const HeldDescriptor> descriptors);
  Result<void> give(std::uint8_t op, std::span<const HeldDescriptor> descriptors);
  void disconnect();

  int fd_ = -1;
  Milliseconds patience_ = kPatienceAtStart;
  bool is_greeted_ = false;
  bool is_busy_ = false;
};

}  // namespace turnpike
