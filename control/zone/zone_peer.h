// What a zone (zone.h) keeps of its peers and their connections. Of zone.cc only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "control/loop/tcp_listener.h"
#include "control/loop/watchers.h"
#include "control/zone/measurer.h"
#include "control/zone/zone.h"

namespace turnpike::zone {

/// One connection to a peer, by its purpose: there or not.
struct Zone::Slot {
  Purpose purpose = Purpose::kSignallingByCore;
  std::unique_ptr<Link> link;  // on the core also while it is being dialled
  Backoff backoff{Milliseconds{500}, Milliseconds{30000}};
  loop::Timer redial;
  bool up = false;
  Instant since{};
  std::uint64_t connected = 0;
  std::uint64_t bytes_received = 0;  // of links that are gone
  std::uint64_t bytes_sent = 0;
  Trouble last_trouble;
  std::uint64_t replaced_epoch = 0;  // on the edge: of whose connection was replaced last
};

struct Zone::Peer {
  PeerConfig config;
  std::array<Slot, kPurposeCount> slots;
  loop::TcpListener sip_listener;
  pki::CertificateFacts certificate;
  std::string node;
  std::uint64_t epoch = 0;
  std::unique_ptr<Measurer> measurer;

  Slot& slot(Purpose purpose) { return slots.at(static_cast<std::size_t>(purpose) - 1); }
};

/// A link that is closed and has last bytes to flush.
struct Zone::Leaving {
  std::unique_ptr<Link> link;
  Instant until{};
  bool counted_as_waiting = false;
};

}  // namespace turnpike::zone
