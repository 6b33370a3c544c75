// Bytes of a call record: plain fields in host order, walked by a writer and by a reader.
// Is not: which fields a call has. record.cc says that, by one `visit` for each class.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "turnpike/time.h"
#include "turnpike/transport.h"

namespace turnpike::call::fields {

// More than any call has; keeps a damaged count from costing memory.
constexpr std::size_t kCountMax = 4096;

/// Sums up sizes first and then writes, so that growing leaves no copies of keys in freed memory:
/// the same code runs twice, with `out` unset the first time.
class Writer {
 public:
  explicit Writer(std::string* out) : out_(out) {}
  std::size_t size() const { return size_; }

  void field(const void* data, std::size_t size) {
    if (out_ != nullptr) out_->append(static_cast<const char*>(data), size);
    size_ += size;
  }
  template <typename T>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void field(const T& value) {
    field(&value, sizeof value);
  }
  /// Cut rather than written so that nobody can read the record.
  void field(const std::string& text) {
    const std::size_t size = std::min(text.size(), kCountMax);
    count(size);
    field(text.data(), size);
  }
  template <std::size_t kMax>
  void field(const ShortText<kMax>& text) {
    field(text.size);
    field(text.text.data(), text.size);
  }
  void field(const Instant& instant) { field(instant.time_since_epoch().count()); }
  template <typename T, std::size_t N>
  void field(const std::array<T, N>& items) {
    if constexpr (std::same_as<T, std::uint8_t>) return field(items.data(), N);
    for (const T& item : items) field(item);
  }
  template <typename T>
  void field(const std::vector<T>& items) {
    count(items.size());
    for (const T& item : items) field(item);
  }
  template <typename T>
  void field(const std::optional<T>& item) {
    field(item.has_value());
    if (item) field(*item);
  }
  template <typename T>
  requires std::is_class_v<T>
  void field(const T& item) { visit(*this, item); }

 private:
  void count(std::size_t n) { field(static_cast<std::uint32_t>(n)); }

  std::string* out_;
  std::size_t size_ = 0;
};

/// The mirror of Writer. After the first damage everything reads as nothing.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }

  void field(void* data, std::size_t size) {
    if (!ok_ || rest_.size() < size) {
      ok_ = false;
      return;
    }
    std::memcpy(data, rest_.data(), size);
    rest_.remove_prefix(size);
  }
  template <typename T>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void field(T& value) {
    if constexpr (std::same_as<T, bool>) {
      std::uint8_t byte = 0;
      field(byte);
      ok_ = ok_ && byte <= 1;
      value = byte == 1;
    } else {
      field(&value, sizeof value);
    }
  }
  void field(std::string& text) {
    const std::size_t size = count();
    if (!ok_ || rest_.size() < size) {
      ok_ = false;
      return;
    }
    text.assign(rest_.substr(0, size));
    rest_.remove_prefix(size);
  }
  template <std::size_t kMax>
  void field(ShortText<kMax>& text) {
    field(text.size);
    ok_ = ok_ && text.size <= kMax;
    if (!ok_) text.size = 0;
    field(text.text.data(), text.size);
  }
  void field(Instant& instant) {
    Instant::rep nanoseconds = 0;
    field(nanoseconds);
    instant = Instant{Nanoseconds{nanoseconds}};
  }
  template <typename T, std::size_t N>
  void field(std::array<T, N>& items) {
    if constexpr (std::same_as<T, std::uint8_t>) return field(items.data(), N);
    for (T& item : items) field(item);
  }
  template <typename T>
  void field(std::vector<T>& items) {
    const std::size_t size = count();
    for (std::size_t i = 0; ok_ && i < size; ++i) field(items.emplace_back());
  }
  template <typename T>
  void field(std::optional<T>& item) {
    bool has_value = false;
    field(has_value);
    if (has_value) field(item.emplace());
  }
  template <typename T>
  requires std::is_class_v<T>
  void field(T& item) { visit(*this, item); }

 private:
  std::size_t count() {
    std::uint32_t n = 0;
    field(n);
    ok_ = ok_ && n <= kCountMax;
    return ok_ ? n : 0;
  }

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace turnpike::call::fields
