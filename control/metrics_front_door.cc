// The front door's figures.
#include "control/metrics_front_door.h"

#include "turnpike/front_door.h"

namespace turnpike::metrics {

void add_front_door(const Figures& figures, Families& families) {
  if (figures.front_door == nullptr) return;
  const door::Counters& counters = figures.front_door->counters();
  const std::uint64_t left = counters.left.value();  // first: it never exceeds the other
  families.gauge("turnpike_front_door_connections", "Connections that the front door holds.")
      .add(counters.entered.value() - left)
      .counter("turnpike_front_door_connections_total",
               "Connections that came to the front door, by what became of them.");
  for (std::size_t i = 0; i < door::kOutcomeCount; ++i) {
    families.add(counters.outcomes[i].value(), "outcome", door::kOutcomes[i].label);
  }
}

}  // namespace turnpike::metrics
