// What was seen of a node, its host and its peers, as plain data: judged by judge.h, gathered by
// look.h, daemon_state.h and probe.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "control/pki/certificate.h"
#include "control/zone/reason.h"
#include "turnpike/address.h"
#include "turnpike/time.h"

namespace turnpike::doctor {

struct Process {
  pid_t pid = 0;       ///< 0: not known; only root sees other accounts' sockets
  std::string name{};  ///< as the kernel has it: at most 15 bytes
};

struct ClockFacts {
  pki::WallTime now{};
  bool kernel_asked = false;  ///< the next two are known
  bool synchronized = false;
  std::chrono::microseconds error_max{};
  std::string newest_file{};  ///< of the configuration's; empty: none
  pki::WallTime newest_file_time{};
};

struct FileFacts {
  std::string key{};  ///< "zone.dmz.private_key_file"
  std::string path{};
  int error = 0;  ///< errno of opening it as that account; 0: it may be read
};

/// An address at which a program of this node should wait.
struct ListenerFacts {
  std::string key{};  ///< "zone.dmz.listen"
  SocketAddress address{};
  bool is_udp = false;
  std::string program{};  ///< whose it is: "turnpiked", "kamailio"
  bool held = false;      ///< somebody waits there, …
  Process holder{};       ///< … who
  int bind_error = 0;     ///< errno of taking it when nobody does; 0: it can be had
};

struct MediaPortFacts {
  std::uint16_t port_min = 0;
  std::uint16_t port_max = 0;
  std::string reservation_advice{};  ///< what to set; empty: the range is reserved
  struct Stranger {
    SocketAddress address;
    Process process;
  };
  std::vector<Stranger> strangers{};      ///< sockets in the range that are not the relay's
  std::vector<std::string> unbindable{};  ///< "192.0.2.10:36000: …", of the first and last ports
};

struct LimitFacts {
  std::uint64_t files_needed = 0;
  std::uint64_t files_max = 0;
  bool of_daemon = false;  ///< files_max is the running daemon's; else this process's hard limit
  std::uint32_t buffer_wanted_bytes = 0;  ///< 0: as the kernel likes
  std::uint32_t buffer_given_bytes = 0;
};

/// Something that connects: the SIP server behind the zone, the holder.
struct ConnectFacts {
  int error = 0;  ///< errno; 0: it has taken the connection
  bool timed_out = false;
};

struct TroubleFacts {
  std::string reason{};  ///< label of zone::Reason; empty: none
  std::string meaning{};
  std::string detail{};
  std::string address{};
  double age_seconds = 0;
};

/// What the running daemon says of a connection, a peer, a zone.
struct ConnectionState {
  bool up = false;
  std::string tls{};
  std::optional<double> round_trip_ms{};
  TroubleFacts last_error{};
};

/// A shared flow of media with the peer.
struct FlowFacts {
  bool agreed = false;  ///< both ends know it
  bool bound = false;   ///< packets can go both ways
};

struct PeerState {
  std::string name{};
  bool up = false;
  double since_seconds = 0;
  std::string address{};  ///< of one of its connections
  std::string subject{};  ///< of its certificate; empty: none was seen yet
  double certificate_days = 0;
  std::vector<ConnectionState> connections{};
  std::vector<FlowFacts> flows{};
};

struct ZoneState {
  std::string name{};
  std::string files_trouble{};
  TroubleFacts last_refusal{};
  std::uint64_t wrong_passwords = 0;  ///< connections refused for that since the daemon's start
  std::vector<PeerState> peers{};
};

struct DaemonState {
  bool has_api = false;    ///< the configuration gives it a socket to be asked on
  bool running = false;    ///< it has answered
  bool forbidden = false;  ///< this account may not ask
  /// Not known whether it has connections: it could not be asked, or its answer was of no use.
  bool unclear = false;
  std::string trouble{};  ///< why not
  /// Of a daemon that runs all the same (signs.h); empty: none, or it has answered.
  std::vector<std::string> signs{};
  pid_t pid = 0;
  std::string state{};
  double uptime_seconds = 0;
  bool holder_connected = false;
  std::vector<ZoneState> zones{};
};

/// How far a connection to a peer came that was made for the examination.
enum class Stage : std::uint8_t { kConnect, kTls, kChallenge, kStreams, kDone };

struct ProbeFacts {
  SocketAddress to{};
  SocketAddress from{};           ///< unset: not connected
  Stage stage = Stage::kConnect;  ///< where it ended
  ConnectFacts connect{};
  bool heard = false;  ///< something came from the other end
  zone::Reason reason = zone::Reason::kNone;
  std::string detail{};
  pki::CertificateFacts certificate{};  ///< the other end's; empty: it has shown none
  std::string tls{};                    ///< version and cipher
  std::string node{};                   ///< what it calls itself
  Nanoseconds round_trip{};
};

}  // namespace turnpike::doctor
