// The descriptors that the holder keeps, each once. Never reads or writes through them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "relay/io/holder_client.h"

namespace turnpike {

class HeldSet {
 public:
  explicit HeldSet(std::size_t held_max) : held_max_(held_max) {}
  ~HeldSet() { clear(); }
  HeldSet(const HeldSet&) = delete;
  HeldSet& operator=(const HeldSet&) = delete;

  enum class Outcome : std::uint8_t { kKept, kReplaced, kAlready, kFull, kWrongKind };
  /// Keeps or closes `held.fd`. A socket is known by its inode, a memfd by kind and key.
  Outcome keep(const HeldDescriptor& held);
  /// Closes what is kept of it, and `held.fd`. False when nothing was.
  bool forget(const HeldDescriptor& held);
  void clear();

  std::size_t size() const { return all_.size(); }
  const HeldDescriptor& at(std::size_t position) const { return all_[position].held; }

 private:
  struct Kept {
    HeldDescriptor held;
    std::uint64_t identity;
  };
  using Index = std::unordered_map<std::uint64_t, std::size_t>;  // identity to position
  static bool identify(const HeldDescriptor& held, std::uint64_t& identity);
  Index& index_of_kind(HeldKind kind) { return index_[static_cast<std::size_t>(kind)]; }

  std::size_t held_max_;
  std::vector<Kept> all_;
  Index index_[4];  // by HeldKind, so that no key can be mistaken for another kind's
};

}  // namespace turnpike
