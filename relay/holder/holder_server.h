// turnpike-holder: keeps duplicates of another process's descriptors, so that sockets stay bound
// and shared memory stays alive while that process is away. One thread, bounded, one client: while
// its connection is open nobody else is served, so that two processes never carry the same calls.
// Serves only its own uid. Whatever a client sends, nothing kept is lost but by forget and reset.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "relay/holder/held_set.h"
#include "relay/io/holder_protocol.h"
#include "turnpike/result.h"

namespace turnpike {

class HolderServer {
 public:
  using Log = std::function<void(const std::string&)>;

  /// Listens on a unix socket of mode 0600. A socket file that nobody serves any more is replaced;
  /// one that is served, or any other file, is an error.
  static Result<std::unique_ptr<HolderServer>> listen(const std::string& socket_path,
                                                      std::size_t held_max, Log log);
  /// Closes everything and removes the socket file.
  ~HolderServer();
  HolderServer(const HolderServer&) = delete;
  HolderServer& operator=(const HolderServer&) = delete;

  /// Serves until `stop_fd` is readable. False when polling fails.
  bool run(int stop_fd);

  std::size_t held() const { return held_.size(); }

 private:
  HolderServer(int listen_fd, std::string path, std::size_t held_max, Log log);
  void accept_client();
  void drop_client(const std::string& why);
  bool serve_client();
  void handle(const HolderRequest& request, std::span<const std::uint8_t> entries,
              std::vector<int>& fds);
  bool keep(std::span<const HeldDescriptor> received, HolderReply& reply);
  void forget(std::span<const HeldDescriptor> received);
  void answer(HolderReply reply, std::size_t from);

  int listen_fd_;
  int client_fd_ = -1;
  bool greeted_ = false;
  std::string path_;
  HeldSet held_;
  Log log_;
};

}  // namespace turnpike
