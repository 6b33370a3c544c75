#include "relay/io/coalesced_reader.h"

#include <algorithm>
#include <cstring>

#include <netinet/in.h>
#include <netinet/udp.h>

#include "relay/io/sockaddr.h"
#include "relay/io/udp_io.h"

namespace turnpike {
namespace {

using Control = std::array<char, CMSG_SPACE(sizeof(int))>;

}  // namespace

std::size_t segment_bytes_of(const msghdr& message, std::size_t length) {
  msghdr copy = message;  // CMSG_NXTHDR takes no const one
  for (cmsghdr* at = CMSG_FIRSTHDR(&copy); at != nullptr; at = CMSG_NXTHDR(&copy, at)) {
    int value = 0;
    if (at->cmsg_level != SOL_UDP || at->cmsg_type != UDP_GRO ||
        at->cmsg_len < CMSG_LEN(sizeof value)) {
      continue;
    }
    std::memcpy(&value, CMSG_DATA(at), sizeof value);
    if (value > 0 && static_cast<std::size_t>(value) < length) {
      return static_cast<std::size_t>(value);
    }
  }
  return length;
}

bool CoalescedReader::ask(int fd) {
  int value = 0;
  socklen_t size = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &value, &size) != 0 || value != 0) return false;
  value = 1;
  if (setsockopt(fd, SOL_UDP, UDP_GRO, &value, sizeof value) != 0) return false;
  if (memory_ == nullptr) {
    memory_ = std::make_unique_for_overwrite<std::uint8_t[]>(kPiecesMax * kPieceBytes);
  }
  return true;
}

bool CoalescedReader::read(int fd, std::uint32_t index, std::size_t pieces_max) {
  std::array<mmsghdr, kPiecesMax> messages{};
  std::array<iovec, kPiecesMax> places;
  std::array<sockaddr_storage, kPiecesMax> sources;
  alignas(cmsghdr) std::array<Control, kPiecesMax> controls;
  const std::size_t wanted = std::min(pieces_max, kPiecesMax);
  for (std::size_t i = 0; i < wanted; ++i) {
    places[i] = {memory_.get() + i * kPieceBytes, kPieceBytes};
    msghdr& message = messages[i].msg_hdr;
    message.msg_name = &sources[i];
    message.msg_namelen = sizeof sources[i];
    message.msg_iov = &places[i];
    message.msg_iovlen = 1;
    message.msg_control = controls[i].data();
    message.msg_controllen = controls[i].size();
  }
  const int count = recvmmsg(fd, messages.data(), static_cast<unsigned>(wanted),
                             MSG_DONTWAIT | MSG_TRUNC, nullptr);
  index_ = index;
  count_ = count < 0 ? 0 : static_cast<std::size_t>(count);
  next_ = 0;
  offset_ = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    const std::size_t length = messages[i].msg_len;
    const bool cut = length > kPieceBytes;
    pieces_[i] = {length, cut ? length : segment_bytes_of(messages[i].msg_hdr, length),
                  from_sockaddr(sources[i])};
  }
  return count_ == wanted;
}

std::size_t CoalescedReader::take(Batch& batch, std::size_t datagrams_max) {
  std::size_t taken = 0;
  for (; taken < datagrams_max && keeps() && !batch.full(); ++taken) {
    const Piece& piece = pieces_[next_];
    const std::size_t length = std::min(piece.segment_bytes, piece.length - offset_);
    Packet* packet = batch.next();
    packet->data -= kSharedHeadroomBytes;
    // Of one that is too long for a slot the length tells.
    const std::size_t room = kPayloadBytesMax + kSharedHeadroomBytes;
    std::memcpy(packet->data, memory_.get() + next_ * kPieceBytes + offset_,
                std::min(length, room));
    packet->length = static_cast<std::uint32_t>(length);
    packet->source = piece.source;
    packet->tag = shared_tag(index_);
    packet->shed_behind = 0;
    packet->overflowed = 0;
    batch.commit();
    offset_ += length;
    if (offset_ >= piece.length) {
      ++next_;
      offset_ = 0;
    }
  }
  return taken;
}

}  // namespace turnpike
