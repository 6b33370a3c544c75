// A blocking NG client, for operators' tools and tests. Not for the control thread.
#pragma once

#include <cstdint>
#include <string>

#include "control/ng/value.h"
#include "turnpike/address.h"
#include "turnpike/result.h"
#include "turnpike/time.h"

namespace turnpike::ng {

class Client {
 public:
  static Result<Client> connect_unix(const std::string& path);
  static Result<Client> connect_udp(const SocketAddress& server);
  ~Client();
  Client(Client&& other) noexcept;
  Client& operator=(Client&& other) noexcept;

  /// Sends and waits for the reply. Over UDP the request is repeated with the same cookie up to
  /// five times within `timeout`. A reply with result "error" is a reply, not an Error. After an
  /// Error on a stream the client is of no more use: a late reply would answer the next request.
  Result<Value::Dict> request(const Value::Dict& message, Milliseconds timeout);

 private:
  Client(int fd, bool is_stream) : fd_(fd), is_stream_(is_stream) {}
  Result<Value::Dict> request_stream(const Value::Dict& message, Milliseconds timeout);
  Result<Value::Dict> request_datagram(const Value::Dict& message, Milliseconds timeout);

  int fd_ = -1;
  bool is_stream_ = false;
  std::uint32_t sequence_ = 0;
};

}  // namespace turnpike::ng
