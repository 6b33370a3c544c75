// Datagrams in, datagrams out.
#include "control/ng/udp_endpoint.h"

#include <string>
#include <string_view>
#include <utility>

#include "control/loop/udp_socket.h"
#include "control/ng/request.h"

namespace turnpike::ng {
namespace {

constexpr std::size_t kDatagramBytesMax = 65507;  // what UDP over IPv4 carries
constexpr std::string_view kJsonRefusal =
    R"({"result":"error","error-reason":"JSON is not supported on this transport"})";

std::string with_cookie(std::string_view cookie, std::string_view body) {
  std::string datagram(cookie);
  datagram += ' ';
  datagram += body;
  return datagram;
}

std::string encode_reply(std::string_view cookie, const Value::Dict& reply) {
  std::string datagram = with_cookie(cookie, "");
  append_bencode(reply, datagram);
  if (datagram.size() <= kDatagramBytesMax) return datagram;
  return with_cookie(cookie, encode_bencode(error_reply("Reply is too large for UDP")));
}

}  // namespace

struct UdpEndpoint::State : std::enable_shared_from_this<UdpEndpoint::State> {
  State(BencodeLimits message, ReplyCacheLimits cached, Dispatcher& target)
      : message_limits(message), cache(cached), dispatcher(target) {}

  BencodeLimits message_limits;
  ReplyCache cache;
  Dispatcher& dispatcher;
  loop::UdpSocket socket;

  ServerCounters& counters() { return dispatcher.counters(); }

  void send(const std::string& datagram, const SocketAddress& to) {
    if (!socket.send(datagram, to)) ++counters().replies_unsent;
  }

  void receive(std::string_view datagram, const SocketAddress& from) {
    const Frame frame = parse_frame(datagram);
    if (frame.fault != ParseFault::kNone) {
      ++counters().parse_faults[static_cast<std::size_t>(frame.fault)];
      // Whoever sends JSON after a cookie speaks the protocol; the rest may be anything.
      if (frame.fault == ParseFault::kJson) send(with_cookie(frame.cookie, kJsonRefusal), from);
      return;
    }
    BencodeReader reader(message_limits);
    const auto progress = reader.read(frame.body);
    const bool whole = progress == BencodeReader::Progress::kDone;
    if (!whole || reader.offset() != frame.body.size()) {
      const ParseFault fault = whole ? ParseFault::kTrailingBytes
                               : progress == BencodeReader::Progress::kFailed
                                   ? reader.fault()
                                   : ParseFault::kIncomplete;
      ++counters().parse_faults[static_cast<std::size_t>(fault)];
      const std::string reason =
          std::string(info_of(fault).words) + " at byte " + std::to_string(reader.offset());
      return send(encode_reply(frame.cookie, error_reply(reason)), from);
    }
    const Value message = reader.take();
    execute(frame, *message.as_dict(), from);
  }

  void execute(const Frame& frame, const Value::Dict& message, const SocketAddress& from) {
    const Instant now = loop::EventLoop::now();
    expire(now);
    const std::string key = ReplyCache::key_of(from, frame.cookie, frame.body);
    const ReplyCache::Found found = cache.begin(key, now);
    switch (found.verdict) {
      case ReplyCache::Verdict::kReplay:
        ++counters().replies_replayed;
        return send(*found.reply, from);
      case ReplyCache::Verdict::kWaits:
        ++counters().duplicates_waiting;
        return;
      case ReplyCache::Verdict::kDropped:
        ++counters().duplicates_dropped;
        return;
      case ReplyCache::Verdict::kFull:
        ++counters().requests_refused;
        return send(encode_reply(frame.cookie, error_reply("Too many requests in work")), from);
      case ReplyCache::Verdict::kNew:
        break;
    }
    dispatcher.handle(message, [weak = weak_from_this(), key, from,
                                cookie = std::string(frame.cookie)](const Value::Dict& reply) {
      if (const auto state = weak.lock()) state->finish(key, encode_reply(cookie, reply), from);
    });
  }

  void finish(const std::string& key, const std::string& datagram, const SocketAddress& to) {
    for (auto times = cache.finish(key, datagram); times > 0; --times) send(datagram, to);
  }

  void expire(Instant now) { counters().requests_expired += cache.expire(now); }
};

UdpEndpoint::UdpEndpoint(std::shared_ptr<State> state) : state_(std::move(state)) {}
UdpEndpoint::~UdpEndpoint() = default;

Result<std::unique_ptr<UdpEndpoint>> UdpEndpoint::create(loop::EventLoop& loop,
                                                         const SocketAddress& address,
                                                         BencodeLimits message_limits,
                                                         ReplyCacheLimits cache_limits,
                                                         Dispatcher& dispatcher) {
  auto state = std::make_shared<State>(message_limits, cache_limits, dispatcher);
  auto socket = loop::UdpSocket::bind(
      loop, address, [raw = state.get()](std::string_view datagram, const SocketAddress& from) {
        raw->receive(datagram, from);
      });
  if (!socket) return Error{"NG: " + socket.error().message};
  state->socket = *std::move(socket);
  return std::unique_ptr<UdpEndpoint>(new UdpEndpoint(std::move(state)));
}

void UdpEndpoint::sweep(Instant now) {
  state_->expire(now);
}
SocketAddress UdpEndpoint::local_address() const {
  return state_->socket.local_address();
}
const ReplyCache& UdpEndpoint::cache() const {
  return state_->cache;
}

}  // namespace turnpike::ng
