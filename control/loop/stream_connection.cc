// Reading and writing of one connection.
#include <array>
#include <utility>

#include <fcntl.h>

#include "control/loop/stream_state.h"

namespace turnpike::loop {
namespace {

constexpr std::size_t kReadBytesMax = 65536;

// One buffer per thread is enough: libuv hands the bytes on before it reads again.
void lend_buffer(uv_handle_t*, std::size_t, uv_buf_t* buffer) noexcept {
  thread_local std::array<char, kReadBytesMax> bytes;
  *buffer = uv_buf_init(bytes.data(), static_cast<unsigned>(bytes.size()));
}

struct WriteRequest {
  uv_write_t request{};
  std::string bytes;
};

void call(const std::function<void()>& handler) {
  if (handler) handler();
}

}  // namespace

StreamConnection::StreamConnection(State* state) : state_(state) {}
StreamConnection::~StreamConnection() {
  close_and_free(state_);
}

void StreamConnection::start(Handlers handlers) {
  state_->handlers = std::move(handlers);
  resume_reading();
}

void StreamConnection::resume_reading() {
  if (!state_->readable) return;
  const auto receive = [](uv_stream_t* stream, ssize_t length, const uv_buf_t* buffer) noexcept {
    auto* state = static_cast<State*>(stream->data);
    if (!state->open || length == 0) return;
    if (length > 0) {
      if (state->handlers.on_data) {
        state->handlers.on_data({buffer->base, static_cast<std::size_t>(length)});
      }
      return;
    }
    state->readable = false;
    uv_read_stop(stream);
    call(length == UV_EOF ? state->handlers.on_end : state->handlers.on_broken);
  };
  uv_read_start(state_->stream(), lend_buffer, receive);
}

void StreamConnection::pause_reading() {
  uv_read_stop(state_->stream());
}

void StreamConnection::write(std::string bytes) {
  auto request = std::make_unique<WriteRequest>();
  request->bytes = std::move(bytes);
  request->request.data = request.get();
  const uv_buf_t buffer =
      uv_buf_init(request->bytes.data(), static_cast<unsigned>(request->bytes.size()));
  const auto done = [](uv_write_t* write, int status) noexcept {
    const std::unique_ptr<WriteRequest> owned(static_cast<WriteRequest*>(write->data));
    auto* state = static_cast<State*>(write->handle->data);
    if (!state->open) return;
    if (status < 0) {
      call(state->handlers.on_broken);
    } else if (uv_stream_get_write_queue_size(write->handle) == 0) {
      call(state->handlers.on_drained);
    }
  };
  // A refusal means that the connection broke already: reading reports that.
  if (uv_write(&request->request, state_->stream(), &buffer, 1, done) == 0) {
    static_cast<void>(request.release());
  }
}

std::size_t StreamConnection::bytes_unsent() const {
  return uv_stream_get_write_queue_size(state_->stream());
}

void StreamConnection::end() {
  auto request = std::make_unique<uv_shutdown_t>();
  const auto done = [](uv_shutdown_t* shutdown, int) noexcept { delete shutdown; };
  if (uv_shutdown(request.get(), state_->stream(), done) == 0) {
    static_cast<void>(request.release());
  }
}

const PeerCredentials& StreamConnection::peer() const {
  return state_->peer;
}

int StreamConnection::duplicate() const {
  uv_os_fd_t fd = -1;
  if (uv_fileno(as_handle(&state_->handle), &fd) < 0) return -1;
  return ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

}  // namespace turnpike::loop
