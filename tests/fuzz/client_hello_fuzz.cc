// A ClientHello under arbitrary bytes: a verdict does not change when more comes behind it, what is
// told lies in what was sent, and how records cut the message makes no difference.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "relay/wire/client_hello.h"
#include "tests/support/hello_bytes.h"

namespace {

using namespace turnpike;  // NOLINT(*-using-namespace)

void must(bool holds) {
  if (!holds) __builtin_trap();
}

struct Told {
  HelloState state;
  std::string name;
  std::vector<std::uint8_t> protocols;
  std::size_t wanted;
  bool operator==(const Told& o) const {
    return state == o.state && name == o.name && protocols == o.protocols;
  }
};

Told read(std::vector<std::uint8_t> bytes) {  // a copy of its own: no read past its end
  static ClientHelloReader reader;
  const ClientHello hello = reader.read(bytes);
  must(hello.state == HelloState::kHello || (hello.server_name.empty() && hello.protocols.empty()));
  return {hello.state,
          std::string(hello.server_name),
          {hello.protocols.begin(), hello.protocols.end()},
          hello.wanted};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> bytes(data, data + size);
  const Told whole = read(bytes);
  bool decided = false;
  std::size_t wanted = 0;
  for (std::size_t cut = 0; cut <= size; cut += cut < 64 ? 1 : 97) {
    const Told part = read({data, data + cut});
    must(!decided || part == whole || size - cut < 97);
    decided = part.state != HelloState::kIncomplete;
    if (decided) must(part.state == whole.state);
    if (part.state == HelloState::kHello) must(cut >= wanted);
    if (decided) continue;
    must(part.wanted > cut && part.wanted <= ClientHelloReader::kBytesMax);
    wanted = part.wanted;
  }
  // As the message of a record, cut in three ways.
  if (size == 0 || size > 2000) return 0;
  const Told uncut = read(in_records(bytes));
  for (const std::size_t record_bytes : {1U, 5U, 300U}) {
    must(read(in_records(bytes, record_bytes)) == uncut);
  }
  return 0;
}
