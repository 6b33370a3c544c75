// What turnpike_load tells at its end: one line of JSON.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/load/observed_process.h"
#include "bench/load/options.h"
#include "bench/load/traffic.h"

namespace turnpike::bench {

class JsonLine {
 public:
  JsonLine& word(const char* name, const std::string& value);
  JsonLine& count(const char* name, std::uint64_t value);
  JsonLine& number(const char* name, double value);
  JsonLine& list(const char* name, const std::vector<JsonLine>& values);
  void print() const;

 private:
  JsonLine& raw(const char* name, const std::string& value);

  std::string line_;
};

/// What the relay's process spends: on setting calls up, and on their traffic.
class RelayCost {
 public:
  explicit RelayCost(int pid) : pid_(pid), idle_(observe(pid)) {}

  void set_up(double seconds);
  void traffic_begins();
  void traffic_ends();
  /// False when the process is no more.
  bool is_whole() const;
  void put(JsonLine& line, double calls, double packets) const;

 private:
  int pid_;
  ProcessFigures idle_;
  ProcessFigures up_;
  ProcessFigures before_;
  ProcessFigures after_;
  double set_up_seconds_ = 0;  // all calls, one after another
  std::chrono::steady_clock::time_point begin_;
  double measured_ns_ = 1;  // longer than planned when the generator could not keep up
};

/// `cost`: none when there is no relay.
void print_figures(const Options& options, const TrafficResult& traffic, const RelayCost* cost);

}  // namespace turnpike::bench
