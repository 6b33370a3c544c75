// A flags string (`rtpp-flags`): every parse ends, gives back no more bytes than it got, and what
// it gives is lists and texts one level deep.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "control/ng/request.h"

namespace {

using namespace turnpike::ng;

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += static_cast<char>(data[i]);
  std::size_t bytes = 0;
  for (const auto& [key, value] : parse_flags_string(text)) {
    if (const auto* word = value.as_string()) bytes += key.size() + word->size();
    const auto* list = value.as_list();
    require(list != nullptr || value.as_string() != nullptr);
    if (list == nullptr) continue;
    if (key != "flags") bytes += key.size();
    for (const Value& item : *list) {
      require(item.as_string() != nullptr);
      bytes += item.as_string()->size();
    }
  }
  require(bytes <= size);

  IgnoredNames ignored;
  const auto request = to_call_request({{"rtpp-flags", text}}, ignored);
  require(request.direction.empty() || request.direction.size() == 2);
  constexpr std::size_t kPlaces = 256;
  require(ignored.entries().size() <= kPlaces);
  return 0;
}
