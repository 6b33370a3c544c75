// The command line of turnpike_load.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "bench/load/ng_session.h"
#include "bench/load/traffic.h"

namespace turnpike::bench {

struct Options {
  std::uint16_t ng = 0;
  int pid = 0;
  Mode mode = Mode::kSrtpRtp;
  std::string mode_name = "srtp-rtp";
  std::uint32_t calls = 100;
  bool direct = false;
  bool set_up_only = false;
  std::uint32_t seconds = 10;
  std::uint32_t rate = 0;  // 0: as calls do
  TrafficPlan plan{{"127.0.0.1", "127.0.0.1"}, 172, Framing::kNone, Transport::kUdp, {}};
  std::array<std::string, 2> local{"127.0.0.1", "127.0.0.1"};
  std::string secret_file;  // of a TURN server

  bool turn() const { return plan.framing != Framing::kNone; }
};

/// Ends the program when something is wrong.
Options parse_options(int argc, char** argv);

}  // namespace turnpike::bench
