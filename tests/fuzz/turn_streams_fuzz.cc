// Connections of TURN clients under arbitrary bytes, cut anywhere. The input is a list of
// [what][length][bytes]: bytes of one of two clients, a turn, an answer, time, a hang-up. A naive
// model cuts the same bytes in one piece: what the engine gets is what the model has, in its order,
// or, of a connection that has ended, the beginning of it.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/tcp_stream.h"
#include "relay/turn_streams.h"
#include "relay/wire/stream_framer.h"
#include "relay/wire/stun.h"
#include "tests/fuzz/steps.h"

using namespace turnpike;  // NOLINT(*-using-namespace)

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kMessageBytesMax = kPayloadBytesMax & ~std::size_t{3};
constexpr std::size_t kStepsMax = 120;
constexpr int kTurnsMax = 100;

void must(bool holds) {
  if (!holds) std::abort();
}

struct End {
  int fd = -1;
  Bytes sent;
  std::vector<Bytes> got;
  std::uint16_t port = 0;        // its name
  std::optional<SocketTag> tag;  // once it has sent a message
  bool closed = false;
};

// What the whole of the bytes holds.
std::vector<Bytes> messages_of(const Bytes& sent) {
  std::vector<Bytes> all;
  std::span<const std::uint8_t> rest(sent);
  for (bool proven = false; !rest.empty();) {
    const StreamFrame frame = frame_stream(rest, kMessageBytesMax);
    if (frame.kind != StreamFrame::Kind::kMessage) break;
    const auto message = rest.first(frame.message_bytes);
    proven = proven || stun::Message::parse(message).has_value();
    if (!proven) break;
    all.emplace_back(message.begin(), message.end());
    rest = rest.subspan(frame.bytes);
  }
  return all;
}

class Run {
 public:
  Run() {
    streams_ = TurnStreams::make(
        2, turn::SourceGate(std::make_shared<turn::Shared>(), SipHashKey{1}, 0), counters_,
        {.has_allocation = [](const SocketTag& tag) { return tag.slot % 2 == 0; },
         .closed = [](const SocketTag&) {}});
    must(streams_ != nullptr);
    for (End& end : ends_) open(end);
  }
  ~Run() {
    for (End& end : ends_) ::close(end.fd);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  void step(std::uint8_t what, std::span<const std::uint8_t> bytes) {
    End& end = ends_[what % 2];
    switch (what / 2 % 8) {
      case 0:
      case 1:
      case 2:
        send_bytes(end, bytes);
        break;
      case 3:
      case 4:
        turn();
        break;
      case 5:
        answer(end, bytes);
        break;
      case 6:
        now_ += Milliseconds(bytes.size() * 100);
        streams_->on_deadline(now_);
        break;
      default:
        finish(end);
        shutdown(end.fd, SHUT_WR);
        for (int i = 0; i < kTurnsMax && !end.closed; ++i) turn();
        must(end.closed);
        ::close(end.fd);
        open(end);
    }
    must(streams_->size() <= 2);
  }
  void finish() {
    for (End& end : ends_) finish(end);
  }

 private:
  void open(End& end) {
    int both[2] = {-1, -1};
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, both) == 0);
    end = End{};
    end.fd = both[1];
    end.port = next_port_++;
    must(streams_->adopt(make_tcp_stream(both[0]), {IpAddress::v4(45, 9, 1, 1), end.port}, 1, 0,
                         turn::ListenerTransport::kTcp, now_));
  }

  static void send_bytes(End& end, std::span<const std::uint8_t> bytes) {
    const ssize_t sent = send(end.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) end.sent.insert(end.sent.end(), bytes.begin(), bytes.begin() + sent);
  }

  // False when there was nothing to do.
  bool turn() {
    batch_.clear();
    const bool more = streams_->receive(batch_, now_);
    for (std::size_t i = 0; i < batch_.size(); ++i) {
      const auto end = std::find_if(ends_.begin(), ends_.end(), [&](const End& one) {
        return one.port == batch_[i].source.port;
      });
      must(end != ends_.end() && !end->closed);
      end->tag = batch_[i].tag;
      end->got.emplace_back(batch_[i].data, batch_[i].data + batch_[i].length);
    }
    streams_->reap();
    streams_->write_out(now_);
    for (End& end : ends_) note_end(end);
    return more || batch_.size() != 0;
  }

  static void note_end(End& end) {
    std::array<std::uint8_t, 65536> bytes;
    const ssize_t length = recv(end.fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
    end.closed = end.closed || length == 0 || (length < 0 && errno == ECONNRESET);
  }

  void answer(const End& end, std::span<const std::uint8_t> bytes) {
    if (!end.tag || bytes.size() < stun::kHeaderBytes) return;
    Send send;
    send.data = bytes.data();
    send.length = static_cast<std::uint32_t>(bytes.size());
    send.tag = *end.tag;
    const SendResult result = streams_->post(send, now_);
    must(result != SendResult::kSent);
    streams_->write_out(now_);
  }

  // All that was sent has come, unless the connection has ended before.
  void finish(End& end) {
    for (int i = 0; i < kTurnsMax && turn(); ++i) continue;
    const std::vector<Bytes> all = messages_of(end.sent);
    must(end.got.size() <= all.size());
    must(std::equal(end.got.begin(), end.got.end(), all.begin()));
    must(end.closed || end.got.size() == all.size());
  }

  turn::Counters counters_;
  std::unique_ptr<TurnStreams> streams_;
  Instant now_{Seconds{1000}};
  Batch batch_;
  std::array<End, 2> ends_;
  std::uint16_t next_port_ = 1;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Run run;
  turnpike::test::for_each_step(data, size, kStepsMax,
                                [&run](auto what, auto bytes) { run.step(what, bytes); });
  run.finish();
  return 0;
}
