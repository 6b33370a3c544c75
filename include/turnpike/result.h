// Result<T>: a value, or an error that says what went wrong, where, and what to do.
// For set-up, configuration and API paths. Packet paths use DropReason instead.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace turnpike {

/// Why an operation did not happen, in words an operator can act on. Never holds a secret.
struct [[nodiscard]] Error {
  std::string message;
};

/// Either a T or an Error. A subset of std::expected: check with `if (!result)`, then use
/// `*result` or `result.error()`. Reading the wrong side is a broken invariant (std::terminate).
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(*-explicit-*)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  explicit operator bool() const noexcept { return state_.index() == 0; }
  bool has_value() const noexcept { return state_.index() == 0; }

  T& operator*() & noexcept { return *std::get_if<0>(&state_); }
  const T& operator*() const& noexcept { return *std::get_if<0>(&state_); }
  T&& operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() noexcept { return std::get_if<0>(&state_); }
  const T* operator->() const noexcept { return std::get_if<0>(&state_); }

  const Error& error() const noexcept { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, Error> state_;
};

/// A Result that carries nothing but success.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), failed_(true) {}  // NOLINT(*-explicit-*)

  explicit operator bool() const noexcept { return !failed_; }
  bool has_value() const noexcept { return !failed_; }
  const Error& error() const noexcept { return error_; }

 private:
  Error error_;
  bool failed_ = false;
};

}  // namespace turnpike
