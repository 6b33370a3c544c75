// The state of all zones as plain data, for the API, metrics and logs. Never holds a secret.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/pki/certificate.h"
#include "control/zone/measure.h"
#include "control/zone/message.h"
#include "turnpike/address.h"
#include "turnpike/time.h"

namespace turnpike::zone {

/// Why something went wrong last, in words.
struct Trouble {
  Reason reason = Reason::kNone;
  std::string detail;
  std::string address;  ///< of the other end; may be empty
  Instant at{};
};

/// What TLS has agreed on and checked.
struct TlsReport {
  bool dialled = false;  ///< by this node
  std::string version;
  std::string cipher;
  std::string matched_name;           ///< of those that are accepted, the one that the peer has
  std::string server_name;            ///< that the dialling end asked for (SNI); empty: none
  pki::CertificateFacts certificate;  ///< the peer's, as it was when the connection was made
};

struct ConnectionReport {
  Purpose purpose = Purpose::kSignallingByCore;
  bool up = false;
  bool connecting = false;  ///< only where this node dials
  Instant since{};          ///< of `up` or of not being up
  std::string address;      ///< of the other end, while up
  std::string tls;          ///< version and cipher, while up
  TlsReport security;       ///< the same and more, while up
  Nanoseconds round_trip{};
  std::size_t streams = 0;
  std::uint64_t bytes_received = 0;  ///< of all connections since the start
  std::uint64_t bytes_sent = 0;
  std::uint64_t connected = 0;  ///< how often it came up
  Trouble last_trouble;
};

/// A shared flow of media between this node and a peer.
struct FlowState {
  std::uint16_t shard = 0;       ///< of the core
  std::uint16_t number = 0;      ///< 0: not agreed yet
  bool bound = false;            ///< packets can go both ways
  std::string address;           ///< of the core, as the edge sees it; empty while not bound
  Nanoseconds round_trip{};      ///< known at the core
  std::uint32_t unanswered = 0;  ///< Bindings of the core since the last answer
};

struct PeerReport {
  std::string name;
  std::string tls_name;
  std::string address;  ///< as configured; empty on the edge
  std::string node;     ///< what it calls itself; empty before it was up
  std::uint64_t epoch = 0;
  bool up = false;  ///< all of its connections are
  Instant since{};
  pki::CertificateFacts certificate;  ///< empty before it was up
  std::array<ConnectionReport, kSignallingCount> connections;
  std::optional<ConnectionReport> bulk;  ///< while there is one
  MeasureReport measured;                ///< the last one; only at the core
  std::vector<FlowState> flows;
};

/// Streams that were not carried, by why.
struct StreamRefusals {
  std::uint64_t peer_down = 0;      ///< a local connection came while the peer was not up
  std::uint64_t wrong_account = 0;  ///< a local connection of another account than the SIP server's
  std::uint64_t too_many = 0;
  std::uint64_t unknown_target = 0;  ///< the peer asked for what is not offered here
  std::uint64_t not_connected = 0;   ///< the local target did not take the connection
};

struct ZoneReport {
  std::string name;
  std::string kind;
  Role role = Role::kCore;
  std::string listen;  ///< empty on the core
  std::vector<std::string> domains;
  pki::CertificateFacts certificate;  ///< this node's own; empty: none could be loaded
  std::string files_trouble;  ///< why the last (re)load of the files failed; empty: it did not
  std::size_t waiting = 0;    ///< connections in their handshake
  std::uint64_t streams_opened = 0;
  StreamRefusals stream_refusals;
  std::array<std::uint64_t, kReasonCount> refused{};  ///< before the handshake was done
  std::array<std::uint64_t, kReasonCount> ended{};    ///< of connections that were up
  Trouble last_refusal;
  std::vector<PeerReport> peers;
};

}  // namespace turnpike::zone
