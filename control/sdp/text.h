// Small text tools of the SDP parsers: splitting and bounded numbers.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>
#include <vector>

namespace turnpike::sdp {

/// Room for the words of nearly every line: taking them in does not grow a vector step by step.
constexpr std::size_t kUsualWords = 16;

/// The words of `text` between runs of blanks.
inline std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  words.reserve(kUsualWords);
  const auto is_blank = [&](std::size_t i) { return text[i] == ' ' || text[i] == '\t'; };
  for (std::size_t at = 0; at < text.size();) {
    if (is_blank(at)) {
      ++at;
      continue;
    }
    const std::size_t begin = at;
    while (at < text.size() && !is_blank(at)) ++at;
    words.push_back(text.substr(begin, at - begin));
  }
  return words;
}

/// The pieces of `text` between separators; at least one, pieces may be empty.
inline std::vector<std::string_view> pieces_of(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  pieces.reserve(kUsualWords);
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = text.find(separator, begin);
    pieces.push_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return pieces;
    begin = end + 1;
  }
}

/// A whole decimal number, digits only; nothing when it is something else or does not fit.
template <std::unsigned_integral T>
std::optional<T> number_of(std::string_view text) {
  T value = 0;
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace turnpike::sdp
