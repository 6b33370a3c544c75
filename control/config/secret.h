// A piece of text that must not be shown: no way to print, log or compare it by accident.
#pragma once

#include <string>
#include <string_view>

namespace turnpike {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  ~Secret() { wipe(); }

  bool empty() const { return value_.empty(); }
  /// The value itself; the caller hands it to the one place that needs it.
  std::string_view reveal() const { return value_; }

 private:
  void wipe() {
    volatile char* bytes = value_.data();
    for (std::size_t i = 0; i < value_.size(); ++i) bytes[i] = 0;
  }

  std::string value_;
};

}  // namespace turnpike
