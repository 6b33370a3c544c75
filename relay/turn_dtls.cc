#include "relay/turn_dtls.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "relay/core/bytes.h"
#include "relay/core/check.h"
#include "relay/turn_streams.h"
#include "relay/wire/stun.h"

namespace turnpike {
namespace {

using turn::Drop;
using turn::ListenerTransport;
using turn::StreamClose;

constexpr std::uint8_t kApplicationData = 23;
constexpr std::size_t kPlaceBytes = 16 + 1 + 2 + 4;

std::array<std::uint8_t, kPlaceBytes> bytes_of_place(const SocketAddress& client,
                                                     std::uint32_t socket) {
  std::array<std::uint8_t, kPlaceBytes> bytes{};
  std::copy(client.ip.bytes.begin(), client.ip.bytes.end(), bytes.begin());
  bytes[16] = static_cast<std::uint8_t>(client.ip.family);
  write_be16(bytes.data() + 17, client.port);
  write_be32(bytes.data() + 19, socket);
  return bytes;
}

}  // namespace

struct TurnDtls::Association {
  Place place;
  std::uint32_t listener = 0;
  std::uint64_t source = 0;
  std::array<std::uint8_t, 32> random{};         // of the ClientHello
  std::unique_ptr<DtlsAssociation> association;  // null: the handshake goes on
  Instant up_since{};
  Instant alone_since{};   // seen without an allocation, in a row
  Instant window_begin{};  // of the handshake's datagrams that are counted
  std::uint32_t window_datagrams = 0;
  bool proven = false;  // has sent a STUN message
  bool doomed = false;
};

// Records of one association, on their way out.
class TurnDtls::Sealed final : public DatagramOut {
 public:
  Sealed(TurnDtls& all, const Place& place) : all_(all), place_(place) {}
  void datagram(std::span<const std::uint8_t> bytes) override {
    any_ = true;
    all_.emit(place_, bytes);
  }
  /// Whether there was one since it was asked last.
  bool take_any() { return std::exchange(any_, false); }

 private:
  TurnDtls& all_;
  Place place_;
  bool any_ = false;
};

// Messages of one association, on their way to the engine.
class TurnDtls::Opened final : public DatagramOut {
 public:
  Opened(TurnDtls& all, Association& from, const SocketTag& tag, Batch& messages)
      : all_(all), from_(from), tag_(tag), messages_(messages) {}
  void datagram(std::span<const std::uint8_t> bytes) override {
    any_ = true;
    Packet* const packet = count_ == kMessagesMax ? nullptr : messages_.next();
    if (packet == nullptr || bytes.size() > kPayloadBytesMax) return all_.drop(Drop::kTooLong);
    from_.proven = from_.proven || stun::Message::parse(bytes).has_value();
    std::memcpy(packet->data, bytes.data(), bytes.size());
    packet->length = static_cast<std::uint32_t>(bytes.size());
    packet->source = from_.place.client;
    packet->tag = tag_;
    packet->shed_behind = 0;
    packet->overflowed = 0;
    messages_.commit();
    ++count_;
  }
  /// Whether there was one since it was asked last.
  bool take_any() { return std::exchange(any_, false); }

 private:
  TurnDtls& all_;
  Association& from_;
  SocketTag tag_;
  Batch& messages_;
  std::size_t count_ = 0;
  bool any_ = false;
};

std::size_t TurnDtls::Hash::operator()(const Place& place) const {
  return siphash_2_4(key, bytes_of_place(place.client, place.socket));
}

TurnDtls::TurnDtls(Setup setup, turn::Counters& counters, Handlers handlers)
    : setup_(std::move(setup)),
      counters_(counters),
      handlers_(std::move(handlers)),
      associations_(setup_.associations_max),
      generations_(setup_.associations_max),
      up_(16, Hash{setup_.key}),
      shaking_(16, Hash{setup_.key}),
      lonely_(setup_.associations_max),
      oldest_(setup_.associations_max),
      timers_(setup_.associations_max) {
  free_.reserve(setup_.associations_max);
  doomed_.reserve(setup_.associations_max);
  ended_.reserve(setup_.associations_max);
  for (std::uint32_t slot = setup_.associations_max; slot > 0; --slot) free_.push_back(slot - 1);
}

TurnDtls::~TurnDtls() = default;

SocketTag TurnDtls::tag_of(std::uint32_t slot) const {
  return {kDtlsSlot | slot, generations_[slot], Side::kA, Component::kRtp};
}

TurnDtls::Association* TurnDtls::find(const SocketTag& tag) const {
  const std::uint32_t slot = tag.slot & ~kDtlsSlot;
  if (!is_dtls(tag) || slot >= associations_.size()) return nullptr;
  return generations_[slot] == tag.generation ? associations_[slot].get() : nullptr;
}

std::uint32_t TurnDtls::listener_of(const SocketTag& tag) const {
  const Association* const association = find(tag);
  CHECK(association != nullptr);
  return association->listener;
}

// ---- What comes

void TurnDtls::receive(const Packet& packet, std::uint32_t listener, Batch& messages, Instant now) {
  const std::span<const std::uint8_t> datagram(packet.data, packet.length);
  std::span<const std::uint8_t> rest = datagram;
  DtlsRecord first;
  if (!take_record(rest, first)) return drop(Drop::kMalformed);
  const Place place{packet.source, packet.tag.generation};
  HelloStart hello;
  if (parse_hello(first, hello)) return on_hello(place, listener, first, hello, datagram, now);
  const auto up = up_.find(place);
  const auto shaking = shaking_.find(place);
  if (shaking != shaking_.end() && (up == up_.end() || first.type != kApplicationData)) {
    pass_on(shaking->second, datagram, now);
  } else if (up != up_.end()) {
    open(up->second, datagram, messages, now);
  } else {
    drop(Drop::kNoAssociation);
  }
}

void TurnDtls::on_hello(const Place& place, std::uint32_t listener, const DtlsRecord& record,
                        const HelloStart& hello, std::span<const std::uint8_t> datagram,
                        Instant now) {
  const auto shaking = shaking_.find(place);
  if (shaking != shaking_.end() && associations_[shaking->second]->random == hello.random) {
    return pass_on(shaking->second, datagram, now);
  }
  std::array<std::uint8_t, kPlaceBytes + sizeof hello.random> bound_to;
  const auto bytes = bytes_of_place(place.client, place.socket);
  std::copy(hello.random.begin(), hello.random.end(),
            std::copy(bytes.begin(), bytes.end(), bound_to.begin()));
  if (!cookies_.verify(hello.cookie, bound_to, now)) {
    return ask_for_cookie(place, record, cookies_.make(bound_to, now));
  }
  // A private-key operation is what a source can have for two small datagrams.
  if (!setup_.half_open_gate.may_begin(setup_.half_open_gate.name_of(place.client.ip), now)) {
    return drop(Drop::kHandshakeRate);
  }
  // It has begun anew; the association that is up goes on until this one is.
  if (shaking != shaking_.end()) give_up(shaking->second, StreamClose::kClient, true);
  begin(place, listener, hello, datagram, now);
}

void TurnDtls::ask_for_cookie(const Place& place, const DtlsRecord& hello, const Cookie& cookie) {
  std::array<std::uint8_t, kHelloVerifyBytesMax> reply;
  const std::size_t bytes = write_hello_verify(hello, cookie, reply);
  if (bytes > hello.whole.size()) return drop(Drop::kMalformed);
  counters_.cookies.add();
  emit(place, std::span(reply).first(bytes));
}

void TurnDtls::begin(const Place& place, std::uint32_t listener, const HelloStart& hello,
                     std::span<const std::uint8_t> datagram, Instant now) {
  const std::uint64_t source = setup_.gate.name_of(place.client.ip);
  const std::uint64_t half_open_source = setup_.half_open_gate.name_of(place.client.ip);
  if (!setup_.half_open_gate.enter(half_open_source)) return count(StreamClose::kSourceFull);
  if (!setup_.gate.enter(source)) {
    setup_.half_open_gate.leave(half_open_source);
    return count(StreamClose::kSourceFull);
  }
  const auto leave = [&] {
    setup_.half_open_gate.leave(half_open_source);
    setup_.gate.leave(source);
  };
  // The oldest may have to end for it.
  if (!tell_ends() || setup_.thread->room(setup_.shard) < 2) {
    leave();
    return drop(Drop::kOverload);  // it asks again in a second
  }
  // Who may not come in makes nobody go.
  if (free_.size() < associations_.size() / TurnStreams::kSpareShare) make_room();
  if (half_open_ >= setup_.half_open_max) {
    give_up(*oldest_.oldest(), StreamClose::kTlsTimeout, true);
  }
  if (free_.empty()) {
    leave();
    return count(StreamClose::kFull);
  }
  const std::uint32_t slot = free_.back();
  if (!ask(DtlsAsk::kBegin, tag_of(slot), datagram)) {
    leave();
    return drop(Drop::kOverload);
  }
  free_.pop_back();
  associations_[slot] = std::make_unique<Association>();
  Association& association = *associations_[slot];
  association.place = place;
  association.listener = listener;
  association.source = source;
  association.random = hello.random;
  shaking_[place] = slot;
  oldest_.join(slot);
  ++half_open_;
  ++size_;
  timers_.set(slot, now + kHandshakeMax);
}

bool TurnDtls::ask(DtlsAsk ask, const SocketTag& client, std::span<const std::uint8_t> datagram) {
  request_.ask = ask;
  request_.client = client;
  request_.length = static_cast<std::uint32_t>(datagram.size());
  std::copy(datagram.begin(), datagram.end(), request_.data.begin());
  return setup_.thread->push(setup_.shard, request_);
}

// Of a handshake that goes on. Anybody who knows its address can send some.
void TurnDtls::pass_on(std::uint32_t slot, std::span<const std::uint8_t> datagram, Instant now) {
  Association& of = *associations_[slot];
  if (now - of.window_begin >= Seconds{1}) {
    of.window_begin = now;
    of.window_datagrams = 0;
  }
  if (of.window_datagrams >= kDatagramsPerSecondMax) return drop(Drop::kHandshakeRate);
  if (setup_.thread->room(setup_.shard) <= kRoomForOthers) return drop(Drop::kOverload);
  ++of.window_datagrams;
  ask(DtlsAsk::kDatagram, tag_of(slot), datagram);
}

// False when there was no room for all.
bool TurnDtls::tell_ends() {
  while (!ended_.empty() && ask(DtlsAsk::kEnd, ended_.back(), {})) ended_.pop_back();
  return ended_.empty();
}

void TurnDtls::open(std::uint32_t slot, std::span<const std::uint8_t> datagram, Batch& messages,
                    Instant now) {
  Association& from = *associations_[slot];
  DtlsAssociation& association = *from.association;
  Sealed sealed(*this, from.place);
  Opened opened(*this, from, tag_of(slot), messages);
  DtlsRecord record;
  while (!from.doomed && take_record(datagram, record)) {
    // In plaintext nothing more is to come, but what anybody can have sent.
    if (judge(record, DtlsRole::kPassive) != RecordVerdict::kPass || record.epoch == 0) {
      drop(Drop::kNoAssociation);
      continue;
    }
    association.receive(record.whole, now, sealed, opened);
    if (association.phase() == DtlsAssociation::Phase::kClosed) {
      doom(slot, StreamClose::kClient);
    } else if (association.is_deaf()) {
      doom(slot, StreamClose::kTlsFailed);
    } else if (!sealed.take_any() && !opened.take_any()) {
      drop(Drop::kBadRecord);
    }
  }
}

// ---- What the thread has done

void TurnDtls::take_results(Instant now) {
  const std::size_t shard = setup_.shard;
  for (const DtlsResult* result; (result = setup_.thread->next_result(shard)) != nullptr;) {
    std::unique_ptr<DtlsAssociation> made(result->association);
    const std::uint32_t slot = result->client.slot & ~kDtlsSlot;
    Association* const association = find(result->client);
    if (association != nullptr && association->association == nullptr) {
      if (result->answer == DtlsAnswer::kDatagram) {
        emit(association->place, {result->data.data(), result->length});
      } else if (result->answer == DtlsAnswer::kUp) {
        come_up(slot, std::move(made), now);
      } else {
        give_up(slot, result->why, false);
      }
    }
    setup_.thread->pop_result(shard);
  }
  tell_ends();
  flush();
}

void TurnDtls::come_up(std::uint32_t slot, std::unique_ptr<DtlsAssociation> association,
                       Instant now) {
  Association& one = *associations_[slot];
  oldest_.leave(slot);
  shaking_.erase(one.place);
  --half_open_;
  setup_.half_open_gate.leave(setup_.half_open_gate.name_of(one.place.client.ip));
  if (const auto before = up_.find(one.place); before != up_.end()) {
    doom(before->second, StreamClose::kClient);
    reap(now);
  }
  if (setup_.gate.is_nearly_full(TurnStreams::kSpareShare)) {
    make_room();
    reap(now);
  }
  if (!setup_.gate.take_place()) {
    count(StreamClose::kFull);
    say_goodbye(*association, one.place, now);  // it believes that it is up
    return forget(slot);
  }
  one.association = std::move(association);
  one.up_since = one.alone_since = now;
  up_[one.place] = slot;
  lonely_.join(slot);
  counters_.of(ListenerTransport::kDtls).connections_opened.add();
  timers_.set(slot, now + TurnStreams::kLook);
}

// ---- What goes

SendResult TurnDtls::post(const Send& send, Instant now) {
  Association* const to = find(send.tag);
  if (to == nullptr || to->association == nullptr) return SendResult::kFailed;
  Sealed sealed(*this, to->place);
  return to->association->send({send.data, send.length}, now, sealed) ? SendResult::kWaiting
                                                                      : SendResult::kFailed;
}

void TurnDtls::emit(const Place& place, std::span<const std::uint8_t> datagram) {
  if (out_.full()) flush();
  std::uint8_t* const memory = out_memory_.payload(out_.size());
  if (datagram.size() > kPayloadBytesMax + kTailroomBytes) return drop(Drop::kTooLong);
  std::memcpy(memory, datagram.data(), datagram.size());
  out_.push({.data = memory,
             .length = static_cast<std::uint32_t>(datagram.size()),
             .tag = shared_tag(place.socket),
             .destination = place.client});
}

void TurnDtls::flush() {
  if (out_.size() == 0) return;
  handlers_.send({out_.begin(), out_.end()});
  out_.clear();
}

// ---- Ends

// Strangers who hold associations keep nobody out who has come to stay: reap() ends the oldest.
void TurnDtls::make_room() {
  while (const auto slot = lonely_.oldest()) {
    lonely_.leave(*slot);
    if (handlers_.has_allocation(tag_of(*slot))) continue;
    return doom(*slot, StreamClose::kEvicted);
  }
}

// A handshake that comes to nothing.
void TurnDtls::give_up(std::uint32_t slot, StreamClose why, bool tell_thread) {
  if (tell_thread) {
    ended_.push_back(tag_of(slot));
    tell_ends();
  }
  const Place place = associations_[slot]->place;
  count(why);
  oldest_.leave(slot);
  shaking_.erase(place);
  --half_open_;
  setup_.half_open_gate.leave(setup_.half_open_gate.name_of(place.client.ip));
  forget(slot);
}

void TurnDtls::doom(std::uint32_t slot, StreamClose why) {
  Association& association = *associations_[slot];
  if (association.doomed) return;
  association.doomed = true;
  lonely_.leave(slot);
  count(why);
  doomed_.push_back(slot);
}

void TurnDtls::reap(Instant now) {
  for (std::size_t i = 0; i < doomed_.size(); ++i) close(doomed_[i], now);
  doomed_.clear();
  flush();
}

void TurnDtls::close(std::uint32_t slot, Instant now) {
  handlers_.closed(tag_of(slot));
  Association& association = *associations_[slot];
  say_goodbye(*association.association, association.place, now);
  up_.erase(association.place);
  setup_.gate.leave_place();
  counters_.of(ListenerTransport::kDtls).connections_closed.add();
  forget(slot);
}

void TurnDtls::say_goodbye(DtlsAssociation& association, const Place& place, Instant now) {
  std::array<std::uint8_t, kGoodbyeBytesMax> goodbye;
  const std::size_t bytes = association.write_goodbye(now, goodbye);
  if (bytes != 0) emit(place, std::span(goodbye).first(bytes));
}

void TurnDtls::forget(std::uint32_t slot) {
  timers_.cancel(slot);
  setup_.gate.leave(associations_[slot]->source);
  associations_[slot].reset();
  ++generations_[slot];
  free_.push_back(slot);
  --size_;
}

void TurnDtls::on_deadline(Instant now) {
  for (std::uint32_t slot = 0; timers_.pop_due(now, slot);) {
    if (associations_[slot]->association != nullptr) {
      look_at(slot, now);
    } else {
      give_up(slot, StreamClose::kTlsTimeout, true);
    }
  }
  reap(now);
}

void TurnDtls::look_at(std::uint32_t slot, Instant now) {
  Association& association = *associations_[slot];
  if (handlers_.has_allocation(tag_of(slot))) {
    association.alone_since = now;
    lonely_.leave(slot);
  } else if (!lonely_.has(slot) && !association.doomed) {
    lonely_.join(slot);
  }
  timers_.set(slot, now + TurnStreams::kLook);
  if (!association.proven && now - association.up_since >= TurnStreams::kFirstMessage) {
    doom(slot, StreamClose::kSilent);
  } else if (now - association.alone_since >= TurnStreams::kAlone) {
    doom(slot, StreamClose::kIdle);
  }
}

}  // namespace turnpike
