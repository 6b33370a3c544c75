#include "control/ng/reading.h"

#include <charconv>

namespace turnpike::ng {

bool is_canonical_number(std::string_view text) {
  if (text.starts_with('-')) {
    text.remove_prefix(1);
    if (text.starts_with('0')) return false;
  }
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return false;
  return text.find_first_not_of("0123456789") == std::string_view::npos;
}

ParsedNumber parse_number(std::string_view text) {
  ParsedNumber number;
  if (!is_canonical_number(text)) {
    number.fault = ParseFault::kBadNumber;
  } else if (std::from_chars(text.data(), text.data() + text.size(), number.value).ec !=
             std::errc{}) {
    number.fault = ParseFault::kNumberTooLarge;
  }
  return number;
}

}  // namespace turnpike::ng
