// Datagrams in, datagrams out.
#include "control/ng/udp_endpoint.h"

#include <string>
#include <string_view>
#include <utility>

#include "control/loop/udp_socket.h"
#include "control/ng/message.h"
#include "control/ng/request.h"

namespace turnpike::ng {
namespace {

constexpr std::size_t kDatagramBytesMax = 65507;  // what UDP over IPv4 carries

std::string encode_reply(std::string_view cookie, Encoding encoding, const Value::Dict& reply) {
  const auto with_cookie = [&](const Value::Dict& dict) {
    std::string datagram(cookie);
    datagram += ' ';
    append_message(encoding, dict, datagram);
    return datagram;
  };
  std::string datagram = with_cookie(reply);
  if (datagram.size() <= kDatagramBytesMax) return datagram;
  return with_cookie(error_reply("Reply is too large for UDP"));
}

}  // namespace

struct UdpEndpoint::State : std::enable_shared_from_this<UdpEndpoint::State> {
  State(MessageLimits message, ReplyCacheLimits cached, Dispatcher& target)
      : message_limits(message), cache(cached), dispatcher(target) {}

  MessageLimits message_limits;
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
      return;
    }
    const WholeMessage message = read_whole(frame.body, message_limits);
    if (message.fault != ParseFault::kNone) {
      ++counters().parse_faults[static_cast<std::size_t>(message.fault)];
      return send(encode_reply(frame.cookie, message.encoding, error_reply(message.error)), from);
    }
    execute(frame, message, from);
  }

  void execute(const Frame& frame, const WholeMessage& message, const SocketAddress& from) {
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
        return send(
            encode_reply(frame.cookie, message.encoding, error_reply("Too many requests in work")),
            from);
      case ReplyCache::Verdict::kNew:
        break;
    }
    dispatcher.handle(message.dict,
                      [weak = weak_from_this(), key, from, encoding = message.encoding,
                       cookie = std::string(frame.cookie)](const Value::Dict& reply) {
                        const auto state = weak.lock();
                        if (state) state->finish(key, encode_reply(cookie, encoding, reply), from);
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
                                                         MessageLimits message_limits,
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
