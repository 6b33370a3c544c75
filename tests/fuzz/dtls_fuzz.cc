// The front door of DTLS: datagrams of anybody's making, mixed with a handshake of an honest remote
// end, another engine, whose datagrams may be lost, damaged or late. Whatever comes, only its keys
// come out.
//
// Input: a byte that chooses role, ICE and what is known at first, then steps, each led by a byte:
// kind in its low 3 bits, source of an injected datagram above.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <vector>

#include "relay/dtls/handshakes.h"

namespace turnpike {
namespace {

using Bytes = std::vector<std::uint8_t>;

void require(bool holds) {
  if (!holds) std::abort();
}

constexpr LegKey kLeg = {0, 1, 1, Side::kA};

SocketAddress address(std::uint8_t host) {
  return {IpAddress::v4(192, 0, 2, host), 4000};
}
const SocketAddress kRemote = address(0);
const SocketAddress kOurs = address(200);

struct End final : HandshakeSink {
  End() : identity(handshakes.add_identity()) { require(identity.id != 0); }

  void send(const LegKey&, const SocketAddress& to,
            std::span<const std::uint8_t> datagram) override {
    require(!datagram.empty() && datagram.size() <= kDtlsDatagramBytesMax);
    sent_bytes += datagram.size();
    if (to == kRemote || to == kOurs) sent.emplace_back(datagram.begin(), datagram.end());
  }
  void established(const LegKey&, std::uint32_t, const SocketAddress&,
                   const SrtpKeying& receive_keys, const SrtpKeying& send_keys) override {
    receive.push_back(receive_keys);
    sending.push_back(send_keys);
  }
  void changed(const LegKey&, std::uint32_t, DtlsState, DtlsFailure, const DtlsFlights&) override {}
  void goodbyes(const LegKey&, std::span<const Goodbye>) override {}

  void reset() {
    handshakes.close(kLeg, *this);
    require(handshakes.usage().legs == 0 && handshakes.usage().half_open == 0);
    require(handshakes.next_deadline() == Instant::max());
    sent.clear();
    receive.clear();
    sending.clear();
  }
  void pass(Instant now) {
    if (handshakes.next_deadline() <= now) handshakes.on_deadline(now, *this);
  }

  Handshakes handshakes;
  DtlsIdentity identity;
  std::deque<Bytes> sent;
  std::size_t sent_bytes = 0;
  std::vector<SrtpKeying> receive;
  std::vector<SrtpKeying> sending;
};

class Scene {
 public:
  Scene(End& ours, End& remote, std::uint8_t choice)
      : ours_(ours), remote_(remote), ice_((choice & 2) != 0) {
    const bool active = (choice & 1) != 0;
    config_.enabled = true;
    config_.role = active ? DtlsRole::kActive : DtlsRole::kPassive;
    config_.identity = ours.identity.id;
    if ((choice & 4) == 0) config_.remote = remote.identity.fingerprint;
    remote_config_.enabled = true;
    remote_config_.role = active ? DtlsRole::kPassive : DtlsRole::kActive;
    remote_config_.identity = remote.identity.id;
    remote_config_.remote = ours.identity.fingerprint;
    update();
    remote_.handshakes.update(kLeg, remote_config_, kOurs, now_, remote_);
  }
  ~Scene() {
    for (std::size_t i = 0; i < ours_.receive.size(); ++i) {
      const auto& theirs = remote_.sending;
      require(ours_.receive[i].suite == SrtpSuite::kAeadAes256Gcm);
      // It may not have got our last flight; then it has no keys to compare with.
      require(theirs.empty() || ours_.receive.size() > 1 || theirs.size() > 1 ||
              (theirs[0] == ours_.receive[0] && remote_.receive[0] == ours_.sending[0]));
    }
    require(config_.remote.is_set() || ours_.receive.empty());
    ours_.reset();
    remote_.reset();
  }

  void inject(std::uint8_t host, const Bytes& bytes) {
    const std::size_t before = ours_.sent_bytes;
    const bool fresh = !ice_ && host != 0;
    const std::size_t half_open = ours_.handshakes.usage().half_open;
    // Exactly as long, so that a sanitizer sees the first byte behind it.
    const Bytes exact(bytes.begin(), bytes.end());
    ours_.handshakes.handle(kLeg, address(host), ice_, exact, now_, ours_);
    if (fresh && ours_.handshakes.usage().half_open == half_open) {
      require(ours_.sent_bytes - before <= bytes.size());
    }
    require(ours_.handshakes.usage().half_open <= 3);
  }
  void deliver_to_us(std::size_t offset, std::uint8_t flip) {
    if (remote_.sent.empty()) return;
    Bytes bytes = std::move(remote_.sent.front());
    remote_.sent.pop_front();
    bytes[offset % bytes.size()] ^= flip;
    inject(0, bytes);
  }
  void lose() {
    if (!remote_.sent.empty()) remote_.sent.pop_front();
  }
  void deliver_to_remote() {
    while (!ours_.sent.empty()) {
      const Bytes bytes = std::move(ours_.sent.front());
      ours_.sent.pop_front();
      remote_.handshakes.handle(kLeg, kOurs, ice_, bytes, now_, remote_);
    }
  }
  void pump() {
    for (int round = 0; round < 8; ++round) {
      deliver_to_us(0, 0);
      deliver_to_remote();
    }
  }
  void advance(Milliseconds time) {
    now_ += time;
    ours_.pass(now_);
    remote_.pass(now_);
  }
  void update(std::uint8_t what = 0) {
    if ((what & 1) != 0) ++config_.association;
    if ((what & 2) != 0) config_.remote = remote_.identity.fingerprint;
    ours_.handshakes.update(kLeg, config_, kRemote, now_, ours_);
  }

 private:
  End& ours_;
  End& remote_;
  bool ice_;
  DtlsConfig config_;
  DtlsConfig remote_config_;
  Instant now_ = Instant{} + Seconds{1000};
};

}  // namespace
}  // namespace turnpike

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace turnpike;
  // Keys are costly; every input leaves them as it found them.
  static End& ours = *new End;
  static End& remote = *new End;
  if (size == 0) return 0;
  Scene scene(ours, remote, data[0]);
  std::size_t at = 1;
  const auto next = [&] { return at < size ? data[at++] : std::uint8_t{0}; };
  for (unsigned steps = 0; at < size && steps < 60; ++steps) {
    const std::uint8_t step = next();
    switch (step & 7) {
      case 0: {
        const std::size_t wanted = 8U * next();  // moves `at`
        const std::size_t bytes = std::min(wanted, size - at);
        const Bytes datagram(data + at, data + at + bytes);
        at += bytes;
        scene.inject(static_cast<std::uint8_t>(step >> 5), datagram);
        break;
      }
      case 1:
        scene.deliver_to_us(0, 0);
        break;
      case 2: {
        const std::size_t offset = next();
        scene.deliver_to_us(offset, next());
        break;
      }
      case 3:
        scene.lose();
        break;
      case 4:
        scene.deliver_to_remote();
        break;
      case 5:
        scene.advance(Milliseconds{20} * next());
        break;
      case 6:
        scene.update(next());
        break;
      default:
        scene.pump();
        break;
    }
  }
  return 0;
}
