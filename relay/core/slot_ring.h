// Slots of a table in the order in which they joined: joining, leaving and asking for the oldest
// take the same time however many there are. Is not: the table.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace turnpike {

class SlotRing {
 public:
  explicit SlotRing(std::uint32_t slots) : around_(slots + 1) {
    for (std::uint32_t slot = 0; slot <= slots; ++slot) around_[slot] = {slot, slot};
  }

  bool has(std::uint32_t slot) const { return around_[slot].after != slot; }
  /// As the newest. It must not be there.
  void join(std::uint32_t slot) {
    const std::uint32_t head = this->head();
    const std::uint32_t last = around_[head].before;
    around_[slot] = {last, head};
    around_[last].after = around_[head].before = slot;
  }
  /// Nothing when it is not there.
  void leave(std::uint32_t slot) {
    const Neighbours of = around_[slot];
    around_[of.before].after = of.after;
    around_[of.after].before = of.before;
    around_[slot] = {slot, slot};
  }
  std::optional<std::uint32_t> oldest() const {
    const std::uint32_t first = around_[head()].after;
    if (first == head()) return std::nullopt;
    return first;
  }

 private:
  // A ring by whom comes before and after; its head stands behind the last slot. Alone: in no ring.
  struct Neighbours {
    std::uint32_t before = 0;
    std::uint32_t after = 0;
  };
  std::uint32_t head() const { return static_cast<std::uint32_t>(around_.size() - 1); }

  std::vector<Neighbours> around_;
};

}  // namespace turnpike
