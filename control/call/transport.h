// ICE and DTLS of one side of an m-line: what we say of ourselves, when that must change, and what
// the relay is told.
// Is not: the choice whether ICE or DTLS is used at all. See negotiation.h.
#pragma once

#include "control/call/call.h"
#include "control/call/keys.h"
#include "turnpike/transport.h"

namespace turnpike::call {

/// The credentials that the side has, else new ones.
OwnIce own_ice(const MediaSide& side, const RandomBytes& random_bytes);

/// Fills in new credentials: with the same remote ones, an ICE restart by us.
void renew(sdp::SecretIceCredentials& credentials, const RandomBytes& random_bytes);

/// What is to be offered to a side, or said to one whose association goes on: what it was told,
/// or, when the process that did its handshake is gone, or it has none, `identity` anew.
OwnDtls own_dtls(const MediaSide& side, const DtlsIdentity& identity,
                 const RandomBytes& random_bytes);

/// Our part as the answerer of an offer with this a=setup; `present` is the part in the
/// association that goes on (kUndecided: there is none), `preferred` ours when the offerer leaves
/// it to us. RFC 8842 section 5.3; kUndecided for holdconn.
DtlsRole role_to_answer(sdp::Setup offered, DtlsRole present, DtlsRole preferred);
/// Our part after an answer with this a=setup to our actpass.
DtlsRole role_by_answer(sdp::Setup answered);
sdp::Setup setup_of(DtlsRole role);

/// What the end on `side` now says is another association than the one before (RFC 8842
/// section 3), by fingerprint or tls-id.
bool asks_for_new_association(const MediaSide& side, const sdp::DtlsDescription& now);

/// Puts DTLS in use on a side whose `remote` is still the one before. The association goes on
/// unless something of it changed on either end.
void use_dtls(MediaSide& side, const OwnDtls& own, const sdp::DtlsDescription& now, DtlsRole role);
/// What was agreed is void; the association's number stays, so that another one has a new number.
void leave_dtls(MediaSide& side);

/// Puts ICE in use on a side whose `remote` is still the one before. Our role holds until a
/// restart (RFC 8445 section 6.1.1).
void use_ice(MediaSide& side, const OwnIce& own, const RemoteMedia& now, bool we_offered);
void leave_ice(MediaSide& side);

/// Of a session whose m-line was refused by the last answer, ICE ends: nothing is sent.
/// The caller wipes the credentials in it. `carries`: other m-lines have their transport here.
TransportConfig transport_of(const CallMedia& media, Side which, bool carries = false);

}  // namespace turnpike::call
