// Interval arithmetic on port lists.
#include "relay/io/reserved_ports.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace turnpike {
namespace {

struct Interval {
  std::uint32_t first;
  std::uint32_t last;
};

bool parse_interval(std::string_view text, Interval& interval) {
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, interval.first);
  if (first.ec != std::errc{}) return false;
  interval.last = interval.first;
  if (first.ptr == end) return interval.last <= 65535;
  if (*first.ptr != '-') return false;
  const auto last = std::from_chars(first.ptr + 1, end, interval.last);
  return last.ec == std::errc{} && last.ptr == end && interval.first <= interval.last &&
         interval.last <= 65535;
}

// Sorted, disjoint and not even adjacent.
std::vector<Interval> parse_list(std::string_view list, std::vector<Interval> intervals) {
  while (!list.empty()) {
    const auto item = list.substr(0, list.find_first_of(", \n"));
    list.remove_prefix(std::min(list.size(), item.size() + 1));
    Interval interval{};
    if (parse_interval(item, interval)) intervals.push_back(interval);
  }
  std::sort(intervals.begin(), intervals.end(),
            [](const Interval& a, const Interval& b) { return a.first < b.first; });
  std::vector<Interval> merged;
  for (const Interval& interval : intervals) {
    if (!merged.empty() && interval.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, interval.last);
    } else {
      merged.push_back(interval);
    }
  }
  return merged;
}

}  // namespace

bool covers(std::string_view list, std::uint16_t port_min, std::uint16_t port_max) {
  const auto intervals = parse_list(list, {});
  return std::any_of(intervals.begin(), intervals.end(), [&](const Interval& interval) {
    return interval.first <= port_min && port_max <= interval.last;
  });
}

std::string with_ports(std::string_view list, std::uint16_t port_min, std::uint16_t port_max) {
  std::string text;
  for (const Interval& interval : parse_list(list, {{port_min, port_max}})) {
    if (!text.empty()) text += ',';
    text += std::to_string(interval.first);
    if (interval.last != interval.first) text += '-' + std::to_string(interval.last);
  }
  return text;
}

}  // namespace turnpike
