// Families of the front door. Private to the files of control/metrics.h.
#pragma once

#include "control/metrics.h"
#include "control/metrics_families.h"

namespace turnpike::metrics {

/// None on a node without a front door.
void add_front_door(const Figures& figures, Families& families);

}  // namespace turnpike::metrics
