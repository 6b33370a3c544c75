#include "control/sdp/carriage.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include "control/sdp/media.h"

namespace turnpike::sdp {
namespace {

/// Takes the word that `text` begins with; false when it is no number that fits.
template <typename T>
bool take_number(std::string_view& text, T& value) {
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  const bool ends_well = rest == end || (*rest == ' ' && rest + 1 != end);
  if (error != std::errc{} || !ends_well) return false;
  text.remove_prefix(static_cast<std::size_t>(rest - text.data()) + (rest == end ? 0 : 1));
  return true;
}

bool take_side(std::string_view& text, Side& side) {
  if (text.size() < 2 || text[1] != ' ' || (text[0] != 'a' && text[0] != 'b')) return false;
  side = text[0] == 'a' ? Side::kA : Side::kB;
  text.remove_prefix(2);
  return true;
}

}  // namespace

Result<Carriage> carriage_of(const Media& media) {
  const auto is_it = [](const Attribute& a) { return a.name == kCarriageAttribute; };
  const auto count = std::count_if(media.attributes.begin(), media.attributes.end(), is_it);
  if (count == 0) {
    return error_at(media,
                    "no a=turnpike-session: the other node of the pair does not relay this media");
  }
  std::string_view text =
      std::find_if(media.attributes.begin(), media.attributes.end(), is_it)->value;
  unsigned version = 0;
  Carriage carriage;
  if (count > 1 || !take_number(text, version)) {
    return error_at(media, "a damaged a=turnpike-session");
  }
  if (version != 1) {
    return error_at(media, "a=turnpike-session of another version; upgrade both nodes of the pair");
  }
  if (!take_number(text, carriage.shard) || !take_side(text, carriage.side) ||
      !take_number(text, carriage.slot) || !take_number(text, carriage.generation) ||
      !text.empty() || carriage.generation == 0 || carriage.slot >= kCarriedSlotsMax) {
    return error_at(media, "a damaged a=turnpike-session");
  }
  return carriage;
}

void append_carriage(Media& media, const Carriage& carriage) {
  media.attributes.push_back(Attribute::with(
      kCarriageAttribute,
      "1 " + std::to_string(carriage.shard) + (carriage.side == Side::kA ? " a " : " b ") +
          std::to_string(carriage.slot) + " " + std::to_string(carriage.generation)));
}

}  // namespace turnpike::sdp
