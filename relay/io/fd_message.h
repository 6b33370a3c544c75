// One datagram with descriptors over a unix SOCK_SEQPACKET socket (unix(7), SCM_RIGHTS).
// Hides control messages. Not what the bytes mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace turnpike {

/// The kernel's limit of descriptors a message (SCM_MAX_FD).
constexpr std::size_t kDescriptorsPerMessageMax = 253;

/// True when all of it was handed to the kernel. Waits as long as SO_SNDTIMEO says, or not at all
/// on a non-blocking socket. Otherwise errno says why.
bool send_message(int socket, std::span<std::uint8_t> bytes, std::span<const int> fds);

enum class ReceiveOutcome : std::uint8_t {
  kMessage,
  kNothing,    ///< would block, or SO_RCVTIMEO passed
  kClosed,     ///< the other end is gone
  kTruncated,  ///< longer than `bytes`, or we could not take its descriptors; they are closed
};

/// Receives one message into `bytes`; `size` is its length. `fds` are the caller's to close.
ReceiveOutcome receive_message(int socket, std::span<std::uint8_t> bytes, std::size_t& size,
                               std::vector<int>& fds);

}  // namespace turnpike
