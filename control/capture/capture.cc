#include "control/capture/capture.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace turnpike::capture {
namespace {

/// Text of others: a Call-ID may hold anything, the file wants UTF-8.
std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

std::string contents(const Wish& wish) {
  if (wish.headers_only) return "of RTP and SRTP headers only";
  return wish.plain_payload ? "datagrams as on the wire, what is not encrypted too"
                            : "datagrams as on the wire, on legs of plain RTP headers only";
}

/// Room for all that waits and was not yet given up, so that no copy is left behind by growing.
constexpr std::size_t kBufferBytes = 2 * kWaitingBytesMax + (std::size_t{1} << 16);

bool has_session(const std::vector<call::CallSummary>& calls, const SessionId& id) {
  return std::any_of(calls.begin(), calls.end(), [&](const call::CallSummary& call) {
    return std::any_of(call.sessions.begin(), call.sessions.end(),
                       [&](const call::SessionSummary& session) { return session.id == id; });
  });
}

}  // namespace

/// One capture, while somebody reads it.
class Service::File final : public api::BodyStream {
 public:
  struct Leg {
    std::string call_id;
    Side side = Side::kA;
    std::uint64_t received = 0;
    std::uint64_t missing = 0;
  };

  File(Service& service, const Wish& asked, Instant now)
      : wish(asked),
        until(now + asked.time),
        begun(service.environment_.date()),
        service_(&service) {
    waiting_ = section_header("turnpiked " TURNPIKE_VERSION,
                              "call " + printable(wish.call_id) + ": " + contents(wish));
  }
  ~File() override {
    if (service_ != nullptr) service_->end(*this, "the reader has gone");
    wipe();
  }

  std::string take(std::size_t bytes_max) override {
    const std::size_t bytes = std::min(bytes_max, waiting_.size() - taken_);
    std::string part = waiting_.substr(taken_, bytes);
    taken_ += bytes;
    if (taken_ == waiting_.size()) wipe();
    return part;
  }
  bool ended() const override { return service_ == nullptr && waiting_.empty(); }

  std::uint32_t interface_of(const call::CallSummary& call, const call::SessionSummary& session,
                             Side side) {
    const auto known = std::find_if(legs.begin(), legs.end(), [&](const Leg& leg) {
      return leg.call_id == call.call_id && leg.side == side;
    });
    if (known != legs.end()) return static_cast<std::uint32_t>(known - legs.begin());
    const call::LegSummary& summary = session.legs[index_of(side)];
    const std::string letter = side == Side::kA ? "a" : "b";
    waiting_ += interface_description(
        "leg " + letter, summary.interface + ", " + std::string(summary.keying) +
                             (summary.local.is_set() ? "" : ", inside a flow of the pair") +
                             ", call " + printable(call.call_id));
    legs.push_back({call.call_id, side});
    return static_cast<std::uint32_t>(legs.size() - 1);
  }

  void add(const Datagram& datagram) {
    Leg& leg = legs[datagram.interface];
    ++leg.received;
    if (waiting_.size() - taken_ > kWaitingBytesMax) {
      ++leg.missing;
      return;
    }
    if (waiting_.capacity() < kBufferBytes) waiting_.reserve(kBufferBytes);
    if (taken_ > kWaitingBytesMax) give_up_taken();
    waiting_ += packet(datagram);
    ++packets;
  }

  /// The last blocks. Nobody will add to it any more.
  void end(const std::string& why, Date now) {
    for (std::size_t i = 0; i < legs.size(); ++i) {
      waiting_ += statistics({.interface = static_cast<std::uint32_t>(i),
                              .begin = begun,
                              .end = now,
                              .received = legs[i].received,
                              .missing = legs[i].missing,
                              .comment = why});
    }
    service_ = nullptr;
    tell();
  }
  void tell_reader(bool also_of_nothing) {
    if (also_of_nothing || !waiting_.empty()) tell();
  }
  const Wish wish;
  const Instant until;
  const Date begun;
  std::vector<Leg> legs;  // by number of the interface
  std::size_t legs_left_out = 0;
  std::uint64_t packets = 0;

 private:
  // What was said in a call is kept no longer than it is needed.
  void wipe() {
    ::explicit_bzero(waiting_.data(), waiting_.size());
    waiting_.clear();
    taken_ = 0;
  }
  void give_up_taken() {
    const std::size_t size = waiting_.size();
    waiting_.erase(0, taken_);
    waiting_.resize(size);  // zeros over what was moved away
    waiting_.resize(size - std::exchange(taken_, 0));
  }

  Service* service_;  // null: it is over
  std::string waiting_;
  std::size_t taken_ = 0;
};

Service::Service(Captures& captures, Environment environment)
    : captures_(captures), environment_(std::move(environment)) {}

Service::~Service() {
  end_all("the daemon ends");
}

std::shared_ptr<api::BodyStream> Service::start(const Wish& wish, Refusal& refusal) {
  refusal = allowed_ == Allowed::kNothing ? Refusal::kForbidden : Refusal::kHeadersOnly;
  if (!is_allowed(wish)) return nullptr;
  refusal = Refusal::kTooMany;
  const auto remote = static_cast<std::size_t>(std::count_if(
      running_.begin(), running_.end(), [](const File* file) { return file->wish.remote; }));
  if (running_.size() >= kCapturesMax || (wish.remote && remote >= kRemoteCapturesMax)) {
    return nullptr;
  }
  refusal = Refusal::kNoTaps;
  if (std::all_of(taps_.begin(), taps_.end(), [](const auto& tapped) { return tapped; })) {
    return nullptr;
  }
  refusal = Refusal::kNoCall;
  if (environment_.calls(wish.call_id).empty()) return nullptr;
  auto file = std::make_shared<File>(*this, wish, environment_.clock());
  running_.push_back(file.get());
  follow(*file);
  return file;
}

// Sessions that have gone give their taps back, and those that are not tapped yet get some: at the
// start, and as m-lines come and go.
void Service::follow(File& file) {
  const auto calls = environment_.calls(file.wish.call_id);
  if (calls.empty()) return end(file, "the call is over");
  for (std::optional<Tapped>& tapped : taps_) {
    if (tapped && tapped->file == &file && !has_session(calls, tapped->tap.session)) {
      release(tapped);
    }
  }
  std::size_t left_out = 0;
  for (const call::CallSummary& call : calls) {
    for (const call::SessionSummary& session : call.sessions) {
      for (const Side side : {Side::kA, Side::kB}) {
        if (file.wish.leg.value_or(side) != side) continue;
        if (!add_tap(file, call, session, side)) ++left_out;
      }
    }
  }
  file.legs_left_out = std::max(file.legs_left_out, left_out);
}

// False: there is no tap left.
bool Service::add_tap(File& file, const call::CallSummary& call,
                      const call::SessionSummary& session, Side side) {
  std::optional<std::size_t> free;
  for (std::size_t i = 0; i < taps_.size(); ++i) {
    // The next number, so that what comes late for an older tap is not taken for this one's.
    const std::size_t number = (next_tap_ + i) % taps_.size();
    const std::optional<Tapped>& tapped = taps_[number];
    if (!tapped && !free) free = number;
    if (tapped && tapped->tap.session == session.id && tapped->tap.side == side &&
        tapped->file == &file) {
      return true;
    }
  }
  if (!free) return false;
  Tapped tapped;
  tapped.tap = {.number = static_cast<std::uint8_t>(*free),
                .session = session.id,
                .side = side,
                .headers_only = file.wish.headers_only,
                .plain_payload = file.wish.plain_payload};
  if (!captures_.add(tapped.tap)) return true;  // tried again with the next tick
  tapped.file = &file;
  tapped.interface = file.interface_of(call, session, side);
  tapped.missed_before = captures_.missed(tapped.tap.number);
  taps_[*free] = tapped;
  next_tap_ = (*free + 1) % taps_.size();
  return true;
}

void Service::release(std::optional<Tapped>& tapped) {
  captures_.remove(tapped->tap);
  File::Leg& leg = tapped->file->legs[tapped->interface];
  const std::uint64_t missed = captures_.missed(tapped->tap.number) - tapped->missed_before;
  leg.missing += missed;
  leg.received += missed;
  tapped.reset();
}

bool Service::is_allowed(const Wish& wish) const {
  return allowed_ == Allowed::kAll || (allowed_ == Allowed::kHeaders && wish.headers_only);
}

void Service::allow(Allowed allowed) {
  allowed_ = allowed;
  const auto running = running_;
  for (File* const file : running) {
    if (!is_allowed(file->wish)) end(*file, "it is not allowed any more");
  }
}

void Service::end_remote(const std::string& why) {
  const auto running = running_;
  for (File* const file : running) {
    if (file->wish.remote) end(*file, why);
  }
}

void Service::end_all(const std::string& why) {
  const auto running = running_;
  for (File* const file : running) end(*file, why);
}

// Also when none runs (any more): what was copied for one must not stay where it is.
void Service::poll() {
  captures_.poll([this](const CapturedPacket& packet) { take(packet); });
  const Instant now = environment_.clock();
  const auto running = running_;
  for (File* const file : running) {
    const char* why = file->packets >= file->wish.packets_max ? "enough packets"
                      : now >= file->until                    ? "the time is over"
                                                              : nullptr;
    if (why != nullptr) {
      end(*file, why);
    } else {
      file->tell_reader(false);
    }
  }
}

void Service::on_tick() {
  poll();  // the last packets of sessions that have gone
  const auto running = running_;
  for (File* const file : running) {
    follow(*file);
    file->tell_reader(true);
  }
}

void Service::take(const CapturedPacket& packet) {
  const std::optional<Tapped>& tapped = taps_[packet.tap];
  if (!tapped || tapped->tap.session != packet.session || tapped->tap.side != packet.side) return;
  if (tapped->file->packets >= tapped->file->wish.packets_max) return;
  // Both clocks now: a date that is set meanwhile moves what follows, as in every log.
  const Date at = environment_.date() - (environment_.clock() - packet.at);
  tapped->file->add({.interface = tapped->interface,
                     .at = at,
                     .sent = packet.sent,
                     .source = packet.source,
                     .destination = packet.destination,
                     .length = packet.length,
                     .bytes = packet.bytes});
}

// Ends its taps, and tells of it.
void Service::end(File& file, const std::string& why) {
  std::erase(running_, &file);
  for (std::optional<Tapped>& tapped : taps_) {
    if (tapped && tapped->file == &file) release(tapped);
  }
  End ended{file.wish.call_id, why, file.packets, 0, file.legs_left_out};
  for (const File::Leg& leg : file.legs) ended.missing += leg.missing;
  const std::string left_out = file.legs_left_out == 0
                                   ? ""
                                   : "; " + std::to_string(file.legs_left_out) +
                                         " legs are not in it: " + std::to_string(kTapsMax) +
                                         " are captured at most";
  file.end(why + left_out, environment_.date());
  environment_.ended(ended);
}

}  // namespace turnpike::capture
