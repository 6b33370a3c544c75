// Calls: what NG asks for, in the words of offer/answer (RFC 3264), carried out on the relay.
// Hides: the call table, SDP rewriting, SDES negotiation, sessions of the relay.
// Is not: a transport. Requests come decoded; replies go out as values.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/call/network.h"
#include "control/diagnosis/diagnosis.h"
#include "control/ng/value.h"
#include "turnpike/address.h"
#include "turnpike/command.h"
#include "turnpike/config.h"
#include "turnpike/ids.h"
#include "turnpike/keying.h"
#include "turnpike/relay.h"
#include "turnpike/stats.h"
#include "turnpike/time.h"
#include "turnpike/transport.h"

namespace turnpike::call {

/// NG `ICE`: what the receiver is offered. kDefault: what the sender does, or what the receiver
/// does already.
enum class IceWish : std::uint8_t { kDefault, kRemove, kForce };
/// NG `ICE-lite`: whom we tell that we are ICE lite: the receiver of the message, its sender.
enum class IceLiteWish : std::uint8_t { kUnsaid, kOff, kForward, kBackward, kBoth };
/// NG `DTLS`. kOff: none towards the receiver. The others: our part when the offerer leaves it
/// to us, whether given with its offer or with the answer to it.
enum class DtlsWish : std::uint8_t { kDefault, kOff, kActive, kPassive };

/// NG `block media` and so on.
enum class MediaCommand : std::uint8_t { kBlock, kUnblock, kSilence, kUnsilence };

enum class RtcpMuxFlag : std::uint8_t { kOffer, kRequire, kDemux, kAccept, kReject };

/// One NG request about a call, decoded. Empty or unset = the key was not sent.
struct CallRequest {
  std::string call_id;
  std::string from_tag;
  std::string to_tag;
  std::string to_call_id;  ///< of `connect`: the call of to_tag; empty = that of from_tag
  std::string sdp;
  std::vector<std::string> from_tags;  ///< of `subscribe request`: whose media, besides from_tag
  std::string set_label;               ///< of `subscribe request`: a name for who subscribes
  std::vector<std::string> direction;  ///< none, or [interface of the sender, of the receiver]
  std::string transport_protocol;      ///< towards the receiver: "RTP/SAVP", "UDP/TLS/RTP/SAVPF"
  IceWish ice = IceWish::kDefault;
  IceLiteWish ice_lite = IceLiteWish::kUnsaid;
  DtlsWish dtls = DtlsWish::kDefault;
  std::vector<RtcpMuxFlag> rtcp_mux;
  std::vector<std::string> sdes;  ///< SDES=[...]: "off", "no-SUITE", "only-SUITE", …
  AddressFamily address_family = AddressFamily::kNone;  ///< of the receiver; kNone = as offered
  IpAddress media_address;          ///< replaces the advertised address; unset = interface's
  IpAddress received_from;          ///< source of the SIP message
  bool sip_source_address = false;  ///< use received_from instead of the SDP's address
  bool strict_source = false;
  bool port_latching = false;
  bool asymmetric = false;
  bool replace_origin = false;
  bool replace_username = false;
  bool replace_session_name = false;
  bool supports_load_limit = false;  ///< peer understands result "load limit"
  int tos = -1;                      ///< whole TOS byte for both legs; -1 = by media kind
  std::optional<Seconds> delete_delay;
  std::uint32_t limit = 32;  ///< of what `list` gives
  // Who is meant, in an offer or answer who speaks:
  std::string label;
  std::string to_label;      ///< of a MediaCommand: to whom the media goes
  IpAddress address;         ///< of its media, as its SDP says
  bool directional = false;  ///< only what comes from `from_tag`
  bool all = false;          ///< also what was asked for single participants
};

/// Called once, perhaps later, with the reply dictionary (without cookie).
using ReplyFunction = std::function<void(ng::Value::Dict)>;

/// Relayed transport addresses of this node's TURN server: clients that come by it are there.
struct OwnRelays {
  std::vector<InterfaceAddress> addresses;
  std::uint16_t port_min = 0;
  std::uint16_t port_max = 0;
  bool operator==(const OwnRelays&) const = default;
};

struct CallServiceConfig {
  std::uint32_t calls_max = 4000;
  /// Behind those of this node, each other node of its traversal pair is one more, without
  /// addresses: "ZONE/PEER", the last `zone_peers` of them.
  std::vector<Interface> interfaces;
  std::size_t zone_peers = 0;
  /// An edge passes keys through between a client and a core, and relays nothing else.
  PairRole pair_role = PairRole::kNone;
  /// Interfaces whose keys must come from DTLS.
  std::set<std::string> dtls_interfaces;
  std::set<std::string> srtp_interfaces;  ///< whose legs must be SRTP
  /// By interface, what lies behind it: see destinations.h.
  std::map<std::string, std::vector<Network>> networks;
  std::vector<IpAddress> host_addresses;  ///< ours, besides those of the interfaces
  std::uint16_t media_port_min = 36000;   ///< as the relay has it
  std::uint16_t media_port_max = 59999;
  OwnRelays relays;
  std::string default_direction_a = "outside";  ///< the sender's, without `direction`
  std::string default_direction_b = "inside";
  std::array<std::uint8_t, 3> dscp{46, 34, 0};  ///< by MediaKind: EF, AF41, best effort
  /// Of plain RTP legs whose message has no flag about it.
  SourcePolicy source_policy = SourcePolicy::kStrict;
  /// Our part in ICE where NG does not say; kOff: ICE is neither offered nor accepted.
  IceMode ice_mode = IceMode::kFull;
  AddressFamily ice_preferred_family = AddressFamily::kIpv6;  ///< of our candidates
  Seconds delete_delay{0};
  Seconds offer_timeout{180};  ///< of a call that nobody answered; 0 = never
  Seconds hold_timeout{3600};  ///< of an answered call that expects no media; 0 = never
  std::uint32_t sdp_bytes_max = 32768;
  std::uint32_t media_max = 16;  ///< m-lines of one call
  bool operator==(const CallServiceConfig&) const = default;

  bool is_zone_peer(std::uint16_t interface_index) const {
    return interface_index + zone_peers >= interfaces.size();
  }
};

/// What an operator sees of one leg of a session. Never a key.
struct LegSummary {
  std::string interface;
  SocketAddress local;                 ///< of RTP, as bound
  SocketAddress remote;                ///< where RTP is sent; unset: nowhere (yet, or held), or
                                       ///< where ICE finds the end
  SrtpSuite suite = SrtpSuite::kNone;  ///< by SDES; kNone: plain RTP, or DTLS chooses it
  /// "plain", "SDES", "DTLS", "DTLS, no RTCP"; at an edge "signalling-sees-keys", "keyless: dtls".
  std::string_view keying = "plain";
  bool ice = false;
};

/// SessionSummary::kind of what is no m-line, but only carries others.
constexpr const char* kCarrierKind = "bundle";

struct SessionSummary {
  SessionId id;
  std::string kind;  ///< "audio", "video", …, kCarrierKind
  std::array<LegSummary, 2> legs;
  diagnosis::Signalling signalled{};
};

/// What an operator sees of a call.
struct CallSummary {
  std::string call_id;
  std::string from_tag;
  std::string to_tag;
  Instant created{};
  bool answered = false;
  std::vector<SessionSummary> sessions;
  Instant answered_at{};             ///< of the first answer
  std::int64_t created_unix_us = 0;  ///< `created` by the clock of then
  Instant ended_at{};                ///< of one that is over
  std::int64_t ended_unix_us = 0;    ///< `ended_at` by the clock of then
  std::uint64_t record_key = 0;      ///< of its blob (Relay::store_record)
};

/// What became of the calls of the process before.
struct CallAdoption {
  std::uint32_t calls = 0;                   ///< go on
  std::uint32_t records_unreadable = 0;      ///< lost: damaged, or of another version
  std::uint32_t calls_without_sessions = 0;  ///< lost: none of its media lives on
  std::uint32_t sessions_without_call = 0;   ///< closed
  std::uint32_t calls_ended =
      0;  ///< were over, and `ended` is told of them here for the first time
};

class CallService {
 public:
  /// `clock` gives the monotonic time; `random_bytes` fills a buffer from a CSPRNG.
  struct Environment {
    std::function<Instant()> clock;
    std::function<void(void*, std::size_t)> random_bytes;
    /// A line for the log: never holds SDP bodies or keys. "offer" and "answer" tell of those that
    /// were carried out.
    std::function<void(const CallSummary&, const std::string& what)> log;
    /// The same for what is only worth a line when somebody looks for a fault.
    std::function<void(const CallSummary&, const std::string& what)> log_detail{};
    /// Microseconds since 1970; empty = the system's clock.
    std::function<std::int64_t()> unix_time_us{};
    /// A call has ended, and why. `stats`: the last figures of its sessions, as far as they came.
    /// `verdicts`: by side, the one that weighs most of its audio sessions that were agreed on;
    /// where there is none, of what else was agreed on, or was not.
    std::function<void(const CallSummary&, const std::string& why,
                       const std::map<SessionId, SessionStats>& stats,
                       const std::array<diagnosis::Verdict, 2>& verdicts)>
        ended{};
    /// Whether `ended` writes down what it is told. If so, a call that is over stays in the blob
    /// under its record_key, for a process after this one, until `ended` replaces or erases that.
    /// Empty = no.
    std::function<bool()> keeps_ends{};
    /// A blob of the process before that `ended` has put in a call's place. False: it is none.
    std::function<bool(std::uint64_t key, const std::string& bytes)> adopt_end{};
    /// In an answered call nothing has come from that side for kSilenceTold, though it should, or
    /// nothing that could go on; and why.
    std::function<void(const CallSummary&, const SessionSummary&, Side, const diagnosis::Verdict&)>
        silent{};
    /// Carriage::flow of a session that another node of the pair ("ZONE/PEER") has on `shard`.
    std::function<std::uint16_t(const std::string& peer, std::uint16_t shard)> flow_to{};
    /// Whether media can go to and from that node now, on this shard of the core; -1: on any.
    std::function<bool(const std::string& peer, int shard)> has_flow{};
  };
  static std::unique_ptr<CallService> create(CallServiceConfig config, Relay& relay,
                                             Environment environment);
  virtual ~CallService() = default;

  virtual void offer(const CallRequest& request, ReplyFunction reply) = 0;
  virtual void answer(const CallRequest& request, ReplyFunction reply) = 0;
  virtual void remove(const CallRequest& request, ReplyFunction reply) = 0;  ///< NG "delete"
  virtual void query(const CallRequest& request, ReplyFunction reply) = 0;
  /// NG "block media" and so on: of a whole call, or of what one participant sends.
  virtual void switch_media(MediaCommand what, const CallRequest& request, ReplyFunction reply) = 0;
  /// NG "publish": one end's media, for who subscribes to it.
  virtual void publish(const CallRequest& request, ReplyFunction reply) = 0;
  /// NG "subscribe request": offers to send what ends of a call send, to one more receiver.
  virtual void subscribe(const CallRequest& request, ReplyFunction reply) = 0;
  /// NG "subscribe answer".
  virtual void answer_subscription(const CallRequest& request, ReplyFunction reply) = 0;
  virtual void unsubscribe(const CallRequest& request, ReplyFunction reply) = 0;
  /// NG "connect": an end of one call talks to an end of another one, each in the place of the
  /// other's present end.
  virtual void connect(const CallRequest& request, ReplyFunction reply) = 0;
  /// NG "list": call-ids, at most CallRequest::limit and 48 KiB of them.
  virtual void list(const CallRequest& request, ReplyFunction reply) = 0;
  /// Of the whole node: NG "statistics", but for what concerns NG itself.
  virtual ng::Value::Dict node_statistics() const = 0;

  /// Give every relay event to this.
  virtual void on_event(const Event& event) = 0;
  /// Ends calls whose delete delay or one of whose timeouts is over. Call about once a second.
  virtual void on_tick() = 0;
  /// Flows to this node of the pair ("ZONE/PEER") are other ones now.
  virtual void on_flows_changed(const std::string& peer) { static_cast<void>(peer); }
  /// Other rules for what is asked from now on, and for the times after which calls end. Interfaces
  /// keep their names, order and local addresses.
  virtual void reconfigure(CallServiceConfig config) { static_cast<void>(config); }
  /// First and last media port as configured.
  virtual std::pair<std::uint16_t, std::uint16_t> media_ports() const { return {}; }
  /// Calls of that name: `call_id` is the whole of it, or what stands before a comma: then every
  /// pass of that call.
  virtual std::vector<CallSummary> calls_named(const std::string& call_id) const {
    static_cast<void>(call_id);
    return {};
  }
  /// Ends the calls of that name at once; the SIP server is told nothing. False: there are none.
  virtual bool end_call(const std::string& call_id) {
    static_cast<void>(call_id);
    return false;
  }
  /// While draining, offers for new calls are refused with "load limit" (or the limit's text).
  virtual void set_draining(bool draining) = 0;

  virtual std::size_t call_count() const = 0;
  /// Calls that are over and whose last figures are awaited, for two seconds at most: Environment::
  /// ended is still to come.
  virtual std::size_t calls_ending() const { return 0; }
  /// a=candidate lines so far that were passed over: see sdp::IceDescription::skipped.
  virtual std::uint64_t ice_candidates_skipped() const { return 0; }
  virtual std::vector<CallSummary> calls() const = 0;
  virtual std::size_t session_count() const { return 0; }
  /// The sessions behind `after` in the order of their IDs, at most `limit`; each in a summary of
  /// its call that holds no other one. Costs what it gives, however many calls there are.
  virtual std::vector<CallSummary> sessions_after(SessionId after, std::size_t limit) const {
    static_cast<void>(after);
    static_cast<void>(limit);
    return {};
  }
  /// Rebuilds calls from the relay's adopted records, closes sessions without a call.
  virtual CallAdoption adopt() = 0;
};

}  // namespace turnpike::call
