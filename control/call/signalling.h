// What the state of a call says to who judges its media.
#pragma once

#include "control/call/call.h"
#include "control/diagnosis/diagnosis.h"

namespace turnpike::call {

diagnosis::Signalling signalling_of(const Call& call, const CallMedia& media);

}  // namespace turnpike::call
