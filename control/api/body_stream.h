// The body of an answer that comes bit by bit, for as long as it takes.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>

namespace turnpike::api {

/// Made by who answers, read by the server, which lets it go when the client has gone.
class BodyStream {
 public:
  BodyStream() = default;
  virtual ~BodyStream() = default;
  BodyStream(const BodyStream&) = delete;
  BodyStream& operator=(const BodyStream&) = delete;

  /// Takes the next bytes, at most so many; none: nothing is there now.
  virtual std::string take(std::size_t bytes_max) = 0;
  /// Nothing will come any more, and all was taken.
  virtual bool ended() const = 0;

  /// `wake` is called when there is something to take again, or the end; and now and then without
  /// either, so that the server finds out whether the client is still there.
  void on_more(std::function<void()> wake) { wake_ = std::move(wake); }

 protected:
  void tell() {
    if (wake_) wake_();
  }

 private:
  std::function<void()> wake_;
};

}  // namespace turnpike::api
