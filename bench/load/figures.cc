#include "bench/load/figures.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include <unistd.h>

namespace turnpike::bench {
namespace {

double growth(std::uint64_t from, std::uint64_t to) {
  return static_cast<double>(to) - static_cast<double>(from);
}

JsonLine of_phase(const Phase& planned, const PhaseResult& phase) {
  JsonLine line;
  line.count("rate", planned.packets_per_second)
      .count("seconds", planned.seconds)
      .count("sent", phase.sent)
      .count("received", phase.received)
      .count("late", phase.late)
      .count("first_second_sent", phase.first_second_sent)
      .count("first_second_received", phase.first_second_received)
      .count("first_second_late", phase.first_second_late)
      .number("sent_per_second", phase.sent_per_second)
      .number("delay_p50_us", phase.delay_p50_us)
      .number("delay_p99_us", phase.delay_p99_us)
      .number("generator_late_percent", 100.0 * phase.sent_late_share);
  return line;
}

}  // namespace

JsonLine& JsonLine::word(const char* name, const std::string& value) {
  return raw(name, "\"" + value + "\"");
}

JsonLine& JsonLine::count(const char* name, std::uint64_t value) {
  return raw(name, std::to_string(value));
}

JsonLine& JsonLine::number(const char* name, double value) {
  std::array<char, 64> digits{};
  std::snprintf(digits.data(), digits.size(), "%.4f", value);
  return raw(name, digits.data());
}

JsonLine& JsonLine::list(const char* name, const std::vector<JsonLine>& values) {
  std::string text;
  for (const JsonLine& value : values) text += (text.empty() ? "{" : ",{") + value.line_ + "}";
  return raw(name, "[" + text + "]");
}

void JsonLine::print() const {
  std::printf("{%s}\n", line_.c_str());
}

JsonLine& JsonLine::raw(const char* name, const std::string& value) {
  line_ += std::string(line_.empty() ? "" : ",") + "\"" + name + "\":" + value;
  return *this;
}

void RelayCost::set_up(double seconds) {
  set_up_seconds_ = seconds;
  up_ = observe(pid_);
}

void RelayCost::traffic_begins() {
  before_ = observe(pid_);
  begin_ = std::chrono::steady_clock::now();
}

void RelayCost::traffic_ends() {
  after_ = observe(pid_);
  const std::chrono::duration<double, std::nano> lasted = std::chrono::steady_clock::now() - begin_;
  measured_ns_ = lasted.count();
}

bool RelayCost::is_whole() const {
  return after_.cpu_ns >= before_.cpu_ns && after_.resident_kib != 0;
}

void RelayCost::put(JsonLine& line, double calls, double packets) const {
  const double cpu_ns = growth(before_.cpu_ns, after_.cpu_ns);
  line.number("cpu_ns_per_packet", cpu_ns / packets)
      .number("cpu_percent", 100.0 * cpu_ns / measured_ns_)
      .number("waited_percent", 100.0 * growth(before_.waited_ns, after_.waited_ns) / measured_ns_)
      .number("memory_kib_per_call", growth(idle_.resident_kib, after_.resident_kib) / calls)
      .count("memory_idle_kib", idle_.resident_kib)
      .number("kernel_kib_per_call", growth(idle_.kernel_kib, up_.kernel_kib) / calls)
      .number("descriptors_per_call", growth(idle_.descriptors, up_.descriptors) / calls)
      .number("set_ups_per_second", calls / set_up_seconds_)
      .number("cpu_us_per_set_up", growth(idle_.cpu_ns, up_.cpu_ns) / 1000.0 / calls);
}

void print_figures(const Options& options, const TrafficResult& traffic, const RelayCost* cost) {
  const auto sent = static_cast<double>(std::max<std::uint64_t>(traffic.sent, 1));
  const auto received = static_cast<double>(std::max<std::uint64_t>(traffic.received, 1));
  JsonLine line;
  line.word("mode", options.direct ? "direct" : options.mode_name)
      .count("calls", options.calls)
      .count("bytes", options.plan.packet_bytes)
      .count("sent", traffic.sent)
      .count("received", traffic.received)
      .number("lost_percent", 100.0 * (sent - static_cast<double>(traffic.received)) / sent)
      .count("duplicates", traffic.duplicates)
      .count("foreign", traffic.foreign)
      .count("too_late", traffic.too_late)
      .count("late", traffic.late)
      .count("checked", traffic.checked)
      .count("bad", traffic.bad)
      .number("delay_p50_us", traffic.delay_p50_us)
      .number("delay_p99_us", traffic.delay_p99_us)
      .number("delay_p999_us", traffic.delay_p999_us)
      .count("generator_unread", traffic.unread)
      .number("generator_late_percent", 100.0 * traffic.sent_late_share)
      .number("generator_waited_seconds", static_cast<double>(observe(getpid()).waited_ns) / 1e9);
  if (cost != nullptr) cost->put(line, options.calls, received);
  std::vector<JsonLine> phases;
  for (std::size_t i = 0; i < traffic.phases.size(); ++i) {
    phases.push_back(of_phase(options.plan.phases[i], traffic.phases[i]));
  }
  line.list("phases", phases).print();
}

}  // namespace turnpike::bench
