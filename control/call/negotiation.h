// Offer/answer (RFC 3264) for one call: what an offer or an answer means for its sessions, keys
// and the description that goes on to the other side.
// Hides: profiles, rtcp-mux, hold, SDES choice, when an offer takes effect.
// Is not: the call table. It works on a copy of the call; whoever owns the call keeps the copy if
// and only if there was no error.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "control/call/call.h"
#include "control/call/call_service.h"
#include "control/call/keys.h"
#include "control/call/rewrite.h"
#include "control/call/session_changes.h"
#include "control/sdp/sdp.h"
#include "turnpike/result.h"

namespace turnpike::call {

class Negotiation {
 public:
  /// `identity` is what new DTLS associations are made with.
  Negotiation(const CallServiceConfig& config, const CallService::Environment& environment,
              const DtlsIdentity& identity, SessionChanges& changes, Call& call,
              const CallRequest& request)
      : config_(config),
        environment_(environment),
        random_bytes_(environment.random_bytes),
        identity_(identity),
        changes_(changes),
        call_(call),
        request_(request) {}

  /// Sessions of a call that has none are opened on this shard; -1: on any. Who subscribes hears
  /// within one shard.
  void open_on(int shard) { shard_ = shard; }

  /// Works an offer of side `from` into the call and turns `description` into the offer that goes
  /// to the other side. In an established call the offer takes effect with its answer, so that a
  /// refused re-INVITE changes nothing.
  Result<void> offer(Side from, sdp::Session& description);

  /// Works the answer to the last offer of side `offerer` into the call and turns `description`
  /// into the answer that goes to the offerer. A media session that both gave up is closed, and an
  /// open offer of the other side is void: it was made before this one took effect.
  Result<void> answer(Side offerer, sdp::Session& description);

  /// Candidates in the description that were passed over.
  std::uint32_t candidates_skipped() const { return candidates_skipped_; }
  /// The offer failed because no media can go to the other node of the pair now.
  bool lacks_flow() const { return lacks_flow_; }

 private:
  // Offer
  static void fold(const Offer& offer, std::vector<OutgoingMedia>& outgoing);
  Result<void> choose_interfaces(Side from);
  Result<std::uint16_t> interface_named(const std::string& name) const;
  /// Error when the interface of this side takes SRTP only and the profile is none.
  Result<void> allowed_on(Side side, sdp::Profile profile, const sdp::Media& line) const;
  /// There is no end on this side, and what is said of it was made here.
  bool is_absent(Side side) const { return call_.is_one_sided() && side == Side::kB; }
  /// `offer` has what was made of the m-lines before.
  Result<OfferedMedia> offer_media(std::size_t index, Side from, const sdp::Session& description,
                                   const Offer& offer);
  /// What the offerer's keys come from. `lines` are its usable a=crypto lines.
  Result<void> read_offered_keying(const sdp::Session& description, const sdp::Media& line,
                                   sdp::Profile profile, OfferedMedia& offered,
                                   std::vector<OfferedCrypto>& lines) const;
  /// Protocol and keying towards the receiver.
  Result<void> choose_towards(const CallMedia& media, Side to, sdp::Profile sender_profile,
                              const sdp::Media& line, OfferedMedia& offered) const;
  /// Whether the receiver is offered ICE.
  bool offers_ice(const MediaSide& receiver, const OfferedMedia& offered) const;
  /// What ICE and DTLS say of us to the receiver.
  void choose_transport(Side to, const MediaSide& sender, const MediaSide& receiver,
                        OfferedMedia& offered) const;
  Result<void> ensure_session(CallMedia& media, Side from, const OfferedMedia& offered,
                              const sdp::Media& line);
  AddressFamily sender_family(const CallMedia& media, Side from, const OfferedMedia& offered) const;
  Result<SessionSpec> wanted_session(const CallMedia& media, Side from, const OfferedMedia& offered,
                                     const sdp::Media& line) const;
  void choose_mux(OfferedMedia& offered) const;
  void take_effect_early(CallMedia& media, Side from, const OfferedMedia& offered);
  OutgoingMedia outgoing_offer(CallMedia& media, Side to, const OfferedMedia& offered);

  // Answer
  Result<RemoteMedia> answer_media(CallMedia& media, Side offerer, const OfferedMedia& offered,
                                   const sdp::Session& description, const sdp::Media& line);
  Result<RemoteMedia> read_answer(const MediaSide& receiver, Side answerer,
                                  const OfferedMedia& offered, const sdp::Session& description,
                                  const sdp::Media& line);
  void settle_receiver(MediaSide& receiver, const OfferedMedia& offered,
                       const RemoteMedia& remote) const;
  void settle_sender(MediaSide& sender, const OfferedMedia& offered) const;
  void settle_sender_transport(MediaSide& sender, const OfferedMedia& offered) const;
  bool grants_mux(const OfferedMedia& offered, const RemoteMedia& remote) const;
  void give_up(CallMedia& media, bool for_good);
  /// `tagged`: the m-line is the first of those that share a transport.
  OutgoingMedia outgoing_answer(const CallMedia& media, Side offerer, const OfferedMedia& offered,
                                bool tagged) const;

  // Bundles. A group has positions of m-lines, the tagged one first.
  using Group = std::vector<std::size_t>;
  using Answers = std::vector<std::optional<RemoteMedia>>;  // by m-line; unset: refused
  /// The session whose transport the end that is offered to shares already; null: none.
  const CallMedia* shared_transport(Side to) const;
  /// The m-line that the transport was opened for leaves the group, and goes on alone.
  bool is_left_alone(const CallMedia& transport, const sdp::Session& description) const;
  /// Whether our offer has the m-line in its group, by what mid, and on which transport.
  void choose_bundle(std::size_t index, Side to, const sdp::Session& description,
                     const Offer& offer, OfferedMedia& offered) const;
  std::string mid_towards(std::size_t index, Side to, const sdp::Session& description,
                          const Offer& offer) const;
  /// The sessions whose transports m-lines share now, by side.
  std::array<SessionId, 2> present_carriers() const;
  /// Puts in effect which m-lines share a transport, on either side, and what each transport
  /// agreed on. Returns the offerer's group, empty when it has none with one transport.
  Group settle(Side offerer, const Offer& offer, const Answers& answers,
               const sdp::Session& description, const std::array<SessionId, 2>& present);
  Group answerers_group(const Offer& offer, const Answers& answers,
                        const sdp::Session& description) const;
  Group offerers_group(const Offer& offer, const Answers& answers) const;
  /// What an edge, which cannot tell the m-lines of a transport apart, may have on one: those that
  /// share it on either side. In the offerer's order.
  static Group on_both_sides(Group offerers, const Group& answerers);
  SessionId carrier_for(const Group& group, SessionId present) const;
  /// Ends what carries no m-line any more.
  void end_unused_carriers();
  /// Gives up m-lines that were bundle-only and have come to be in no group (section 7.3.3).
  void refuse_without_transport(Side offerer, const Offer& offer, Answers& answers);

  // Traversal pairs. See negotiation_pair.cc.
  bool is_zone_peer(Side side) const {
    return config_.is_zone_peer(call_.side(side).interface_index);
  }
  /// This node is the edge of a pair: keys pass it by.
  bool passes_keys() const { return config_.pair_role == PairRole::kEdge; }
  /// Somebody may subscribe to what is said here.
  bool may_be_heard() const { return !passes_keys() && call_.form != CallForm::kSubscribed; }
  /// Error when this node has no part in a call between these ends, or media has no way now.
  Result<void> check_way();
  Result<void> check_flow(Side side, int shard);
  /// Error when a zone wants DTLS and the keys on its side come from elsewhere.
  Result<void> keyed_as_required(Side side, Keying keying, const sdp::Media& line) const;
  /// Which keys the m-line is about, without taking any.
  Result<Keying> passed_keying(const sdp::Session& description, const sdp::Media& line) const;
  Result<void> pass_offer(const sdp::Session& description, const sdp::Media& line,
                          sdp::Profile profile, OfferedMedia& offered) const;
  /// Some browsers take no description without a group: where the core offered none, it has the
  /// first m-line that could be in one, alone.
  static void group_first(std::vector<OutgoingMedia>& outgoing, const Offer& offer);
  /// What another node says of the m-line: which session it has for it, and what it sends.
  Result<RemoteMedia> read_node(Side side, const sdp::Session& description, const sdp::Media& line);
  /// Our session that has an m-line's transport, as the other node is to name it.
  Carriage carriage_towards(const CallMedia& transport, Side to) const;

  // Both
  /// What the end on `side` says; an address that media must not go to is an error, unless ICE
  /// finds the end (`with_ice`: it may be used).
  Result<RemoteMedia> read_remote(Side side, const sdp::Session& description,
                                  const sdp::Media& line, bool with_ice);
  Result<void> read_ice(Side side, const sdp::Session& description, const sdp::Media& line,
                        RemoteMedia& remote);
  Result<void> read_dtls(const sdp::Session& description, const sdp::Media& line,
                         RemoteMedia& remote) const;
  /// Whether we are ICE lite towards the receiver of the request, or its sender.
  bool is_ice_lite(const MediaSide& side, bool towards_receiver) const;
  sdp::LocalIce local_ice(const CallMedia& media, Side side, const OwnIce& own,
                          bool with_rtcp) const;
  SourceRules source_rules() const;
  SocketAddress advertised(const CallMedia& media, Side side) const;
  Replacements replacements(Side to, const sdp::Session& description);
  bool has_mux_flag(RtcpMuxFlag flag) const;

  const CallServiceConfig& config_;
  const CallService::Environment& environment_;
  const RandomBytes& random_bytes_;
  const DtlsIdentity identity_;
  SessionChanges& changes_;
  Call& call_;
  const CallRequest& request_;
  int shard_ = -1;
  std::uint32_t candidates_skipped_ = 0;
  bool lacks_flow_ = false;
};

}  // namespace turnpike::call
