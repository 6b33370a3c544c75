// Listening: the socket file with its owner and mode, stale files, accepting.
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/loop/socket_address.h"
#include "control/loop/stream_state.h"

namespace turnpike::loop {
namespace {

/// Closes what is not handed on.
class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  ~OwnedFd() {
    if (fd_ >= 0) ::close(fd_);
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  int value() const { return fd_; }
  void release() { fd_ = -1; }

 private:
  int fd_;
};

Error fail(const std::string& path, const std::string& why) {
  return Error{"cannot listen on unix socket " + path + ": " + why};
}
Error fail_errno(const std::string& path) {
  return fail(path, std::strerror(errno));
}

Result<gid_t> find_group(const std::string& name) {
  gid_t number = 0;
  const char* end = name.data() + name.size();
  if (const auto parsed = std::from_chars(name.data(), end, number);
      parsed.ec == std::errc{} && parsed.ptr == end) {
    return number;
  }
  std::vector<char> buffer(4096);
  group entry{};
  group* found = nullptr;
  int result = 0;
  while ((result = getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) ==
         ERANGE) {
    buffer.resize(buffer.size() * 2);
  }
  if (found == nullptr) return Error{"there is no group '" + name + "'; create it or name another"};
  return found->gr_gid;
}

Result<sockaddr_un> to_sockaddr_un(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.front() == '\0') return fail(path, "the path is empty");
  if (path.size() >= sizeof address.sun_path) {
    return fail(path, "the path is longer than " + std::to_string(sizeof address.sun_path - 1) +
                          " bytes; choose a shorter one");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// A socket file outlives its server when that was killed. Only a refused connection proves that
// nobody serves it.
Result<void> remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(path);
  }
  if (!S_ISSOCK(status.st_mode)) return fail(path, "a file that is no socket is in the way");
  const OwnedFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (probe.value() < 0) return fail_errno(path);
  if (::connect(probe.value(), as_sockaddr(address), sizeof address) == 0 || errno == EAGAIN) {
    return fail(path, "another process serves it; stop that one or choose another path");
  }
  if (errno != ECONNREFUSED) return fail_errno(path);
  if (::unlink(path.c_str()) != 0) return fail_errno(path);
  return {};
}

Result<int> bind_socket(const UnixListenOptions& options) {
  const auto address = to_sockaddr_un(options.path);
  if (!address) return address.error();
  gid_t group_id = static_cast<gid_t>(-1);
  if (!options.group.empty()) {
    const auto found = find_group(options.group);
    if (!found) return fail(options.path, found.error().message);
    group_id = *found;
  }
  if (const auto removed = remove_stale(options.path, *address); !removed) return removed.error();
  OwnedFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.value() < 0) return fail_errno(options.path);
  if (::bind(fd.value(), as_sockaddr(*address), sizeof *address) != 0)
    return fail_errno(options.path);
  // Nobody can connect before listen(), so the file may have a wider mode for this moment.
  if (::lchown(options.path.c_str(), static_cast<uid_t>(-1), group_id) != 0 ||
      ::chmod(options.path.c_str(), options.mode) != 0) {
    const Error error = fail_errno(options.path);
    ::unlink(options.path.c_str());
    return error;
  }
  const int result = fd.value();
  fd.release();
  return result;
}

PeerCredentials credentials_of(uv_pipe_t* pipe) {
  uv_os_fd_t fd = -1;
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (uv_fileno(as_handle(pipe), &fd) < 0 ||
      ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return {};
  }
  return {.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
}

}  // namespace

struct UnixListener::State {
  uv_pipe_t handle{};
  AcceptFunction on_accept;
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;
  bool open = true;

  void remember_file() {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return;
    device = status.st_dev;
    inode = status.st_ino;
  }

  void remove_file() const {
    struct stat status {};
    if (inode == 0 || ::lstat(path.c_str(), &status) != 0) return;
    if (status.st_dev == device && status.st_ino == inode) ::unlink(path.c_str());
  }
};

void UnixListener::Close::operator()(State* state) const {
  if (state != nullptr) state->remove_file();
  close_and_free(state);
}

Result<UnixListener> UnixListener::listen(EventLoop& loop, const UnixListenOptions& options,
                                          AcceptFunction on_accept) {
  const auto fd = bind_socket(options);
  if (!fd) return fd.error();
  UnixListener listener;
  listener.state_.reset(new State);
  State& state = *listener.state_;
  state.on_accept = std::move(on_accept);
  state.path = options.path;
  state.remember_file();
  require(uv_pipe_init(native_loop(loop), &state.handle, 0), "cannot make a unix listener");
  state.handle.data = &state;
  int result = uv_pipe_open(&state.handle, *fd);
  if (result < 0) {
    ::close(*fd);
    return fail(options.path, uv_error_text(result));
  }
  auto* stream = as_handle<uv_stream_t>(&state.handle);
  const auto arrive = [](uv_stream_t* server, int status) noexcept {
    auto* self = static_cast<State*>(server->data);
    // Out of descriptors: libuv accepts with its spare one and closes, so the loop does not spin.
    if (status < 0 || !self->open) return;
    auto connection_state = std::make_unique<StreamConnection::State>();
    if (uv_pipe_init(server->loop, &connection_state->handle, 0) < 0) return;
    std::unique_ptr<StreamConnection> connection(new StreamConnection(connection_state.release()));
    auto& accepted = *connection->state_;
    accepted.handle.data = &accepted;
    if (uv_accept(server, accepted.stream()) < 0) return;
    accepted.peer = credentials_of(&accepted.handle);
    self->on_accept(std::move(connection));
  };
  result = uv_listen(stream, options.backlog, arrive);
  if (result < 0) return fail(options.path, uv_error_text(result));
  return listener;
}

}  // namespace turnpike::loop
