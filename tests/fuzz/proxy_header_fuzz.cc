// A PROXY header under arbitrary bytes: its verdict does not change when more comes behind it, its
// length lies in what came, and its source is one from which somebody can connect.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "relay/wire/proxy_header.h"

namespace {

using namespace turnpike;  // NOLINT(*-using-namespace)

void must(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  bool decided = false;
  ProxyHeader first;
  for (std::size_t cut = 0; cut <= size; ++cut) {
    const std::vector<std::uint8_t> bytes(data, data + cut);  // no read past its end
    const ProxyHeader header = read_proxy_header(bytes);
    if (decided) {
      must(header.state == first.state && header.bytes == first.bytes &&
           header.source == first.source);
      if (cut > first.bytes + 8) break;
    }
    if (header.state == ProxyState::kIncomplete) {
      must(cut < ProxyHeader::kBytesMax);
      continue;
    }
    decided = true;
    first = header;
    must(header.source.is_set() == (header.state == ProxyState::kProxied) ||
         header.state == ProxyState::kMalformed);
    if (header.state == ProxyState::kProxied || header.state == ProxyState::kLocal) {
      must(header.bytes >= 16 && header.bytes <= cut);
    }
    if (header.state != ProxyState::kProxied) continue;
    const IpAddress& ip = header.source.ip;
    must(!ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast());
  }
  return 0;
}
