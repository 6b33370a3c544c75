#include "bench/load/schedule.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace turnpike::bench {
namespace {

constexpr std::uint32_t kSequenceNumbers = 0x10000;

std::uint32_t at_least_one(double packets) {
  return static_cast<std::uint32_t>(std::clamp<double>(packets, 1, kSequenceNumbers));
}

}  // namespace

std::vector<Span> spans_of(const TrafficPlan& plan, std::size_t streams) {
  std::vector<Span> spans;
  const auto add = [&](std::uint32_t rate, std::uint32_t seconds, std::size_t phase) {
    Span span;
    const double per_second = rate / static_cast<double>(streams);
    span.begin = spans.empty() ? 0 : spans.back().begin + spans.back().count;
    span.count = at_least_one(per_second * seconds);
    span.first_second = at_least_one(per_second);
    span.interval_ns = static_cast<double>(kSecondNs) / per_second;
    span.phase = phase;
    spans.push_back(span);
  };
  if (plan.warm_up_seconds > 0) {
    add(plan.phases.front().packets_per_second, plan.warm_up_seconds, kWarmUp);
  }
  for (std::size_t i = 0; i < plan.phases.size(); ++i) {
    add(plan.phases[i].packets_per_second, plan.phases[i].seconds, i);
  }
  if (spans.back().begin + spans.back().count >= kSequenceNumbers) {
    std::fprintf(stderr,
                 "turnpike_load: a stream would need more than the 65535 packets that it has "
                 "numbers for: more calls, or less time\n");
    std::exit(1);
  }
  return spans;
}

}  // namespace turnpike::bench
