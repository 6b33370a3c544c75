// What the kernel says about a running process, read from /proc.
#pragma once

#include <cstdint>

namespace turnpike::bench {

struct ProcessFigures {
  std::uint64_t cpu_ns = 0;     ///< on a processor, all threads that live
  std::uint64_t waited_ns = 0;  ///< ready to run but waiting for a processor, all threads
  std::uint64_t resident_kib = 0;
  std::uint64_t descriptors = 0;
  std::uint64_t kernel_kib = 0;  ///< the kernel's tables (Slab), those for all processes together
};

/// Zero, but for the kernel's, when there is no such process.
ProcessFigures observe(int pid);

}  // namespace turnpike::bench
