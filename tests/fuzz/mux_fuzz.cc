// Shared ports of a traversal pair under arbitrary datagrams: nothing without the keys gets past
// the header or binds a flow, neither at the edge nor at the core, and every true Binding still
// works afterwards.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "relay/mux/binding.h"
#include "relay/mux/edge_flows.h"
#include "relay/mux/header.h"

namespace {

using namespace turnpike;  // NOLINT(*-using-namespace)

const SocketAddress kCore{IpAddress::v4(192, 0, 2, 1), 40000};
const SocketAddress kStranger{IpAddress::v4(198, 51, 100, 66), 1234};

void must(bool holds) {
  if (!holds) __builtin_trap();
}

struct Pair {
  static FlowKeys keys() {
    FlowKeys keys;
    keys.to_edge.fill(1);
    keys.to_core.fill(2);
    keys.binding.fill(3);
    return keys;
  }
  static mux::BindingKey secret() {
    mux::BindingKey secret{};
    secret.fill(4);
    return secret;
  }
  Instant now{Seconds(1000)};
  mux::EdgeFlows edge{secret()};
  FlowNumber number = *edge.add(keys(), now);
  mux::CoreBinding core{number, keys().binding, now};
  std::uint8_t serial = 0;

  stun::TransactionId transaction() {
    stun::TransactionId id{};
    id[0] = ++serial;
    return id;
  }
  void bind() {
    now = std::max(now, core.next_deadline());
    for (int i = 0; i < 3 && core.next_deadline() <= now; ++i) {
      mux::BindingBuffer request;
      mux::BindingBuffer reply;
      const auto answer =
          edge.handle_binding(core.request(now, transaction(), request), kCore, 0, now, reply);
      must(!answer.datagram.empty());
      must(core.handle(*stun::Message::parse(answer.datagram), now));
    }
    must(core.is_bound(now) && edge.route(number, now).address == kCore);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Pair pair;
  if (size > 2048) return 0;
  const std::vector<std::uint8_t> datagram(data, data + size);  // of its own size: no read past it
  if (mux::has_header(datagram)) {
    mux::Header header;
    if (mux::read_header(datagram, header) != mux::HeaderFault::kNone) return 0;
    must(pair.edge.judge(header.flow, datagram) != mux::EdgeFlows::Verdict::kRight);
    must(!mux::tag_is_right(Pair::keys().to_core, datagram));
    // What was read is what is written.
    std::vector<std::uint8_t> again = datagram;
    mux::write_header(Pair::keys().to_edge, header, size - mux::kHeaderBytes, again.data());
    must(std::memcmp(again.data(), data, 12) == 0);
    must(mux::tag_is_right(Pair::keys().to_edge, again));
    return 0;
  }
  pair.bind();
  mux::BindingBuffer reply;
  must(pair.edge.handle_binding(datagram, kStranger, 0, pair.now, reply).datagram.empty());
  if (const auto message = stun::Message::parse(datagram)) {
    must(!pair.core.handle(*message, pair.now));
  }
  must(pair.edge.route(pair.number, pair.now).address == kCore);
  pair.now += Seconds(10);
  pair.bind();
  return 0;
}
