// Offer/answer (RFC 3264) for one call: what an offer or an answer means for its sessions, keys
// and the description that goes on to the other side.
// Hides: profiles, rtcp-mux, hold, SDES choice, when an offer takes effect.
// Is not: the call table. It works on a copy of the call; whoever owns the call keeps the copy if
// and only if there was no error.
#pragma once

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
  Negotiation(const CallServiceConfig& config, const RandomBytes& random_bytes,
              SessionChanges& changes, Call& call, const CallRequest& request)
      : config_(config),
        random_bytes_(random_bytes),
        changes_(changes),
        call_(call),
        request_(request) {}

  /// Works an offer of side `from` into the call and turns `description` into the offer that goes
  /// to the other side. In an established call the offer takes effect with its answer, so that a
  /// refused re-INVITE changes nothing.
  Result<void> offer(Side from, sdp::Session& description);

  /// Works the answer to the last offer of side `offerer` into the call and turns `description`
  /// into the answer that goes to the offerer. A media session that both gave up is closed, and an
  /// open offer of the other side is void: it was made before this one took effect.
  Result<void> answer(Side offerer, sdp::Session& description);

 private:
  // Offer
  Result<void> choose_interfaces(Side from);
  Result<std::uint16_t> interface_named(const std::string& name) const;
  /// Error when the interface of this side takes SRTP only and the profile is none.
  Result<void> allowed_on(Side side, sdp::Profile profile, const sdp::Media& line) const;
  Result<OfferedMedia> offer_media(std::size_t index, Side from, const sdp::Session& description);
  Result<void> read_offered_crypto(const sdp::Media& line, OfferedMedia& offered,
                                   std::vector<OfferedCrypto>& lines) const;
  Result<sdp::Profile> receiver_profile(const CallMedia& media, Side to, sdp::Profile offered,
                                        const sdp::Media& line) const;
  Result<void> ensure_session(CallMedia& media, Side from, const OfferedMedia& offered,
                              const sdp::Media& line);
  Result<SessionSpec> wanted_session(const CallMedia& media, Side from, const OfferedMedia& offered,
                                     const sdp::Media& line) const;
  void choose_mux(OfferedMedia& offered) const;
  void take_effect_early(CallMedia& media, Side from, const OfferedMedia& offered);
  OutgoingMedia outgoing_offer(CallMedia& media, Side to, const OfferedMedia& offered);

  // Answer
  Result<void> answer_media(CallMedia& media, Side offerer, const OfferedMedia& offered,
                            const sdp::Session& description, const sdp::Media& line);
  void give_up(CallMedia& media, bool for_good);
  OutgoingMedia outgoing_answer(CallMedia& media, Side offerer, const OfferedMedia& offered);

  // Both
  /// What the end on `side` says; an address that media must not go to is an error.
  Result<RemoteMedia> read_remote(Side side, const sdp::Session& description,
                                  const sdp::Media& line) const;
  SourceRules source_rules() const;
  SocketAddress advertised(const CallMedia& media, Side side) const;
  Replacements replacements(Side to, const sdp::Session& description);
  bool has_mux_flag(RtcpMuxFlag flag) const;

  const CallServiceConfig& config_;
  const RandomBytes& random_bytes_;
  SessionChanges& changes_;
  Call& call_;
  const CallRequest& request_;
};

}  // namespace turnpike::call
