#include "bench/load/observed_process.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace turnpike::bench {

ProcessFigures observe(int pid) {
  const std::filesystem::path folder = "/proc/" + std::to_string(pid);
  ProcessFigures figures;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator(folder / "task", error)) {
    // The scheduler's own figures: nanoseconds, not clock ticks.
    std::ifstream schedstat(task.path() / "schedstat");
    std::uint64_t cpu_ns = 0;
    std::uint64_t waited_ns = 0;
    schedstat >> cpu_ns >> waited_ns;
    figures.cpu_ns += cpu_ns;
    figures.waited_ns += waited_ns;
  }
  std::ifstream status(folder / "status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) {
      figures.resident_kib = std::strtoull(line.c_str() + 6, nullptr, 10);
    }
  }
  for (std::filesystem::directory_iterator at(folder / "fd", error), end; !error && at != end;
       at.increment(error)) {
    ++figures.descriptors;
  }
  std::ifstream memory("/proc/meminfo");
  for (std::string line; std::getline(memory, line);) {
    if (line.starts_with("Slab:")) {
      figures.kernel_kib = std::strtoull(line.c_str() + 5, nullptr, 10);
    }
  }
  return figures;
}

}  // namespace turnpike::bench
