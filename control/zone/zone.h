// One zone of this node: who is let in (edge) or dialled (core), the peers and their connections,
// the loopback listeners through which local programs reach a peer.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "control/config/secret.h"
#include "control/loop/event_loop.h"
#include "control/loop/tcp_listener.h"
#include "control/zone/backoff.h"
#include "control/zone/config.h"
#include "control/zone/link.h"
#include "control/zone/report.h"

namespace turnpike::zone {

/// Something that an operator should know.
struct Note {
  const char* event = "";  ///< "zone_up"
  bool warning = false;
  std::string zone;
  std::string peer;     ///< may be empty
  std::string address;  ///< may be empty
  std::string what;
};

/// What zones need of the program around them.
struct Environment {
  loop::EventLoop* loop = nullptr;
  Role role = Role::kCore;
  std::string node;
  std::uint64_t epoch = 0;
  std::string sip_user;
  /// Of the bulk connections of all zones and peers together.
  std::shared_ptr<Pace> bulk_pace = std::make_shared<Pace>(kMeasureBytesPerSecondMax);
  std::function<void(const Note&)> note;
  std::function<void(void* buffer, std::size_t size)> random_bytes;
  std::function<Result<Secret>(const std::string& path)> read_secret;
  /// The channel to a peer ("ZONE/PEER") is there, for the first time or again; `epoch` is of its
  /// process. Unset: no channel is wanted.
  std::function<void(const std::string& peer, std::uint64_t epoch)> on_channel;
  /// A message of that peer. False: it is none that a peer sends.
  std::function<bool(const std::string& peer, std::string_view message)> on_message;
};

class Zone {
 public:
  Zone(const Environment& environment, ZoneConfig config);
  ~Zone();
  Zone(const Zone&) = delete;
  Zone& operator=(const Zone&) = delete;

  /// Opens the listeners, begins to dial. Files that cannot be read are told and tried again; an
  /// address that cannot be listened on is an error.
  Result<void> start();
  /// Reads certificate, key, trust and password anew for the connections to come. Keeps what it
  /// has when one of them is unusable.
  void reload();
  /// Says good-bye on all connections.
  void stop();
  ZoneReport report() const;
  /// A message to the peer of this name ("ZONE/PEER"). False: there is no channel to it.
  bool send(const std::string& peer, std::string_view message);
  /// Begins to measure the path to a peer, by "ZONE/PEER"; of a core that has one up.
  Result<void> measure(const std::string& peer, const MeasureOptions& options, std::uint64_t id);
  bool is_measuring() const;

 private:
  struct Slot;
  struct Peer;
  struct Leaving;

  std::unique_ptr<Peer> make_peer(const PeerConfig& config);
  bool load_files();
  Result<void> listen_for(Peer& peer);
  void on_tick();
  void on_arrival(int fd);
  void on_local_arrival(Peer& peer, int fd);
  void dial(Peer& peer, Slot& slot);
  void dial_later(Peer& peer, Slot& slot, Reason reason);
  ConnectionOptions options_for(const Peer* peer, Purpose purpose) const;
  Link::Handlers handlers_for(Peer* peer, Slot* slot);
  Link::Handlers stream_handlers(Peer* peer, Slot* slot);
  void on_open(Link& link, Peer* peer, Slot* slot);
  void on_closed(Link& link, Peer* peer, Slot* slot);
  void on_refused(Link& link, Peer* peer, Slot* slot, Trouble trouble);
  void count_refusal(const Trouble& trouble, const Peer* peer, Slot* slot);
  void turn_away(std::unique_ptr<Link> link, Peer& peer, Slot& slot);
  std::string full_name(const Peer& peer) const;
  void came_up(Peer& peer, Slot& slot);
  void went_down(Peer& peer, Slot& slot, const Trouble& trouble);
  void put_away(std::unique_ptr<Link> link, bool counted_as_waiting);
  std::unique_ptr<Link> take_arriving(const Link& link);
  Slot* slot_of(const Link& link, Peer** peer);
  Peer* peer_named(const std::string& tls_name);
  void note_refusal(const Trouble& trouble, const std::string& peer);
  std::uint64_t random_number() const;
  PeerReport report_of(const Peer& peer) const;
  ConnectionReport report_of(const Slot& slot) const;

  const Environment& environment_;
  ZoneConfig config_;
  std::optional<Credentials> credentials_;
  std::string files_trouble_;
  std::optional<uid_t> sip_uid_;
  Admission admission_;
  loop::TcpListener listener_;
  loop::Timer tick_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::list<std::unique_ptr<Link>> arriving_;
  std::list<Leaving> leaving_;
  std::map<Reason, Instant> noted_at_;
  Instant load_again_at_{};
  bool stopping_ = false;
  std::uint64_t streams_opened_ = 0;
  StreamRefusals stream_refusals_;
  std::array<std::uint64_t, kReasonCount> refused_{};
  std::array<std::uint64_t, kReasonCount> ended_{};
  Trouble last_refusal_;
};

}  // namespace turnpike::zone
