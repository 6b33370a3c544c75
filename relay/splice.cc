#include "relay/splice.h"

namespace turnpike {
namespace {

// Of one direction, before others have their turn.
constexpr int kRoundsMax = 16;

}  // namespace

Carried carry_some(ByteStream& from, ByteStream& to, SpliceWay& way) {
  for (int i = 0; i < kRoundsMax; ++i) {
    if (way.begin == way.end && !way.has_ended) {
      const StreamMoved read = from.read(way.bytes);
      if (read.state == StreamState::kWait) return Carried::kAll;
      if (read.state == StreamState::kFailed) return Carried::kGiverFailed;
      way.has_ended = read.state == StreamState::kEnded;
      way.begin = 0;
      way.end = read.bytes;
      way.read += read.bytes;
    }
    if (way.begin == way.end) {
      if (!way.is_told) way.is_told = to.end_writing();
      return Carried::kAll;
    }
    const StreamMoved written = to.write({way.bytes.data() + way.begin, way.end - way.begin});
    if (written.state == StreamState::kWait) return Carried::kAll;
    if (written.state != StreamState::kMoved) return Carried::kTakerFailed;
    way.begin += written.bytes;
  }
  return Carried::kSome;
}

}  // namespace turnpike
