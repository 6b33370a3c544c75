// Families of the TURN server. Private to the files of control/metrics.h.
#pragma once

#include "control/metrics.h"
#include "control/metrics_families.h"

namespace turnpike::metrics {

/// The first two also on a node without TURN, so that alerts always have a value to judge.
void add_turn(const Figures& figures, Families& families);

}  // namespace turnpike::metrics
