// Every command, key and flag of the protocol and what becomes of it: the reference in docs/ng.md
// is printed from here, out of the tables by which messages are read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace turnpike::ng {

enum class Standing : std::uint8_t {
  kActs,      ///< has an effect, which a test sees
  kAccepted,  ///< asks for what happens anyway
  kRefused,   ///< the message gets an error
  kIgnored,   ///< has no effect and is counted
};
std::string_view to_string(Standing standing);

/// One row of the reference.
struct NameInfo {
  std::string_view name;  ///< as it is usually written
  Standing standing = Standing::kActs;
  std::string_view takes{};   ///< of a key: its values; of a command: the keys that it needs
  std::string_view effect{};  ///< or why it is refused
  std::string_view test{};    ///< of kActs: a test that sees the effect
};

/// In the order in which they are looked up.
const std::vector<NameInfo>& commands();
const std::vector<NameInfo>& keys();
const std::vector<NameInfo>& flags();

/// The reference in Markdown, from its first heading to the end of the document.
std::string reference();

}  // namespace turnpike::ng
