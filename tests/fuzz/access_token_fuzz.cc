// Tokens of RFC 7635: whatever comes as one, and whatever an authorization server has sealed in it.
#include <cstdlib>

#include "relay/turn/access_token.h"
#include "tests/support/access_token.h"

using namespace turnpike;  // NOLINT(*-using-namespace)

namespace {

void must(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string key = "0123456789abcdef";
  if (size > 200) return 0;
  must(!turn::open_token(key, "s", {data, size}));
  const test::TokenBytes block(data, data + size);
  const test::TokenBytes sealed = test::seal_token(key, "s", test::TokenBytes(12, 1), block);
  const auto opened = turn::open_token(key, "s", sealed);
  must(!turn::open_token(key, "t", sealed));
  if (!opened) return 0;
  // What it says is all that was in it.
  const test::TokenBytes session(opened->key.bytes().begin(), opened->key.bytes().end());
  const auto seconds = static_cast<std::uint64_t>(opened->issued.count());
  test::TokenBytes again = test::token_block(session, seconds << 16,
                                             static_cast<std::uint32_t>(opened->lifetime.count()));
  must(again.size() == block.size());
  for (std::size_t i = 0; i < block.size(); ++i) {
    const bool is_fraction = i == session.size() + 8 || i == session.size() + 9;
    must(is_fraction || again[i] == block[i]);
  }
  return 0;
}
