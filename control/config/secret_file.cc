#include "control/config/secret_file.h"

#include <algorithm>

#include "control/config/read_file.h"

namespace turnpike::config {
namespace {

constexpr std::size_t kFileBytesMax = 1 << 20;
constexpr std::size_t kSecretBytesMin = 16;
constexpr std::size_t kSecretBytesMax = 1024;

}  // namespace

Result<Secret> read_secret_file(const std::string& path) {
  std::string text;
  UnreadableFile why;
  if (!read_private_file(path, kFileBytesMax, "this secret", text, why)) {
    return Error{path + ": " + why.reason};
  }
  const std::size_t size = std::min(text.find_first_of("\r\n"), text.size());
  const bool more = text.find_first_not_of("\r\n", size) != std::string::npos;
  Secret secret(text.substr(0, size));
  std::fill(text.begin(), text.end(), '\0');
  if (more) return Error{path + ": has more than one line; leave one"};
  if (size < kSecretBytesMin || size > kSecretBytesMax) {
    return Error{path + ": the secret has " + std::to_string(size) + " characters; give " +
                 std::to_string(kSecretBytesMin) + " to " + std::to_string(kSecretBytesMax)};
  }
  return secret;
}

}  // namespace turnpike::config
