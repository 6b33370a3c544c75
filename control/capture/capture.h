// Captures that run: which legs of a call are tapped, when it is enough, and the file that comes of
// it, bit by bit. Hides: tap numbers, sessions that come and go. Is not: the file's format
// (pcapng.h), nor who may ask.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/api/body_stream.h"
#include "control/call/call_service.h"
#include "control/capture/pcapng.h"
#include "turnpike/capture.h"
#include "turnpike/result.h"
#include "turnpike/time.h"

namespace turnpike::capture {

constexpr std::size_t kCapturesMax = 4;
constexpr std::size_t kRemoteCapturesMax = 3;  ///< one place is kept for this host's operator
constexpr Seconds kTimeMax{600};
constexpr std::uint64_t kPacketsMax = 1000000;
/// What waits for a reader who is slower than the call, of one capture; more is missing.
constexpr std::size_t kWaitingBytesMax = std::size_t{4} << 20;

enum class Allowed : std::uint8_t { kNothing, kHeaders, kAll };

struct Wish {
  std::string call_id;  ///< as CallService::calls_named
  std::optional<Side> leg{};
  bool headers_only = false;
  bool plain_payload = false;  ///< also of legs that are plain RTP on the wire
  bool remote = false;         ///< asked from another host
  Seconds time{30};            ///< 1 to kTimeMax
  std::uint64_t packets_max = 100000;
};

/// How a capture went; for the log.
struct End {
  std::string call_id;
  std::string why;
  std::uint64_t packets = 0;
  std::uint64_t missing = 0;
  std::size_t legs_left_out = 0;  ///< that could not be tapped for want of taps, at worst
};

class Service {
 public:
  struct Environment {
    std::function<Instant()> clock;
    std::function<Date()> date;
    std::function<std::vector<call::CallSummary>(const std::string& call_id)> calls;
    std::function<void(const End&)> ended;
  };
  /// `captures` outlives this.
  Service(Captures& captures, Environment environment);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  enum class Refusal : std::uint8_t { kNoCall, kTooMany, kNoTaps, kForbidden, kHeadersOnly };
  /// A pcapng file that begins now. When nobody holds it any more, the capture is over.
  std::shared_ptr<api::BodyStream> start(const Wish& wish, Refusal& refusal);

  /// Takes over what was captured. Call it about ten times a second.
  void poll();
  /// Looks which sessions the calls have. Call it about once a second.
  void on_tick();
  std::size_t running() const { return running_.size(); }

  /// From now on; ends those that run and would not be begun any more.
  void allow(Allowed allowed);
  /// Those that were asked for from another host: whoever did may have lost the right.
  void end_remote(const std::string& why);
  void end_all(const std::string& why);

 private:
  class File;
  struct Tapped {
    CaptureTap tap;
    File* file = nullptr;  // which takes its taps along
    std::uint32_t interface = 0;
    std::uint64_t missed_before = 0;
  };

  void follow(File& file);
  bool add_tap(File& file, const call::CallSummary& call, const call::SessionSummary& session,
               Side side);
  bool is_allowed(const Wish& wish) const;
  void release(std::optional<Tapped>& tapped);
  void take(const CapturedPacket& packet);
  void end(File& file, const std::string& why);

  Captures& captures_;
  Environment environment_;
  Allowed allowed_ = Allowed::kAll;
  std::array<std::optional<Tapped>, kTapsMax> taps_;
  std::size_t next_tap_ = 0;
  std::vector<File*> running_;
};

}  // namespace turnpike::capture
