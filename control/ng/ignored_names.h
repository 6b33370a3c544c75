// Which keys, flags and values of NG messages had no effect, and how often. Bounded, because the
// names come from the peer: what finds no place is counted as "other".
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace turnpike::ng {

enum class IgnoredKind : std::uint8_t { kKey, kFlag, kValue };
std::string_view to_string(IgnoredKind kind);

class IgnoredNames {
 public:
  struct Entry {
    IgnoredKind kind = IgnoredKind::kKey;
    std::string name;  ///< normalised, printable, at most kNameBytesMax
    std::uint64_t count = 0;
  };
  static constexpr std::size_t kNameBytesMax = 40;
  static constexpr std::size_t kUnknownMax = 64;  ///< places for names that we do not know

  /// `on_first` is told once of each name that gets a place, for a log line.
  explicit IgnoredNames(std::function<void(const Entry&)> on_first = {});

  /// `name` normalised. A kValue is a known key or flag whose value was of no use.
  void count(IgnoredKind kind, std::string_view name);

  /// Entries that were counted at least once, "other" included, in the order of their first time.
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::function<void(const Entry&)> on_first_;
  std::vector<Entry> entries_;
  std::size_t unknown_ = 0;
};

/// Keys and flags of the protocol that are known to have no effect here (yet). They always get a
/// place of their own. Sorted.
const std::vector<std::string_view>& known_without_effect();

}  // namespace turnpike::ng
