// Filling a dictionary of a reply. By named functions, which keep temporary values out of the
// callers: g++ 12 sees uninitialised members in them when it inlines their destructors.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "control/ng/value.h"

namespace turnpike::call {

template <typename T>
void put_number(ng::Value::Dict& dict, const char* key, T value) {
  dict.emplace_back(key, static_cast<std::int64_t>(value));
}
inline void put_text(ng::Value::Dict& dict, const char* key, std::string_view text) {
  dict.emplace_back(key, std::string(text));
}
/// What is no whole number is a text in these trees.
inline void put_decimal(ng::Value::Dict& dict, const char* key, double value, int decimals) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  put_text(dict, key, text.data());
}
inline void put_dict(ng::Value::Dict& dict, std::string key, ng::Value::Dict value) {
  dict.emplace_back(std::move(key), std::move(value));
}
inline void put_list(ng::Value::Dict& dict, const char* key, ng::Value::List value) {
  dict.emplace_back(key, std::move(value));
}
/// A whole reply: what was asked for is refused, and why.
inline ng::Value::Dict error_reply(std::string_view reason) {
  ng::Value::Dict reply;
  put_text(reply, "result", "error");
  put_text(reply, "error-reason", reason);
  return reply;
}

}  // namespace turnpike::call
