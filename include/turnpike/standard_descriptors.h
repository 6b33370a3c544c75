// What every program of ours does first: descriptors 0 to 2 are open.
#pragma once

namespace turnpike {

/// Opens /dev/null in place of a standard descriptor that the caller has closed (`>&-`). Otherwise
/// the first socket or event descriptor takes its number, and what is printed goes there.
void open_standard_descriptors();

}  // namespace turnpike
