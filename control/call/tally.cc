// Implements tally.h. The names are those that clients of the protocol know; where they tell work
// of the kernel from that of the process, all of it is the process's here.
#include "control/call/tally.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "control/call/dict.h"

namespace turnpike::call {
namespace {

using Value = ng::Value;

constexpr Seconds kMinute{60};

double seconds_of(Nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

void put_both(Value::Dict& dict, const std::string& name, std::uint64_t value) {
  put_number(dict, (name + "_user").c_str(), value);
  put_number(dict, (name + "_kernel").c_str(), 0);
  put_number(dict, name.c_str(), value);
}

Value::Dict interface_of(const PortsInUse& of) {
  const std::uint32_t all = of.port_max - of.port_min + 1;
  const std::uint32_t used = std::min(of.used, all);
  Value::Dict ports;
  put_number(ports, "min", of.port_min);
  put_number(ports, "max", of.port_max);
  put_number(ports, "used", used);
  put_decimal(ports, "used_pct", used * 100.0 / all, 2);
  put_number(ports, "free", all - used);
  put_number(ports, "totals", all);
  Value::Dict dict;
  put_text(dict, "name", of.interface);
  put_text(dict, "address", of.address);
  put_dict(dict, "ports", std::move(ports));
  return dict;
}

}  // namespace

const char* text_of(Ending ending) {
  switch (ending) {
    case Ending::kDeleted:
      return "deleted";
    case Ending::kDeletedLater:
      return "deleted after its delay";
    case Ending::kNotAnswered:
      return "nobody answered";
    case Ending::kSilent:
      return "no media on any of its streams";
    case Ending::kByOperator:
      return "ended by the operator";
    case Ending::kLost:
      return "lost in a restart";
    case Ending::kHeldTooLong:
    case Ending::kCount:
      break;
  }
  return "no media and no signal for too long";
}

void Tally::ended(Ending ending, Nanoseconds duration) {
  ++ended_[static_cast<std::size_t>(ending)];
  const double seconds = seconds_of(duration);
  seconds_ += seconds;
  seconds_squared_ += seconds * seconds;
  minute_.seconds_ended += seconds;
}

void Tally::media(const SessionStats& session) {
  const bool a = session.legs[0].packets_received != 0;
  const bool b = session.legs[1].packets_received != 0;
  if (!a && !b) ++zero_way_;
  if (a != b) ++one_way_;
  for (const LegStats& leg : session.legs) {
    for (std::uint32_t i = 0; i < leg.stream_count && i < kStreamsPerLegMax; ++i) {
      const StreamStats& stream = leg.streams[i];
      packets_lost_ += stream.packets_lost;
      mos_samples_ += stream.quality.samples;
      mos_sum_ += stream.quality.average.mos_hundredths / 100.0 * stream.quality.samples;
    }
  }
}

void Tally::given_up(const SessionStats& session) {
  const auto carried = [](const LegStats& leg) { return leg.packets_received != 0; };
  // What the answer refused was never to have media.
  if (std::any_of(session.legs.begin(), session.legs.end(), carried)) media(session);
}

void Tally::sample(const Relayed& relayed, std::size_t calls, Instant now) {
  const double seconds = seconds_of(now - sampled_);
  if (seconds <= 0) return;
  const auto rate = [seconds](std::uint64_t before, std::uint64_t after) {
    return static_cast<std::uint64_t>(static_cast<double>(after - before) / seconds);
  };
  rate_ = {rate(last_.packets, relayed.packets), rate(last_.bytes, relayed.bytes),
           rate(last_.errors, relayed.errors)};
  last_ = relayed;
  sampled_ = now;
  minute_.calls_max = std::max<std::uint64_t>(minute_.calls_max, calls);
  minute_.calls_min = std::min<std::uint64_t>(minute_.calls_min, calls);
  if (now - minute_began_ < kMinute) return;
  before_ = std::exchange(minute_, Minute{calls, calls, 0});
  minute_began_ = now;
}

Value::Dict Tally::current(std::size_t calls, std::uint32_t sessions) const {
  Value::Dict dict;
  put_number(dict, "sessionsown", calls);
  put_number(dict, "sessionsforeign", 0);
  put_number(dict, "sessionstotal", calls);
  put_number(dict, "transcodedmedia", 0);
  put_both(dict, "packetrate", rate_.packets);
  put_both(dict, "byterate", rate_.bytes);
  put_both(dict, "errorrate", rate_.errors);
  put_number(dict, "media_userspace", std::uint64_t{sessions} * 2);
  put_number(dict, "media_kernel", 0);
  put_number(dict, "media_mixed", 0);
  return dict;
}

Value::Dict Tally::total(const Relayed& relayed, Instant now) const {
  const auto of = [this](Ending ending) { return ended_[static_cast<std::size_t>(ending)]; };
  const std::uint64_t calls = std::accumulate(ended_.begin(), ended_.end(), std::uint64_t{0});
  const double n = static_cast<double>(std::max<std::uint64_t>(calls, 1));
  const double average = seconds_ / n;
  Value::Dict dict;
  put_number(dict, "uptime", std::chrono::duration_cast<Seconds>(now - start_).count());
  put_number(dict, "managedsessions", calls);
  put_number(dict, "rejectedsessions", refused_);
  put_number(dict, "timeoutsessions", of(Ending::kSilent));
  put_number(dict, "silenttimeoutsessions", of(Ending::kHeldTooLong));
  put_number(dict, "finaltimeoutsessions", 0);
  put_number(dict, "offertimeoutsessions", of(Ending::kNotAnswered));
  put_number(dict, "regularterminatedsessions", of(Ending::kDeleted) + of(Ending::kDeletedLater));
  put_number(dict, "forcedterminatedsessions", of(Ending::kByOperator) + of(Ending::kLost));
  put_both(dict, "relayedpackets", relayed.packets);
  put_both(dict, "relayedpacketerrors", relayed.errors);
  put_both(dict, "relayedbytes", relayed.bytes);
  put_number(dict, "zerowaystreams", zero_way_);
  put_number(dict, "onewaystreams", one_way_);
  put_decimal(dict, "avgcallduration", average, 6);
  put_decimal(dict, "totalcallsduration", seconds_, 6);
  put_decimal(dict, "totalcallsduration2", seconds_squared_, 6);
  const double variance = std::max(seconds_squared_ / n - average * average, 0.0);
  put_decimal(dict, "totalcallsduration_stddev", std::sqrt(variance), 6);
  return dict;
}

Value::Dict Tally::tree(const Relayed& relayed, std::size_t calls, std::uint32_t sessions,
                        const std::vector<PortsInUse>& ports, Instant now) const {
  Value::Dict tree;
  put_dict(tree, "currentstatistics", current(calls, sessions));
  put_dict(tree, "totalstatistics", total(relayed, now));
  Value::Dict interval;
  put_decimal(interval, "totalcallsduration", before_.seconds_ended, 6);
  put_number(interval, "minmanagedsessions", before_.calls_min);
  put_number(interval, "maxmanagedsessions", before_.calls_max);
  put_dict(tree, "intervalstatistics", std::move(interval));
  Value::Dict mos;
  put_decimal(mos, "mos_total", mos_sum_, 6);
  put_number(mos, "mos_samples_total", mos_samples_);
  put_decimal(mos, "mos_average",
              mos_samples_ == 0 ? 0 : mos_sum_ / static_cast<double>(mos_samples_), 6);
  put_dict(tree, "mos", std::move(mos));
  Value::Dict voip;
  put_number(voip, "packets_lost", packets_lost_);
  put_dict(tree, "voip_metrics", std::move(voip));
  Value::List interfaces;
  for (const PortsInUse& one : ports) interfaces.emplace_back(interface_of(one));
  put_list(tree, "interfaces", std::move(interfaces));
  put_list(tree, "transcoders", Value::List{});
  return tree;
}

}  // namespace turnpike::call
