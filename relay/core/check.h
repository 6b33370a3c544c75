// CHECK: a broken invariant of our own. Always on; aborts with its place. Never for input:
// what comes from outside is refused with a DropReason or an Error.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace turnpike {

[[noreturn]] inline void check_failed(const char* what, const char* file, int line) {
  std::fprintf(stderr, "turnpiked: broken invariant: %s (%s:%d)\n", what, file, line);
  std::abort();
}

}  // namespace turnpike

#define CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::turnpike::check_failed(#condition, __FILE__, __LINE__))
#ifdef NDEBUG
#define DCHECK(condition) static_cast<void>(sizeof(condition))
#else
#define DCHECK(condition) CHECK(condition)
#endif
