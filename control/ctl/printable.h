// Text of others on an operator's terminal.
#pragma once

#include <string>

namespace turnpike::ctl {

/// Each byte that is no printable ASCII becomes '?': none of them can play with a terminal.
std::string printable(std::string text);

}  // namespace turnpike::ctl
