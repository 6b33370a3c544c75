// Which connections may wait for their handshake: limits in all and by source address, and a pause
// for peers that gave a wrong password. An engine: it is given the time.
//
// A source is an IPv4 address or an IPv6 /64, because who has one address of those has them all.
// A pause is for the name that a certificate has proved, at one source: several nodes may share an
// address, and whoever has another one's certificate elsewhere must not keep that one out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>

#include "control/zone/reason.h"
#include "turnpike/address.h"
#include "turnpike/time.h"

namespace turnpike::zone {

struct AdmissionLimits {
  std::uint32_t waiting_max = 64;
  std::uint32_t waiting_known_max = 16;  ///< more, of sources that gave the password before
  std::uint32_t waiting_per_source_max = 16;
  std::uint32_t arrivals_burst = 20;      ///< connections of one source at once, …
  std::uint32_t arrivals_per_second = 2;  ///< … and in the long run
  /// The same for all sources together that have not given the password before. Each arrival may
  /// cost the control thread a handshake's public-key work.
  std::uint32_t strangers_burst = 24;
  std::uint32_t strangers_per_second = 20;
  std::size_t sources_max = 1024;         ///< remembered at a time
  Milliseconds password_pause_min{1000};  ///< after one wrong password; doubles with each
  Milliseconds password_pause_max{60000};
};

class Admission {
 public:
  explicit Admission(const AdmissionLimits& limits) : limits_(limits) {}

  /// A connection has come. kNone: it may wait, and settled() is due for it.
  Reason arrive(const IpAddress& from, Instant now);
  /// A connection that arrive() let in is through its handshake, or gone.
  void settled(const IpAddress& from);
  /// Whether who has proved `name` in TLS may try a password now: kNone or kAfterWrongPassword.
  Reason try_password(const IpAddress& from, const std::string& name, Instant now) const;
  void passed_password(const IpAddress& from, const std::string& name);
  void gave_wrong_password(const IpAddress& from, const std::string& name, Instant now);

  std::size_t waiting() const { return waiting_; }
  std::size_t sources() const { return sources_.size(); }

 private:
  /// Arrivals that are left of a burst.
  struct Allowance {
    double left = 0;
    Instant counted{};

    void refill(std::uint32_t burst, std::uint32_t per_second, Instant now);
  };
  struct Pause {
    std::uint32_t wrong_passwords = 0;
    Instant until{};
  };
  struct Source {
    std::uint32_t waiting = 0;
    Allowance arrivals;
    std::map<std::string, Pause> pauses{};  // by name: those of configured peers
    bool known = false;                     // gave the right password since we started
  };

  void refill(Source& source, Instant now) const {
    source.arrivals.refill(limits_.arrivals_burst, limits_.arrivals_per_second, now);
  }
  Reason judge(Source& source, Instant now);
  bool is_idle(const Source& source, Instant now) const;
  bool make_room(Instant now);

  AdmissionLimits limits_;
  std::size_t waiting_ = 0;
  Allowance strangers_{static_cast<double>(limits_.strangers_burst), {}};
  std::unordered_map<IpAddress, Source> sources_;
};

}  // namespace turnpike::zone
