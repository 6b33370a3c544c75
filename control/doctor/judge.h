// From facts to verdicts. Pure: looks at nothing itself.
#pragma once

#include <string>
#include <vector>

#include "control/config/settings.h"
#include "control/doctor/facts.h"
#include "control/doctor/report.h"

namespace turnpike::doctor {

void judge_daemon(const DaemonState& daemon, const std::string& socket_path, Report& report);
void judge_clock(const ClockFacts& clock, Report& report);
/// `account`: the one that has to read them.
void judge_files(const std::vector<FileFacts>& files, const std::string& account, Report& report);
/// `daemon` tells whether its program should be there now.
void judge_listener(const ListenerFacts& listener, const DaemonState& daemon, Report& report);
void judge_media_ports(const MediaPortFacts& ports, Report& report);
void judge_limits(const LimitFacts& limits, Report& report);
void judge_holder(const std::string& path, const DaemonState& daemon, const ConnectFacts& tried,
                  Report& report);
/// `answer`: of a ping; empty: it was a pong.
void judge_ng(const std::string& where, const std::string& answer, Report& report);
/// The SIP server to which a peer's streams are connected; of any program when its `program` is "".
void judge_sip_target(const ListenerFacts& target, Report& report);

/// A connection that was made to an edge; `zone_state` and `state` are what the daemon says of the
/// zone and of that peer, if it does.
void judge_probe(const config::ZoneSection& zone, const config::ZonePeerSection& peer,
                 const ProbeFacts& probe, const ZoneState* zone_state, const PeerState* state,
                 pki::WallTime now, Report& report);
/// A peer with which the daemon is connected.
void judge_peer_up(const std::string& zone, const PeerState& peer, Report& report);
/// The media flows with a peer that is up: UDP between the nodes, both ways.
void judge_flows(const config::ZoneSection& zone, const PeerState& peer, Report& report);
/// On the edge: a peer that is not, or only by half.
void judge_peer_missing(const config::ZoneSection& zone, const config::ZonePeerSection& peer,
                        const ZoneState& zone_state, const PeerState& state, Report& report);

}  // namespace turnpike::doctor
