// A description that wipes the keys in it when it goes away, however that comes about.
#pragma once

#include <utility>

#include "control/sdp/sdp.h"

namespace turnpike::call {

class KeyedDescription {
 public:
  explicit KeyedDescription(sdp::Session session) : value(std::move(session)) {}
  KeyedDescription(const KeyedDescription&) = delete;
  KeyedDescription& operator=(const KeyedDescription&) = delete;
  ~KeyedDescription() { sdp::wipe_keys(value); }
  sdp::Session value;
};

}  // namespace turnpike::call
