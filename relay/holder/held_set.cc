// The bookkeeping of held_set.h.
#include "relay/holder/held_set.h"

#include <sys/stat.h>
#include <unistd.h>

namespace turnpike {

bool HeldSet::identify(const HeldDescriptor& held, std::uint64_t& identity) {
  struct stat status {};
  if (fstat(held.fd, &status) != 0) return false;
  switch (held.kind) {
    case HeldKind::kSocket:
      identity = status.st_ino;
      return S_ISSOCK(status.st_mode);
    case HeldKind::kArena:
    case HeldKind::kRecords:
      identity = held.key;
      return S_ISREG(status.st_mode);
  }
  return false;
}

HeldSet::Outcome HeldSet::keep(const HeldDescriptor& held) {
  std::uint64_t identity = 0;
  if (!identify(held, identity)) {
    close(held.fd);
    return Outcome::kWrongKind;
  }
  Index& index = index_of_kind(held.kind);
  if (const auto known = index.find(identity); known != index.end()) {
    HeldDescriptor& kept = all_[known->second].held;
    if (held.kind == HeldKind::kSocket) {
      close(held.fd);
      return Outcome::kAlready;
    }
    close(kept.fd);
    kept = held;
    return Outcome::kReplaced;
  }
  if (all_.size() >= held_max_) {
    close(held.fd);
    return Outcome::kFull;
  }
  index.emplace(identity, all_.size());
  all_.push_back({held, identity});
  return Outcome::kKept;
}

bool HeldSet::forget(const HeldDescriptor& held) {
  std::uint64_t identity = 0;
  const bool identified = identify(held, identity);
  close(held.fd);
  if (!identified) return false;
  Index& index = index_of_kind(held.kind);
  const auto known = index.find(identity);
  if (known == index.end()) return false;
  const std::size_t position = known->second;
  index.erase(known);
  close(all_[position].held.fd);
  if (position + 1 < all_.size()) {
    all_[position] = all_.back();
    index_of_kind(all_[position].held.kind)[all_[position].identity] = position;
  }
  all_.pop_back();
  return true;
}

void HeldSet::clear() {
  for (const Kept& kept : all_) close(kept.held.fd);
  all_.clear();
  for (Index& index : index_) index.clear();
}

}  // namespace turnpike
