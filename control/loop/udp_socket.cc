// UDP over libuv, sent without a queue.
#include "control/loop/udp_socket.h"

#include <array>
#include <utility>

#include "control/loop/handle.h"
#include "control/loop/socket_address.h"

namespace turnpike::loop {
namespace {

constexpr std::size_t kDatagramBytesMax = 65536;  // more than UDP can carry: never truncated

// One receive buffer per thread is enough: libuv hands each datagram on before it reads the next.
void lend_buffer(uv_handle_t*, std::size_t, uv_buf_t* buffer) noexcept {
  thread_local std::array<char, kDatagramBytesMax> bytes;
  *buffer = uv_buf_init(bytes.data(), static_cast<unsigned>(bytes.size()));
}

}  // namespace

struct UdpSocket::State {
  uv_udp_t handle{};
  ReceiveFunction on_receive;
  bool open = true;
};

void UdpSocket::Close::operator()(State* state) const {
  close_and_free(state);
}

Result<UdpSocket> UdpSocket::bind(EventLoop& loop, const SocketAddress& address,
                                  ReceiveFunction on_receive) {
  auto state = std::make_unique<State>();
  state->on_receive = std::move(on_receive);
  const auto fail = [&](int code) {
    return Error{"cannot listen on udp " + to_string(address) + ": " + uv_error_text(code)};
  };
  if (const int made = uv_udp_init(native_loop(loop), &state->handle); made < 0) return fail(made);
  UdpSocket socket;
  socket.state_.reset(state.release());
  auto& handle = socket.state_->handle;
  handle.data = socket.state_.get();
  const sockaddr_storage storage = to_sockaddr(address);
  const int bound =
      uv_udp_bind(&handle, as_sockaddr(storage), address.ip.is_v6() ? UV_UDP_IPV6ONLY : 0);
  if (bound < 0) return fail(bound);
  const auto receive = [](uv_udp_t* udp, ssize_t length, const uv_buf_t* buffer,
                          const sockaddr* from, unsigned) noexcept {
    auto* target = static_cast<State*>(udp->data);
    // No sender: an error, or libuv's "nothing more to read". Neither changes anything for us.
    if (length < 0 || from == nullptr || !target->open) return;
    target->on_receive({buffer->base, static_cast<std::size_t>(length)}, from_sockaddr(from));
  };
  const int started = uv_udp_recv_start(&handle, lend_buffer, receive);
  if (started < 0) return fail(started);
  return socket;
}

bool UdpSocket::send(std::string datagram, const SocketAddress& to) {
  if (!state_) return false;
  const sockaddr_storage storage = to_sockaddr(to);
  const uv_buf_t buffer = uv_buf_init(datagram.data(), static_cast<unsigned>(datagram.size()));
  return uv_udp_try_send(&state_->handle, &buffer, 1, as_sockaddr(storage)) >= 0;
}

SocketAddress UdpSocket::local_address() const {
  if (!state_) return {};
  sockaddr_storage storage{};
  int length = sizeof storage;
  const int result = uv_udp_getsockname(&state_->handle, as_sockaddr(storage), &length);
  return result < 0 ? SocketAddress{} : from_sockaddr(as_sockaddr(storage));
}

}  // namespace turnpike::loop
